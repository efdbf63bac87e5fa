//! Holds what `docs/ecosystem.md` says: its code compiles and runs as the documentation tests of this package, and its claims are the
//! tests in `tests/`.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/ecosystem.md")]
mod ecosystem {}

/// Whether the page quotes this text, on one line or on two.
pub fn page_says(text: &str) -> bool {
    let page = include_str!("../../../docs/ecosystem.md");
    page.split_whitespace().collect::<Vec<_>>().join(" ").contains(text)
}
