//! Failures that happened, in other event loops and in this one, each tried on this one.

#[path = "../support/mod.rs"]
mod support;

mod failures;
