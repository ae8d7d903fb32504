//! A real Flogo app records through flowtrail: `app/` is built with Go, its flows run over HTTP, what it posts goes by
//! `flowtrail serve`, Kafka and `flowtrail collect` into Postgres, and it runs recorded instances again from what
//! `flowtrail serve` answers. Rows and answers are compared with what `expected.rs` says by hand.
//!
//! Needs Go 1.25 or later, which is fetched where there is none. Where it can't be had the tests are skipped, unless `CI`
//! is `true`.

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and tests read the clock to give up"
)]

mod answers;
mod app;
mod asking;
mod beside;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../it/collecting.rs"]
mod collecting;
mod command;
mod expected;
mod flows;
#[expect(dead_code, reason = "the other tests look at headers")]
#[path = "../support/http.rs"]
mod http;
mod modes;
mod posting;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/program.rs"]
mod program;
mod reruns;
mod scene;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/servers.rs"]
mod servers;
mod stored;
mod toolchain;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../it/topics.rs"]
mod topics;
