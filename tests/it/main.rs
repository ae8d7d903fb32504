//! The integration tests: one binary, one Kafka and one Postgres for all of them.

#![expect(unreachable_pub, reason = "tests")]

mod law;
mod plans;
mod servers;
