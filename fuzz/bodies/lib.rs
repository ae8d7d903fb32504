//! What hostile input must not do: a function for each way in.
//!
//! `fuzz_targets/` hands them to cargo-fuzz, `tests/hostile/` to `cargo test`. Each takes bytes, of which it makes an
//! input of its kind, and panics if what comes of it is not as it should be. `corpus/` has a folder for each.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a body that panics has found something")]

mod config;
mod decode;
mod event;
mod flogo;
mod flowable;
mod framing;
mod memory;
mod redaction;
mod sentence;

pub use config::config;
pub use decode::decode;
pub use flogo::flogo;
pub use flowable::flowable;
pub use framing::framing;
pub use memory::{AT_LEAST, bounded};
pub use redaction::redaction;
