//! Which flow instance an event is of whose element does not say: found by the activity, the task or the variable that it
//! names, once something else has said whose that is.

use std::{collections::HashMap, fmt, sync::Arc};

use foldhash::fast::RandomState;

use crate::{
    proto::{sliced, v1},
    sentence::quotable,
};

/// Scopes of the parts of an activity's and a task's record.
const OF_STEP: &[u8] = b"@step:";
const OF_TASK: &[u8] = b"@task:";

/// What an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An activity instance, which is a step.
    Activity,
    /// A task.
    Task,
    /// A variable.
    Variable,
}

/// Something of an engine's that belongs to one flow instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thing {
    /// Name of the engine.
    pub source: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// The engine's id of it.
    pub id: Box<str>,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Activity => "activity instance",
            Kind::Task => "task",
            Kind::Variable => "variable",
        };
        write!(f, "{what} {} of {}", quotable(&self.id), quotable(&self.source))
    }
}

/// Whose a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The flow instance.
    pub flow: Arc<str>,
    /// Scope and name, of a variable.
    pub variable: Option<[Box<str>; 2]>,
}

/// Whose things are, as far as it was told; the newest of them.
#[derive(Debug)]
pub struct Known {
    most: usize,
    /// What was told last, and what was told before that.
    recent: HashMap<Thing, Owner, RandomState>,
    before: HashMap<Thing, Owner, RandomState>,
}

impl Known {
    /// Nothing so far, of `most` things at least and twice as many at most.
    pub fn new(most: usize) -> Self {
        Self { most, recent: HashMap::default(), before: HashMap::default() }
    }

    /// Whose a thing is.
    pub fn owner(&self, thing: &Thing) -> Option<&Owner> {
        self.recent.get(thing).or_else(|| self.before.get(thing))
    }

    /// Takes in whose a thing is.
    pub fn note(&mut self, thing: Thing, owner: Owner) {
        if self.recent.len() >= self.most {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(thing, owner);
    }

    /// Takes in what events say.
    pub fn learn<'a, E: Identify + 'a>(&mut self, events: impl IntoIterator<Item = &'a E>) {
        for (thing, owner) in events.into_iter().filter_map(Identify::told) {
            self.note(thing, owner);
        }
    }
}

/// An event of the contract that may be of a flow instance not said.
pub trait Identify {
    /// The thing by which its flow instance is to be found, where it does not say that.
    fn missing(&self) -> Option<Thing>;

    /// What it says of whose something is.
    fn told(&self) -> Option<(Thing, Owner)>;

    /// Makes it an event of that flow instance and, where it is of a variable, of that variable.
    fn give(&mut self, owner: &Owner);
}

/// What an event is of: an activity, a task or a variable with its scope and name.
enum Of<'a> {
    Activity(&'a [u8]),
    Task(&'a [u8]),
    Variable { id: &'a [u8], place: [&'a [u8]; 2] },
}

impl Of<'_> {
    fn thing(&self, source: &[u8]) -> Option<Thing> {
        let (kind, id) = match *self {
            Of::Activity(id) => (Kind::Activity, id),
            Of::Task(id) => (Kind::Task, id),
            Of::Variable { id, .. } => (Kind::Variable, id),
        };
        let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty());
        Some(Thing { source: text(source)?.into(), kind, id: text(id)?.into() })
    }

    fn told(&self, flow: &[u8]) -> Option<(Thing, Owner)> {
        let at = flow.iter().position(|byte| *byte == b':')?;
        let (source, instance) = flow.split_at(at);
        if instance == b":" {
            return None;
        }
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Box::from);
        let variable = match self {
            Of::Variable { place: [scope, name], .. } => Some([text(scope)?, text(name)?]),
            Of::Activity(_) | Of::Task(_) => None,
        };
        Some((self.thing(source)?, Owner { flow: std::str::from_utf8(flow).ok()?.into(), variable }))
    }
}

fn of_variable<'a>(scope: &'a [u8], id: &'a [u8], name: &'a [u8]) -> Option<Of<'a>> {
    if let Some(step) = scope.strip_prefix(OF_STEP) {
        return Some(Of::Activity(step));
    }
    if let Some(task) = scope.strip_prefix(OF_TASK) {
        return Some(Of::Task(task));
    }
    // Another part is of a variable that itself says more.
    (!id.is_empty() && !scope.starts_with(b"@")).then_some(Of::Variable { id, place: [scope, name] })
}

/// The contract's messages come twice: as they are written, and as they are read.
macro_rules! identify {
    ($contract:ident) => {
        impl Identify for $contract::HistoryEvent {
            fn missing(&self) -> Option<Thing> {
                let (flow, of) = self.of()?;
                of.thing(flow.strip_suffix(b":")?)
            }

            fn told(&self) -> Option<(Thing, Owner)> {
                let (flow, of) = self.of()?;
                of.told(flow)
            }

            fn give(&mut self, owner: &Owner) {
                use $contract::history_event::Event;
                match &mut self.event {
                    Some(Event::Step(step)) => step.flow_instance_id = owner.flow.to_string().into(),
                    Some(Event::Variable(variable)) => {
                        variable.flow_instance_id = owner.flow.to_string().into();
                        if let Some([scope, name]) = &owner.variable {
                            variable.scope = scope.to_string().into();
                            variable.name = name.to_string().into();
                        }
                    }
                    _ => {}
                }
            }
        }

        impl $contract::HistoryEvent {
            /// The flow instance as it is said, and what of it the event is of.
            fn of(&self) -> Option<(&[u8], Of<'_>)> {
                use $contract::history_event::Event;
                match &self.event {
                    Some(Event::Step(step)) => {
                        Some((step.flow_instance_id.as_ref(), Of::Activity(step.step_id.as_ref())))
                    }
                    Some(Event::Variable(it)) => {
                        let of = of_variable(it.scope.as_ref(), it.variable_id.as_ref(), it.name.as_ref());
                        Some((it.flow_instance_id.as_ref(), of?))
                    }
                    _ => None,
                }
            }
        }
    };
}

identify!(v1);
identify!(sliced);

/// Gives events that stand together the flow instances that they do not say, by each other first and then by what was known
/// before; says whether that was asked to any purpose. What is still missing stays as it is.
pub fn identify<E: Identify>(events: &mut [E], known: &mut Known) -> bool {
    if events.iter().all(|event| event.missing().is_none()) {
        known.learn(events.iter());
        return false;
    }
    let mut own = Known::new(usize::MAX);
    own.learn(events.iter());
    let mut asked = false;
    for event in events.iter_mut() {
        let Some(thing) = event.missing() else { continue };
        if let Some(owner) = own.owner(&thing) {
            event.give(owner);
        } else if let Some(owner) = known.owner(&thing) {
            event.give(owner);
            asked = true;
        }
    }
    known.learn(events.iter());
    asked
}

/// Events that wait until it is known whose they are, each with what it is kept with. Bounded.
#[derive(Debug)]
pub struct Waiting<E, T> {
    known: Known,
    held: HashMap<Thing, Vec<(E, T)>, RandomState>,
    bytes: usize,
    most_bytes: usize,
}

/// An event with what it was kept with; or by what its flow instance is not to be found.
pub type Settled<E, T> = Result<(E, T), (Thing, T)>;

impl<E: Identify + prost::Message, T: Clone> Waiting<E, T> {
    /// None waits. It remembers `most` things at least, and holds about `most_bytes` of events at most: one that would be
    /// beyond that is not waited for.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self { known: Known::new(most), held: HashMap::default(), bytes: 0, most_bytes }
    }

    /// Takes events that stand together. Gives back those of which it is known whose they are, and those that had waited for
    /// one of them.
    pub fn take(&mut self, mut events: Vec<E>, with: &T) -> Vec<Settled<E, T>> {
        identify(&mut events, &mut self.known);
        let mut settled = Vec::with_capacity(events.len());
        for event in events {
            match event.missing() {
                None => {
                    let told = event.told();
                    settled.push(Ok((event, with.clone())));
                    if let Some((thing, owner)) = told {
                        self.release(&thing, &owner, &mut settled);
                    }
                }
                Some(thing) => {
                    let bytes = weight(&event);
                    if self.bytes + bytes > self.most_bytes {
                        settled.push(Err((thing, with.clone())));
                    } else {
                        self.bytes += bytes;
                        self.held.entry(thing).or_default().push((event, with.clone()));
                    }
                }
            }
        }
        settled
    }

    fn release(&mut self, thing: &Thing, owner: &Owner, settled: &mut Vec<Settled<E, T>>) {
        for (mut event, with) in self.held.remove(thing).into_iter().flatten() {
            self.bytes -= weight(&event);
            event.give(owner);
            settled.push(Ok((event, with)));
        }
    }

    /// What still waits.
    pub fn left(self) -> impl Iterator<Item = (Thing, T)> {
        self.held
            .into_iter()
            .flat_map(|(thing, held)| held.into_iter().map(move |(_, with)| (thing.clone(), with)))
    }
}

/// About how many bytes of memory an event takes while it waits.
fn weight(event: &impl prost::Message) -> usize {
    1_024 + event.encoded_len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flowable::{Engine, element},
        proto::v1::HistoryEvent,
    };

    fn said(json: &str) -> Vec<HistoryEvent> {
        element(Engine::default(), json.as_bytes()).unwrap()
    }

    const START: &str = r#"{"type":"activity-start","data":{"runtimeActivityInstanceId":"75","processInstanceId":"66",
        "activityId":"call","activityType":"callActivity","__timeStamp":"2026-11-21T20:52:36.312Z"}}"#;
    const UPDATE: &str = r#"{"type":"activity-update","data":{"runtimeActivityInstanceId":"75",
        "calledProcessInstanceId":"78","__timeStamp":"2026-11-21T20:52:36.413Z"}}"#;
    const CREATED: &str = r#"{"type":"variable-created","data":{"id":"14","processInstanceId":"66","executionId":"72",
        "name":"mode","variableType":"string","variableTextValue":"ok"}}"#;
    const REMOVED: &str = r#"{"type":"variable-removed","data":{"id":"14","revision":1}}"#;

    #[test]
    fn what_stands_together_is_identified_in_any_order() {
        for order in [[START, UPDATE], [UPDATE, START]] {
            let mut events: Vec<_> = order.into_iter().flat_map(said).collect();
            assert!(!identify(&mut events, &mut Known::new(0)));
            assert!(events.iter().all(|event| event.missing().is_none()));
            assert!(events.iter().all(|event| crate::publish::key(event) == "flowable:66"));
        }
    }

    #[test]
    fn what_was_told_before_is_known_and_what_was_not_is_named() {
        let mut known = Known::new(10);
        let mut update = said(UPDATE);
        assert!(!identify(&mut update, &mut known));
        assert_eq!(update[0].missing().unwrap().to_string(), "activity instance 75 of flowable");
        identify(&mut said(START), &mut known);
        assert!(identify(&mut update, &mut known));
        assert!(update.iter().all(|event| event.missing().is_none()));
    }

    #[test]
    fn the_removal_of_a_variable_learns_its_place() {
        let mut known = Known::new(10);
        identify(&mut said(CREATED), &mut known);
        let mut removed = said(REMOVED);
        assert!(identify(&mut removed, &mut known));
        let Some(v1::history_event::Event::Variable(variable)) = &removed[0].event else { panic!() };
        assert_eq!(
            (&*variable.flow_instance_id, &*variable.scope, &*variable.name, variable.removed),
            ("flowable:66", "execution:72", "mode", true)
        );
    }

    #[test]
    fn ids_of_another_engine_are_others_and_the_oldest_are_forgotten() {
        let mut known = Known::new(2);
        let thing = |source: &str, id: &str| Thing { source: source.into(), kind: Kind::Task, id: id.into() };
        let owner = Owner { flow: "a:1".into(), variable: None };
        known.note(thing("a", "1"), owner.clone());
        assert_eq!(known.owner(&thing("a", "1")), Some(&owner));
        assert_eq!(known.owner(&thing("b", "1")), None);
        for id in 2..6 {
            known.note(thing("a", &id.to_string()), owner.clone());
        }
        assert_eq!(known.owner(&thing("a", "1")), None);
        assert!(known.owner(&thing("a", "5")).is_some());
    }

    #[test]
    fn what_waits_comes_out_with_what_says_whose_it_is() {
        let mut waiting = Waiting::new(10, 1 << 20);
        assert!(waiting.take(said(UPDATE), &1).is_empty());
        assert!(waiting.take(said(REMOVED), &2).is_empty());
        let settled = waiting.take(said(START), &3);
        let lines: Vec<i32> = settled.into_iter().map(|settled| settled.unwrap().1).collect();
        assert_eq!(lines, [3, 1, 1, 3]);
        let left: Vec<(String, i32)> =
            waiting.left().map(|(thing, line)| (thing.to_string(), line)).collect();
        assert_eq!(left, [("variable 14 of flowable".to_owned(), 2)]);
    }

    #[test]
    fn no_more_is_waited_for_than_fits() {
        let mut waiting = Waiting::new(10, 1_000);
        let settled = waiting.take(said(REMOVED), &1);
        assert_eq!(settled.into_iter().map(|settled| settled.unwrap_err().1).collect::<Vec<_>>(), [1]);
    }
}
