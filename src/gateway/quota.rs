//! How many events a second an app may post. Pure: the time comes from outside.
//!
//! Every event of a flow counts for the flow's app. What is refused is the *start* of a flow, while its app has used up what it
//! may; with it all that is posted of that flow until its start is taken. So a flow is recorded whole or not at all, and what
//! has begun goes on to its end. A flow says its app in its start and its end alone: events of a flow whose start this process
//! did not see, or has forgotten, count for no app and are taken.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::proto::v1::{HistoryEvent, Phase, history_event::Event};

/// Flows that are remembered: about 15 MB.
const MOST_FLOWS: usize = 100_000;

/// Apps that are remembered: who makes up names fills no memory. Beyond that all begin anew.
const MOST_APPS: usize = 10_000;

/// An app owes no more than what it may post in so many seconds: a flow that posts and posts does not lock its app out for
/// longer.
const MOST_OWED: f64 = 10.0;

/// The app has used up what it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded;

/// Counts what apps post.
#[derive(Debug)]
pub struct Quota {
    /// Events a second; 0 is no limit.
    per_second: u32,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    apps: HashMap<Arc<str>, Bucket, RandomState>,
    /// Flows by id, and the order in which they came.
    flows: HashMap<Arc<str>, Flow, RandomState>,
    order: VecDeque<Arc<str>>,
}

/// What an app may still post. It fills up to what it may in a second.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

#[derive(Debug, Clone)]
enum Flow {
    /// Of this app.
    Taken(Arc<str>),
    /// Its start was refused.
    Refused,
}

impl Quota {
    /// So many events a second for each app; 0 is no limit.
    pub fn new(per_second: u64) -> Self {
        Self { per_second: u32::try_from(per_second).unwrap_or(u32::MAX), known: Mutex::default() }
    }

    /// Counts an event that was posted at that time; refused, it counts for nothing.
    pub fn admit(&self, event: &HistoryEvent, now: Instant) -> Result<(), Exceeded> {
        if self.per_second == 0 {
            return Ok(());
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let most = f64::from(self.per_second);
        match &event.event {
            Some(Event::Flow(flow)) if flow.phase() == Phase::Opened => {
                let app = known.app(&flow.app_name, most, now);
                if !known.has_left(&app) {
                    known.remember(&flow.flow_instance_id, Flow::Refused);
                    return Err(Exceeded);
                }
                known.charge(&app, most);
                known.remember(&flow.flow_instance_id, Flow::Taken(app));
                Ok(())
            }
            Some(Event::Flow(flow)) => {
                let counted = known.count(&flow.flow_instance_id, most, now);
                // One that was refused stays so: what comes late of it is not to be all that there is.
                if counted.is_ok() && flow.phase() == Phase::Closed {
                    known.flows.remove(flow.flow_instance_id.as_str());
                }
                counted
            }
            Some(Event::Step(step)) => known.count(&step.flow_instance_id, most, now),
            Some(Event::Snapshot(snapshot)) => known.count(&snapshot.flow_instance_id, most, now),
            // What a person does, or is done for a re-run; and what no app posts.
            Some(
                Event::Rewind(_)
                | Event::FlowDeleted(_)
                | Event::App(_)
                | Event::Variable(_)
                | Event::Several(_),
            )
            | None => Ok(()),
        }
    }
}

impl Known {
    /// The app under its name, with its bucket filled up to this moment.
    fn app(&mut self, name: &str, most: f64, now: Instant) -> Arc<str> {
        if let Some((app, _)) = self.apps.get_key_value(name) {
            let app = app.clone();
            if let Some(bucket) = self.apps.get_mut(name) {
                bucket.fill(most, now);
            }
            return app;
        }
        if self.apps.len() >= MOST_APPS {
            self.apps.clear();
        }
        let app: Arc<str> = name.into();
        self.apps.insert(app.clone(), Bucket { left: most, at: now });
        app
    }

    fn has_left(&self, app: &str) -> bool {
        self.apps.get(app).is_none_or(|bucket| bucket.left >= 1.0)
    }

    fn charge(&mut self, app: &str, most: f64) {
        if let Some(bucket) = self.apps.get_mut(app) {
            bucket.left = (bucket.left - 1.0).max(-most * MOST_OWED);
        }
    }

    /// Counts an event of a flow that has begun.
    fn count(&mut self, flow: &str, most: f64, now: Instant) -> Result<(), Exceeded> {
        match self.flows.get(flow).cloned() {
            Some(Flow::Refused) => Err(Exceeded),
            Some(Flow::Taken(app)) => {
                let app = self.app(&app, most, now);
                self.charge(&app, most);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn remember(&mut self, id: &str, flow: Flow) {
        if let Some(known) = self.flows.get_mut(id) {
            *known = flow;
            return;
        }
        while self.order.len() >= MOST_FLOWS
            && let Some(oldest) = self.order.pop_front()
        {
            self.flows.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        self.order.push_back(id.clone());
        self.flows.insert(id, flow);
    }
}

impl Bucket {
    fn fill(&mut self, most: f64, now: Instant) {
        let since: Duration = now.saturating_duration_since(self.at);
        self.left = since.as_secs_f64().mul_add(most, self.left).min(most);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, flogo};

    fn flow(id: &str, app: &str, is_start: bool) -> HistoryEvent {
        let json = serde_json::json!({ "flow_instance_id": id, "user_id": "ann", "app_name": app });
        let body = json.to_string().into();
        if is_start { flogo::start(&body).unwrap() } else { flogo::end(&body).unwrap() }
    }

    fn start(id: &str, app: &str) -> HistoryEvent {
        flow(id, app, true)
    }

    fn step(id: &str) -> HistoryEvent {
        flogo::step(&format!(r#"{{"id":1,"flowId":"{id}","flowChanges":{{}}}}"#).into()).unwrap()
    }

    #[test]
    fn beyond_its_quota_an_app_begins_no_flow_until_time_has_passed_and_others_do() {
        let (quota, began) = (Quota::new(2), clock::monotonic());
        for id in ["1", "2"] {
            assert_eq!(quota.admit(&start(id, "shop"), began), Ok(()));
        }
        assert_eq!(quota.admit(&start("3", "shop"), began), Err(Exceeded));
        assert_eq!(quota.admit(&start("4", "other"), began), Ok(()));
        let soon = began + Duration::from_millis(499);
        assert_eq!(quota.admit(&start("3", "shop"), soon), Err(Exceeded));
        assert_eq!(quota.admit(&start("3", "shop"), began + Duration::from_millis(501)), Ok(()));
    }

    #[test]
    fn what_has_begun_goes_on_and_counts() {
        let (quota, began) = (Quota::new(2), clock::monotonic());
        assert_eq!(quota.admit(&start("f", "shop"), began), Ok(()));
        for _ in 0..4 {
            assert_eq!(quota.admit(&step("f"), began), Ok(()));
        }
        assert_eq!(quota.admit(&flow("f", "shop", false), began), Ok(()));
        // It has posted six where two were left: it owes four, which take two seconds, and one more takes half of one.
        assert_eq!(quota.admit(&start("g", "shop"), began + Duration::from_millis(2_499)), Err(Exceeded));
        assert_eq!(quota.admit(&start("g", "shop"), began + Duration::from_millis(2_501)), Ok(()));
    }

    #[test]
    fn of_a_flow_whose_start_was_refused_nothing_is_taken_until_its_start_is() {
        let (quota, began) = (Quota::new(1), clock::monotonic());
        assert_eq!(quota.admit(&start("f", "shop"), began), Ok(()));
        assert_eq!(quota.admit(&start("g", "shop"), began), Err(Exceeded));
        assert_eq!(quota.admit(&step("g"), began), Err(Exceeded));
        let later = began + Duration::from_secs(2);
        assert_eq!(quota.admit(&step("g"), later), Err(Exceeded));
        assert_eq!(quota.admit(&start("g", "shop"), later), Ok(()));
        assert_eq!(quota.admit(&step("g"), later), Ok(()));
        // Of one that began elsewhere nobody knows the app.
        assert_eq!(quota.admit(&step("elsewhere"), began), Ok(()));
    }

    #[test]
    fn nobody_owes_for_longer_than_ten_seconds_and_without_a_quota_nobody_owes() {
        let (quota, began) = (Quota::new(1), clock::monotonic());
        assert_eq!(quota.admit(&start("f", "shop"), began), Ok(()));
        for _ in 0..1_000 {
            assert_eq!(quota.admit(&step("f"), began), Ok(()));
        }
        assert_eq!(quota.admit(&start("g", "shop"), began + Duration::from_secs(12)), Ok(()));
        let without = Quota::new(0);
        assert!((0..1_000).all(|id| without.admit(&start(&id.to_string(), "shop"), began).is_ok()));
    }

    #[test]
    fn names_that_are_made_up_fill_no_memory() {
        let (quota, now) = (Quota::new(1), clock::monotonic());
        for number in 0..=MOST_FLOWS {
            let name = number.to_string();
            assert_eq!(quota.admit(&start(&name, &name), now), Ok(()));
        }
        let known = quota.known.lock().unwrap();
        assert_eq!((known.flows.len(), known.order.len()), (MOST_FLOWS, MOST_FLOWS));
        assert!(known.apps.len() <= MOST_APPS);
    }
}
