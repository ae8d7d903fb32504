//! Bytes of a record → an [`Event`], or a [`Reject`] with its reason. Pure.
//!
//! Everything that is odd about an event is put right here, before the merge, so that every event is one and the
//! same event wherever and whenever it is decoded.

mod clean;
pub mod foreign;
mod framing;
pub(crate) mod several;

use bytes::Bytes;
use prost::Message as _;
use smallvec::SmallVec;

use self::{clean::Cleaner, several::Pieces};
use crate::{
    flowable::identity::{Known, Thing},
    model::{AppRow, AppSwitch, Event, FlowId, MAX_ID_BYTES, Phase, RunRow, StepId, StepRow, VariableRow},
    proto::{
        sliced::{self, history_event::Event as Wire},
        v1,
    },
    redaction::{Looked, Redact, Rules},
};

/// The events of a record; nearly always one, which takes no memory of its own.
pub type Events = SmallVec<[Event; 1]>;

/// The events of a record, and what had to be put right about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The events, in their order.
    pub events: Events,
    /// What was put right, each once; each is counted by `flowtrail_events_sanitized_total{reason}`.
    pub sanitized: Vec<Oddity>,
    /// What else there is to say of a record of several events; of another there is nothing.
    pub rest: Option<Box<Rest>>,
}

/// What of a record of several events did not become events, and what others had to be asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Why the first of those that are refused is.
    pub refused: Option<Reject>,
    /// By what the flow instances of others are to be found.
    pub missing: Vec<Thing>,
    /// The record with what other records said of its flow instances: it decodes by itself to these events.
    pub told: Option<Bytes>,
}

impl Rest {
    fn refuse(&mut self, reject: Reject) {
        self.refused.get_or_insert(reject);
    }
}

impl Decoded {
    /// A field was cut, so the whole message has to be kept as a dead letter too.
    pub fn is_oversized(&self) -> bool {
        self.sanitized.contains(&Oddity::Oversized)
    }

    /// Takes in what was found when the record was brought into the words of the contract.
    pub(super) fn also(&mut self, refused: Option<Reject>, not_kept: bool) {
        if refused.is_some() {
            self.rest.get_or_insert_default().refused = refused;
        }
        if not_kept {
            self.sanitized.push(Oddity::NotKept);
        }
    }

    /// Why some event of the record is refused though others are not.
    pub fn refused(&self) -> Option<&Reject> {
        self.rest.as_ref()?.refused.as_ref()
    }

    /// By what the flow instances are to be found that are not known yet.
    pub fn missing(&self) -> &[Thing] {
        self.rest.as_ref().map_or(&[], |rest| &rest.missing)
    }
}

/// Something odd that was put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// The record has no key; the payload's id was taken.
    EmptyKey,
    /// The record's key is not the payload's id; the payload's id was taken.
    KeyMismatch,
    /// The payload has no id; the record's key was taken.
    IdFromKey,
    /// NUL in text became U+FFFD.
    Nul,
    /// A time outside the years 1–9999 became null.
    Time,
    /// An unknown phase became running.
    Phase,
    /// A field above the limit was cut.
    Oversized,
    /// A field that redaction can't look into was masked as a whole.
    Unreadable,
    /// Something of a runtime's history that is not kept was left out.
    NotKept,
}

impl Oddity {
    /// The reason as metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmptyKey => "empty_key",
            Self::KeyMismatch => "key_mismatch",
            Self::IdFromKey => "id_from_key",
            Self::Nul => "nul",
            Self::Time => "time",
            Self::Phase => "phase",
            Self::Oversized => "oversized",
            Self::Unreadable => "unreadable",
            Self::NotKept => "not_kept",
        }
    }
}

/// Why a message can't become an event. It is kept as a dead letter with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The record has no value.
    #[error("the record has no value")]
    Empty,
    /// The value is neither of the framings, or is broken.
    #[error("the value is not a HistoryEvent: {0}")]
    Undecodable(String),
    /// The envelope holds no event this version knows.
    #[error("the envelope holds no event that this version knows")]
    UnknownEvent,
    /// Neither payload nor key names what the event belongs to.
    #[error("{0} is missing")]
    NoId(&'static str),
    /// An id is longer than [`MAX_ID_BYTES`].
    #[error("{name} is {bytes} bytes long, more than the {MAX_ID_BYTES} an id may have")]
    IdTooLong {
        /// Which id.
        name: &'static str,
        /// Its length.
        bytes: usize,
    },
}

impl Reject {
    /// The reason as metrics and dead letters name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Undecodable(_) => "undecodable",
            Self::UnknownEvent => "unknown_event",
            Self::NoId(_) => "no_id",
            Self::IdTooLong { .. } => "id_too_long",
        }
    }
}

/// Decodes one record, which knows of no other.
///
/// `payload` is shared, not copied, by the event's text and payload fields. `max_payload_bytes` limits each of them, once
/// what `rules` name is masked. With rules, a reason never quotes the record.
pub fn decode(
    key: Option<&[u8]>,
    payload: Option<&Bytes>,
    max_payload_bytes: usize,
    rules: Option<&Rules>,
) -> Result<Decoded, Reject> {
    decode_knowing(key, payload, max_payload_bytes, rules, &mut Known::new(0))
}

/// As [`decode`], with what other records told of whose things are; takes in what this one tells.
pub fn decode_knowing(
    key: Option<&[u8]>,
    payload: Option<&Bytes>,
    max_payload_bytes: usize,
    rules: Option<&Rules>,
    known: &mut Known,
) -> Result<Decoded, Reject> {
    let payload = payload.filter(|bytes| !bytes.is_empty()).ok_or(Reject::Empty)?;
    let envelope = framing::open(payload, rules.is_none())?;
    let (mut clean, key) = (Cleaner::new(max_payload_bytes), Key::OfOne(key));
    let event = match framing::only_a_step(&envelope) {
        Some(message) => step(masked(framing::protobuf(message)?, rules, &mut clean), key, &mut clean)?,
        None => match framing::protobuf(envelope)? {
            sliced::HistoryEvent { event: Some(Wire::Several(several)) } => {
                return several::decode(several, max_payload_bytes, rules, known);
            }
            envelope => event(masked(envelope, rules, &mut clean), key, &mut clean)?,
        },
    };
    Ok(Decoded { events: Events::from_buf([event]), sanitized: clean.finish()?, rest: None })
}

/// What an event may take from its record's key.
#[derive(Debug, Clone, Copy)]
enum Key<'a> {
    /// The id of what the record is of, if there is a key.
    OfOne(Option<&'a [u8]>),
    /// Nothing: it is the key of all of them.
    OfSeveral,
}

/// A record's value with what `rules` name masked, as bare protobuf: it decodes to the event that the record decodes to
/// under these rules, and fields that this version does not know are gone. Rejects what holds no event.
pub fn redacted(payload: &Bytes, rules: &Rules) -> Result<Bytes, Reject> {
    let mut envelope: sliced::HistoryEvent = framing::protobuf(framing::open(payload, false)?)?;
    match &mut envelope.event {
        None => return Err(Reject::UnknownEvent),
        Some(Wire::Several(several)) => {
            let mut masked = several::Writer::default();
            for piece in Pieces::of(std::mem::take(several)) {
                let mut event = one_of_several(piece?)?;
                event.redact(rules);
                masked.add(&event);
            }
            return Ok(masked.finish());
        }
        Some(_) => drop(envelope.redact(rules)),
    }
    Ok(envelope.encode_to_vec().into())
}

/// An event that came with others.
fn one_of_several(piece: Bytes) -> Result<sliced::HistoryEvent, Reject> {
    let event: sliced::HistoryEvent = framing::protobuf(piece)?;
    match &event.event {
        None => Err(Reject::UnknownEvent),
        Some(Wire::Several(_)) => Err(nested()),
        Some(_) => Ok(event),
    }
}

fn nested() -> Reject {
    Reject::Undecodable("several events within several".to_owned())
}

fn masked<M: Redact>(mut message: M, rules: Option<&Rules>, clean: &mut Cleaner) -> M {
    if rules.is_some_and(|rules| message.redact(rules) == Looked::NotIntoAll) {
        clean.note(Oddity::Unreadable);
    }
    message
}

/// The flow instances that a record is of: by its message or, where that can't be read, by its key, if that can be an id.
pub(crate) fn flows_of(key: Option<&[u8]>, payload: Option<&Bytes>) -> Vec<String> {
    if let Ok(decoded) = decode(key, payload, usize::MAX, None) {
        let flows = decoded.events.iter().filter_map(Event::flow);
        let mut flows: Vec<String> = flows.map(|flow| flow.as_str().to_owned()).collect();
        flows.sort_unstable();
        flows.dedup();
        return flows;
    }
    let key = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| is_id(key));
    key.map(str::to_owned).into_iter().collect()
}

/// Whether a text can be the id of a flow instance.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.contains('\0')
}

/// The envelopes of a record's events, whatever its framing: as they came, neither checked nor cleaned.
pub(crate) fn envelopes(payload: &Bytes) -> Result<Vec<Result<sliced::HistoryEvent, Reject>>, Reject> {
    Ok(match framing::protobuf(framing::open(payload, false)?)? {
        sliced::HistoryEvent { event: Some(Wire::Several(several)) } => {
            Pieces::of(several).map(|piece| one_of_several(piece?)).collect()
        }
        envelope => vec![Ok(envelope)],
    })
}

fn event(envelope: sliced::HistoryEvent, key: Key<'_>, clean: &mut Cleaner) -> Result<Event, Reject> {
    Ok(match envelope.event.ok_or(Reject::UnknownEvent)? {
        Wire::Flow(e) => flow(e, key, clean)?,
        Wire::Step(e) => step(e, key, clean)?,
        Wire::Rewind(e) => Event::Rewind {
            flow: flow_id(e.flow_instance_id, key, clean)?,
            from: e.from_step,
            before: e.before,
        },
        Wire::FlowDeleted(e) => {
            Event::Deleted { flow: flow_id(e.flow_instance_id, key, clean)?, before: e.before }
        }
        Wire::Snapshot(e) => Event::Snapshot {
            flow: flow_id(e.flow_instance_id, key, clean)?,
            step: clean.id(e.step_id, "step_id")?.map(StepId::new),
            data: clean.payload(e.data).unwrap_or_default(),
        },
        Wire::App(e) => app(e, clean)?,
        Wire::Variable(e) => variable(e, key, clean)?,
        Wire::Several(_) => return Err(nested()),
    })
}

fn flow(e: sliced::FlowEvent, key: Key<'_>, clean: &mut Cleaner) -> Result<Event, Reject> {
    let flow = flow_id(e.flow_instance_id, key, clean)?;
    let (start, end) = (clean.time(e.started_at), clean.time(e.ended_at));
    let phase = clean.phase(e.phase, end.is_some());
    let mut row = Box::new(RunRow {
        phase,
        user: clean.text(e.user_id, "user_id"),
        app: clean.text(e.app_name, "app_name"),
        version: clean.text(e.app_version, "app_version"),
        name: clean.text(e.flow_name, "flow_name"),
        host: clean.text(e.host_id, "host_id"),
        parent: clean.id(e.parent_flow_instance_id, "parent_flow_instance_id")?,
        parent_name: clean.text(e.parent_flow_name, "parent_flow_name"),
        original: clean.id(e.rerun_of_flow_instance_id, "rerun_of_flow_instance_id")?,
        trace: clean.text(e.trace_id, "trace_id"),
        start,
        input: clean.payload(e.input),
        end,
        status: clean.status(e.status_word, e.status, flow_status),
        output: clean.payload(e.output),
        error: clean.payload(e.error),
    });
    if phase != Phase::Closed {
        (row.end, row.output, row.error) = (None, None, None);
    }
    Ok(Event::Flow { flow, run: e.run, row })
}

fn step(e: sliced::StepEvent, key: Key<'_>, clean: &mut Cleaner) -> Result<Event, Reject> {
    let flow = flow_id(e.flow_instance_id, key, clean)?;
    let step = step_id(e.step_id, clean)?;
    let (start, end) = (clean.time(e.started_at), clean.time(e.ended_at));
    let phase = clean.phase(e.phase, end.is_some());
    let mut row = Box::new(StepRow {
        phase,
        task: clean.text(e.task_name, "task_name"),
        flow_name: clean.text(e.flow_name, "flow_name"),
        subflow: clean.text(e.subflow_id, "subflow_id"),
        parent_step: clean.text(e.parent_step_id, "parent_step_id"),
        misc: clean.payload(e.misc),
        rerun: e.rerun,
        start,
        input: clean.payload(e.input),
        end,
        status: clean.status(e.status_word, e.status, step_status),
        output: clean.payload(e.output),
        error: clean.payload(e.error),
        data: clean.payload(e.data),
    });
    if phase != Phase::Closed {
        (row.end, row.output, row.error) = (None, None, None);
    }
    Ok(Event::Step { flow, step, execution: e.execution, row })
}

fn variable(e: sliced::VariableEvent, key: Key<'_>, clean: &mut Cleaner) -> Result<Event, Reject> {
    let flow = flow_id(e.flow_instance_id, key, clean)?;
    let scope = clean.id(e.scope, "scope")?.unwrap_or_default();
    let name = clean.id(e.name, "name")?.ok_or(Reject::NoId("name"))?;
    // They are a key together with the flow's id, and a key has room for two ids.
    let bytes = scope.len() + name.len();
    if bytes > MAX_ID_BYTES {
        return Err(Reject::IdTooLong { name: "scope and name", bytes });
    }
    let row = Box::new(VariableRow {
        run: e.run,
        revision: e.revision,
        removed: e.removed,
        kind: clean.text(e.r#type, "type"),
        value: clean.payload(e.value).filter(|_| !e.removed),
        id: clean.text(e.variable_id, "variable_id"),
        created: clean.time(e.created_at),
        updated: clean.time(e.updated_at),
        misc: clean.payload(e.misc),
    });
    Ok(Event::Variable { flow, scope, name, row })
}

fn app(e: sliced::AppEvent, clean: &mut Cleaner) -> Result<Event, Reject> {
    let at = clean.time(e.at);
    let app = clean.id(e.app_name, "app_name")?.ok_or(Reject::NoId("app_name"))?;
    let user = clean.id(e.user_id, "user_id")?.unwrap_or_default();
    let row = AppRow { at, off: !e.persistence_enabled, version: clean.text(e.app_version, "app_version") };
    Ok(Event::App(AppSwitch { user, app, row }))
}

/// The payload's id, or the record's key where the payload has none.
fn flow_id(id: Bytes, key: Key<'_>, clean: &mut Cleaner) -> Result<FlowId, Reject> {
    const NAME: &str = "flow_instance_id";
    let key = match key {
        Key::OfOne(key) => key.filter(|key| !key.is_empty()),
        Key::OfSeveral => return clean.id(id, NAME)?.map(FlowId::new).ok_or(Reject::NoId(NAME)),
    };
    // A producer may key by the id as it is, with its NUL, or as it is stored.
    let is_key = key == Some(&*id);
    if let Some(id) = clean.id(id, NAME)? {
        match key {
            None => clean.note(Oddity::EmptyKey),
            Some(key) if !is_key && key != id.as_bytes() => clean.note(Oddity::KeyMismatch),
            Some(_) => {}
        }
        return Ok(FlowId::new(id));
    }
    let key = key.filter(|key| std::str::from_utf8(key).is_ok()).ok_or(Reject::NoId(NAME))?;
    clean.note(Oddity::IdFromKey);
    clean.id(Bytes::copy_from_slice(key), NAME)?.map(FlowId::new).ok_or(Reject::NoId(NAME))
}

fn step_id(id: Bytes, clean: &mut Cleaner) -> Result<StepId, Reject> {
    clean.id(id, "step_id")?.map(StepId::new).ok_or(Reject::NoId("step_id"))
}

/// The word of a flow status; Flogo's words (flow, `model/status.go`).
fn flow_status(number: i32) -> Option<&'static str> {
    use v1::FlowStatus as S;
    Some(match S::try_from(number).ok()? {
        S::Unspecified => "",
        S::Created => "Created",
        S::Started => "Started",
        S::Completed => "Completed",
        S::Cancelled => "Cancelled",
        S::Failed => "Failed",
    })
}

/// The word of a step status; Flogo's words (flow, `model/status.go`).
fn step_status(number: i32) -> Option<&'static str> {
    use v1::StepStatus as S;
    Some(match S::try_from(number).ok()? {
        S::Unspecified => "",
        S::Created => "Created",
        S::Unknown => "Unknown",
        S::Scheduled => "Scheduled",
        S::Started => "Started",
        S::Waiting => "Waiting",
        S::Completed => "Completed",
        S::Skipped => "Skipped",
        S::Failed => "Failed",
        S::Cancelled => "Cancelled",
    })
}

#[cfg(test)]
mod tests;
