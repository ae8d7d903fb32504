//! What `flowtrail doctor` wants to know of a database. It is asked in read-only transactions and nothing is changed.
//!
//! Every question is one statement without a name in a transaction of its own, so that it is answered behind a transaction
//! pooler too, and so that one which is refused doesn't take others with it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::{
    connect::{self, PostgresError},
    fault::sentence,
    pooler,
};
use crate::{clock, config, config::Config, schema};

mod disk;
mod index;
mod now;
mod rights;

pub(crate) use self::index::question;
pub use self::{
    disk::{Disk, Room},
    index::{Index, Indexes, WANTED_INDEXES, WantedIndex},
    now::{Connections, Holder, Replica, Slot, Transaction, Wraparound},
    rights::{Missing, NEEDED_RIGHTS},
};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long all of them together may take.
const WHOLE: Duration = Duration::from_secs(20);

/// How often the clock is asked; the quickest answer tells most.
const CLOCK_LOOKS: usize = 5;

const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '2s'";

/// An answer, or in a sentence why there is none.
pub type Answer<T> = Result<T, String>;

/// What was found of a database.
#[derive(Debug)]
pub struct Facts {
    /// Whether a session is kept from one transaction to the next.
    pub keeps_sessions: Answer<bool>,
    /// Settings of the server, as this session has them, and a few facts under names of our own.
    pub settings: Answer<BTreeMap<String, String>>,
    /// Whether the tables are as this program wants them; if not, why.
    pub schema: Answer<Result<(), String>>,
    /// Rights that this user lacks.
    pub missing_rights: Answer<Vec<Missing>>,
    /// Indexes of the tables.
    pub indexes: Answer<Indexes>,
    /// Sessions, and how many there may be.
    pub connections: Answer<Connections>,
    /// Transactions that are open, the oldest first.
    pub transactions: Answer<Vec<Transaction>>,
    /// Who holds or awaits the lock that every batch takes.
    pub holders: Answer<Vec<Holder>>,
    /// Transactions that were prepared and not ended, each with its age.
    pub prepared: Answer<Vec<(String, Duration)>>,
    /// Replicas that are connected.
    pub replicas: Answer<Vec<Replica>>,
    /// Replication slots.
    pub slots: Answer<Vec<Slot>>,
    /// How near transaction numbers are to their end.
    pub wraparound: Answer<Wraparound>,
    /// Sizes, and room on the disk as far as it can be seen from here.
    pub disk: Answer<Disk>,
    /// How far the server's clock is ahead of ours.
    pub clock: Answer<Skew>,
    /// What is stored of each partition of the group.
    pub offsets: Answer<Vec<StoredOffset>>,
    /// Dead letters of the last day, newest first, a thousand at most; and gaps of the last day.
    pub kept: Answer<(u64, u64)>,
}

/// How far a clock is ahead of ours, in microseconds, and how far that may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// Ahead, or behind if negative.
    pub ahead_us: i64,
    /// Half of how long the answer took.
    pub unsure_us: i64,
}

/// What `ft_offset` says of a partition, as far as it can be judged from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Everything before this is stored.
    pub next: i64,
}

/// A session that asks.
#[derive(Debug)]
pub struct Look {
    client: Client,
    deadline: Instant,
}

impl Look {
    /// Opens the session.
    pub async fn open(postgres: &config::Postgres) -> Result<Self, PostgresError> {
        let client = connect::connect(postgres, "flowtrail-doctor").await?;
        Ok(Self { client, deadline: clock::monotonic() + WHOLE })
    }

    /// Waits for an answer no longer than there is time. A session that left one open gives no other.
    async fn within<T>(&self, asked: impl Future<Output = T>) -> Answer<T> {
        let left = self.deadline.saturating_duration_since(clock::monotonic()).min(ANSWER);
        timeout(left, asked).await.map_err(|_| "Postgres did not answer in time".to_owned())
    }

    /// Asks one question.
    async fn ask(&self, sql: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Answer<Vec<Row>> {
        let asked = async {
            self.client.batch_execute(BEGIN).await?;
            let rows = self.client.query_typed(sql, params).await;
            // Whatever came of it: the next question begins anew.
            self.client.batch_execute("ROLLBACK").await?;
            rows
        };
        self.within(asked).await?.map_err(|error: tokio_postgres::Error| sentence(&error))
    }

    /// Asks one question that has one row for an answer.
    async fn ask_one(&self, sql: &str) -> Answer<Row> {
        self.ask(sql, &[]).await?.into_iter().next().ok_or_else(|| "there is no answer".to_owned())
    }

    async fn keeps_sessions(&self, postgres: &config::Postgres) -> Answer<bool> {
        self.within(pooler::keeps_sessions(postgres)).await?.map_err(|error| error.to_string())
    }

    async fn settings(&self) -> Answer<BTreeMap<String, String>> {
        let own = "SELECT 'flowtrail.in_recovery', pg_is_in_recovery()::text
            UNION ALL SELECT 'flowtrail.temp', has_database_privilege(current_database(), 'TEMP')::text
            UNION ALL SELECT 'flowtrail.user', quote_ident(current_user)
            UNION ALL SELECT 'flowtrail.database', quote_ident(current_database())
            UNION ALL SELECT name, setting FROM pg_settings WHERE setting IS NOT NULL";
        let rows = self.ask(own, &[]).await?;
        Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn schema(&self) -> Answer<Result<(), String>> {
        match self.within(schema::validate(&self.client)).await? {
            Err(schema::SchemaError::Postgres { doing, source }) => {
                Err(format!("{doing}: {}", sentence(&source)))
            }
            judged => Ok(judged.map(drop).map_err(|error| error.to_string())),
        }
    }

    async fn clock(&self) -> Answer<Skew> {
        let mut best: Option<Skew> = None;
        for _ in 0..CLOCK_LOOKS {
            let (sent, since) = (clock::now(), clock::monotonic());
            let sql = "SELECT (EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint";
            let theirs = self.within(self.client.query_typed_one(sql, &[])).await?;
            let took = i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX);
            let theirs: i64 = theirs.map_err(|error| sentence(&error))?.get(0);
            let skew = Skew { ahead_us: theirs - sent.as_microsecond() - took / 2, unsure_us: took / 2 };
            if best.is_none_or(|best| skew.unsure_us < best.unsure_us) {
                best = Some(skew);
            }
        }
        best.ok_or_else(|| "it was not asked".to_owned())
    }

    async fn offsets(&self, group: &str) -> Answer<Vec<StoredOffset>> {
        let sql = "SELECT topic, partition, nextoffset FROM ft_offset WHERE consumergroup = $1 ORDER BY 1, 2";
        let rows = self.ask(sql, &[(&group, Type::TEXT)]).await?;
        let read = |row: Row| StoredOffset { topic: row.get(0), partition: row.get(1), next: row.get(2) };
        Ok(rows.into_iter().map(read).collect())
    }

    async fn kept(&self) -> Answer<(u64, u64)> {
        // Only the newest are looked at: there is no index by time, and there may be millions.
        let sql = "SELECT
            (SELECT count(*) FROM (SELECT keptat FROM ft_dead_letter ORDER BY id DESC LIMIT 1000) l
                WHERE keptat > now() - interval '1 day'),
            (SELECT count(*) FROM (SELECT foundat FROM ft_gap ORDER BY id DESC LIMIT 1000) g
                WHERE foundat > now() - interval '1 day')";
        let row = self.ask_one(sql).await?;
        let count = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        Ok((count(0), count(1)))
    }
}

/// Asks everything, one question after the other.
pub async fn facts(look: &Look, config: &Config) -> Facts {
    Facts {
        keeps_sessions: look.keeps_sessions(&config.postgres).await,
        settings: look.settings().await,
        schema: look.schema().await,
        missing_rights: look.missing_rights().await,
        indexes: look.indexes().await,
        connections: look.connections().await,
        transactions: look.transactions().await,
        holders: look.holders().await,
        prepared: look.prepared().await,
        replicas: look.replicas().await,
        slots: look.slots().await,
        wraparound: look.wraparound().await,
        disk: look.disk().await,
        clock: look.clock().await,
        offsets: look.offsets(&config.kafka.group).await,
        kept: look.kept().await,
    }
}

/// A span that Postgres gives in seconds; of what can't be told, none.
fn seconds(seconds: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds?.max(0.0)).ok()
}

/// Bytes that Postgres gives as a `bigint`.
fn unsigned(number: Option<i64>) -> Option<u64> {
    u64::try_from(number?).ok()
}
