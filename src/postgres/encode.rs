//! The bytes of a fold's rows without a server to send them to: what encoding takes is measured by itself.

use bytes::Bytes;

use super::{
    copy::Encoder,
    stage::{run_fields, step_fields},
};
use crate::{
    model::FlowId,
    pipeline::merge::{FlowFold, Fold},
};

/// Encodes a fold of which nothing is stored as its rows go to Postgres: a binary `COPY` of `steps`, then one of
/// `flowstate`, in chunks, with the columns of `straight.rs`.
pub fn encode(fold: &Fold, mut send: impl FnMut(Bytes)) {
    let mut flows: Vec<(&FlowId, &FlowFold)> = fold.flows.iter().collect();
    flows.sort_unstable_by_key(|(flow, _)| *flow);
    let mut to = Encoder::new();
    for (flow, fold) in &flows {
        for ((step, execution), row) in &fold.steps {
            to.begin_row(17).into_iter().for_each(&mut send);
            to.text(Some(flow.as_str()));
            to.text(Some(step.as_str()));
            to.int8(*execution);
            step_fields(&mut to, row);
        }
    }
    send(to.finish());
    let mut to = Encoder::new();
    for (flow, fold) in &flows {
        for (run, row) in &fold.runs {
            to.begin_row(20).into_iter().for_each(&mut send);
            to.text(Some(flow.as_str()));
            to.int8(*run);
            to.int4(0);
            let time = row.start.zip(row.end).map(|(start, end)| start.millis_until(end));
            to.text(time.as_deref());
            run_fields(&mut to, row);
        }
    }
    send(to.finish());
}
