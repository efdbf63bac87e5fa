//! [`Function`]: the `async fn` below an attribute, split into the parts that the expansion needs.
//! The body and the return type are not parsed, and keep their spans.

use proc_macro::{Delimiter, Ident, TokenStream, TokenTree};

use crate::error::Errors;
use crate::expand::Kind;

pub struct Function {
    pub attributes: Vec<TokenTree>,
    pub visibility: Vec<TokenTree>,
    pub name: Ident,
    /// The return type, without the arrow. Empty if there is none, or if it is `()`.
    pub output: Vec<TokenTree>,
    /// All but the attributes and the visibility.
    pub item: Vec<TokenTree>,
}

impl Function {
    /// Splits a function into its parts. Returns `None` if an error leaves nothing to expand.
    pub fn parse(kind: Kind, item: TokenStream, errors: &mut Errors) -> Option<Function> {
        let attribute = kind.attribute();
        let tokens = flat(item);
        let mut rest = &tokens[..];
        let attributes = take_attributes(&mut rest);
        for parts in attributes.chunks(2).filter(|parts| is_test_or_main(&parts[1])) {
            errors.add(parts, &kind.second_attribute());
        }
        let visibility = take_visibility(&mut rest);
        let item = rest;

        let is_word =
            |token: &TokenTree| !matches!(token, TokenTree::Group(_) | TokenTree::Punct(_));
        let words = rest.iter().take_while(|token| is_word(token) && !is(token, "fn")).count();
        let (qualifiers, after) = rest.split_at(words);
        let name = match after {
            [keyword, TokenTree::Ident(name), ..] if is(keyword, "fn") => name,
            _ => {
                let wrong = if rest.is_empty() { &tokens[..] } else { &rest[..1] };
                errors.add(wrong, &format!("`{attribute}` is for an `async fn`, and this is none"));
                return None;
            }
        };
        for (number, word) in qualifiers.iter().enumerate() {
            let (wrong, what) = match word.to_string().as_str() {
                "extern" => (&qualifiers[number..], "extern"),
                "const" => (&qualifiers[number..=number], "const"),
                "unsafe" => (&qualifiers[number..=number], "unsafe"),
                _ => continue,
            };
            errors.add(
                wrong,
                &format!("a function with `{attribute}` cannot be `{what}`: remove that"),
            );
        }
        if !qualifiers.iter().any(|word| is(word, "async")) {
            errors.add(&after[..1], &kind.not_async());
        }

        rest = &after[2..];
        let generics = take_generics(&mut rest);
        if !generics.is_empty() {
            errors.add(generics, &format!("a function with `{attribute}` cannot be generic, because nothing chooses its parameters: remove them"));
        }
        if let Some(TokenTree::Group(parameters)) = rest.first() {
            let parameters: Vec<_> = flat(parameters.stream());
            // A receiver stands before its type, in which `self` begins a path.
            let mut first = parameters.iter().take_while(|token| !is(token, ":"));
            if let Some(at) = first.position(|token| is(token, "self")) {
                errors.add(&parameters[at..=at], &format!("a function with `{attribute}` takes no `self`: move it out of the `impl` or the `trait`"));
            } else if !parameters.is_empty() {
                errors.add(&parameters, &format!("a function with `{attribute}` takes no arguments, because nothing passes any: make them variables of its body"));
            }
            rest = &rest[1..];
        }
        let (Some(body), mut output) = (rest.last(), &rest[..rest.len().saturating_sub(1)]) else {
            errors.add(after, "this function has no body: write one, in braces");
            return None;
        };
        if !is_group(body, Delimiter::Brace) {
            errors.add(&rest[rest.len() - 1..], "this function has no body: write one, in braces");
            return None;
        }
        if let Some(at) = output.iter().position(|token| is(token, "where")) {
            errors.add(
                &output[at..],
                &format!("a function with `{attribute}` cannot have a `where` clause: remove it"),
            );
            output = &output[..at];
        }
        // Without the arrow.
        output = output.get(2..).unwrap_or_default();
        if let [unit] = output
            && is_group(unit, Delimiter::Parenthesis)
            && unit.to_string() == "()"
        {
            output = &[];
        }
        Some(Function {
            attributes: attributes.to_vec(),
            visibility: visibility.to_vec(),
            name: name.clone(),
            output: output.to_vec(),
            item: item.to_vec(),
        })
    }
}

/// The tokens, without the invisible groups in which a macro by example wraps what it was given.
pub fn flat(stream: TokenStream) -> Vec<TokenTree> {
    let mut tokens = Vec::new();
    for token in stream {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                tokens.extend(flat(group.stream()));
            }
            token => tokens.push(token),
        }
    }
    tokens
}

/// Whether the token is this word or this character.
pub fn is(token: &TokenTree, text: &str) -> bool {
    match token {
        TokenTree::Ident(ident) => ident.to_string() == text,
        TokenTree::Punct(punct) => text.chars().eq([punct.as_char()]),
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    }
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// Takes the attributes: two tokens each.
fn take_attributes<'a>(rest: &mut &'a [TokenTree]) -> &'a [TokenTree] {
    let pairs = rest
        .chunks_exact(2)
        .take_while(|pair| is(&pair[0], "#") && is_group(&pair[1], Delimiter::Bracket));
    let (attributes, others) = rest.split_at(2 * pairs.count());
    *rest = others;
    attributes
}

/// Whether an attribute, in its brackets, is called `test` or `main`, wherever it comes from.
fn is_test_or_main(attribute: &TokenTree) -> bool {
    let TokenTree::Group(attribute) = attribute else { return false };
    let tokens = flat(attribute.stream());
    let is_path = |token: &&TokenTree| is(token, ":") || matches!(token, TokenTree::Ident(_));
    let last = tokens.iter().take_while(is_path).last();
    last.is_some_and(|name| is(name, "test") || is(name, "main"))
}

fn take_visibility<'a>(rest: &mut &'a [TokenTree]) -> &'a [TokenTree] {
    let is_public = rest.first().is_some_and(|token| is(token, "pub"));
    let is_restricted =
        is_public && rest.get(1).is_some_and(|token| is_group(token, Delimiter::Parenthesis));
    let (visibility, others) = rest.split_at(usize::from(is_public) + usize::from(is_restricted));
    *rest = others;
    visibility
}

/// Takes the generic parameters, from `<` to the `>` that belongs to it.
fn take_generics<'a>(rest: &mut &'a [TokenTree]) -> &'a [TokenTree] {
    let (mut depth, mut count) = (0, 0);
    for (at, token) in rest.iter().enumerate() {
        let is_arrow = is(token, ">") && at > 0 && is(&rest[at - 1], "-");
        if is(token, "<") {
            depth += 1;
        } else if is(token, ">") && !is_arrow {
            depth -= 1;
        }
        if depth == 0 {
            // The first token is not `<`, or this one is the last `>`.
            count = if at == 0 { 0 } else { at + 1 };
            break;
        }
    }
    let (generics, others) = rest.split_at(count);
    *rest = others;
    generics
}
