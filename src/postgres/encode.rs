//! The bytes of a fold's rows without a server to send them to: what encoding takes is measured by itself.

use bytes::Bytes;

use super::{
    copy::Encoder,
    stage::{Run, Step, Stored, put_run, put_step},
    straight::counted,
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
    let stored = Stored::Nothing;
    let mut to = Encoder::new();
    for &(flow, fold) in &flows {
        for (key, row) in &fold.steps {
            to.begin_row(17).into_iter().for_each(&mut send);
            put_step(&mut to, &Step { flow, key, row, stored }, |_, _| ());
        }
    }
    send(to.finish());
    let mut to = Encoder::new();
    for &(flow, fold) in &flows {
        for (&number, row) in &fold.runs {
            to.begin_row(20).into_iter().for_each(&mut send);
            put_run(&mut to, &Run { flow, number, row, stored, named_by: 0 }, counted);
        }
    }
    send(to.finish());
}
