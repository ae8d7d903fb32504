//! Which flows are wanted, where they are not named: by app and status, or because the tables lack something of them.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::{ReplayError, Selection, filter::Filter, reading::Reading};
use crate::{
    config::Config,
    kafka::block::Block,
    model::Event,
    pipeline::decode::decode,
    verify::{self, Difference},
};

/// As many flows can be chosen from: their ids are kept in memory, about 100 MB of them.
pub const MOST_FLOWS: usize = 1_000_000;

/// Bytes of records that a comparison keeps in memory.
pub(super) const COMPARED_IN_MEMORY: usize = 64 << 20;

/// Flows of the slice, those that were named already if any were, of which some record names this app, and some this
/// status. Blocks.
pub(super) fn by_reading(
    reading: &Reading,
    app: Option<&str>,
    status: Option<&str>,
) -> Result<HashSet<String>, ReplayError> {
    let mut choice = Choice { app, status, found: HashMap::new() };
    let (mut block, limit) = (Block::default(), reading.filter.max_payload_bytes);
    let mut is_too_many = false;
    reading.read(|_, record, is_wanted| {
        if is_wanted {
            let [key, payload] = reading.filter.foreign.copied(&mut block, record);
            // What can't be decoded speaks of no flow.
            if let Ok(decoded) = decode(key.as_deref(), payload.as_ref(), limit, None) {
                decoded.events.iter().for_each(|event| choice.note(event));
            }
        }
        is_too_many = choice.found.len() > MOST_FLOWS;
        if is_too_many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if is_too_many { Err(ReplayError::TooManyFlows) } else { Ok(choice.flows()) }
}

/// Flows that say what is asked for, or some of it.
#[derive(Debug)]
struct Choice<'a> {
    app: Option<&'a str>,
    status: Option<&'a str>,
    /// By flow: whether it names the app, and tells the status.
    found: HashMap<String, [bool; 2]>,
}

impl Choice<'_> {
    fn note(&mut self, event: &Event) {
        let said = match event {
            Event::Flow { row, .. } => [
                self.app.is_some_and(|app| row.app.as_deref() == Some(app)),
                self.status.is_some_and(|asked| {
                    row.status.as_ref().is_some_and(|said| said.eq_ignore_ascii_case(asked))
                }),
            ],
            _ => [false; 2],
        };
        let is_of_use = said != [false; 2] || (self.app.is_none() && self.status.is_none());
        let Some(flow) = event.flow().filter(|_| is_of_use) else { return };
        let known = match self.found.get_mut(flow.as_str()) {
            Some(known) => known,
            None => self.found.entry(flow.as_str().to_owned()).or_default(),
        };
        for (known, said) in known.iter_mut().zip(said) {
            *known |= said;
        }
    }

    fn flows(self) -> HashSet<String> {
        let (any_app, any_status) = (self.app.is_none(), self.status.is_none());
        let is_wanted = |[app, status]: [bool; 2]| (any_app || app) && (any_status || status);
        self.found.into_iter().filter(|(_, said)| is_wanted(*said)).map(|(flow, _)| flow).collect()
    }
}

/// What the tables lack of the slice, as far as the configured group has stored it: a filter that takes all that it takes
/// to store it.
pub(super) async fn missing(
    config: &Config,
    selection: &Selection,
    before: Filter,
    stop: &CancellationToken,
) -> Result<Filter, ReplayError> {
    let options = verify::Options {
        wanted: selection.wanted.clone(),
        flows: before.flows.clone(),
        with_lag: false,
        only_unstored: true,
        memory: COMPARED_IN_MEMORY,
        spill_folder: selection.spill_folder.clone(),
    };
    let mut filter = Filter { flows: None, ..before };
    let (mut flows, mut is_too_many) = (HashSet::new(), false);
    let found = |Difference { of, row, .. }: Difference| {
        let kept = match row.table {
            "ft_dead_letter" => &mut filter.letters,
            "appstate" => &mut filter.apps,
            _ => &mut flows,
        };
        if kept.len() < MOST_FLOWS {
            kept.insert(of);
        } else {
            is_too_many |= !kept.contains(&of);
        }
    };
    let comparing = Box::pin(verify::verify(config, options, Arc::default(), found));
    stop.run_until_cancelled(comparing).await.ok_or(ReplayError::Stopped)??;
    if is_too_many {
        return Err(ReplayError::TooManyFlows);
    }
    filter.flows = Some(flows);
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        model::FlowId,
        proto::v1::{FlowEvent, HistoryEvent, history_event},
    };

    fn flow(id: &str, app: &str, status: &str) -> Event {
        let flow = FlowEvent {
            flow_instance_id: id.into(),
            app_name: app.into(),
            status_word: status.into(),
            ..FlowEvent::default()
        };
        let event = HistoryEvent { event: Some(history_event::Event::Flow(flow)) };
        decode(None, Some(&event.encode_to_vec().into()), 1 << 20, None).unwrap().events.remove(0)
    }

    fn chosen(app: Option<&str>, status: Option<&str>) -> Vec<String> {
        let mut choice = Choice { app, status, found: HashMap::new() };
        for event in [
            flow("a", "shop", "Started"),
            flow("a", "", "Failed"),
            flow("b", "lab", "Failed"),
            flow("c", "shop", "Completed"),
            Event::Rewind { flow: FlowId::new("d".into()), from: None, before: 1 },
        ] {
            choice.note(&event);
        }
        let mut flows: Vec<String> = choice.flows().into_iter().collect();
        flows.sort();
        flows
    }

    #[test]
    fn app_and_status_may_be_told_by_different_records_of_a_flow() {
        assert_eq!(chosen(Some("shop"), None), ["a", "c"]);
        assert_eq!(chosen(None, Some("failed")), ["a", "b"]);
        assert_eq!(chosen(Some("shop"), Some("FAILED")), ["a"]);
        assert_eq!(chosen(Some("nobody"), None), Vec::<String>::new());
        assert_eq!(chosen(None, None), ["a", "b", "c", "d"]);
    }
}
