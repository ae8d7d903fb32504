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

/// An event in proto3 JSON. Numbers of phases and statuses that the contract does not name are taken as they are, as in
/// protobuf; the generated code takes no others.
pub fn from_json(json: &[u8]) -> Result<v1::HistoryEvent, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| with_unnamed_numbers(json).ok_or(error))
}

fn with_unnamed_numbers(json: &[u8]) -> Option<v1::HistoryEvent> {
    use v1::history_event::Event;

    let mut value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let mut take = |kind: &str, field: &str| {
        let fields = value.get_mut(kind)?.as_object_mut()?;
        let number = i32::try_from(fields.get(field)?.as_i64()?).ok()?;
        fields.remove(field);
        Some(number)
    };
    let [flow, step] = ["flow", "step"].map(|kind| (take(kind, "phase"), take(kind, "status")));
    let mut event: v1::HistoryEvent = serde_json::from_value(value).ok()?;
    let (numbers, places) = match &mut event.event {
        Some(Event::Flow(e)) => (flow, (&mut e.phase, &mut e.status)),
        Some(Event::Step(e)) => (step, (&mut e.phase, &mut e.status)),
        _ => return Some(event),
    };
    *places.0 = numbers.0.unwrap_or(*places.0);
    *places.1 = numbers.1.unwrap_or(*places.1);
    Some(event)
}

/// The contract as an encoded `FileDescriptorSet`, as the build compiled it.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.binpb"));
