//! All that is stored of one flow, to make its events of.

use tokio_postgres::{Transaction, types::Type};

use super::{
    flogo::{self, ReadError},
    statement::Statement,
};
use crate::{model::StepId, pipeline::merge::FlowTables, postgres::held};

/// Bytes of payloads that one flow may have to be read whole.
const MOST_BYTES: i64 = 64 << 20;

const SNAPSHOTS: &str = "SELECT stepid, hash, data FROM ft_snapshot WHERE flowinstanceid = $1";

/// Everything that is stored of a flow, its snapshots included; nothing where nothing is.
pub async fn stored_flow(moment: &Transaction<'_>, flow: &str) -> Result<Option<FlowTables>, ReadError> {
    if bytes(moment, flow).await? > MOST_BYTES {
        return Err(ReadError::TooLarge);
    }
    let Some((_, held)) = held::of_flows(moment, &[flow]).await?.into_iter().next() else { return Ok(None) };
    let mut tables = held.tables;
    if !tables.snapshots.is_empty() {
        // Their keys were read only.
        tables.snapshots.clear();
        for row in flogo::bounded(moment, SNAPSHOTS, &[(&flow, Type::TEXT)]).await? {
            let (step, hash): (&str, &[u8]) = (row.try_get("stepid")?, row.try_get("hash")?);
            let step = (!step.is_empty()).then(|| StepId::held(step.into()));
            let data: Vec<u8> = row.try_get("data")?;
            tables.snapshots.insert((step, hash.try_into().unwrap_or([0; 32])), data.into());
        }
    }
    Ok(Some(tables))
}

/// Bytes of what is stored of a flow; those of one that was posted twice count twice.
async fn bytes(moment: &Transaction<'_>, flow: &str) -> Result<i64, ReadError> {
    const OF_STEPS: &str = "COALESCE(sum(COALESCE(octet_length(stepdata), 0)::bigint + COALESCE(octet_length(input), 0) \
        + COALESCE(octet_length(output), 0) + COALESCE(octet_length(error), 0) + COALESCE(octet_length(misc), 0) + 500), 0)";
    // A sum of bigint is numeric.
    let mut statement = Statement::new("SELECT LEAST((SELECT ");
    statement.sql(OF_STEPS);
    statement.push(" FROM steps WHERE flowinstanceid = ?) + (SELECT ", flow, Type::TEXT);
    statement.sql(OF_STEPS);
    statement.push(" FROM ft_superseded_step WHERE flowinstanceid = ?)", flow, Type::TEXT);
    statement.push(
        " + COALESCE((SELECT sum(octet_length(data)) FROM ft_snapshot WHERE flowinstanceid = ?), 0)",
        flow,
        Type::TEXT,
    );
    statement.push(
        " + COALESCE((SELECT sum(COALESCE(octet_length(value), 0)::bigint + COALESCE(octet_length(misc), 0) + 200) \
         FROM ft_variable WHERE flowinstanceid = ?), 0)",
        flow,
        Type::TEXT,
    );
    statement.sql(", 1::bigint << 40)::bigint AS bytes");
    let rows = statement.rows(moment).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.try_get("bytes"))?)
}
