//! Whose the traffic of a lane is: rows and bytes by app and by user. Pure.
//!
//! Only events of a run say app and user. Steps in the same batch are counted with them, and those that come later as long
//! as the run is open and the lane remembers it; what is left is counted as [`UNKNOWN`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use foldhash::fast::RandomState;

use super::merge::{FlowFold, Fold};
use crate::{config, metrics::Whose, model::Phase};

/// Name of what nothing says whose it is.
pub(crate) const UNKNOWN: &str = "unknown";

/// Name of all that came when there were names enough.
pub(crate) const OTHER: &str = "other";

/// So many open flows a lane remembers the owner of: about 1 MB. Then it begins anew.
const OPEN: usize = 10_000;

/// Names that series are kept of: the first of a process, up to a limit, so that nobody's names make series without end.
#[derive(Debug)]
pub(crate) struct Names {
    most: usize,
    known: Mutex<HashSet<Arc<str>, RandomState>>,
}

impl Names {
    /// None so far, of at most so many.
    fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// The name to count under.
    fn counted(&self, name: &str) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(name) {
            return name.clone();
        }
        if known.len() >= self.most {
            return OTHER.into();
        }
        let name: Arc<str> = name.into();
        known.insert(name.clone());
        name
    }
}

/// Rows before they met what is stored, and bytes of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// By the name to count under.
pub(crate) type Shares = BTreeMap<Arc<str>, Traffic>;

/// What the lanes of a process count by, and the names that they share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counting(Vec<(Whose, Arc<Names>)>);

impl Counting {
    /// By what the configuration asks for.
    pub(crate) fn of(collector: &config::Collector) -> Self {
        let most = [(Whose::App, collector.metric_apps), (Whose::User, collector.metric_users)];
        let wanted = most.into_iter().filter(|(_, most)| *most > 0);
        Self(wanted.map(|(whose, most)| (whose, Arc::new(Names::new(most)))).collect())
    }

    /// For one lane.
    pub(crate) fn owners(&self) -> Vec<Owners> {
        self.0.iter().map(|(whose, names)| Owners::new(*whose, names.clone())).collect()
    }
}

/// Finds the owners of a lane's traffic, by one thing that runs say of them.
#[derive(Debug)]
pub(crate) struct Owners {
    pub(crate) whose: Whose,
    names: Arc<Names>,
    /// Of flows that are open. Copies: what they were read from is to be freed.
    open: HashMap<Box<str>, Arc<str>, RandomState>,
}

impl Owners {
    fn new(whose: Whose, names: Arc<Names>) -> Self {
        Self { whose, names, open: HashMap::default() }
    }

    /// Whose the rows and bytes of a batch are.
    pub(crate) fn shares(&mut self, fold: &Fold, sizes: &Sizes<'_>) -> Shares {
        let mut shares = Shares::new();
        for (id, flow) in &fold.flows {
            let owner = self.owner(id.as_str(), flow);
            let share = shares.entry(owner).or_default();
            let rows = flow.runs.len() + flow.steps.len() + flow.variables.len();
            share.rows += u64::try_from(rows).unwrap_or(u64::MAX);
            share.bytes += sizes.by_key.get(id.as_str().as_bytes()).copied().unwrap_or(0);
        }
        let known: u64 = shares.values().map(|share| share.bytes).sum();
        let rest = sizes.all.saturating_sub(known);
        if rest > 0 {
            shares.entry(UNKNOWN.into()).or_default().bytes += rest;
        }
        shares
    }

    fn owner(&mut self, id: &str, flow: &FlowFold) -> Arc<str> {
        let said = flow.runs.values().rev().find_map(|run| match self.whose {
            Whose::App => run.app.as_ref(),
            Whose::User => run.user.as_ref(),
        });
        let is_open = flow.runs.values().next_back().map(|run| run.phase != Phase::Closed);
        let owner = match said {
            Some(name) => Some(self.names.counted(name)),
            None => self.open.get(id).cloned(),
        };
        match (is_open, &owner) {
            (Some(true), Some(owner)) => {
                if self.open.len() >= OPEN {
                    self.open.clear();
                }
                self.open.insert(id.into(), owner.clone());
            }
            (Some(false), _) => drop(self.open.remove(id)),
            _ => {}
        }
        owner.unwrap_or_else(|| UNKNOWN.into())
    }
}

/// Bytes of a batch's records.
#[derive(Debug, Default)]
pub(crate) struct Sizes<'a> {
    by_key: HashMap<&'a [u8], u64, RandomState>,
    all: u64,
}

impl<'a> Sizes<'a> {
    /// Of records as key and size.
    pub(crate) fn of(records: impl Iterator<Item = (Option<&'a [u8]>, usize)>) -> Self {
        let mut sizes = Self::default();
        for (key, size) in records {
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            *sizes.by_key.entry(key.unwrap_or_default()).or_default() += size;
            sizes.all += size;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use pbjson_types::Timestamp;
    use prost::Message as _;

    use super::*;
    use crate::{
        pipeline::decode::decode,
        proto::v1::{self, FlowEvent, HistoryEvent, StepEvent, history_event::Event},
    };

    fn run(id: &str, app: &str, phase: v1::Phase) -> Event {
        Event::Flow(FlowEvent {
            flow_instance_id: id.to_owned(),
            app_name: app.to_owned(),
            phase: phase.into(),
            started_at: Some(Timestamp { seconds: 1, nanos: 0 }),
            ..FlowEvent::default()
        })
    }

    fn step(id: &str, step: &str) -> Event {
        Event::Step(StepEvent {
            flow_instance_id: id.to_owned(),
            step_id: step.to_owned(),
            ..StepEvent::default()
        })
    }

    fn by_app(most: usize) -> Owners {
        Owners::new(Whose::App, Arc::new(Names::new(most)))
    }

    /// Name, rows and bytes, where each record has the key and the size that it comes with.
    fn counted(owners: &mut Owners, events: &[(Event, &str, usize)]) -> Vec<(String, u64, u64)> {
        let sizes = Sizes::of(events.iter().map(|(_, key, size)| (Some(key.as_bytes()), *size)));
        let mut fold = Fold::default();
        for (event, key, _) in events {
            let message = HistoryEvent { event: Some(event.clone()) }.encode_to_vec().into();
            fold.extend(decode(Some(key.as_bytes()), Some(&message), 1 << 20, None).unwrap().events);
        }
        let shares = owners.shares(&fold, &sizes);
        shares.into_iter().map(|(name, Traffic { rows, bytes })| (name.to_string(), rows, bytes)).collect()
    }

    #[test]
    fn steps_are_counted_with_the_run_that_says_whose_they_are_until_it_ends() {
        let mut owners = by_app(9);
        let opened = [
            (run("f", "shop", v1::Phase::Opened), "f", 10),
            (step("f", "1"), "f", 5),
            (step("g", "1"), "g", 7),
        ];
        assert_eq!(counted(&mut owners, &opened), [("shop".to_owned(), 2, 15), (UNKNOWN.to_owned(), 1, 7)]);
        assert_eq!(counted(&mut owners, &[(step("f", "2"), "f", 3)]), [("shop".to_owned(), 1, 3)]);
        assert_eq!(
            counted(&mut owners, &[(run("f", "", v1::Phase::Closed), "f", 4)]),
            [("shop".to_owned(), 1, 4)]
        );
        assert_eq!(counted(&mut owners, &[(step("f", "3"), "f", 3)]), [(UNKNOWN.to_owned(), 1, 3)]);
        assert!(owners.open.is_empty());
    }

    #[test]
    fn events_that_were_merged_cost_bytes_and_no_rows_and_those_under_another_key_are_nobodys() {
        let events = [
            (run("f", "shop", v1::Phase::Opened), "f", 10),
            (run("f", "shop", v1::Phase::Closed), "f", 10),
            (step("f", "1"), "elsewhere", 8),
        ];
        assert_eq!(
            counted(&mut by_app(9), &events),
            [("shop".to_owned(), 2, 20), (UNKNOWN.to_owned(), 0, 8)]
        );
    }

    #[test]
    fn beyond_the_limit_names_are_counted_together() {
        let mut owners = by_app(2);
        let opened = |id: &'static str, app: &str| (run(id, app, v1::Phase::Opened), id, 1);
        let wanted =
            |names: [(&str, u64); 3]| names.map(|(name, rows)| (name.to_owned(), rows, rows)).to_vec();
        assert_eq!(counted(&mut owners, &[opened("1", "a")]).len(), 1);
        assert_eq!(counted(&mut owners, &[opened("2", "b")]).len(), 1);
        let all = [opened("3", "a"), opened("4", "b"), opened("5", "c"), opened("6", "d")];
        assert_eq!(counted(&mut owners, &all), wanted([("a", 1), ("b", 1), (OTHER, 2)]));
    }

    #[test]
    fn no_more_open_flows_are_remembered_than_fit() {
        let mut owners = by_app(2);
        let ids: Vec<String> = (0..=OPEN).map(|number| number.to_string()).collect();
        let opened: Vec<_> = ids.iter().map(|id| (run(id, "a", v1::Phase::Opened), id.as_str(), 1)).collect();
        counted(&mut owners, &opened);
        assert_eq!(owners.open.len(), 1);
    }
}
