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
    let name = &function.name;
    let calls = args.calls();
    let run = if calls.is_empty() {
        format!("__headwaiter::block_on({name}())")
    } else {
        format!(
            "__headwaiter::EventLoop::builder(){calls}.build().expect(\"headwaiter: cannot make an event loop\").block_on({name}())"
        )
    };
    let run = tokens(&run, function.name.span());
    let output = function.output.iter().cloned().collect();
    finish(errors, TokenStream::new(), &function, output, &args.krate, run)
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
    let test = format!("__headwaiter::testing::Test::new(::core::module_path!(), \"{name}\")");
    let mut run = tokens(&format!("{test}{calls}.run({name})"), place);
    let mut output = TokenStream::new();
    if function.output.is_empty() {
        // `#[should_panic]` needs a function without a return type.
        run.extend(tokens(";", place));
    } else {
        output = tokens("::std::process::ExitCode", place);
    }
    let attribute = tokens("#[::core::prelude::v1::test]", Span::call_site());
    finish(errors, attribute, &function, output, &args.krate, run)
}

/// Puts the function together. With errors, nothing else is expected to compile, so there is only
/// an empty function: then the compiler does not miss `main` too.
fn finish(
    errors: Errors,
    attribute: TokenStream,
    function: &Function,
    output: TokenStream,
    krate: &TokenStream,
    run: TokenStream,
) -> TokenStream {
    let span = Span::call_site();
    let mut all = TokenStream::new();
    let mut body = TokenStream::new();
    let mut arrow = TokenStream::new();
    if errors.is_empty() {
        all.extend(attribute);
        all.extend(function.attributes.iter().cloned());
        body.extend(tokens("use", span));
        body.extend(krate.clone());
        body.extend(tokens("as __headwaiter;", span));
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

pub fn located(stream: TokenStream, span: Span) -> TokenStream {
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
