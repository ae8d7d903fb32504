//! The gateway: what Flogo apps post to their state service goes to Kafka, and what they ask is answered from Postgres
//! ([`reads`]).
//!
//! A request becomes an event ([`crate::flogo`]), and is answered once the event is kept ([`recorder`]): Kafka has
//! it, or a synced file of the [`spool`], from which [`drain`] moves it to Kafka. [`routes`] has the requests, [`bulk`]
//! the one that carries many, [`apps`] which apps are switched off. [`also`] sends on what is kept to another such service.

pub mod also;
pub mod apps;
pub mod bulk;
pub mod caller;
pub mod drain;
mod own;
pub mod reads;
pub mod recorder;
pub mod routes;
pub mod spool;
pub mod stream;

mod answer;

pub use self::{
    recorder::{Kept, NotKept, Recorder},
    routes::Gateway,
};
