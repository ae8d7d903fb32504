//! Dead letters: what could not become rows, and why.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{
    Error, GenericClient, Row,
    types::{ToSql, Type},
};
use utoipa::ToSchema;

use super::Utc;
use crate::pipeline::decode::foreign::{Foreign, SOURCE_HEADER};

/// Which dead letters are wanted; what is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// These numbers.
    pub ids: Option<Vec<i64>>,
    /// Any of these reasons.
    pub reasons: Option<Vec<String>>,
    /// This topic.
    pub topic: Option<String>,
    /// Kept at or after this.
    pub since: Option<Timestamp>,
    /// Kept before this.
    pub until: Option<Timestamp>,
}

/// A dead letter without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LetterSummary {
    /// Number to name it by.
    pub id: i64,
    /// When it was kept.
    pub kept_at: Option<Timestamp>,
    /// Why, as `flowtrail_dead_letters_total{reason}` counts it.
    pub reason: String,
    /// SQLSTATE, where Postgres refused it.
    pub sqlstate: Option<String>,
    /// Why, in a sentence.
    pub detail: Option<String>,
    /// Topic it came from.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Timestamp of the record.
    pub time: Option<Timestamp>,
    /// Size of the value in bytes.
    pub bytes: Option<i32>,
    /// Group that met it first.
    pub group: String,
}

/// A dead letter as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// All but the record itself.
    pub summary: LetterSummary,
    /// Key of the record.
    pub key: Option<Vec<u8>>,
    /// Value of the record.
    pub payload: Option<Vec<u8>>,
    /// Headers in order: `[{"key": text, "value": base64 or null}]`.
    pub headers: Option<serde_json::Value>,
}

const SUMMARY: &str = "id, keptat, reason, sqlstate, detail, topic, partition, recordoffset, recordtime, \
    octet_length(payload) AS bytes, consumergroup";

const WHERE: &str = "($1::bigint[] IS NULL OR id = ANY ($1)) AND ($2::text[] IS NULL OR reason = ANY ($2)) \
    AND ($3::text IS NULL OR topic = $3) AND ($4::timestamptz IS NULL OR keptat >= $4) \
    AND ($5::timestamptz IS NULL OR keptat < $5)";

impl LetterSummary {
    fn of(row: &Row) -> Result<Self, Error> {
        let time: Option<i64> = row.try_get("recordtime")?;
        Ok(Self {
            id: row.try_get("id")?,
            kept_at: super::time(row, "keptat")?,
            reason: row.try_get("reason")?,
            sqlstate: row.try_get("sqlstate")?,
            detail: row.try_get("detail")?,
            topic: row.try_get("topic")?,
            partition: row.try_get("partition")?,
            offset: row.try_get("recordoffset")?,
            time: time.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            bytes: row.try_get("bytes")?,
            group: row.try_get("consumergroup")?,
        })
    }
}

impl Letter {
    /// A header's value; of several the last.
    pub(crate) fn header(&self, name: &str) -> Option<Bytes> {
        let headers = self.headers.as_ref()?.as_array()?;
        let named =
            headers.iter().rev().find(|header| header.get("key").and_then(Value::as_str) == Some(name))?;
        STANDARD.decode(named.get("value")?.as_str()?).ok().map(Bytes::from)
    }

    /// The value in the contract's words.
    pub(crate) fn message(&self, foreign: &Foreign) -> Option<Bytes> {
        let payload = self.payload.as_ref().map(|payload| Bytes::copy_from_slice(payload));
        foreign.contract(payload, || self.header(SOURCE_HEADER))
    }

    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            summary: LetterSummary::of(row)?,
            key: row.try_get("recordkey")?,
            payload: row.try_get("payload")?,
            headers: row.try_get("headers")?,
        })
    }
}

async fn query(
    client: &impl GenericClient,
    sql: &str,
    filter: &LetterFilter,
    more: [i64; 2],
) -> Result<Vec<Row>, Error> {
    let (since, until) = (Utc(filter.since), Utc(filter.until));
    let parameters: [(&(dyn ToSql + Sync), Type); 7] = [
        (&filter.ids, Type::INT8_ARRAY),
        (&filter.reasons, Type::TEXT_ARRAY),
        (&filter.topic, Type::TEXT),
        (&since, Type::TIMESTAMPTZ),
        (&until, Type::TIMESTAMPTZ),
        (&more[0], Type::INT8),
        (&more[1], Type::INT8),
    ];
    client.query_typed(sql, &parameters).await
}

/// At most `limit` dead letters with a number below `before`, the newest first.
pub async fn letters(
    client: &impl GenericClient,
    filter: &LetterFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<LetterSummary>, Error> {
    let sql =
        format!("SELECT {SUMMARY} FROM ft_dead_letter WHERE {WHERE} AND id < $6 ORDER BY id DESC LIMIT $7");
    let more = [before.unwrap_or(i64::MAX), i64::from(limit)];
    query(client, &sql, filter, more).await?.iter().map(LetterSummary::of).collect()
}

/// At most `limit` whole dead letters with a number above `after`, the oldest first.
pub async fn whole_letters(
    client: &impl GenericClient,
    filter: &LetterFilter,
    after: i64,
    limit: u32,
) -> Result<Vec<Letter>, Error> {
    let sql = format!(
        "SELECT {SUMMARY}, recordkey, payload, headers FROM ft_dead_letter WHERE {WHERE} AND id > $6 \
         ORDER BY id LIMIT $7"
    );
    query(client, &sql, filter, [after, i64::from(limit)]).await?.iter().map(Letter::of).collect()
}

/// How many there are of each reason, the most first.
pub async fn count_letters(
    client: &impl GenericClient,
    filter: &LetterFilter,
) -> Result<Vec<(String, i64)>, Error> {
    let sql = format!(
        "SELECT reason, count(*) FROM ft_dead_letter WHERE {WHERE} AND id > $6 AND id < $7 GROUP BY reason \
         ORDER BY 2 DESC, 1"
    );
    let rows = query(client, &sql, filter, [i64::MIN, i64::MAX]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
