//! Rows of `flowstate` and `steps` for a comparison with another database that has both tables: in the order of their keys'
//! bytes, page by page, each database as of one moment.

use jiff::Timestamp;
use tokio_postgres::{
    Error, Row as Stored, Transaction,
    types::{ToSql, Type},
};

use super::Utc;
use crate::flogo::compare::{Payload, Row, Value};

/// Payloads up to so many bytes are read; of larger ones the digest is.
const MOST_BYTES: i32 = 64 << 10;

/// Ids that are read at once.
const IDS: u32 = 1_000;

/// Steps that are read at once: with their payloads they are below 32 MiB.
const STEPS: u32 = 400;

/// Which instances are compared, by their start.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Started at or after this.
    pub since: Timestamp,
    /// Started before this.
    pub until: Timestamp,
}

/// A database as of one moment.
#[expect(missing_debug_implementations, reason = "a transaction has none")]
pub struct Side<'a> {
    moment: Transaction<'a>,
    /// It has our own tables too.
    is_ours: bool,
}

impl<'a> Side<'a> {
    /// Our own tables, in a transaction that changes nothing.
    pub fn ours(moment: Transaction<'a>) -> Self {
        Self { moment, is_ours: true }
    }

    /// The tables of Flogo's state service, in a transaction that changes nothing.
    pub fn theirs(moment: Transaction<'a>) -> Self {
        Self { moment, is_ours: false }
    }

    /// Begins to read the ids of the window's instances. Once for each side.
    pub async fn open_ids(&self, window: Window) -> Result<(), Error> {
        let sql = "DECLARE ids NO SCROLL CURSOR FOR SELECT flowinstanceid FROM flowstate \
            WHERE starttime >= $1 AND starttime < $2 ORDER BY flowinstanceid COLLATE \"C\"";
        let (since, until) = (Utc(Some(window.since)), Utc(Some(window.until)));
        let bounds: [(&(dyn ToSql + Sync), Type); 2] = [(&since, Type::TIMESTAMP), (&until, Type::TIMESTAMP)];
        self.moment.query_typed(sql, &bounds).await.map(drop)
    }

    /// The next ids, ascending; none at the end.
    pub async fn next_ids(&self) -> Result<Vec<String>, Error> {
        let rows = self.moment.query_typed(&format!("FETCH {IDS} FROM ids"), &[]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// The rows of `flowstate` of these instances, by id.
    pub async fn flows(&self, ids: &[String]) -> Result<Vec<Row>, Error> {
        let earlier = "EXISTS (SELECT FROM ft_run r WHERE r.flowinstanceid = t.flowinstanceid)";
        let sql = format!(
            "SELECT flowinstanceid, {} AS earlier, {} FROM flowstate t WHERE flowinstanceid = ANY ($1) \
             ORDER BY flowinstanceid COLLATE \"C\"",
            self.if_ours(earlier),
            list(&FLOW)
        );
        let rows = self.moment.query_typed(&sql, &[(&ids, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(|stored| row(stored, None, &FLOW)).collect()
    }

    /// Begins to read the steps of these instances.
    pub async fn open_steps(&self, ids: &[String]) -> Result<(), Error> {
        let earlier = "EXISTS (SELECT FROM ft_superseded_step s WHERE s.flowinstanceid = t.flowinstanceid \
            AND s.stepid = t.stepid)";
        let sql = format!(
            "DECLARE steps NO SCROLL CURSOR FOR SELECT flowinstanceid, stepid, {} AS earlier, {} FROM steps t \
             WHERE flowinstanceid = ANY ($1) ORDER BY flowinstanceid COLLATE \"C\", stepid COLLATE \"C\"",
            self.if_ours(earlier),
            list(&STEP)
        );
        self.moment.query_typed(&sql, &[(&ids, Type::TEXT_ARRAY)]).await.map(drop)
    }

    /// The next steps, by instance and step id; none at the end.
    pub async fn next_steps(&self) -> Result<Vec<Row>, Error> {
        let rows = self.moment.query_typed(&format!("FETCH {STEPS} FROM steps"), &[]).await?;
        rows.iter().map(|stored| row(stored, Some(stored.try_get("stepid")?), &STEP)).collect()
    }

    /// Ends what [`Side::open_steps`] began.
    pub async fn close_steps(&self) -> Result<(), Error> {
        self.moment.query_typed("CLOSE steps", &[]).await.map(drop)
    }

    /// Whether the instance was deleted. Ours only.
    pub async fn is_deleted(&self, flow: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT FROM ft_tombstone WHERE flowinstanceid = $1)";
        self.moment.query_typed_one(sql, &[(&flow, Type::TEXT)]).await?.try_get(0)
    }

    /// Whether an execution of the step is kept that does not show. Ours only.
    pub async fn is_superseded(&self, flow: &str, step: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT FROM ft_superseded_step WHERE flowinstanceid = $1 AND stepid = $2)";
        let key: [(&(dyn ToSql + Sync), Type); 2] = [(&flow, Type::TEXT), (&step, Type::TEXT)];
        self.moment.query_typed_one(sql, &key).await?.try_get(0)
    }

    fn if_ours(&self, condition: &'static str) -> &'static str {
        if self.is_ours { condition } else { "false" }
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Time,
    Number,
    Flag,
    Bytes,
}

const FLOW: [(&str, Kind); 16] = [
    ("userid", Kind::Text),
    ("appname", Kind::Text),
    ("appversion", Kind::Text),
    ("flowname", Kind::Text),
    ("hostid", Kind::Text),
    ("starttime", Kind::Time),
    ("endtime", Kind::Time),
    ("executiontime", Kind::Text),
    ("status", Kind::Text),
    ("parentflowinstanceid", Kind::Text),
    ("parentflowname", Kind::Text),
    ("misc", Kind::Bytes),
    ("rerunofflowinstanceid", Kind::Text),
    ("flowinput", Kind::Bytes),
    ("flowoutput", Kind::Bytes),
    ("reruncount", Kind::Number),
];

const STEP: [(&str, Kind); 10] = [
    ("taskname", Kind::Text),
    ("status", Kind::Text),
    ("starttime", Kind::Time),
    ("endtime", Kind::Time),
    ("stepdata", Kind::Bytes),
    ("flowname", Kind::Text),
    ("subflowid", Kind::Text),
    ("misc", Kind::Bytes),
    ("rerun", Kind::Flag),
    ("parentstepid", Kind::Text),
];

/// The columns as they are selected; of bytes also their number and their digest.
fn list(columns: &[(&str, Kind)]) -> String {
    let selected = columns.iter().map(|(name, kind)| match kind {
        Kind::Bytes => format!(
            "octet_length({name})::bigint AS {name}_length, sha256({name}) AS {name}_sha256, \
             CASE WHEN octet_length({name}) <= {MOST_BYTES} THEN {name} END AS {name}"
        ),
        _ => (*name).to_owned(),
    });
    selected.collect::<Vec<_>>().join(", ")
}

fn row(stored: &Stored, step: Option<String>, columns: &[(&'static str, Kind)]) -> Result<Row, Error> {
    let columns = columns.iter().map(|(name, kind)| Ok((*name, value(stored, name, *kind)?)));
    Ok(Row {
        flow: stored.try_get("flowinstanceid")?,
        step,
        has_earlier: stored.try_get("earlier")?,
        columns: columns.collect::<Result<_, Error>>()?,
    })
}

fn value(stored: &Stored, name: &str, kind: Kind) -> Result<Value, Error> {
    let value = match kind {
        Kind::Text => stored.try_get::<_, Option<String>>(name)?.map(Value::Text),
        Kind::Number => stored.try_get::<_, Option<i32>>(name)?.map(|number| Value::Number(number.into())),
        Kind::Flag => stored.try_get::<_, Option<bool>>(name)?.map(Value::Flag),
        // What can't be told, as infinity can't, lies beyond all that can.
        Kind::Time => stored
            .try_get::<_, Option<Utc>>(name)?
            .map(|Utc(time)| Value::Time(time.map_or(i64::MAX, Timestamp::as_microsecond))),
        Kind::Bytes => {
            let length: Option<i64> = stored.try_get(format!("{name}_length").as_str())?;
            let payload = |length| {
                let sha256 = stored.try_get::<_, Option<Vec<u8>>>(format!("{name}_sha256").as_str())?;
                let bytes = stored.try_get(name)?;
                Ok(Value::Bytes(Payload { length, sha256: sha256.unwrap_or_default(), bytes }))
            };
            length.map(payload).transpose()?
        }
    };
    Ok(value.unwrap_or(Value::Null))
}
