//! What came of a re-run.

use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

/// How the shown run of an instance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Flow instance.
    pub flow: String,
    /// Number of the run.
    pub run: i64,
    /// Whether it has ended.
    pub ended: bool,
    /// The runtime's own word.
    pub status: String,
}

/// How an instance stands; nothing while it is not stored.
pub async fn standing(client: &Client, flow: &str) -> Result<Option<Standing>, Error> {
    one(client, "flowinstanceid = $1", &[(&flow, Type::TEXT)]).await
}

/// Instances that are re-runs of another.
pub async fn reruns(client: &Client, original: &str) -> Result<Vec<String>, Error> {
    let sql =
        "SELECT flowinstanceid FROM flowstate WHERE rerunofflowinstanceid = $1 AND flowinstanceid <> $1";
    let rows = client.query_typed(sql, &[(&original, Type::TEXT)]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// How a re-run of an instance stands that is none of those that were `known`; nothing if there is none.
pub async fn another_rerun(
    client: &Client,
    original: &str,
    known: &[String],
) -> Result<Option<Standing>, Error> {
    let condition = "rerunofflowinstanceid = $1 AND flowinstanceid <> $1 AND flowinstanceid <> ALL ($2)";
    one(client, condition, &[(&original, Type::TEXT), (&known, Type::TEXT_ARRAY)]).await
}

async fn one(
    client: &Client,
    condition: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Option<Standing>, Error> {
    let sql = format!(
        "SELECT flowinstanceid, coalesce(run, 0) AS run, coalesce(phase, 2) = 2 AS ended, coalesce(status, '') AS status \
         FROM flowstate WHERE {condition} ORDER BY run DESC NULLS LAST LIMIT 1"
    );
    let row = client.query_typed_opt(&sql, parameters).await?;
    row.map(|row| {
        Ok(Standing {
            flow: row.try_get("flowinstanceid")?,
            run: row.try_get("run")?,
            ended: row.try_get("ended")?,
            status: row.try_get("status")?,
        })
    })
    .transpose()
}
