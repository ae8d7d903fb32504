//! Removing the payloads of flows whose rows stay.
//!
//! As flows do, payloads go in two steps: a row of `ft_payload_mark`, put there under the law's lock for a moment, says which
//! runs and executions are kept without; from then on no batch brings any. Then those that are stored are set to null, a batch
//! of flows at a time.
//!
//! They are the columns `flowinput` and `flowoutput` of runs, `stepdata`, `input`, `output` and `misc` of executions, `misc` of
//! `flowstate`, `value` and `misc` of variables, and the bytes of snapshots, whose rows stay with their hashes: so one that comes again finds its place taken.

use tokio_postgres::{
    Error,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{LOCK_SHARED, Purge, Size, Taken, begin};

/// Sets payloads of runs and executions below the mark to null; rows that have none are not touched.
const STRIP: [&str; 7] = [
    "UPDATE steps t SET stepdata = NULL, input = NULL, output = NULL, misc = NULL FROM ft_payload_mark m \
     WHERE t.flowinstanceid = ANY ($1) AND m.flowinstanceid = t.flowinstanceid AND COALESCE(t.execution, 0) < m.before \
     AND num_nonnulls(t.stepdata, t.input, t.output, t.misc) > 0",
    "UPDATE ft_superseded_step t SET stepdata = NULL, input = NULL, output = NULL, misc = NULL FROM ft_payload_mark m \
     WHERE t.flowinstanceid = ANY ($1) AND m.flowinstanceid = t.flowinstanceid AND t.execution < m.before \
     AND num_nonnulls(t.stepdata, t.input, t.output, t.misc) > 0",
    "UPDATE ft_run t SET flowinput = NULL, flowoutput = NULL FROM ft_payload_mark m \
     WHERE t.flowinstanceid = ANY ($1) AND m.flowinstanceid = t.flowinstanceid AND t.run < m.before \
     AND num_nonnulls(t.flowinput, t.flowoutput) > 0",
    "UPDATE flowstate t SET flowinput = NULL, flowoutput = NULL, misc = NULL FROM ft_payload_mark m \
     WHERE t.flowinstanceid = ANY ($1) AND m.flowinstanceid = t.flowinstanceid AND COALESCE(t.run, 0) < m.before \
     AND num_nonnulls(t.flowinput, t.flowoutput, t.misc) > 0",
    // The input that is shown is the least run's, whichever run has come since.
    "UPDATE flowstate t SET flowinput = NULL FROM ft_payload_mark m WHERE t.flowinstanceid = ANY ($1) \
     AND m.flowinstanceid = t.flowinstanceid AND COALESCE(t.run, 0) >= m.before AND t.flowinput IS NOT NULL \
     AND EXISTS (SELECT FROM ft_run r WHERE r.flowinstanceid = t.flowinstanceid AND r.run < m.before)",
    "UPDATE ft_variable t SET value = NULL, misc = NULL FROM ft_payload_mark m \
     WHERE t.flowinstanceid = ANY ($1) AND m.flowinstanceid = t.flowinstanceid AND t.run < m.before \
     AND num_nonnulls(t.value, t.misc) > 0",
    "UPDATE ft_snapshot t SET data = '' FROM ft_payload_mark m JOIN flowstate f USING (flowinstanceid) \
     WHERE t.flowinstanceid = ANY ($1) AND m.flowinstanceid = t.flowinstanceid AND COALESCE(f.run, 0) < m.before \
     AND octet_length(t.data) > 0",
];

impl Purge {
    /// Flows that are marked and not stripped yet: whoever marked them has ended before.
    pub(crate) async fn begun_payloads(&self) -> Result<Vec<String>, Error> {
        const SQL: &str =
            "SELECT flowinstanceid FROM ft_payload_mark WHERE removedat IS NULL ORDER BY flowinstanceid";
        self.client.query_typed(SQL, &[]).await?.iter().map(|row| row.try_get(0)).collect()
    }

    /// Of these flows those whose shown run is kept without payloads already.
    pub(crate) async fn bare(&self, flows: &[&str]) -> Result<Vec<String>, Error> {
        const SQL: &str = "SELECT m.flowinstanceid FROM ft_payload_mark m JOIN flowstate f USING (flowinstanceid) \
            WHERE m.flowinstanceid = ANY ($1) AND COALESCE(f.run, 0) < m.before";
        let rows = self.client.query_typed(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Sets the payloads of flows to null as their marks say, in one transaction. `None`, and nothing is done, if the law's
    /// lock, or a row that a batch holds, could not be had within a second. Repeating it changes nothing.
    pub(crate) async fn strip(&mut self, flows: &[&str]) -> Result<Option<Taken>, Error> {
        const DONE: &str = "UPDATE ft_payload_mark SET removedat = now() WHERE flowinstanceid = ANY ($1) AND removedat IS NULL";
        let ids: [(&(dyn ToSql + Sync), Type); 1] = [(&flows, Type::TEXT_ARRAY)];
        let Some(transaction) = begin(&mut self.client, LOCK_SHARED, self.table).await? else {
            return Ok(None);
        };
        for statement in STRIP {
            match transaction.execute_typed(statement, &ids).await {
                Ok(_) => {}
                // Late events of the same flows are being stored.
                Err(error) if is_contended(&error) => return transaction.rollback().await.map(|()| None),
                Err(error) => return Err(error),
            }
        }
        transaction.execute_typed(DONE, &ids).await?;
        transaction.commit().await?;
        Ok(Some(Taken { flows: u64::try_from(flows.len()).unwrap_or(u64::MAX), steps: 0 }))
    }

    /// What the payloads of flows take: executions, and about how many bytes as they are stored.
    pub(crate) async fn payload_size(&self, flows: &[&str]) -> Result<Size, Error> {
        const SQL: &str = "WITH row AS (
                SELECT 1 AS step, COALESCE(pg_column_size(stepdata), 0) + COALESCE(pg_column_size(misc), 0)
                    + COALESCE(pg_column_size(input), 0) + COALESCE(pg_column_size(output), 0) AS bytes
                    FROM steps WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 1, COALESCE(pg_column_size(stepdata), 0) + COALESCE(pg_column_size(misc), 0)
                    + COALESCE(pg_column_size(input), 0) + COALESCE(pg_column_size(output), 0)
                    FROM ft_superseded_step WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, COALESCE(pg_column_size(flowinput), 0) + COALESCE(pg_column_size(flowoutput), 0)
                    + COALESCE(pg_column_size(misc), 0) FROM flowstate WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, COALESCE(pg_column_size(flowinput), 0) + COALESCE(pg_column_size(flowoutput), 0)
                    FROM ft_run WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, pg_column_size(data) FROM ft_snapshot WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, COALESCE(pg_column_size(value), 0) + COALESCE(pg_column_size(misc), 0)
                    FROM ft_variable WHERE flowinstanceid = ANY ($1)
            ) SELECT COALESCE(sum(step), 0)::bigint, COALESCE(sum(bytes), 0)::bigint FROM row";
        self.sized(SQL, flows).await
    }
}

fn is_contended(error: &Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::LOCK_NOT_AVAILABLE) || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}
