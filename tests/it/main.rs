//! The integration tests: one binary, one Kafka and one Postgres for all of them.

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and tests read the clock to give up"
)]

mod access;
mod api;
mod away;
#[path = "../support/certificates.rs"]
mod certificates;
mod cli;
mod client_certificate;
mod collecting;
mod compaction;
mod contract;
mod crashes;
mod deadletter;
mod dev;
mod doctor;
mod dual;
mod erase;
mod flogo_config;
mod flowable;
mod gaps;
mod gateway;
mod gateway_reads;
mod groups;
mod hot;
#[path = "../support/http.rs"]
mod http_client;
mod https;
mod input;
mod lag;
mod law;
mod lock_cost;
mod monitoring;
mod offsets;
mod oidc;
mod plans;
mod poison;
mod pooler;
mod postgres_killed;
mod postgres_trust;
mod producers;
#[path = "../support/program.rs"]
mod program;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/proxy.rs"]
mod proxy;
mod recorded;
mod recovery;
mod redaction;
mod replay;
mod rerun_request;
mod reruns;
mod restored;
mod retention;
mod round_trips;
mod rows;
mod schema;
mod secure_kafka;
#[path = "../support/servers.rs"]
mod servers;
mod service_manager;
mod sharing;
mod skew;
mod topics;
mod traces;
mod traffic;
mod verify;
