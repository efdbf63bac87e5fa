//! The README and the pages of `docs/`: what they point to is there, what they show is what programs say, and the layers of the
//! source are those that they describe.

#[path = "../support/mod.rs"]
mod support;

mod layering;
// A sanitizer builds the macros, which the crate needs, into another folder.
#[cfg(not(sanitized))]
mod names;
mod outputs;
mod references;
