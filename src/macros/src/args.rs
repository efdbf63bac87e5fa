//! [`Args`]: the arguments of an attribute, as the settings that they stand for.

use std::fmt::Write as _;

use proc_macro::{Span, TokenStream, TokenTree};

use crate::error::Errors;
use crate::expand::Kind;
use crate::function::{flat, is};
use crate::values::{Takes, Value};

pub struct Args {
    /// The path of the crate `headwaiter`, as source text, and where it stands. `None` if it is not
    /// given.
    pub krate: Option<(String, Span)>,
    /// The methods to call, each with its argument.
    calls: Vec<(&'static str, String)>,
}

/// The arguments, and what each takes. All but the last are methods of what the attribute builds.
const OF_MAIN: &[(&str, Takes)] = &[
    ("deadlock", Takes::DEADLOCK),
    ("blocking_threads", Takes::Number { example: 8 }),
    ("crate", Takes::Path),
];
const OF_TEST: &[(&str, Takes)] = &[
    ("clock", Takes::CLOCK),
    ("seeds", Takes::Number { example: 64 }),
    ("deadlock", Takes::DEADLOCK),
    ("within", Takes::Duration),
    ("crate", Takes::Path),
];

impl Args {
    pub fn parse(kind: Kind, args: TokenStream, errors: &mut Errors) -> Args {
        let known = match kind {
            Kind::Main => OF_MAIN,
            Kind::Test => OF_TEST,
        };
        let mut parsed = Args { krate: None, calls: Vec::new() };
        let mut seen: Vec<String> = Vec::new();
        let tokens = flat(args);
        let mut parts: Vec<_> = tokens.split(|token| is(token, ",")).collect();
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop(); // A trailing comma, or no argument at all.
        }
        for part in parts {
            let Some(TokenTree::Ident(name)) = part.first() else {
                let example = Takes::example_of(known[0]);
                errors.add(part, &format!("an argument is a name and a value: `{example}`"));
                continue;
            };
            let name = name.to_string();
            let Some(argument) = known.iter().find(|(known, _)| *known == name) else {
                errors.add(&part[..1], &unknown(kind, &name, known));
                continue;
            };
            if seen.contains(&name) {
                errors.add(&part[..1], &format!("`{name}` is given twice: remove one of them"));
                continue;
            }
            let has_value = part.len() > 2 && is(&part[1], "=");
            if has_value {
                parsed.take(*argument, &part[2..], errors);
            } else {
                let example = Takes::example_of(*argument);
                errors.add(part, &format!("`{name}` needs a value: write `{example}`"));
            }
            seen.push(name);
        }
        parsed
    }

    fn take(&mut self, argument: (&'static str, Takes), value: &[TokenTree], errors: &mut Errors) {
        let (name, takes) = argument;
        match takes.read(value) {
            Some(Value::Setting(setting)) => self.calls.push((name, setting)),
            Some(Value::Path(path)) => self.krate = Some((path, value[0].span())),
            None => {
                let (wants, example) = (takes.wants(), Takes::example_of(argument));
                errors.add(value, &format!("`{name}` takes {wants}: write `{example}`"));
            }
        }
    }

    /// The calls of methods, as source text.
    pub fn calls(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.calls {
            let _ = write!(text, ".{name}({value})");
        }
        text
    }
}

fn unknown(kind: Kind, name: &str, known: &[(&str, Takes)]) -> String {
    // tokio's arguments.
    match (kind, name) {
        (Kind::Test, "start_paused") => {
            return "there is no argument `start_paused`: write `clock = \"virtual\"`".to_owned();
        }
        (_, "flavor" | "worker_threads") => {
            return format!(
                "there is no argument `{name}`: an event loop has one thread. Remove it"
            );
        }
        _ => {}
    }
    let names: Vec<_> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
    let (last, others) = names.split_last().expect("there are some");
    let attribute = kind.attribute();
    format!("there is no argument `{name}`: `{attribute}` takes {} and {last}", others.join(", "))
}
