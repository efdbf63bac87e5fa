//! RESP input: finds the commands in the bytes that a client has sent. `reply.rs` writes the
//! output.
//!
//! A command is an array of strings, `*2\r\n$3\r\nGET\r\n$4\r\nsoup\r\n`, or, for use in a
//! terminal, a line: `GET soup`. Nothing is copied: the arguments are slices of the input. And no
//! byte is scanned twice, however small the pieces in which a command arrives. Otherwise a client
//! that sends a million arguments byte by byte would cost a million times a million steps.

use std::borrow::Cow;
use std::ops::{Index, Range};

use crate::inline;

/// The longest argument: 64 MiB. (Redis allows 512 MiB.)
pub const MAX_ARGUMENT: usize = 64 << 20;
/// The longest command, with all of its arguments: 128 MiB. (Redis allows 1 GiB.)
pub const MAX_COMMAND: usize = 128 << 20;
/// The most arguments of a command.
pub const MAX_ARGUMENTS: i64 = 1 << 20;
/// The longest line: of a command in one line, or with a length.
pub const MAX_LINE: usize = 64 << 10;

/// The position of one command in the input received so far. There is one parser per client.
#[derive(Default)]
pub struct Parser {
    state: State,
    /// The number of arguments that have not arrived yet.
    missing: usize,
    /// The arguments so far: ranges of the input, or of `unquoted`.
    args: Vec<Range<u32>>,
    /// Everything before this position is parsed.
    position: usize,
    /// There is no end of line between `position` and this position.
    searched: usize,
    /// The arguments of a command in one line, without their quotes.
    unquoted: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum State {
    /// Before a command.
    #[default]
    Start,
    /// In an array, before a length.
    Length,
    /// In an array, in an argument of this length.
    Argument(usize),
    /// After a command that was a line; its arguments are in `unquoted`.
    Line,
    /// After a command that was an array.
    Array,
}

/// The client has sent something that is not a command. Since the start of the next command is
/// unknown, the connection must be closed.
#[derive(Debug, PartialEq)]
pub struct ProtocolError(pub Cow<'static, [u8]>);

fn wrong<T>(what: &'static str) -> Result<T, ProtocolError> {
    Err(ProtocolError(Cow::Borrowed(what.as_bytes())))
}

impl Parser {
    /// Continues with the command that starts at the first byte of `input`. When it is complete,
    /// returns its length, and [`Parser::args`] returns its arguments. Otherwise returns `None`:
    /// call it again when more input has been appended.
    pub fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if let State::Line | State::Array = self.state {
            self.start_over();
        }
        loop {
            match self.state {
                State::Start if input.first().is_some_and(|byte| *byte != b'*') => {
                    return self.line(input);
                }
                State::Start => {
                    let Some(line) = self.header(input, "too big mbulk count string")? else {
                        return Ok(None);
                    };
                    let count = integer(&line[1..]).filter(|count| *count <= MAX_ARGUMENTS);
                    let Some(count) = count else { return wrong("invalid multibulk length") };
                    // A negative number counts as zero, as in Redis. Memory for the arguments is
                    // not reserved in advance, because a client can claim to send a million.
                    self.missing = usize::try_from(count).unwrap_or(0);
                    self.state = State::Length;
                }
                State::Length if self.missing == 0 => {
                    self.state = State::Array;
                    return Ok(Some(self.position));
                }
                State::Length => {
                    let Some(line) = self.header(input, "too big bulk count string")? else {
                        return Ok(None);
                    };
                    let (sign, length) = line.split_first().unwrap_or((&b'\r', &[]));
                    if *sign != b'$' {
                        let found = [b"expected '$', got '".as_slice(), &[*sign], b"'"].concat();
                        return Err(ProtocolError(Cow::Owned(found)));
                    }
                    let length = integer(length).and_then(|length| usize::try_from(length).ok());
                    let Some(length) = length.filter(|length| *length <= MAX_ARGUMENT) else {
                        return wrong("invalid bulk length");
                    };
                    if self.position + length > MAX_COMMAND {
                        return wrong("too big command");
                    }
                    self.state = State::Argument(length);
                }
                State::Argument(length) => {
                    let (start, end) = (self.position, self.position + length);
                    let Some(rest) = input.get(end..end + 2) else { return Ok(None) };
                    if rest != b"\r\n" {
                        return wrong("expected the end of a line behind an argument");
                    }
                    self.args.push(start as u32..end as u32);
                    self.missing -= 1;
                    (self.position, self.searched) = (end + 2, end + 2);
                    self.state = State::Length;
                }
                State::Line | State::Array => unreachable!("the parser has started over"),
            }
        }
    }

    /// Returns the arguments of the command that [`Parser::parse`] has just completed; the first
    /// one is its name. `input` must be the same as for that call. There are none if it was an
    /// empty line.
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        let bytes = if let State::Line = self.state { &self.unquoted } else { input };
        Args { bytes, ranges: &self.args }
    }

    fn start_over(&mut self) {
        (self.state, self.position, self.searched) = (State::Start, 0, 0);
        self.args.clear();
        self.args.shrink_to(64);
        self.unquoted = Vec::new();
    }

    /// Returns the next line, such as `*2` or `$3`, without its end.
    fn header<'a>(
        &mut self,
        input: &'a [u8],
        too_long: &'static str,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let Some(end) = self.find(input, b'\r', too_long)? else { return Ok(None) };
        // After the `\r` there must be a `\n`. As in Redis, any byte is accepted.
        if end + 1 >= input.len() {
            return Ok(None);
        }
        let line = &input[self.position..end];
        (self.position, self.searched) = (end + 2, end + 2);
        Ok(Some(line))
    }

    /// Returns the position of the byte that ends the line. A line that is too long is refused even
    /// if its end has arrived, so the result does not depend on the pieces in which it arrived.
    fn find(
        &mut self,
        input: &[u8],
        byte: u8,
        too_long: &'static str,
    ) -> Result<Option<usize>, ProtocolError> {
        let distance = input[self.searched..].iter().position(|b| *b == byte);
        self.searched = distance.map_or(input.len(), |distance| self.searched + distance);
        if self.searched - self.position > MAX_LINE {
            return wrong(too_long);
        }
        Ok(distance.map(|_| self.searched))
    }

    /// A command in one line.
    fn line(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.find(input, b'\n', "too big inline request")? else { return Ok(None) };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !inline::split(line, &mut self.unquoted, &mut self.args) {
            return wrong("unbalanced quotes in request");
        }
        self.state = State::Line;
        Ok(Some(end + 1))
    }
}

/// The arguments of a command.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<u32>],
}

impl<'a> Args<'a> {
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.ranges.iter().map(move |range| &self.bytes[range.start as usize..range.end as usize])
    }

    /// Skips the first `count` arguments.
    pub fn skip(self, count: usize) -> Args<'a> {
        Args { ranges: self.ranges.get(count..).unwrap_or(&[]), ..self }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        let range = &self.ranges[index];
        &self.bytes[range.start as usize..range.end as usize]
    }
}

/// Parses a number like Redis: without a plus sign, spaces or leading zeros.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = digits.len() < text.len();
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {} // They fit in a `u64`.
        _ => return None,
    }
    let mut number = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    if is_negative { 0_i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Commands = Vec<Vec<Vec<u8>>>;

    /// Feeds the pieces to a parser as a client does, and returns what it found.
    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Commands, String> {
        let (mut parser, mut pending, mut commands) = (Parser::default(), Vec::new(), Vec::new());
        for piece in pieces {
            pending.extend_from_slice(piece);
            while !pending.is_empty() {
                let parsed = parser.parse(&pending);
                let parsed = parsed
                    .map_err(|ProtocolError(what)| String::from_utf8_lossy(&what).into_owned())?;
                let Some(length) = parsed else { break };
                commands.push(parser.args(&pending).iter().map(<[u8]>::to_vec).collect());
                pending.drain(..length);
            }
        }
        Ok(commands)
    }

    fn error(input: &[u8]) -> String {
        let whole = parse([input]);
        assert_eq!(whole, parse(input.chunks(1)), "{}", input.escape_ascii());
        whole.expect_err("a protocol error")
    }

    #[test]
    fn commands_are_found_wherever_they_are_split() {
        let all_bytes: Vec<u8> = (0..=255).collect();
        let input = [
            b"*2\r\n$3\r\nGET\r\n$4\r\nsoup\r\n*1\r\n$4\r\nPING\r\nGET soup\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$256\r\n",
            &all_bytes[..],
            b"\r\n\r\n*0\r\n*-1\r\nECHO \"a b\"\nPING\r\n",
        ]
        .concat();
        let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
        let expected = [
            words(&[b"GET", b"soup"]),
            words(&[b"PING"]),
            words(&[b"GET", b"soup"]),
            words(&[b"SET", b"", &all_bytes]),
            vec![],
            vec![],
            vec![],
            words(&[b"ECHO", b"a b"]),
            words(&[b"PING"]),
        ];
        assert_eq!(parse([&input[..]]).unwrap(), expected);
        for split in 0..input.len() {
            let (one, other) = input.split_at(split);
            assert_eq!(parse([one, other]).unwrap(), expected, "split at {split}");
        }
        for size in 1..10 {
            assert_eq!(parse(input.chunks(size)).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_command_is_named() {
        for (input, expected) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*\r\n", "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*1048577\r\n", "invalid multibulk length"),
            (b"*99999999999999999999\r\n", "invalid multibulk length"),
            (b"*1\r\n:3\r\n", "expected '$', got ':'"),
            (b"*1\r\n\r\n", "expected '$', got '\r'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$\r\n", "invalid bulk length"),
            (b"*1\r\n$67108865\r\n", "invalid bulk length"),
            (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
            (b"*2\r\n$3\r\nGETsoup\r\n", "expected the end of a line behind an argument"),
            (b"GET \"soup\r\n", "unbalanced quotes in request"),
        ] {
            assert_eq!(error(input), expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        for (begin, expected) in [
            (&b""[..], "too big inline request"),
            (b"*", "too big mbulk count string"),
            (b"*1\r\n$", "too big bulk count string"),
        ] {
            let line = [begin, &[b'1'; MAX_LINE + 1]].concat();
            assert_eq!(error(&line), expected);
            assert_eq!(error(&[&line, &b"\r\n"[..]].concat()), expected);
            assert_eq!(
                parse([&line[..MAX_LINE]]),
                Ok(vec![]),
                "up to the limit there may come an end"
            );
        }
    }

    #[test]
    fn the_arguments_of_a_command_are_limited_together() {
        let argument =
            [format!("${MAX_ARGUMENT}\r\n").as_bytes(), &vec![b'x'; MAX_ARGUMENT], b"\r\n"]
                .concat();
        let pieces = [b"*3\r\n", &argument[..], &argument];
        assert_eq!(parse(pieces).unwrap_err(), "too big command");
    }

    /// If each piece were parsed from the start, this would take hours.
    #[test]
    fn a_million_arguments_in_small_pieces_are_parsed_in_time() {
        let count = MAX_ARGUMENTS as usize;
        let input = [format!("*{count}\r\n").into_bytes(), b"$1\r\nx\r\n".repeat(count)].concat();
        let (mut parser, mut found) = (Parser::default(), None);
        for end in (1..=input.len()).step_by(3).chain([input.len()]) {
            found = found.or(parser.parse(&input[..end]).unwrap());
        }
        assert_eq!(found, Some(input.len()));
    }

    #[test]
    fn integers_are_read_as_in_redis() {
        for number in [0, 1, -1, 10, 123_456, i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
        assert_eq!(integer(&[b'9'; 30]), None);
    }
}
