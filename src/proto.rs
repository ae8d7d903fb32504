//! The contract with flow runtimes, compiled from `proto/flowtrail/history/v1/history.proto`.

/// Version 1 of the contract: [`v1::HistoryEvent`] is what a Kafka record carries.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::as_conversions,
    clippy::allow_attributes,
    reason = "generated"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/flowtrail.history.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/flowtrail.history.v1.serde.rs"));
}

/// Version 1 once more, as records are read: text fields are slices of the record that nobody has looked at yet, and
/// need not be UTF-8.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::as_conversions,
    clippy::allow_attributes,
    reason = "generated"
)]
pub(crate) mod sliced {
    include!(concat!(env!("OUT_DIR"), "/sliced/flowtrail.history.v1.rs"));
}

/// The contract as an encoded `FileDescriptorSet`, as the build compiled it.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.binpb"));
