//! Postgres.

pub mod connect;
pub mod read;
