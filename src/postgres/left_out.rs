//! What is not stored of flows that retention would take away as soon as they have ended. A mark tells it from what was lost.

use tokio_postgres::Error;

use super::{
    marks::{mark_bare, mark_removed},
    session::Session,
};
use crate::{model::FlowId, pipeline::merge::FlowFold};

/// As retention marks what it removes.
const PUT_REMOVED: &str = mark_removed!("SELECT * FROM unnest($1::text[], $2::bigint[])");

/// Nobody looks whether variables of a flow are stored before it is left out.
const DROP_VARIABLES: &str = "DELETE FROM ft_variable v USING ft_tombstone d WHERE v.flowinstanceid = ANY ($1) \
    AND d.flowinstanceid = ANY (ARRAY[v.flowinstanceid]) AND v.run < d.before";

/// As retention marks flows whose payloads it has yet to take: its next run looks for what was stored of them before.
const PUT_BARE: &str = mark_bare!("SELECT * FROM unnest($1::text[], $2::bigint[])");

/// Writes the marks of flows of which no row is stored, but for variables, sorted by id, in the transaction that is open.
///
/// That is done beside other lanes. Where events of one flow lie in several partitions, another lane may store rows of it at
/// this very moment; retention's next run looks for such rows.
pub(super) async fn put_removed<'a>(
    session: &Session,
    flows: impl Iterator<Item = (&'a FlowId, &'a FlowFold)>,
) -> Result<(), Error> {
    let (ids, marks): (Vec<&str>, Vec<i64>) =
        flows.map(|(flow, fold)| (flow.as_str(), fold.number_above())).unzip();
    if !ids.is_empty() {
        session.execute_all(&[(PUT_REMOVED, &[&ids, &marks]), (DROP_VARIABLES, &[&ids])]).await?;
    }
    Ok(())
}

/// Writes the marks of flows that are stored without payloads, sorted by id, in the transaction that is open.
pub(super) async fn put_bare(session: &Session, flows: &[(FlowId, i64)]) -> Result<(), Error> {
    let (ids, below): (Vec<&str>, Vec<i64>) =
        flows.iter().map(|(flow, below)| (flow.as_str(), *below)).unzip();
    if !ids.is_empty() {
        session.execute(PUT_BARE, &[&ids, &below]).await?;
    }
    Ok(())
}
