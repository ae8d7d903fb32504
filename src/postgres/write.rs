//! A batch → Postgres: rows, dead letters and offsets, all or nothing.
//!
//! Rows of most flows stand alone and are written under a shared lock, several lanes at once ([`super::plain`]).
//! The others are written under the exclusive one ([`super::special`]). A batch with both kinds takes two
//! transactions, so that the exclusive lock is held for the few rows that need it; rows are idempotent, so the first
//! one needs no offset, and the offsets move with the second, which ends the batch.
//!
//! A flow whose payloads are not kept any more (`ft_payload_mark`) is written without them. That is only known under the
//! lock, so a batch that brings some begins again without them; there are few but where a topic is read once more.

use tokio_postgres::Error;

use super::{
    batch::{Batch, Flows, Tally, Written},
    dead_letter, offset,
    plain::{self, Plain},
    refusal::WriteError,
    session::Session,
    special,
};
use crate::{
    model::{AppRow, FlowId, Partition},
    pipeline::merge::{FlowFold, Fold},
};

/// First half of the advisory lock's key: "ftlw" as bytes. The second half is the `steps` table.
pub(super) const LOCK: i32 = i32::from_be_bytes(*b"ftlw");
/// Others may hold it too.
pub(super) const LOCK_SHARED: &str = "SELECT pg_advisory_xact_lock_shared($1, $2)";
/// Nobody else holds it.
pub(super) const LOCK_EXCLUSIVE: &str = "SELECT pg_advisory_xact_lock($1, $2)";

/// Writes a batch. On an error nothing of its last transaction is stored, or, if the error came with the commit,
/// it is not known whether it is; writing it again settles that: [`Written::Elsewhere`] then names the offsets that
/// the batch itself had set.
///
/// Not cancel-safe: a session whose future was dropped is to be closed.
pub async fn write(session: &mut Session, group: &str, batch: &Batch) -> Result<Written, WriteError> {
    let flows = batch.fold.flows.iter().collect();
    let outcome = write_in_transactions(session, group, batch, flows).await;
    if outcome.is_err() && !session.is_closed() {
        // The first error is the one to report; a session that can't even roll back is closed or will be.
        let _ = session.roll_back().await;
    }
    outcome
}

async fn write_in_transactions(
    session: &mut Session,
    group: &str,
    batch: &Batch,
    mut flows: Flows<'_>,
) -> Result<Written, WriteError> {
    session.begin_batch().await?;
    flows.sort_unstable_by_key(|(flow, _)| *flow);
    let (mut rest, alone): (Flows<'_>, Flows<'_>) =
        flows.into_iter().partition(|(_, fold)| fold.reaches_beyond_its_keys());
    let mut tally = Tally::default();
    if !alone.is_empty() || rest.is_empty() {
        match plain::write(session, alone.clone(), &mut tally).await? {
            Plain::Written(special) => {
                rest.extend(special);
                if rest.is_empty() {
                    return finish(session, group, batch, tally).await;
                }
                session.commit(false).await?;
            }
            Plain::Raced => {
                session.roll_back().await?;
                tally = Tally::default();
                rest.extend(alone);
            }
            Plain::Bare(below) => {
                session.roll_back().await?;
                let stripped: Vec<(&FlowId, FlowFold)> = alone
                    .iter()
                    .filter_map(|&(flow, fold)| {
                        Some((flow, fold.clone().without_payloads_below(*below.get(flow)?)))
                    })
                    .collect();
                rest.extend(alone.iter().filter(|(flow, _)| !below.contains_key(flow)));
                rest.extend(stripped.iter().map(|(flow, fold)| (*flow, fold)));
                // These bring no payload that is not kept, so it comes here again only if more flows were marked meanwhile.
                return Box::pin(write_in_transactions(session, group, batch, rest)).await;
            }
        }
    }
    rest.sort_unstable_by_key(|(flow, _)| *flow);
    special::write(session, &rest, &mut tally).await?;
    tally.ways.exclusive = 1;
    finish(session, group, batch, tally).await
}

/// What goes with the offsets, the offsets, and the commit.
async fn finish(
    session: &mut Session,
    group: &str,
    batch: &Batch,
    mut tally: Tally,
) -> Result<Written, WriteError> {
    if !offset::compare_and_set(session, group, &batch.progress).await? {
        session.roll_back().await?;
        let partitions: Vec<Partition> = batch.progress.iter().map(|p| p.partition.clone()).collect();
        return Ok(Written::Elsewhere(offset::read_decided(session, group, &partitions).await?));
    }
    apps(session, &batch.fold).await?;
    tally.dead_letters = dead_letter::keep(session, group, &batch.dead_letters).await?;
    session.commit(true).await?;
    Ok(Written::Stored(tally))
}

/// The greatest time, then off, then the greater version by bytes; as [`AppRow`] is ordered.
const PUT_APPS: &str = r#"
INSERT INTO appstate AS t (userid, appname, at, persistenceenabled, appversion)
SELECT u.userid, u.appname, u.at, NOT u.off, u.version
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[]) WITH ORDINALITY
    AS r(userid, appname, micros, off, version, n)
CROSS JOIN LATERAL (SELECT r.userid, r.appname, r.off, r.version,
    timestamp '1970-01-01' + (r.micros / 1000000) * interval '1 second' + (r.micros % 1000000) * interval '1 microsecond'
        AS at) u
ORDER BY u.userid COLLATE "C", u.appname COLLATE "C"
ON CONFLICT (userid, appname) DO UPDATE
SET at = excluded.at, persistenceenabled = excluded.persistenceenabled, appversion = excluded.appversion
WHERE (COALESCE(excluded.at, '-infinity'), NOT excluded.persistenceenabled, COALESCE(excluded.appversion, '') COLLATE "C")
    > (COALESCE(t.at, '-infinity'), NOT COALESCE(t.persistenceenabled, true), COALESCE(t.appversion, '') COLLATE "C")"#;

async fn apps(session: &mut Session, fold: &Fold) -> Result<(), Error> {
    if fold.apps.is_empty() {
        return Ok(());
    }
    let (users, apps): (Vec<&str>, Vec<&str>) = fold.apps.keys().map(|(user, app)| (&**user, &**app)).unzip();
    let field = |of: fn(&AppRow) -> Option<i64>| fold.apps.values().map(of).collect::<Vec<_>>();
    let at = field(|row| row.at.map(crate::model::Micros::get));
    let off: Vec<bool> = fold.apps.values().map(|row| row.off).collect();
    let versions: Vec<Option<&str>> = fold.apps.values().map(|row| row.version.as_deref()).collect();
    session.execute(PUT_APPS, &[&users, &apps, &at, &off, &versions]).await?;
    Ok(())
}
