//! What the attributes expand to: a plain function with the `async fn` inside, and one call that
//! runs it.

use proc_macro::{Delimiter, Group, Span, TokenStream, TokenTree};

use crate::args::Args;
use crate::error::Errors;
use crate::function::Function;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Main,
    Test,
}

impl Kind {
    pub fn attribute(self) -> &'static str {
        match self {
            Kind::Main => "#[headwaiter::main]",
            Kind::Test => "#[headwaiter::test]",
        }
    }

    pub fn not_async(self) -> String {
        let (attribute, without) = match self {
            Kind::Main => (self.attribute(), "a `main` without `async` needs no attribute"),
            Kind::Test => (self.attribute(), "a test without `async` needs only `#[test]`"),
        };
        format!("`{attribute}` is for an `async fn`: write `async` before `fn` ({without})")
    }

    pub fn second_attribute(self) -> String {
        let (attribute, what) = match self {
            Kind::Main => (self.attribute(), "runs this function"),
            Kind::Test => (self.attribute(), "makes this function a test"),
        };
        format!("`{attribute}` already {what}: remove this second attribute")
    }
}

/// ```ignore
/// fn main() -> io::Result<()> {
///     use ::headwaiter as __headwaiter;
///     async fn main() -> io::Result<()> { ... }
///     __headwaiter::block_on(main())
/// }
/// ```
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(Kind::Main, args, &mut errors);
    let Some(function) = Function::parse(Kind::Main, item, &mut errors) else {
        return errors.into_tokens();
    };
    let (name, calls) = (&function.name, args.calls());
    let (item, rest) = if calls.is_empty() {
        ("block_on", format!("({name}())"))
    } else {
        let build = ".build().expect(\"headwaiter: cannot make an event loop\")";
        ("EventLoop", format!("::builder(){calls}{build}.block_on({name}())"))
    };
    let run = call(&args, item, &rest, function.name.span());
    let output = function.output.iter().cloned().collect();
    finish(errors, TokenStream::new(), &function, output, import(args.krate), run)
}

/// ```ignore
/// #[::core::prelude::v1::test]
/// fn waiters_take_turns() {
///     use ::headwaiter as __headwaiter;
///     async fn waiters_take_turns() { ... }
///     __headwaiter::testing::Test::new(::core::module_path!(), "waiters_take_turns").run(waiters_take_turns);
/// }
/// ```
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(Kind::Test, args, &mut errors);
    let Some(function) = Function::parse(Kind::Test, item, &mut errors) else {
        return errors.into_tokens();
    };
    let (name, calls) = (&function.name, args.calls());
    // An output that a test cannot have is reported here, so this is at the place of the type.
    let place = function.output.first().map_or(name.span(), TokenTree::span);
    let rest = format!("::new(::core::module_path!(), \"{name}\"){calls}.run({name})");
    let mut run = call(&args, "testing::Test", &rest, place);
    let mut output = TokenStream::new();
    if function.output.is_empty() {
        // `#[should_panic]` needs a function without a return type.
        run.extend(tokens(";", place));
    } else {
        output = tokens("::std::process::ExitCode", place);
    }
    let attribute = tokens("#[::core::prelude::v1::test]", Span::call_site());
    finish(errors, attribute, &function, output, import(args.krate), run)
}

/// An expression that begins with an item of the crate. If the given crate is another one, which
/// has no such item, that is reported at its path, and all else at `place`.
fn call(args: &Args, item: &str, rest: &str, place: Span) -> TokenStream {
    let of_crate = args.krate.as_ref().map_or(place, |(_, place)| *place);
    let mut call = tokens(&format!("__headwaiter::{item}"), of_crate);
    call.extend(tokens(rest, place));
    call
}

/// Imports the crate, at the path that was given. If that leads nowhere, the compiler points at it.
fn import(krate: Option<(String, Span)>) -> TokenStream {
    match krate {
        Some((path, place)) => tokens(&format!("use {path} as __headwaiter;"), place),
        None => tokens(BY_DEFAULT, Span::call_site()),
    }
}

/// The import without a given path. A macro cannot find out whether a crate of this name exists, and
/// the compiler would only say that there is none. So the second item needs a function of this crate
/// whose name is the advice: without the crate, the compiler also says that it "cannot find function
/// `a_renamed_headwaiter_needs_the_argument_crate`".
const BY_DEFAULT: &str = "
    use ::headwaiter as __headwaiter;
    const _: () = {
        use __headwaiter::testing::renamed::*;
        a_renamed_headwaiter_needs_the_argument_crate()
    };
";

/// Puts the function together. With errors, nothing else is expected to compile, so there is only
/// an empty function: then the compiler does not miss `main` too.
fn finish(
    errors: Errors,
    attribute: TokenStream,
    function: &Function,
    output: TokenStream,
    import: TokenStream,
    run: TokenStream,
) -> TokenStream {
    let span = Span::call_site();
    let mut all = TokenStream::new();
    let mut body = TokenStream::new();
    let mut arrow = TokenStream::new();
    if errors.is_empty() {
        all.extend(attribute);
        all.extend(function.attributes.iter().cloned());
        body.extend(import);
        body.extend(function.item.iter().cloned());
        body.extend(run);
        if !output.is_empty() {
            arrow.extend(tokens("->", span));
            arrow.extend(output);
        }
    } else {
        all.extend(errors.into_tokens());
        all.extend(tokens("#[allow(dead_code)]", span));
    }
    all.extend(function.visibility.iter().cloned());
    all.extend(tokens("fn", span));
    all.extend([TokenTree::from(function.name.clone())]);
    all.extend([group(Delimiter::Parenthesis, TokenStream::new(), span)]);
    all.extend(arrow);
    all.extend([group(Delimiter::Brace, body, span)]);
    all
}

/// The tokens of a text, which resolve where the attribute stands, and are shown at `place`.
pub fn tokens(text: &str, place: Span) -> TokenStream {
    let stream: TokenStream = text.parse().expect("these are tokens");
    located(stream, Span::call_site().located_at(place))
}

fn located(stream: TokenStream, span: Span) -> TokenStream {
    let at_span = |mut token: TokenTree| {
        if let TokenTree::Group(inner) = &token {
            token = group(inner.delimiter(), located(inner.stream(), span), span);
        }
        token.set_span(span);
        token
    };
    stream.into_iter().map(at_span).collect()
}

fn group(delimiter: Delimiter, stream: TokenStream, span: Span) -> TokenTree {
    let mut group = Group::new(delimiter, stream);
    group.set_span(Span::call_site().located_at(span));
    group.into()
}
