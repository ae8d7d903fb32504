//! Flow instances of one user's app.

use tokio_postgres::{Row, Transaction, types::Type};

use super::{ReadError, bounded, condition::Condition, text, time};
use crate::flogo::answer::Instance;

/// A list holds at most so many instances, and so many names.
pub const MOST_INSTANCES: i64 = 10_000;

/// Which instances are wanted; what is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// User who ran them.
    pub user: String,
    /// App that holds the flow.
    pub app: Option<String>,
    /// Version of that app.
    pub version: Option<String>,
    /// Host they ran on.
    pub host: Option<String>,
    /// Flow name.
    pub flow: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// This instance and its re-runs.
    pub instance: Option<String>,
    /// Started no longer ago than this: an interval in Postgres's words.
    pub interval: Option<String>,
    /// Started at or after the first and at or before the second: times in Postgres's words, UTC where they name no zone.
    pub between: Option<(String, String)>,
}

impl Wanted {
    fn condition(&self) -> Condition<'_> {
        let mut all = Condition::new("userid = ?", &self.user, Type::TEXT);
        all.and("appname = ?", self.app.as_ref(), Type::TEXT);
        all.and("appversion = ?", self.version.as_ref(), Type::TEXT);
        all.and("hostid = ?", self.host.as_ref(), Type::TEXT);
        all.and("flowname = ?", self.flow.as_ref(), Type::TEXT);
        all.and("status = ?", self.status.as_ref(), Type::TEXT);
        all.and("(flowinstanceid = ? OR rerunofflowinstanceid = ?)", self.instance.as_ref(), Type::TEXT);
        let since = "starttime >= (now() AT TIME ZONE 'UTC') - ?::text::interval";
        all.and(since, self.interval.as_ref(), Type::TEXT);
        let (from, to) =
            (self.between.as_ref().map(|(from, _)| from), self.between.as_ref().map(|(_, to)| to));
        all.and("starttime >= (?::text::timestamptz AT TIME ZONE 'UTC')", from, Type::TEXT);
        all.and("starttime <= (?::text::timestamptz AT TIME ZONE 'UTC')", to, Type::TEXT);
        all
    }
}

/// How many there are.
pub async fn count(moment: &Transaction<'_>, wanted: &Wanted) -> Result<i64, ReadError> {
    let condition = wanted.condition();
    let sql = condition.behind("SELECT count(*) FROM flowstate");
    Ok(moment.query_typed_one(&sql, condition.bound()).await?.try_get(0)?)
}

/// At most `limit` of them after the first `offset`, by start, the newest first; without their inputs.
pub async fn list(
    moment: &Transaction<'_>,
    wanted: &Wanted,
    offset: i64,
    limit: i64,
) -> Result<Vec<Instance>, ReadError> {
    let limit = limit.min(MOST_INSTANCES);
    let mut condition = wanted.condition();
    condition.then(" ORDER BY starttime DESC, flowinstanceid DESC OFFSET ?", &offset, Type::INT8);
    condition.then(" LIMIT ?", &limit, Type::INT8);
    let sql = condition.behind(
        "SELECT flowinstanceid, flowname, status, hostid, starttime, endtime, executiontime, reruncount, \
         rerunofflowinstanceid, NULL::bytea AS flowinput FROM flowstate",
    );
    bounded(moment, &sql, condition.bound()).await?.iter().map(read).collect()
}

/// One instance with its input, if it is wanted.
pub async fn instance(
    moment: &Transaction<'_>,
    id: &str,
    wanted: &Wanted,
) -> Result<Option<Instance>, ReadError> {
    let mut condition = wanted.condition();
    condition.then(" AND flowinstanceid = ?", &id, Type::TEXT);
    let sql = condition.behind(
        "SELECT flowinstanceid, flowname, status, hostid, starttime, endtime, executiontime, reruncount, \
         rerunofflowinstanceid, flowinput FROM flowstate",
    );
    moment.query_typed_opt(&sql, condition.bound()).await?.as_ref().map(read).transpose()
}

/// The status of an instance, in the runtime's own word; nothing where there is no such instance.
pub async fn status(moment: &Transaction<'_>, id: &str) -> Result<Option<String>, ReadError> {
    const SQL: &str = "SELECT COALESCE(status, '') FROM flowstate WHERE flowinstanceid = $1";
    let row = moment.query_typed_opt(SQL, &[(&id, Type::TEXT)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Names of flows, each once, by their bytes.
pub async fn flow_names(moment: &Transaction<'_>, wanted: &Wanted) -> Result<Vec<String>, ReadError> {
    names(moment, wanted, "flowname").await
}

/// Versions of apps, each once, by their bytes.
pub async fn app_versions(moment: &Transaction<'_>, wanted: &Wanted) -> Result<Vec<String>, ReadError> {
    names(moment, wanted, "appversion").await
}

async fn names(
    moment: &Transaction<'_>,
    wanted: &Wanted,
    column: &'static str,
) -> Result<Vec<String>, ReadError> {
    let mut condition = wanted.condition();
    let order = format!(" AND {column} <> '' GROUP BY 1 ORDER BY 1 LIMIT ?");
    condition.then(&order, &MOST_INSTANCES, Type::INT8);
    let sql = condition.behind(&format!("SELECT {column} COLLATE \"C\" FROM flowstate"));
    let rows = bounded(moment, &sql, condition.bound()).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn read(row: &Row) -> Result<Instance, ReadError> {
    Ok(Instance {
        id: row.try_get("flowinstanceid")?,
        flow: text(row, "flowname")?,
        status: text(row, "status")?,
        host: text(row, "hostid")?,
        started: time(row, "starttime")?,
        ended: time(row, "endtime")?,
        execution_time: text(row, "executiontime")?,
        rerun_count: row.try_get::<_, Option<i32>>("reruncount")?.unwrap_or(0),
        original: text(row, "rerunofflowinstanceid")?,
        input: row.try_get("flowinput")?,
    })
}
