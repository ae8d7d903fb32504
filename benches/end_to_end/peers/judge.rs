//! Whether the rows that a rival stored are those that the collector stored.

use std::collections::HashMap;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use tokio_postgres::Client;

/// Key and whole row, as numbers that two different ones hardly share.
const ROWS: &str = "
SELECT hashtextextended(flowinstanceid || '/' || stepid, 1), hashtextextended(s::text, 2) FROM steps s
UNION ALL SELECT hashtextextended(flowinstanceid, 3), hashtextextended(f::text, 4) FROM flowstate f";

/// Rows of `steps` and `flowstate` as the merge law has them.
pub(crate) struct Truth(HashMap<i64, i64>);

/// How many rows are not as they should be.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Wrong {
    /// They are there and hold something else.
    pub(crate) different: usize,
    /// They are not there.
    pub(crate) missing: usize,
    /// They are there and should not be.
    pub(crate) surplus: usize,
}

impl Wrong {
    pub(crate) fn rows(self) -> usize {
        self.different + self.missing + self.surplus
    }
}

impl Truth {
    /// What a collector stored.
    pub(crate) async fn of(client: &Client) -> anyhow::Result<Self> {
        let none: [&str; 0] = [];
        let rows = client.query_raw(ROWS, none).await.context("reading what is stored")?;
        Ok(Self(rows.map_ok(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))).try_collect().await?))
    }

    /// What another stored, beside it.
    pub(crate) async fn judge(&self, client: &Client) -> anyhow::Result<Wrong> {
        let Self(stored) = Self::of(client).await?;
        let mut wrong = Wrong::default();
        for (key, row) in &self.0 {
            match stored.get(key) {
                None => wrong.missing += 1,
                Some(other) if other != row => wrong.different += 1,
                Some(_) => {}
            }
        }
        wrong.surplus = stored.keys().filter(|key| !self.0.contains_key(key)).count();
        Ok(wrong)
    }
}
