//! The README and the pages of `docs/`: what they point to is there, and what they show is what programs say.

#[path = "../support/mod.rs"]
mod support;

mod layering;
mod outputs;
mod references;
