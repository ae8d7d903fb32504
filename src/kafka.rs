//! Kafka: client settings, the producer, the consumer group, lag, slices of topics.

pub mod admin;
pub(crate) mod broker;
pub mod client;
pub(crate) mod hollow;
pub mod lag;
mod lease;
pub(crate) mod mirror;
mod murmur2;
pub mod producer;
pub(crate) mod rebalance;
pub mod slice;
pub(crate) mod source;

pub use self::lease::{Lease, Start};
pub(crate) use self::murmur2::partition as partition_of;
