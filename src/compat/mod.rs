//! Glue for crates with traits of their own, each behind a feature: `hyper`, tokio's I/O traits
//! (feature `tokio-io`, implemented for the streams of this crate) and `quinn`. The traits of
//! futures-io and `Stream` need no feature.
//!
//! # Versions
//!
//! The glue is written for hyper 1, hyper-util 0.1, tower-service 0.3, http-body 1, tokio 1 (its
//! I/O traits only, never its runtime), quinn 0.11 and quinn-udp 0.5. Moving to the next
//! incompatible version of one of them is a breaking release of this crate. Their default features
//! are off: a program that needs more of them enables them in its own `Cargo.toml`.
//!
//! None of these features starts or needs a runtime of tokio. One of them compiles it: hyper-util's
//! client, with the feature `hyper-client`, enables tokio's features `net`, `rt` and `time`, though
//! they are not used here.

#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "quinn")]
pub mod quinn;
#[cfg(feature = "tokio-io")]
mod tokio_io;
