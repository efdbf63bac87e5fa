//! Failures that happened, in other event loops and in this one, each tried on this one.

// A `use` or a function stands where a test needs it.
#![allow(clippy::items_after_statements)]

#[path = "../support/mod.rs"]
mod support;

mod failures;
