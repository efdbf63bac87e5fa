//! The attributes `#[headwaiter::main]` and `#[headwaiter::test]`. The crate `headwaiter`
//! re-exports them and has their documentation. Use them from there: what they expand to calls
//! functions of exactly that version of it.
//!
//! An attribute changes little: the `async fn` stays as it is, with its spans, inside a plain
//! function that runs it. All work at run time is done by `headwaiter`.

mod args;
mod error;
mod expand;
mod function;
mod values;

use proc_macro::TokenStream;

#[expect(missing_docs, reason = "documented where `headwaiter` re-exports it")]
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(args, item)
}

#[expect(missing_docs, reason = "documented where `headwaiter` re-exports it")]
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(args, item)
}
