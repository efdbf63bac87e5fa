//! Tests that start child processes, which the tests of other binaries do only while no other test runs: until a child has begun its
//! program it has a copy of every descriptor of its parent, so that what another test closes at that moment is not closed yet.

// A `use` or a function stands where a test needs it.
#![allow(clippy::items_after_statements)]

#[path = "../../support/mod.rs"]
mod support;

mod inherited;
mod peer_cred;
mod processes;
mod stdio;
