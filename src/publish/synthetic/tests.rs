use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use crate::proto::v1::{FlowEvent, FlowStatus, Phase, StepEvent, StepStatus, history_event::Event};

fn events(options: &SyntheticOptions, count: usize) -> Vec<Event> {
    Synthetic::new(options.clone()).take(count).map(|record| record.event.event.unwrap()).collect()
}

fn steps(events: &[Event]) -> impl Iterator<Item = &StepEvent> {
    events.iter().filter_map(|event| if let Event::Step(step) = event { Some(step) } else { None })
}

fn flows(events: &[Event]) -> impl Iterator<Item = &FlowEvent> {
    events.iter().filter_map(|event| if let Event::Flow(flow) = event { Some(flow) } else { None })
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_other_ids() {
    let of = |seed| {
        Synthetic::new(SyntheticOptions { seed, ..Default::default() }).take(5_000).collect::<Vec<_>>()
    };
    assert_eq!(of(7), of(7));
    let ids = |seed| of(seed).into_iter().map(|record| record.key).collect::<BTreeSet<_>>();
    assert!(ids(7).is_disjoint(&ids(8)));
    assert!(ids(7).iter().all(|id| id.starts_with("0000000000000007") && id.len() == 32));
}

#[test]
fn every_step_is_opened_and_then_closed_a_few_events_and_milliseconds_later() {
    let events = events(&SyntheticOptions::default(), 20_000);
    let mut open = HashMap::new();
    let (mut apart, mut closed) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let Event::Step(step) = event else { continue };
        let key = (&step.flow_instance_id, &step.step_id, step.execution);
        if step.phase() == Phase::Opened {
            assert_eq!(step.status(), StepStatus::Started);
            assert!(open.insert(key, at).is_none());
        } else {
            apart += at - open.remove(&key).unwrap();
            closed += 1;
            let (start, end) = (step.started_at.unwrap(), step.ended_at.unwrap());
            let took = (end.seconds - start.seconds) * 1_000_000 + i64::from(end.nanos - start.nanos) / 1_000;
            assert!((1_500..=4_500).contains(&took), "{took} µs");
        }
    }
    assert!(open.len() <= 8, "what is left open is in flight");
    assert!((4..12).contains(&(apart / closed)), "{} events apart", apart / closed);
}

#[test]
fn event_times_never_go_back() {
    let at = |event: &Event| match event {
        Event::Flow(f) => f.ended_at.or(f.started_at),
        Event::Step(s) => s.ended_at.or(s.started_at),
        _ => None,
    };
    let events = events(&SyntheticOptions::default(), 5_000);
    let times: Vec<_> = events.iter().filter_map(at).map(|t| (t.seconds, t.nanos)).collect();
    assert!(times.is_sorted());
}

#[test]
fn a_flow_that_fails_has_a_failed_last_step_with_an_error() {
    let options = SyntheticOptions { failed_percent: 30.0, rerun_percent: 0.0, ..Default::default() };
    let events = events(&options, 50_000);
    let failed: BTreeSet<&str> = flows(&events)
        .filter(|f| f.status() == FlowStatus::Failed)
        .map(|f| f.flow_instance_id.as_str())
        .collect();
    let ended = flows(&events).filter(|f| f.phase() == Phase::Closed).count();
    assert!((20..40).contains(&(failed.len() * 100 / ended)));
    let mut last = BTreeMap::new();
    for step in steps(&events).filter(|s| s.phase() == Phase::Closed) {
        last.insert(step.flow_instance_id.as_str(), step);
    }
    for flow in failed {
        assert_eq!(last[flow].status(), StepStatus::Failed);
        assert!(!last[flow].error.is_empty());
    }
}

#[test]
fn a_re_run_is_later_than_all_before_it_or_names_its_original() {
    let options = SyntheticOptions { rerun_percent: 20.0, ..Default::default() };
    let events = events(&options, 100_000);
    let mut seen: HashMap<&str, i64> = HashMap::new();
    let mut rewound: HashMap<&str, i64> = HashMap::new();
    let (mut named, mut again) = (0, 0);
    for event in &events {
        match event {
            Event::Rewind(r) => {
                again += 1;
                assert_eq!(r.before, seen[r.flow_instance_id.as_str()] + 1);
                rewound.insert(&r.flow_instance_id, r.before);
            }
            Event::Flow(f) if f.phase() == Phase::Opened => {
                assert!(rewound.get(f.flow_instance_id.as_str()).is_none_or(|before| f.run >= *before));
                if !f.rerun_of_flow_instance_id.is_empty() {
                    named += 1;
                    assert!(seen.contains_key(f.rerun_of_flow_instance_id.as_str()));
                }
            }
            Event::Step(s) => {
                let greatest = seen.entry(&s.flow_instance_id).or_insert(s.execution);
                assert!(s.execution >= *greatest);
                *greatest = s.execution;
                assert_eq!(s.rerun, rewound.contains_key(s.flow_instance_id.as_str()));
            }
            _ => {}
        }
    }
    assert!(named > 200 && again > 200, "{named} named, {again} again");
}

#[test]
fn payloads_are_json_of_the_size_asked_for() {
    for event in events(&SyntheticOptions { payload_bytes: 300, ..Default::default() }, 200) {
        let payload = match event {
            Event::Flow(f) if f.phase() == Phase::Closed => f.output,
            Event::Flow(f) => f.input,
            Event::Step(s) if s.phase() == Phase::Closed => s.data,
            Event::Step(s) => s.input,
            _ => continue,
        };
        assert_eq!(payload.len(), 300);
        serde_json::from_slice::<serde_json::Value>(&payload).unwrap();
    }
    let none = events(&SyntheticOptions { payload_bytes: 0, ..Default::default() }, 50);
    assert!(steps(&none).all(|s| s.data.is_empty() && s.input.is_empty()));
}

#[test]
fn some_steps_belong_to_a_subflow() {
    let events = events(&SyntheticOptions::default(), 50_000);
    let inner = steps(&events).filter(|s| s.subflow_id == "1").count();
    assert!(inner > 200);
    assert!(steps(&events).all(|s| (s.subflow_id == "1") == (s.flow_name == "lookup")));
}

#[test]
fn paced_traffic_takes_as_long_in_event_time_as_it_will_on_the_clock() {
    for rate in [5, 500, 20_000] {
        let count = usize::try_from(rate).unwrap() * 4;
        let options = SyntheticOptions::default().paced(rate);
        let start = options.start.as_second();
        let last = events(&options, count).into_iter().rev().find_map(|event| match event {
            Event::Step(s) => s.ended_at.or(s.started_at),
            _ => None,
        });
        let took = last.unwrap().seconds - start;
        assert!((3..=5).contains(&took), "{count} events in {took} s at {rate}/s");
    }
}
