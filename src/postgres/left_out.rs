//! Flows that retention would remove as soon as they have ended, and of which nothing is stored: they leave their mark and
//! no row.

use tokio_postgres::Error;

use super::session::Session;
use crate::{model::FlowId, pipeline::merge::FlowFold};

/// As retention marks what it removes; a deletion that a runtime said stays what it is.
const PUT: &str = "INSERT INTO ft_tombstone AS t (flowinstanceid, before, removedat) \
    SELECT u.*, now() FROM unnest($1::text[], $2::bigint[]) AS u(flow, before) \
    ON CONFLICT (flowinstanceid) DO UPDATE SET before = GREATEST(t.before, excluded.before), removedat = excluded.removedat \
    WHERE t.before IS NOT NULL";

/// Writes the marks of flows, which come sorted by id, in the transaction that is open.
///
/// That is done beside other lanes. Where events of one flow lie in several partitions, another lane may store rows of it at
/// this very moment; retention's next run looks for such rows.
pub(super) async fn put<'a>(
    session: &Session,
    flows: impl Iterator<Item = (&'a FlowId, &'a FlowFold)>,
) -> Result<(), Error> {
    let (ids, marks): (Vec<&str>, Vec<i64>) = flows.map(|(flow, fold)| (flow.as_str(), above(fold))).unzip();
    if !ids.is_empty() {
        session.execute(PUT, &[&ids, &marks]).await?;
    }
    Ok(())
}

/// The least number above all runs and executions.
fn above(fold: &FlowFold) -> i64 {
    let greatest = fold.runs.keys().copied().chain(fold.steps.keys().map(|(_, execution)| *execution)).max();
    greatest.unwrap_or(0).max(0).saturating_add(1)
}
