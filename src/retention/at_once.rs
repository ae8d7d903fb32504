//! Flows that go, or lose their payloads, as soon as they have ended. Pure.
//!
//! A run of retention would take away what was just stored. Collectors do not store it in the first place: they leave out a
//! flow that a batch has whole, and the payloads of one that ends in a batch. What that does not reach, such as a flow of
//! which a part was stored before, goes with the next run.

use super::{Fate, Policies, PolicyError, Traits};
use crate::{
    config,
    model::{FlowId, Phase},
    pipeline::merge::{FlowFold, Fold},
    postgres::AtOnce,
};

/// Decides what of a batch is not stored.
#[derive(Debug)]
pub struct Sparing(Policies);

impl Sparing {
    /// By the policies of a configuration; `None` where none takes anything at once.
    pub fn compile(retention: &config::Retention) -> Result<Option<Self>, PolicyError> {
        let policies = Policies::compile(&retention.policies)?;
        Ok(policies.take_at_once().then_some(Self(policies)))
    }

    /// Takes payloads out of a batch, and says which flows are to be marked for that, and which are to be left out.
    pub fn apply(&self, fold: &mut Fold) -> AtOnce {
        let mut at_once = AtOnce::default();
        for (id, flow) in &mut fold.flows {
            match self.fate(id, flow) {
                Fate::Stays => {}
                Fate::Goes => drop(at_once.left_out.insert(id.clone())),
                Fate::LosesPayloads => {
                    let below = flow.number_above();
                    *flow = std::mem::take(flow).without_payloads_below(below);
                    // As retention leaves them: their hashes stay, so that one that comes again finds its place taken.
                    flow.snapshots.values_mut().for_each(bytes::Bytes::clear);
                    at_once.bare.push((id.clone(), below));
                }
            }
        }
        at_once.bare.sort_unstable();
        at_once
    }

    /// Re-runs and what else depends on other rows are left to retention's runs.
    fn fate(&self, id: &FlowId, flow: &FlowFold) -> Fate {
        let mut runs = flow.runs.values();
        let (Some(run), None) = (runs.next(), runs.next()) else { return Fate::Stays };
        if run.phase != Phase::Closed || run.start.is_none() || flow.reaches_beyond_its_keys() {
            return Fate::Stays;
        }
        self.0.fate_at_once(&Traits {
            id: id.as_str(),
            app: run.app.as_deref(),
            flow: run.name.as_deref(),
            status: run.status.as_deref(),
            finished: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use pbjson_types::Timestamp;
    use prost::Message as _;

    use super::*;
    use crate::{
        config::{Environment, Flags, load},
        pipeline::{decode::decode, merge::Tombstone},
        proto::v1::{self as wire, FlowEvent, FlowStatus, HistoryEvent, StepEvent},
    };

    const POLICIES: &str = r#"[{"name":"failures","statuses":["failed"],"age":"90d"},
        {"name":"tiny","app":"tiny","age":"90d","payloads_after":"0s"},
        {"name":"sampled","app":"busy","age":"0s","keep":"25%"},{"name":"rest","age":"14d"}]"#;

    fn sparing(json: &str) -> Option<Sparing> {
        let environment: Environment =
            [("FLOWTRAIL_RETENTION__POLICIES".into(), json.into())].into_iter().collect();
        let loaded = load(&Flags::default(), &environment, std::path::Path::new("/nowhere")).unwrap();
        Sparing::compile(&loaded.config.retention).unwrap()
    }

    /// What is said of a flow that ran from 5 to 9 µs, with a step that began at 6.
    fn flow(id: &str, app: &str, status: FlowStatus) -> Fold {
        let at = |micros: i32| Some(Timestamp { seconds: 0, nanos: micros * 1_000 });
        let step = StepEvent {
            flow_instance_id: id.to_owned(),
            step_id: "1".to_owned(),
            execution: 6,
            phase: wire::Phase::Closed.into(),
            started_at: at(6),
            input: "{}".into(),
            error: "why".into(),
            ..StepEvent::default()
        };
        let flow = FlowEvent {
            flow_instance_id: id.to_owned(),
            run: 5,
            phase: wire::Phase::Closed.into(),
            status: status.into(),
            app_name: app.to_owned(),
            started_at: at(5),
            ended_at: at(9),
            input: "{}".into(),
            ..FlowEvent::default()
        };
        let mut fold = Fold::default();
        for event in [wire::history_event::Event::Step(step), wire::history_event::Event::Flow(flow)] {
            let value = HistoryEvent { event: Some(event) }.encode_to_vec();
            fold.extend(decode(None, Some(&value.into()), 1 << 20, None).unwrap().events);
        }
        fold
    }

    fn applied(fold: &mut Fold) -> AtOnce {
        sparing(POLICIES).unwrap().apply(fold)
    }

    #[test]
    fn policies_that_take_nothing_at_once_cost_nothing() {
        assert!(sparing(r#"[{"name":"rest","age":"14d","payloads_after":"1d"}]"#).is_none());
        assert!(sparing("[]").is_none());
    }

    #[test]
    fn of_a_sample_those_that_are_not_in_it_are_left_out_and_failures_never() {
        let kept = |status| {
            (0..1_000).filter(move |number| {
                let id = format!("flow-{number}");
                !applied(&mut flow(&id, "busy", status)).left_out.contains(id.as_str())
            })
        };
        let sample = kept(FlowStatus::Completed).count();
        assert!((200..300).contains(&sample), "{sample} of 1000 are kept");
        assert!(kept(FlowStatus::Completed).eq(kept(FlowStatus::Cancelled)), "the id alone decides");
        assert_eq!(kept(FlowStatus::Failed).count(), 1_000);
        assert_eq!(applied(&mut flow("a", "other", FlowStatus::Completed)), AtOnce::default());
    }

    #[test]
    fn payloads_go_but_why_something_failed_and_the_mark_is_above_what_may_still_come_of_the_run() {
        let mut fold = flow("a", "tiny", FlowStatus::Completed);
        let at_once = applied(&mut fold);
        assert_eq!(
            at_once.bare,
            [(FlowId::held("a".into()), 10)],
            "a step that begins at 9 belongs to the run"
        );
        assert!(at_once.left_out.is_empty());
        let flow = &fold.flows["a"];
        assert!(!flow.has_payloads_below(i64::MAX));
        assert!(flow.steps.values().all(|step| step.error.is_some()));
    }

    #[test]
    fn what_has_not_ended_or_depends_on_other_rows_is_stored() {
        let sparing = sparing(r#"[{"name":"all","age":"0s","unfinished":true}]"#).unwrap();
        let whole = flow("a", "x", FlowStatus::Completed);
        assert_eq!(sparing.apply(&mut whole.clone()).left_out.len(), 1);
        let changes: [fn(&mut FlowFold); 4] = [
            |flow| flow.runs.values_mut().for_each(|run| run.phase = Phase::Running),
            |flow| flow.runs.values_mut().for_each(|run| run.start = None),
            |flow| flow.runs.clear(),
            |flow| flow.tombstone = Some(Tombstone::Before(1)),
        ];
        for change in changes {
            let mut fold = whole.clone();
            fold.flows.values_mut().for_each(change);
            assert_eq!(sparing.apply(&mut fold), AtOnce::default());
        }
    }
}
