//! What goes on in the server: sessions, locks, replicas.

use std::time::Duration;

use tokio_postgres::Row;

use super::{super::write::LOCK, Answer, Look, seconds, unsigned};

/// Sessions that there are and that there may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connections {
    /// How many sessions the server takes that are not reserved.
    pub most: i64,
    /// How many it has.
    pub used: i64,
    /// How many this user may have, and has.
    pub of_user: Option<(i64, i64)>,
    /// How many this database may have, and has.
    pub of_database: Option<(i64, i64)>,
    /// Sessions of collectors in this database.
    pub collecting: i64,
    /// Sessions of this user in this database that bear one of flowtrail's names, this one included.
    pub ours: i64,
    /// Sessions in this database of which this user is not shown what they do.
    pub hidden: i64,
}

/// An open transaction in this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Process id of its session.
    pub pid: i32,
    /// Who, by which program: `ann by psql`.
    pub who: String,
    /// Since when it is open.
    pub age: Duration,
    /// For how long it has been waiting for its client, if it is.
    pub idle: Option<Duration>,
}

/// A session that holds or awaits the law's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id of the session.
    pub pid: i32,
    /// Who, by which program.
    pub who: String,
    /// Whether it is a lane of a collector.
    pub lane: bool,
    /// Whether it has the lock; if not, it waits.
    pub granted: bool,
    /// Whether it leaves no room for others.
    pub exclusive: bool,
    /// How old its transaction is, if that may be seen.
    pub age: Option<Duration>,
}

/// A replica that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// `streaming`, `catchup` and so on, if that may be seen.
    pub state: Option<String>,
    /// How much it has still to replay.
    pub behind_bytes: Option<u64>,
    /// How long that takes, as it says itself.
    pub behind: Option<Duration>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody reads from it.
    pub active: bool,
    /// How much of the log the server keeps for it.
    pub kept_bytes: u64,
}

/// How old the oldest transaction number is that is still in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wraparound {
    /// Age of the oldest transaction number.
    pub transactions: i64,
    /// Age of the oldest multixact number.
    pub multixacts: i64,
}

/// Who is at the other end of a session.
const WHO: &str = "COALESCE(a.usename, '?') || COALESCE(' by ' || NULLIF(a.application_name, ''), '')";

impl Look {
    pub(super) async fn connections(&self) -> Answer<Connections> {
        let sql = "SELECT current_setting('max_connections')::bigint
                - CASE WHEN r.rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::bigint
                    + COALESCE(current_setting('reserved_connections', true), '0')::bigint END,
            (SELECT count(*) FROM pg_stat_activity
                WHERE backend_type = 'client backend' OR backend_type IS NULL AND datname IS NOT NULL),
            CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit::bigint END,
            (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
            CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit::bigint END,
            (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
            (SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'flowtrail-collect'),
            (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND usename = current_user AND application_name LIKE 'flowtrail-%'),
            (SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND query = '<insufficient privilege>')
            FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()";
        let row = self.ask_one(sql).await?;
        let limit =
            |most: usize, used: usize| row.get::<_, Option<i64>>(most).map(|most| (most, row.get(used)));
        Ok(Connections {
            most: row.get(0),
            used: row.get(1),
            of_user: limit(2, 3),
            of_database: limit(4, 5),
            collecting: row.get(6),
            ours: row.get(7),
            hidden: row.get(8),
        })
    }

    pub(super) async fn transactions(&self) -> Answer<Vec<Transaction>> {
        let sql = format!(
            "SELECT a.pid, {WHO}, EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8,
                CASE WHEN a.state LIKE 'idle in transaction%'
                    THEN EXTRACT(epoch FROM clock_timestamp() - a.state_change)::float8 END
            FROM pg_stat_activity a
            WHERE a.datname = current_database() AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()
                AND a.backend_type = 'client backend' ORDER BY a.xact_start LIMIT 100"
        );
        let rows = self.ask(&sql, &[]).await?;
        let read = |row: Row| Transaction {
            pid: row.get(0),
            who: row.get(1),
            age: seconds(row.get(2)).unwrap_or_default(),
            idle: seconds(row.get(3)),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    pub(super) async fn holders(&self) -> Answer<Vec<Holder>> {
        // A lock of two keys has them as numbers without a sign, and `objsubid` 2.
        let sql = format!(
            "SELECT l.pid, {WHO}, COALESCE(a.application_name, '') = 'flowtrail-collect', l.granted,
                l.mode = 'ExclusiveLock', EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8
            FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = {LOCK}::oid
                AND l.objid = to_regclass('steps')::oid
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            ORDER BY a.xact_start LIMIT 100"
        );
        let rows = self.ask(&sql, &[]).await?;
        let read = |row: Row| Holder {
            pid: row.get(0),
            who: row.get(1),
            lane: row.get(2),
            granted: row.get(3),
            exclusive: row.get(4),
            age: seconds(row.get(5)),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    pub(super) async fn prepared(&self) -> Answer<Vec<(String, Duration)>> {
        let sql =
            "SELECT gid, EXTRACT(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
            WHERE database = current_database() ORDER BY prepared LIMIT 100";
        let rows = self.ask(sql, &[]).await?;
        Ok(rows.into_iter().map(|row| (row.get(0), seconds(row.get(1)).unwrap_or_default())).collect())
    }

    pub(super) async fn replicas(&self) -> Answer<Vec<Replica>> {
        let sql = "SELECT COALESCE(NULLIF(application_name, ''), client_addr::text, pid::text), state,
            CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint END,
            EXTRACT(epoch FROM replay_lag)::float8 FROM pg_stat_replication ORDER BY 1 LIMIT 100";
        let rows = self.ask(sql, &[]).await?;
        let read = |row: Row| Replica {
            name: row.get(0),
            state: row.get(1),
            behind_bytes: unsigned(row.get(2)),
            behind: seconds(row.get(3)),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    pub(super) async fn slots(&self) -> Answer<Vec<Slot>> {
        let sql = "SELECT slot_name::text, active,
            CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint END
            FROM pg_replication_slots ORDER BY 1 LIMIT 100";
        let rows = self.ask(sql, &[]).await?;
        let read = |row: Row| Slot {
            name: row.get(0),
            active: row.get(1),
            kept_bytes: unsigned(row.get(2)).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    pub(super) async fn wraparound(&self) -> Answer<Wraparound> {
        let sql = "SELECT age(datfrozenxid)::bigint, mxid_age(datminmxid)::bigint FROM pg_database
            WHERE datname = current_database()";
        let row = self.ask_one(sql).await?;
        Ok(Wraparound { transactions: row.get(0), multixacts: row.get(1) })
    }
}
