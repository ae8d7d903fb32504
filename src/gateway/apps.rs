//! Which apps' history is not to be kept, as `appstate` says.
//!
//! A flow says of which app it is in its start and its end; its steps do not. So the flows of switched-off apps are
//! remembered from their start on, the last [`MOST_FLOWS`] of them. A step of a flow that began while the app was on,
//! or before this process did, is kept.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    postgres::{Pool, read},
    proto::v1::{HistoryEvent, Phase, history_event::Event},
    telemetry::Seldom,
};

/// How often the table is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Flows of switched-off apps that are remembered: about 10 MB.
const MOST_FLOWS: usize = 100_000;

/// What is known of the switches. With `enforce` off nothing is ever refused.
#[derive(Debug, Default)]
pub struct Apps {
    enforce: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By user and app: those that are off, as the table had them last.
    off: HashSet<(String, String)>,
    /// Switched here since, and not seen in the table yet.
    here: HashMap<(String, String), bool>,
    /// Flows that are not kept, and the order in which they came.
    flows: HashSet<String>,
    order: VecDeque<String>,
}

impl Apps {
    /// Knows of no app that is off.
    pub fn new(enforce: bool) -> Self {
        Self { enforce, known: Mutex::default() }
    }

    /// Whether the event belongs to an app that is off, and is not to be kept.
    pub fn is_off(&self, event: &HistoryEvent) -> bool {
        if !self.enforce {
            return false;
        }
        match &event.event {
            Some(Event::Flow(flow)) => {
                let mut known = self.lock();
                let remembered = known.flows.contains(&flow.flow_instance_id);
                if flow.phase() != Phase::Opened {
                    // What has begun is ended, so that no flow stays open for ever.
                    return remembered;
                }
                let is_off = known.is_off(&flow.user_id, &flow.app_name);
                match (is_off, remembered) {
                    (true, false) => known.remember(&flow.flow_instance_id),
                    // Run again since the app is on.
                    (false, true) => known.forget(&flow.flow_instance_id),
                    _ => {}
                }
                is_off
            }
            Some(Event::Step(step)) => self.lock().flows.contains(&step.flow_instance_id),
            Some(Event::Snapshot(snapshot)) => self.lock().flows.contains(&snapshot.flow_instance_id),
            Some(Event::Variable(variable)) => self.lock().flows.contains(&variable.flow_instance_id),
            _ => false,
        }
    }

    /// An app was switched here; the table will say so in a moment.
    pub fn note(&self, user: &str, app: &str, on: bool) {
        if self.enforce {
            self.lock().here.insert((user.to_owned(), app.to_owned()), on);
        }
    }

    /// Follows the table until `stop`. While Postgres is away what was known last holds.
    pub async fn follow(&self, pool: &Pool, stop: CancellationToken) {
        if !self.enforce {
            return;
        }
        let following = async {
            let (mut ticks, mut seldom) = (tokio::time::interval(LOOK_EVERY), Seldom::default());
            loop {
                ticks.tick().await;
                match switched_off(pool).await {
                    Ok(off) => {
                        seldom.over("look");
                        self.lock().learn(off);
                    }
                    Err(why) if seldom.is_due("look", clock::monotonic()) => {
                        tracing::warn!(
                            event = "appstate_not_read",
                            why,
                            "which apps are off is not known anew"
                        );
                    }
                    Err(_) => {}
                }
            }
        };
        let _ = stop.run_until_cancelled(following).await;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_off(&self, user: &str, app: &str) -> bool {
        let key = (user.to_owned(), app.to_owned());
        self.here.get(&key).map_or_else(|| self.off.contains(&key), |on| !on)
    }

    fn remember(&mut self, flow: &str) {
        if self.order.len() >= MOST_FLOWS
            && let Some(oldest) = self.order.pop_front()
        {
            self.flows.remove(&oldest);
        }
        self.flows.insert(flow.to_owned());
        self.order.push_back(flow.to_owned());
    }

    fn forget(&mut self, flow: &str) {
        self.flows.remove(flow);
        self.order.retain(|other| other != flow);
    }

    fn learn(&mut self, off: HashSet<(String, String)>) {
        self.here.retain(|key, on| off.contains(key) == *on);
        self.off = off;
    }
}

async fn switched_off(pool: &Pool) -> Result<HashSet<(String, String)>, String> {
    let mut reader = pool.get().await.map_err(|error| error.to_string())?;
    let moment = reader.moment().await.map_err(|error| error.to_string())?;
    let off = read::switched_off(&moment).await.map_err(|error| error.to_string())?;
    Ok(off.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flogo;

    fn flow(id: &str, app: &str, phase: &str) -> HistoryEvent {
        let json = serde_json::json!({ "flow_instance_id": id, "user_id": "ann", "app_name": app });
        let body = json.to_string().into();
        if phase == "start" { flogo::start(&body).unwrap() } else { flogo::end(&body).unwrap() }
    }

    fn step(id: &str) -> HistoryEvent {
        flogo::step(&format!(r#"{{"id":1,"flowId":"{id}","flowChanges":{{}}}}"#).into()).unwrap()
    }

    #[test]
    fn a_flow_of_an_app_that_is_off_is_not_kept_from_its_start_to_its_end() {
        let apps = Apps::new(true);
        assert!(!apps.is_off(&flow("early", "shop", "start")));
        apps.note("ann", "shop", false);
        assert!(apps.is_off(&flow("f", "shop", "start")));
        assert!(apps.is_off(&step("f")) && apps.is_off(&flow("f", "shop", "end")));
        assert!(!apps.is_off(&flow("g", "other", "start")) && !apps.is_off(&step("g")));
        // What had begun goes on to its end.
        assert!(!apps.is_off(&step("early")) && !apps.is_off(&flow("early", "shop", "end")));
        apps.note("ann", "shop", true);
        assert!(!apps.is_off(&flow("h", "shop", "start")));
        // And what was not begun is not ended, but may run again.
        assert!(apps.is_off(&step("f")));
        assert!(!apps.is_off(&flow("f", "shop", "start")) && !apps.is_off(&step("f")));
    }

    #[test]
    fn what_was_switched_here_holds_until_the_table_says_the_same() {
        let apps = Apps::new(true);
        let off = |apps: &Apps| apps.lock().is_off("ann", "shop");
        apps.note("ann", "shop", false);
        apps.lock().learn(HashSet::new());
        assert!(off(&apps));
        apps.lock().learn([("ann".to_owned(), "shop".to_owned())].into());
        assert!(off(&apps) && apps.lock().here.is_empty());
        apps.lock().learn(HashSet::new());
        assert!(!off(&apps));
    }

    #[test]
    fn so_many_flows_are_remembered_and_no_more() {
        let mut known = Known::default();
        for number in 0..=MOST_FLOWS {
            known.remember(&number.to_string());
        }
        assert_eq!((known.flows.len(), known.order.len()), (MOST_FLOWS, MOST_FLOWS));
        assert!(!known.flows.contains("0") && known.flows.contains("1"));
    }

    #[test]
    fn nothing_is_refused_unless_it_is_enforced() {
        let apps = Apps::new(false);
        apps.note("ann", "shop", false);
        assert!(!apps.is_off(&flow("f", "shop", "start")));
    }
}
