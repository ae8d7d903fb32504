//! The integration tests: one binary, one Kafka and one Postgres for all of them.

#![expect(unreachable_pub, reason = "tests")]

mod collecting;
mod program;
mod proxy;
mod rows;
mod servers;
mod topics;
mod traffic;

mod crashes;
mod input;
mod law;
mod offsets;
mod recorded;
mod reruns;
mod sharing;
