//! The integration tests: one binary, one Kafka and one Postgres for all of them.

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and tests read the clock to give up"
)]

mod collecting;
mod program;
mod proxy;
mod rows;
mod servers;
mod topics;
mod traffic;

mod cli;
mod contract;
mod crashes;
mod dev;
mod input;
mod law;
mod offsets;
mod recorded;
mod reruns;
mod schema;
mod sharing;
mod skew;
