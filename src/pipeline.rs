//! What happens to a message between Kafka and Postgres.

pub mod decode;

pub mod merge;
