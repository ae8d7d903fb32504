//! Kafka: client settings, the producer, the consumer group, lag, slices of topics.

pub mod admin;
pub(crate) mod block;
pub(crate) mod broker;
pub mod client;
pub mod confirmed;
pub(crate) mod hollow;
pub mod lag;
mod lease;
pub mod look;
pub(crate) mod mirror;
pub mod partitioner;
pub mod producer;
pub(crate) mod rebalance;
pub(crate) mod shared_tail;
pub mod slice;
pub(crate) mod source;
pub(crate) mod tail;
pub mod transaction;

pub use self::lease::{Lease, Start};
