//! Holds what `docs/ecosystem.md` says: its code compiles and runs as the documentation tests of this package, and its claims are the
//! tests in `tests/`.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/ecosystem.md")]
mod ecosystem {}
