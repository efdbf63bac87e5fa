//! RESP output: writes replies to a buffer. `resp.rs` reads the input.

/// Appends replies to the bytes that go to a client.
pub struct Reply<'a> {
    pub bytes: &'a mut Vec<u8>,
    /// Whether the client speaks version 3, which it requests with `HELLO 3`. That has a null,
    /// maps, and messages that are not replies.
    pub resp3: bool,
}

impl Reply<'_> {
    pub fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    pub fn simple(&mut self, text: &str) {
        self.parts(&[b"+", text.as_bytes(), b"\r\n"]);
    }

    /// An error begins with its kind in capitals, usually `ERR`.
    pub fn error(&mut self, text: &[u8]) {
        self.bytes.push(b'-');
        // The text may quote the client's input, which must not end the line.
        self.bytes.extend(
            text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }),
        );
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64);
        self.parts(&[bytes, b"\r\n"]);
    }

    /// A text for people to read.
    pub fn verbatim(&mut self, text: &str) {
        if self.resp3 {
            self.header(b'=', text.len() as i64 + 4);
            self.parts(&[b"txt:", text.as_bytes(), b"\r\n"]);
        } else {
            self.bulk(text.as_bytes());
        }
    }

    pub fn null(&mut self) {
        self.bytes.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Starts an array; this many replies follow as its elements.
    pub fn array(&mut self, length: usize) {
        self.header(b'*', length as i64);
    }

    /// Starts a map; this many pairs of replies follow.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 { self.header(b'%', pairs as i64) } else { self.array(pairs * 2) }
    }

    /// Starts a message, which may come between replies; this many replies follow as its elements.
    pub fn push(&mut self, length: usize) {
        self.header(if self.resp3 { b'>' } else { b'*' }, length as i64);
    }

    fn parts(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    fn header(&mut self, kind: u8, number: i64) {
        self.bytes.push(kind);
        decimal(number, self.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Appends a number. Each reply contains at least one, so this avoids `write!`, which takes several
/// times as long.
pub fn decimal(number: i64, bytes: &mut Vec<u8>) {
    let (mut digits, mut start) = ([0; 20], 20);
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        bytes.push(b'-');
    }
    bytes.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(resp3: bool, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Reply { bytes: &mut bytes, resp3 });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 1, -1, 9, 10, 99, 100, -12345, i64::MAX, i64::MIN] {
            assert_eq!(written(false, |reply| reply.integer(number)), format!(":{number}\r\n"));
        }
    }

    #[test]
    fn each_version_has_its_own_nulls_maps_texts_and_messages() {
        let all = |reply: &mut Reply<'_>| {
            reply.null();
            reply.map(2);
            reply.verbatim("soup");
            reply.push(3);
        };
        assert_eq!(written(false, all), "$-1\r\n*4\r\n$4\r\nsoup\r\n*3\r\n");
        assert_eq!(written(true, all), "_\r\n%2\r\n=8\r\ntxt:soup\r\n>3\r\n");
    }

    #[test]
    fn an_error_stays_one_line() {
        assert_eq!(written(false, |reply| reply.error(b"ERR no\r\n+OK")), "-ERR no  +OK\r\n");
    }
}
