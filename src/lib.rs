//! flowtrail keeps the execution history of flow runtimes.
//!
//! The way of a message, and the modules in that order:
//!
//! 1. a runtime says what happened in the contract of [`proto`]; [`flogo`] and [`flowable`] are how a Flogo app's and a Flowable
//!    engine's words become that,
//! 2. [`gateway`] takes it over HTTP and [`publish`] from files, and they put it on a Kafka topic,
//! 3. [`kafka`] takes part in the consumer group and reads it,
//! 4. [`pipeline`] decodes it, groups by flow instance, merges what belongs to one row, and stores batches,
//!    ([`collector`] wires it all together),
//! 5. [`postgres`] writes a batch in one transaction with the offsets that it covers,
//! 6. into the tables that [`schema`] made.
//!
//! [`gateway`] takes the place of Flogo's state service and answers from those tables; [`api`] answers people and tools
//! in words of its own.
//! What nobody is to read is masked by [`redaction`] on the way in.
//!
//! [`verify`] compares what is on the topic with what the tables hold, [`doctor`] looks at all that a collector needs,
//! [`compare`] looks at them beside those of Flogo's own state service, [`rerun`] asks a runtime to run an instance again,
//! [`replay`] stores or copies once more what is on the topic, [`retention`] removes what has been kept long enough.
//!
//! [`viewer`] is the page that shows it to people.
//!
//! Around it: [`config`], [`cli`] with a file per command, [`http`] for health and metrics, [`notify`] for
//! service managers, [`metrics`], [`telemetry`], [`clock`], and [`dev`], which runs it all on one machine.

pub mod proto;

pub mod model;

pub mod flogo;

pub mod flowable;

pub mod redaction;

pub mod publish;

pub mod gateway;

pub mod api;

pub mod export;

pub mod kafka;

pub mod pipeline;

pub mod collector;

pub mod postgres;

pub mod schema;

pub mod rerun;

pub mod retention;

pub mod verify;

pub mod replay;

pub mod compare;

pub mod doctor;

pub mod viewer;

pub mod server;

pub mod http;

pub mod notify;

pub mod config;

pub mod cli;

pub mod metrics;

pub mod telemetry;

pub mod clock;

mod hex;
mod sentence;
mod span;
mod tls;
mod when;

#[cfg(feature = "dev-stack")]
pub mod dev;
