//! `ft_offset`: what is stored of each partition, written in the transaction that wrote the rows.

use std::sync::Arc;

use tokio_postgres::{Client, Error};

use super::session::Session;
use crate::model::{Offset, Partition};

/// How far a batch takes a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The partition.
    pub partition: Partition,
    /// What `ft_offset` has to say for the batch to be the next one; `None`: no row.
    pub from: Option<Offset>,
    /// Everything before this is stored once the batch is.
    pub next: Offset,
    /// The last record of the batch, if it has one of the partition.
    pub last: Option<LastRecord>,
}

/// What is kept of the last stored record, to recognise it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRecord {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp in ms since 1970.
    pub time: Option<i64>,
    /// First 16 bytes of the SHA-256 of its key and value.
    pub hash: [u8; 16],
}

const UPDATE: &str = r"
UPDATE ft_offset o SET nextoffset = u.next, lastoffset = COALESCE(u.last, o.lastoffset), updatedat = now(),
    lasttime = CASE WHEN u.last IS NULL THEN o.lasttime ELSE u.time END, lasthash = COALESCE(u.hash, o.lasthash)
FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])
    AS u(topic, partition, expected, next, last, time, hash)
WHERE o.consumergroup = $1 AND o.topic = u.topic AND o.partition = u.partition AND o.nextoffset = u.expected";

const INSERT: &str = r"
INSERT INTO ft_offset (consumergroup, topic, partition, nextoffset, lastoffset, lasttime, lasthash)
SELECT $1, u.topic, u.partition, u.next, u.last, u.time, u.hash
FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])
    AS u(topic, partition, expected, next, last, time, hash)
WHERE u.expected IS NULL
ON CONFLICT DO NOTHING";

/// What `ft_offset` says of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Everything before this is stored.
    pub next: Offset,
    /// The last stored record, by which a topic that was created again is told.
    pub last: Option<LastRecord>,
}

const READ: &str = "SELECT topic, partition, nextoffset, lastoffset, lasttime, lasthash FROM ft_offset \
    WHERE consumergroup = $1 AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::integer[]))";

/// Moves the offsets of partitions, which come sorted, each from what it is expected to be. `false` if one of them
/// is not what it was expected to be; the transaction then has to be rolled back.
pub(super) async fn compare_and_set(
    session: &Session,
    group: &str,
    progress: &[Progress],
) -> Result<bool, Error> {
    let topics: Vec<&str> = progress.iter().map(|p| &*p.partition.topic).collect();
    let partitions: Vec<i32> = progress.iter().map(|p| p.partition.number).collect();
    let expected: Vec<Option<i64>> = progress.iter().map(|p| p.from.map(|offset| offset.0)).collect();
    let next: Vec<i64> = progress.iter().map(|p| p.next.0).collect();
    let records: Vec<Option<&LastRecord>> = progress.iter().map(|p| p.last.as_ref()).collect();
    let last: Vec<Option<i64>> = records.iter().map(|last| last.map(|last| last.offset.0)).collect();
    let times: Vec<Option<i64>> = records.iter().map(|last| last.and_then(|last| last.time)).collect();
    let hashes: Vec<Option<&[u8]>> =
        records.iter().map(|last| last.map(|last| last.hash.as_slice())).collect();
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&group, &topics, &partitions, &expected, &next, &last, &times, &hashes];
    let mut moved = 0;
    if progress.iter().any(|p| p.from.is_some()) {
        moved += session.execute(UPDATE, &params).await?;
    }
    if progress.iter().any(|p| p.from.is_none()) {
        moved += session.execute(INSERT, &params).await?;
    }
    Ok(usize::try_from(moved).is_ok_and(|moved| moved == progress.len()))
}

/// What is stored of partitions; those without a row are not in the answer.
pub async fn read(
    client: &Client,
    group: &str,
    partitions: &[Partition],
) -> Result<Vec<(Partition, Stored)>, Error> {
    read_with(client, READ, group, partitions).await
}

async fn read_with(
    client: &Client,
    sql: &str,
    group: &str,
    partitions: &[Partition],
) -> Result<Vec<(Partition, Stored)>, Error> {
    let topics: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    let numbers: Vec<i32> = partitions.iter().map(|partition| partition.number).collect();
    let rows = client.query(sql, &[&group, &topics, &numbers]).await?;
    let read = |row: tokio_postgres::Row| {
        let partition = Partition { topic: Arc::from(row.get::<_, &str>(0)), number: row.get(1) };
        let hash = row.get::<_, Option<&[u8]>>(5).and_then(|hash| hash.try_into().ok());
        let last = row.get::<_, Option<i64>>(3).zip(hash).map(|(offset, hash)| LastRecord {
            offset: Offset(offset),
            time: row.get(4),
            hash,
        });
        (partition, Stored { next: Offset(row.get(2)), last })
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Forgets a group, whose work is done. Whatever was committed before this is on disk once it returns, rows of sessions
/// that do not wait for the disk too: a log is written from its beginning.
pub async fn forget(client: &Client, group: &str) -> Result<u64, Error> {
    client.batch_execute("SET synchronous_commit = on").await?;
    client.execute("DELETE FROM ft_offset WHERE consumergroup = $1", &[&group]).await
}

/// As [`read`], once transactions that hold the rows have ended: what the answer says is decided.
pub(super) async fn read_decided(
    session: &Session,
    group: &str,
    partitions: &[Partition],
) -> Result<Vec<(Partition, Offset)>, Error> {
    let found = read_with(session.client(), &format!("{READ} FOR UPDATE"), group, partitions).await?;
    Ok(found.into_iter().map(|(partition, stored)| (partition, stored.next)).collect())
}
