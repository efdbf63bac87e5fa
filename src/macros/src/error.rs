//! [`Errors`]: the mistakes in one use of an attribute. Each becomes a `compile_error!` at the
//! tokens that are wrong. All are reported, not only the first.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

#[derive(Default)]
pub struct Errors {
    tokens: TokenStream,
}

impl Errors {
    /// Adds an error about these tokens, or about the whole attribute if there are none.
    pub fn add(&mut self, wrong: &[TokenTree], message: &str) {
        let start = wrong.first().map_or_else(Span::call_site, TokenTree::span);
        let end = wrong.last().map_or(start, TokenTree::span);
        // The compiler underlines what lies between the first token of the macro call and the last.
        let punct = |c, spacing| {
            let mut punct = Punct::new(c, spacing);
            punct.set_span(start);
            TokenTree::from(punct)
        };
        let mut message = Literal::string(message);
        message.set_span(end);
        let mut group = Group::new(Delimiter::Brace, TokenTree::from(message).into());
        group.set_span(end);
        self.tokens.extend([
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            Ident::new("core", start).into(),
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            Ident::new("compile_error", start).into(),
            punct('!', Spacing::Alone),
            group.into(),
        ]);
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub fn into_tokens(self) -> TokenStream {
        self.tokens
    }
}
