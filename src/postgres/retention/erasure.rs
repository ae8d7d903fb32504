//! Removing all that is held of flows at somebody's request.
//!
//! It goes as what was kept long enough goes: a mark under the law's lock, then the rows ([`Purge::erase`]). But the mark is
//! a deletion of the whole instance, and is not forgotten.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::{
    Error,
    types::{ToSql, Type},
};

use super::{Purge, begin_alone};
use crate::postgres::read::{self, Letter, LetterFilter};

/// Rows that are held of flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Flows of which there is a row of `flowstate`.
    pub flows: u64,
    /// Rows of `ft_run`.
    pub runs: u64,
    /// Rows of `steps`.
    pub steps: u64,
    /// Rows of `ft_superseded_step`.
    pub superseded: u64,
    /// Rows of `ft_rewind`.
    pub rewinds: u64,
    /// Rows of `ft_snapshot`.
    pub snapshots: u64,
    /// Rows of `ft_variable`.
    pub variables: u64,
}

impl std::ops::AddAssign for Rows {
    fn add_assign(&mut self, more: Self) {
        self.flows += more.flows;
        self.runs += more.runs;
        self.steps += more.steps;
        self.superseded += more.superseded;
        self.rewinds += more.rewinds;
        self.snapshots += more.snapshots;
        self.variables += more.variables;
    }
}

impl Purge {
    /// Flows of which any run is a user's. Looks at every flow, so many in a statement that none takes long.
    pub(crate) async fn flows_of_user(&self, user: &str) -> Result<Vec<String>, Error> {
        // Nobody else asks by user, so there is no index by it.
        const SQL: &str = "WITH page AS MATERIALIZED (
                SELECT flowinstanceid, userid FROM flowstate WHERE flowinstanceid > $2 ORDER BY flowinstanceid LIMIT 20000
            ) SELECT max(flowinstanceid), COALESCE(array_agg(flowinstanceid) FILTER (WHERE userid = $1 OR EXISTS (
                SELECT FROM ft_run r WHERE r.flowinstanceid = page.flowinstanceid AND r.userid = $1)), '{}') FROM page";
        let (mut flows, mut last) = (Vec::new(), String::new());
        loop {
            let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&user, Type::TEXT), (&last, Type::TEXT)];
            let row = self.client.query_typed_one(SQL, &parameters).await?;
            flows.extend(row.try_get::<_, Vec<String>>(1)?);
            match row.try_get(0)? {
                Some(end) => last = end,
                None => return Ok(flows),
            }
        }
    }

    /// Rows that are held of flows now.
    pub(crate) async fn rows(&self, flows: &[&str]) -> Result<Rows, Error> {
        const SQL: &str = "SELECT (SELECT count(*) FROM flowstate WHERE flowinstanceid = ANY ($1)), \
            (SELECT count(*) FROM ft_run WHERE flowinstanceid = ANY ($1)), \
            (SELECT count(*) FROM steps WHERE flowinstanceid = ANY ($1)), \
            (SELECT count(*) FROM ft_superseded_step WHERE flowinstanceid = ANY ($1)), \
            (SELECT count(*) FROM ft_rewind WHERE flowinstanceid = ANY ($1)), \
            (SELECT count(*) FROM ft_snapshot WHERE flowinstanceid = ANY ($1)), \
            (SELECT count(*) FROM ft_variable WHERE flowinstanceid = ANY ($1))";
        let row = self.client.query_typed_one(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?;
        let count = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Rows {
            flows: count(0)?,
            runs: count(1)?,
            steps: count(2)?,
            superseded: count(3)?,
            rewinds: count(4)?,
            snapshots: count(5)?,
            variables: count(6)?,
        })
    }

    /// Marks flows as deleted for ever, whether anything is stored of them or not; says how long the law's lock was waited
    /// for, or `None` if it could not be had within a second, and then nothing is done. Repeating it changes nothing.
    pub(crate) async fn keep_out(&mut self, flows: &[&str]) -> Result<Option<Duration>, Error> {
        // The time tells it from what a runtime said: of what it has deleted itself, dead letters are kept.
        const SQL: &str = "INSERT INTO ft_tombstone AS t (flowinstanceid, removedat) SELECT unnest($1::text[]), now() \
            ON CONFLICT (flowinstanceid) DO UPDATE SET before = NULL, removedat = excluded.removedat \
            WHERE t.before IS NOT NULL OR t.removedat IS NULL";
        let Some((transaction, waited)) = begin_alone(&mut self.client, self.table).await? else {
            return Ok(None);
        };
        transaction.execute_typed(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?;
        transaction.commit().await?;
        Ok(Some(waited))
    }

    /// At most `limit` whole dead letters with a number above `after`, the oldest first.
    pub(crate) async fn letters(&self, after: i64, limit: u32) -> Result<Vec<Letter>, Error> {
        read::whole_letters(&self.client, &LetterFilter::default(), after, limit).await
    }

    /// Removes dead letters by their numbers, and notes for each where in Kafka its record is; says how many were there. No
    /// hash of what they held is noted: who knows the rest of it could try what it was.
    pub(crate) async fn erase_letters(&self, ids: &[i64], actor: &str) -> Result<u64, Error> {
        const SQL: &str = "WITH gone AS (DELETE FROM ft_dead_letter WHERE id = ANY ($1) RETURNING *) \
            INSERT INTO ft_audit (actor, action, object, detail) \
            SELECT format('%s (%s)', $2::text, current_user), 'flow.erase', format('%s[%s]@%s', topic, partition, recordoffset), \
                jsonb_build_object('id', id, 'reason', reason) FROM gone ORDER BY id";
        let actor = actor.replace('\0', "\u{fffd}");
        self.client.execute_typed(SQL, &[(&ids, Type::INT8_ARRAY), (&actor, Type::TEXT)]).await
    }
}
