//! Patterns as in a shell, for KEYS and PSUBSCRIBE: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before
//! literal characters.

/// Returns whether all of `text` matches. The number of steps is at most the product of both
/// lengths. The usual recursive solution takes exponential time for `a*a*a*a*a*b`, and patterns
/// come from clients.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // The pattern after the last star, and the text that the star has not consumed yet. If the rest
    // does not match, the star consumes one more byte. An earlier star need not be tried again,
    // because the last one can match the same texts.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            (star, pattern) = (Some((rest, text)), rest);
        } else if let ([_, ..], [byte, rest_of_text @ ..]) = (pattern, text)
            && let Some(rest) = one(pattern, *byte)
        {
            (pattern, text) = (rest, rest_of_text);
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else {
            let Some((behind_star, [_, rest_of_text @ ..])) = star else { return false };
            (star, pattern, text) = (Some((behind_star, rest_of_text)), behind_star, rest_of_text);
        }
    }
}

/// Returns the rest of the pattern if its first element, which is not a star, matches the byte.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (matches, rest) = match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
        [] => return None,
    };
    matches.then_some(rest)
}

/// Parses the pattern after a `[`. Returns whether the byte is in the set, and the pattern after
/// the `]`. As in Redis, the end of the pattern closes the set too.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => return (found != negated, rest),
            [b']', behind @ ..] => return (found != negated, behind),
            [b'\\', literal, behind @ ..] => {
                found |= *literal == byte;
                behind
            }
            [low, b'-', high, behind @ ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                behind
            }
            [literal, behind @ ..] => {
                found |= *literal == byte;
                behind
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("soup", &["soup"], &["sou", "soups", ""]),
            ("*", &["", "soup"], &[]),
            ("s*p", &["sp", "soup", "soupp"], &["soups", "p"]),
            ("*soup*cake*", &["soup cake", "a soup, a cake!"], &["cake soup", "soupcak"]),
            ("s?up", &["soup", "s?up"], &["sup", "sooup"]),
            ("[a-cx]", &["a", "b", "c", "x"], &["d", "-", "", "ab"]),
            ("[^a-c]*", &["d", "dab"], &["a", ""]),
            ("[c-a]", &["b"], &["d"]),
            (r"[\]\-]", &["]", "-"], &["\\"]),
            (r"\*\?", &["*?"], &["ab", r"\*\?"]),
            ("a[b", &["ab"], &["a", "a["]),
            (r"a\", &[r"a\"], &["a"]),
        ] {
            for text in yes {
                assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_pattern_with_many_stars_is_decided_soon() {
        let (pattern, text) = ("a*".repeat(500) + "b", "a".repeat(5000));
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
        assert!(matches(pattern.as_bytes(), (text + "b").as_bytes()));
    }
}
