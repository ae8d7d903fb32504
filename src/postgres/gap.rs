//! `ft_gap`: stretches of a partition that Kafka no longer had when they were to be read.

use tokio_postgres::{Client, Error};

use crate::model::Partition;

/// A stretch of a partition that can't be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The partition.
    pub partition: Partition,
    /// How it came about, as `flowtrail_gaps_total{cause}` counts it.
    pub cause: &'static str,
    /// First offset that is missing.
    pub from: i64,
    /// First offset that is there again.
    pub to: i64,
    /// What was found, in a sentence.
    pub detail: String,
}

/// A gap that is met again, by a collector that was started again say, is kept once.
const KEEP: &str = "INSERT INTO ft_gap (consumergroup, topic, partition, cause, fromoffset, tooffset, detail) \
    SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM ft_gap WHERE consumergroup = $1 AND topic = $2 \
    AND partition = $3 AND cause = $4 AND fromoffset = $5 AND tooffset = $6)";

/// Keeps a gap. Kafka can't repeat it, so the commit is on disk before this returns.
pub(super) async fn keep(client: &Client, group: &str, gap: &Gap) -> Result<(), Error> {
    let Gap { partition, cause, from, to, detail } = gap;
    client.batch_execute("SET synchronous_commit = on").await?;
    client.execute(KEEP, &[&group, &&*partition.topic, &partition.number, cause, from, to, detail]).await?;
    Ok(())
}
