//! Real Flowable engines record through the jar of `connectors/flowable`: they run what [`driver`] gives them to do, what they
//! tell goes by Kafka and `flowtrail collect` into Postgres, and every row that they have written into their own history tables
//! is compared with the views of the schema `flowable`. The same class files run on each engine version.
//!
//! Needs Maven and a JDK 17 or later. Where there is none, or where the artifacts can't be fetched, the tests are skipped,
//! unless `CI` is `true`.

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and tests read the clock to give up"
)]

#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../it/collecting.rs"]
mod collecting;
mod driver;
mod jar;
mod loss;
mod oracle;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/program.rs"]
mod program;
mod records;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/servers.rs"]
mod servers;
mod spring;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../it/topics.rs"]
mod topics;
