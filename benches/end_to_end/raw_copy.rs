//! The measure: the same rows into the same tables by binary `COPY`, from two sessions, with nothing to find out.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use flowtrail::clock;
use futures_util::{SinkExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio_postgres::Client;

use crate::{
    connect,
    usage::{PostgresMark, PostgresUse},
};

/// Sessions that copy side by side, as many as the collector has lanes by default.
const SESSIONS: i32 = 2;
/// Rows go to Postgres in pieces of about this many bytes.
const CHUNK: usize = 128 << 10;
/// Tables that are copied.
const TABLES: [&str; 2] = ["steps", "flowstate"];

/// The rows of a database, by session and table, each as the pieces of one binary `COPY`.
#[derive(Clone)]
pub(crate) struct Rows {
    sessions: Vec<Vec<(&'static str, Vec<Bytes>)>>,
}

/// What a raw COPY took.
#[derive(Debug, Serialize)]
pub(crate) struct Copied {
    /// From the first row to the last commit.
    pub(crate) seconds: f64,
    /// Rows of `steps` and `flowstate` by second.
    pub(crate) rows_per_second: f64,
    /// What it took of Postgres.
    pub(crate) postgres: PostgresUse,
}

impl Rows {
    /// Takes the rows out of a database, in the order in which they lie there; a flow is on one session.
    pub(crate) async fn of(client: &Client) -> anyhow::Result<Self> {
        client
            .batch_execute("SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0")
            .await?;
        let mut sessions = Vec::new();
        for session in 0..SESSIONS {
            let mut tables = Vec::new();
            for table in TABLES {
                let share = format!("abs(hashtext(flowinstanceid) % {SESSIONS}) = {session}");
                let query = format!("COPY (SELECT * FROM {table} WHERE {share}) TO STDOUT (FORMAT binary)");
                let mut stream = pin!(client.copy_out(&query).await?);
                let (mut pieces, mut piece) = (Vec::new(), BytesMut::with_capacity(CHUNK + (CHUNK >> 2)));
                while let Some(row) = stream.try_next().await? {
                    piece.extend_from_slice(&row);
                    if piece.len() >= CHUNK {
                        pieces.push(piece.split().freeze());
                    }
                }
                pieces.push(piece.freeze());
                tables.push((table, pieces));
            }
            sessions.push(tables);
        }
        Ok(Self { sessions })
    }

    /// Brings them into a database that has none of them: a transaction for each session.
    pub(crate) async fn copy_into(self, url: &str) -> anyhow::Result<Copied> {
        let client = connect(url).await?;
        let mut ready = Vec::new();
        for tables in self.sessions {
            let session = connect(url).await?;
            session.batch_execute("SET synchronous_commit = off; BEGIN").await?;
            ready.push((session, tables));
        }
        let mark = PostgresMark::set(&client).await?;
        let began = clock::monotonic();
        let copying: Vec<_> =
            ready.into_iter().map(|(session, tables)| tokio::spawn(copy(session, tables))).collect();
        let (mut rows, mut sessions) = (0.0, Vec::new());
        for session in copying {
            let (copied, session) = session.await??;
            rows += copied;
            // Kept until it has been measured what they took.
            sessions.push(session);
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Copied { seconds, rows_per_second: rows / seconds, postgres: mark.since(&client).await? })
    }
}

/// Copies what one session has, and says how many rows that were.
async fn copy(session: Client, tables: Vec<(&'static str, Vec<Bytes>)>) -> anyhow::Result<(f64, Client)> {
    let mut rows = 0.0;
    for (table, pieces) in tables {
        let statement = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let mut sink = pin!(session.copy_in(&statement).await?);
        for piece in pieces {
            sink.feed(piece).await?;
        }
        rows += f64::from(u32::try_from(sink.finish().await?)?);
    }
    session.batch_execute("COMMIT").await?;
    Ok((rows, session))
}
