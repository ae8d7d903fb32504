//! `ft_snapshot`: states of instances before a step.

use tokio_postgres::Error;

use super::session::Session;
use crate::{
    model::{FlowId, StepId},
    pipeline::merge::FlowFold,
};

/// Each distinct snapshot once; none of a flow that was deleted for ever.
const PUT: &str = "INSERT INTO ft_snapshot (flowinstanceid, stepid, hash, data) \
    SELECT u.* FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS u(flow, step, hash, data) \
    WHERE (SELECT true FROM ft_tombstone d WHERE d.flowinstanceid = u.flow AND d.before IS NULL LIMIT 1) IS NULL \
    ON CONFLICT DO NOTHING";

/// Writes the snapshots of flows in the transaction that is open.
pub(super) async fn put<'a>(
    session: &Session,
    flows: impl Iterator<Item = (&'a FlowId, &'a FlowFold)>,
) -> Result<(), Error> {
    let (mut ids, mut steps, mut hashes, mut data) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (flow, fold) in flows {
        for ((step, hash), bytes) in &fold.snapshots {
            ids.push(flow.as_str());
            steps.push(step.as_ref().map_or("", StepId::as_str));
            hashes.push(hash.as_slice());
            data.push(&bytes[..]);
        }
    }
    if !ids.is_empty() {
        session.execute(PUT, &[&ids, &steps, &hashes, &data]).await?;
    }
    Ok(())
}
