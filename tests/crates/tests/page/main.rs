//! The claims of `docs/ecosystem.md` and the ported program of `docs/from-tokio.md`, in one program,
//! because all of it needs the same crates.

mod as_it_is;
mod needs_tokio;
mod ported;
mod web;

/// Whether the page quotes this text, on one line or on two.
fn page_says(text: &str) -> bool {
    let page = include_str!("../../../../docs/ecosystem.md");
    page.split_whitespace().collect::<Vec<_>>().join(" ").contains(text)
}
