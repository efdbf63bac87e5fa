//! Commands in one line, for use in a terminal: `SET soup "two spoons"`. Called by the parser.

use std::ops::Range;

/// Splits a line at its spaces. Quotes keep an argument together: `"..."` with escapes, `'...'`
/// without. Returns `false` if a quote is not closed, or if it is followed by something other than
/// a space.
pub fn split(line: &[u8], unquoted: &mut Vec<u8>, args: &mut Vec<Range<u32>>) -> bool {
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let start = unquoted.len() as u32;
        loop {
            match rest {
                [] => break,
                [byte, ..] if byte.is_ascii_whitespace() => break,
                [quote @ (b'"' | b'\''), behind @ ..] => {
                    let Some(behind) = unquote(*quote, behind, unquoted) else { return false };
                    if !behind.first().is_none_or(u8::is_ascii_whitespace) {
                        return false;
                    }
                    rest = behind;
                    break;
                }
                [byte, behind @ ..] => {
                    unquoted.push(*byte);
                    rest = behind;
                }
            }
        }
        args.push(start..unquoted.len() as u32);
        rest = rest.trim_ascii_start();
    }
    true
}

/// Copies up to the closing quote, and returns the rest.
fn unquote<'a>(quote: u8, mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    let hex = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    loop {
        let (byte, behind) = match rest {
            [byte, behind @ ..] if *byte == quote => return Some(behind),
            [b'\\', b'\'', behind @ ..] if quote == b'\'' => (b'\'', behind),
            [b'\\', b'x', high, low, behind @ ..]
                if quote == b'"' && hex(*high).and(hex(*low)).is_some() =>
            {
                (hex(*high)? << 4 | hex(*low)?, behind)
            }
            [b'\\', escaped, behind @ ..] if quote == b'"' => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                };
                (byte, behind)
            }
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        unquoted.push(byte);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Option<Vec<String>> {
        let (mut unquoted, mut args) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut unquoted, &mut args).then(|| {
            let text = |arg: Range<u32>| {
                String::from_utf8_lossy(&unquoted[arg.start as usize..arg.end as usize])
            };
            args.into_iter().map(|arg| text(arg).into_owned()).collect()
        })
    }

    #[test]
    fn quotes_keep_an_argument_together() {
        for (line, expected) in [
            ("", vec![]),
            ("  \t ", vec![]),
            (" GET  soup\t", vec!["GET", "soup"]),
            ("\"\" ''", vec!["", ""]),
            (r#"SET "two spoons" 'of "it"'"#, vec!["SET", "two spoons", "of \"it\""]),
            (r#""\n\r\t\a\b\"\\\x41\x4g""#, vec!["\n\r\t\x07\x08\"\\Ax4g"]),
            (r"'it\'s' '\n'", vec!["it's", r"\n"]),
            // As in Redis, a quote may begin within an argument, but must end it.
            (r#"a"b c""#, vec!["ab c"]),
        ] {
            assert_eq!(
                args(line),
                Some(expected.into_iter().map(String::from).collect()),
                "{line}"
            );
        }
    }

    #[test]
    fn quotes_that_are_not_closed_are_refused() {
        for line in ["\"", "'", "GET \"soup", "GET 'soup\\'", r#""soup"x"#, r#""\""#, r"'a''b'"] {
            assert_eq!(args(line), None, "{line}");
        }
    }
}
