//! Kafka: client settings, the producer, the consumer group, lag.

pub mod admin;
pub mod client;
pub mod lag;
pub mod producer;
