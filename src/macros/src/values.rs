//! [`Takes`]: what an argument takes, and how its value is read. It knows nothing of the attributes
//! and reports no errors.

use proc_macro::TokenTree;

#[derive(Clone, Copy)]
pub enum Takes {
    /// One of these words, for the variants of this enum.
    Word { of: &'static str, words: &'static [(&'static str, &'static str)], example: &'static str },
    /// A number from 1 to 2^32 - 1.
    Number { example: u32 },
    /// A duration from a nanosecond to a day.
    Duration,
    /// The path of the crate.
    Path,
}

const UNITS: [(&str, u128); 3] = [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];
const LONGEST: u128 = 24 * 3600 * 1_000_000_000;

impl Takes {
    pub const CLOCK: Takes = Takes::Word {
        of: "Clock",
        words: &[("real", "Real"), ("virtual", "Virtual")],
        example: "virtual",
    };
    pub const DEADLOCK: Takes = Takes::Word {
        of: "Deadlock",
        words: &[("warn", "Warn"), ("fail", "Fail"), ("ignore", "Ignore")],
        example: "fail",
    };

    pub fn example_of((name, takes): (&str, Takes)) -> String {
        match takes {
            Takes::Word { example, .. } => format!("{name} = \"{example}\""),
            Takes::Number { example } => format!("{name} = {example}"),
            Takes::Duration => format!("{name} = \"10s\""),
            Takes::Path => format!("{name} = \"path::to::headwaiter\""),
        }
    }

    /// What a value must be, for an error.
    pub fn wants(self) -> String {
        match self {
            Takes::Word { words, .. } => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                words.join(" or ")
            }
            Takes::Number { .. } => format!("a number from 1 to {}", u32::MAX),
            Takes::Duration => "a duration of up to a day, in `ms`, `s` or `m`".to_owned(),
            Takes::Path => "the path of the crate `headwaiter`, in quotes".to_owned(),
        }
    }

    /// Reads a value. Returns `None` if it is not what is [wanted](Self::wants).
    pub fn read(self, value: &[TokenTree]) -> Option<Value> {
        let setting = match self {
            Takes::Word { of, words, .. } => {
                let text = text(value)?;
                let (_, variant) = words.iter().find(|(word, _)| *word == text)?;
                format!("__headwaiter::{of}::{variant}")
            }
            Takes::Number { .. } => number(value)?.to_string(),
            Takes::Duration => {
                let nanos = nanos(&text(value)?)?;
                format!("::core::time::Duration::from_nanos({nanos})")
            }
            Takes::Path => return text(value).filter(|text| is_path(text)).map(Value::Path),
        };
        Some(Value::Setting(setting))
    }
}

/// A value that was read.
pub enum Value {
    /// The argument of a method, as source text.
    Setting(String),
    /// A path, as source text.
    Path(String),
}

/// The text of a string literal. Escapes stay as they are: no value has any.
fn text(value: &[TokenTree]) -> Option<String> {
    let [TokenTree::Literal(literal)] = value else { return None };
    let literal = literal.to_string();
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    Some(text.to_owned())
}

fn number(value: &[TokenTree]) -> Option<u32> {
    let [TokenTree::Literal(literal)] = value else { return None };
    let digits = literal.to_string().replace('_', "");
    // `parse` takes a sign, but a literal has none.
    digits.parse().ok().filter(|number| *number > 0)
}

/// A duration such as `10s` or `1.5m`, in nanoseconds.
fn nanos(text: &str) -> Option<u128> {
    let number_ends = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(number_ends);
    let (_, of_unit) = UNITS.iter().find(|(name, _)| *name == unit.trim_end())?;
    let (whole, fraction) = match number.trim_end().split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (number.trim_end(), "0"),
    };
    let is_number = |digits: &str| {
        (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits = |text: &str| text.parse::<u128>().ok();
    let of_fraction = digits(fraction)? * of_unit / 10_u128.pow(fraction.len() as u32);
    let nanos = digits(whole)? * of_unit + of_fraction;
    (1..=LONGEST).contains(&nanos).then_some(nanos)
}

/// Whether a text is a path such as `::kitchen::headwaiter`.
fn is_path(text: &str) -> bool {
    let is_start = |c: char| c.is_alphabetic() || c == '_';
    let is_name = |name: &str| {
        let name = name.strip_prefix("r#").unwrap_or(name);
        name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_numeric())
    };
    text.strip_prefix("::").unwrap_or(text).split("::").all(is_name)
}
