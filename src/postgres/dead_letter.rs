//! `ft_dead_letter`: messages that could not become rows.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use super::session::Session;
use crate::model::{Offset, Partition};

/// A message that could not become rows, or not as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The flow instances that it is of, as far as message or key say.
    pub flows: Vec<String>,
    /// Where it came from.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// Its timestamp in ms since 1970.
    pub time: Option<i64>,
    /// Its key.
    pub key: Option<Bytes>,
    /// What is kept of its value: all of it, or what redaction leaves.
    pub payload: Option<Bytes>,
    /// SHA-256 of what is kept of the value; where nothing is, of the value.
    pub hash: [u8; 32],
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Why, as `flowtrail_dead_letters_total{reason}` counts it.
    pub reason: &'static str,
    /// SQLSTATE, where Postgres refused it.
    pub sqlstate: Option<String>,
    /// Why, in a sentence.
    pub detail: String,
}

/// None of a flow that somebody has erased: its letters would bring it back. One that is of others too goes with it.
const KEEP: &str = "INSERT INTO ft_dead_letter (topic, partition, recordoffset, recordtime, recordkey, payload, headers, \
    payloadhash, reason, sqlstate, detail, consumergroup) \
    SELECT $1::text, $2::integer, $3::bigint, $4::bigint, $5::bytea, $6::bytea, $7::jsonb, $8::bytea, $9::text, $10::text, \
        $11::text, $12::text \
    WHERE (SELECT true FROM ft_tombstone d WHERE d.flowinstanceid = ANY ($13::text[]) AND d.before IS NULL \
        AND d.removedat IS NOT NULL LIMIT 1) IS NULL \
    ON CONFLICT DO NOTHING";

/// So many are on their way at once.
const AT_ONCE: usize = 64;

/// Keeps dead letters in the transaction that is open; says how many of them were new.
pub(super) async fn keep(session: &Session, group: &str, letters: &[DeadLetter]) -> Result<u64, Error> {
    if !letters.is_empty() {
        session.prepare_all([KEEP]).await?;
    }
    let mut kept = 0;
    for letters in letters.chunks(AT_ONCE) {
        let each = try_join_all(letters.iter().map(|letter| keep_one(session, group, letter)));
        kept += each.await?.into_iter().sum::<u64>();
    }
    Ok(kept)
}

async fn keep_one(session: &Session, group: &str, letter: &DeadLetter) -> Result<u64, Error> {
    let headers: Vec<serde_json::Value> = letter.headers.iter().map(header).collect();
    let headers = serde_json::Value::Array(headers);
    let hash = letter.hash.as_slice();
    let DeadLetter { flows, partition, offset, time, reason, sqlstate, detail, .. } = letter;
    let (key, payload) = (letter.key.as_deref(), letter.payload.as_deref());
    let parameters: [&(dyn ToSql + Sync); 13] = [
        &&*partition.topic,
        &partition.number,
        &offset.0,
        time,
        &key,
        &payload,
        &headers,
        &hash,
        reason,
        sqlstate,
        detail,
        &group,
        flows,
    ];
    session.execute(KEEP, &parameters).await
}

/// The audit says of each letter what it was, so that it can be found in Kafka.
const REMOVE: &str = "WITH gone AS (DELETE FROM ft_dead_letter WHERE id = ANY ($1) RETURNING *) \
    INSERT INTO ft_audit (actor, action, object, detail) \
    SELECT format('%s (%s)', $2::text, current_user), $3, format('%s[%s]@%s', topic, partition, recordoffset), \
        jsonb_build_object('id', id, 'reason', reason, 'sqlstate', sqlstate, \
            'payloadhash', encode(payloadhash, 'hex')) \
    FROM gone ORDER BY id";

/// What is done with a dead letter that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was stored after all.
    Retried,
    /// A person has no more use for it.
    Dropped,
}

/// Removes dead letters and says so in `ft_audit`, in one transaction; says how many were there.
pub async fn remove_letters(
    client: &Client,
    ids: &[i64],
    actor: &str,
    removal: Removal,
) -> Result<u64, Error> {
    let action = match removal {
        Removal::Retried => "deadletter.retry",
        Removal::Dropped => "deadletter.drop",
    };
    let actor = actor.replace('\0', "\u{fffd}");
    client
        .execute_typed(REMOVE, &[(&ids, Type::INT8_ARRAY), (&actor, Type::TEXT), (&action, Type::TEXT)])
        .await
}

/// Removes dead letters of which all is stored by now. Nobody did anything, so that nothing is noted.
pub async fn forget_letters(client: &Client, ids: &[i64]) -> Result<u64, Error> {
    const FORGET: &str = "DELETE FROM ft_dead_letter WHERE id = ANY ($1)";
    client.execute_typed(FORGET, &[(&ids, Type::INT8_ARRAY)]).await
}

/// Whether this session has the turn, for as long as it lasts, to try dead letters again that may come right by themselves.
pub async fn takes_turn(client: &Client) -> Result<bool, Error> {
    const TURN: &str =
        "SELECT pg_try_advisory_lock('ft_dead_letter'::regclass::oid::bigint::bit(32)::integer, 1)";
    client.query_typed(TURN, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))
}

/// `jsonb` takes no NUL, so it is replaced in a header's name; values are base64.
fn header((key, value): &(String, Option<Bytes>)) -> serde_json::Value {
    let value = value.as_ref().map(|value| STANDARD.encode(value));
    serde_json::json!({ "key": key.replace('\0', "\u{fffd}"), "value": value })
}
