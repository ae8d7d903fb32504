//! What the advisory lock costs that every batch holds. A measurement: it prints figures and asserts nothing about time.
//!
//! `cargo test --release --test it lock_cost -- --ignored --nocapture`

use std::time::{Duration, Instant};

use bytes::Bytes;
use flowtrail::{
    model::{Offset, Partition},
    pipeline::{decode::decode, merge::Fold},
    postgres::{self, Batch, LastRecord, Progress, Session, Written},
    publish::{Synthetic, SyntheticOptions},
};
use futures_util::future::join_all;
use prost::Message as _;
use tokio_postgres::Client;

use crate::servers;

/// Sessions that store at the same time.
const SESSIONS: usize = 2;
/// Batches that each of them stores in a round, and events of a batch.
const BATCHES: usize = 20;
const EVENTS: usize = 1_000;
/// Rounds with the lock, and as many without it.
const ROUNDS: usize = 8;
/// How often a statement is run to learn what it takes.
const STATEMENTS: u32 = 2_000;

/// Stands in for Postgres's own function, for sessions that look here first, and takes no lock.
const NO_LOCK: &str = "CREATE SCHEMA no_lock;
    CREATE FUNCTION no_lock.pg_advisory_xact_lock_shared(integer, integer) RETURNS void LANGUAGE sql AS ''";
const WITH: &str = "SET search_path = pg_catalog, public";
const WITHOUT: &str = "SET search_path = no_lock, pg_catalog, public";

async fn client(url: &str, search_path: &str) -> Client {
    let client = servers::connect(url).await;
    client.batch_execute(search_path).await.unwrap();
    client
}

/// How many advisory locks the statement takes.
async fn locks(client: &Client) -> i64 {
    client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock_shared(1, 1)").await.unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    let held = client.query_one(held, &[]).await.unwrap().get(0);
    client.batch_execute("ROLLBACK").await.unwrap();
    held
}

/// What a statement takes, there and back.
async fn time_of(client: &Client, sql: &str) -> Duration {
    let statement = client.prepare(sql).await.unwrap();
    let began = Instant::now();
    for _ in 0..STATEMENTS {
        client.execute(&statement, &[]).await.unwrap();
    }
    began.elapsed() / STATEMENTS
}

/// Batches of flows that nobody has stored, none of which needs the exclusive lock.
fn batches(seed: u64) -> Vec<Batch> {
    let options = SyntheticOptions { seed, rerun_percent: 0.0, ..SyntheticOptions::default() };
    let mut records = Synthetic::new(options);
    let partition = Partition { topic: format!("lock-{seed}").into(), number: 0 };
    let batch = |number: i64| {
        let mut fold = Fold::default();
        for record in records.by_ref().take(EVENTS) {
            let payload = Bytes::from(record.event.encode_to_vec());
            fold.extend(decode(Some(record.key.as_bytes()), Some(&payload), 1 << 20, None).unwrap().events);
        }
        let progress = Progress {
            partition: partition.clone(),
            from: (number > 0).then_some(Offset(number)),
            next: Offset(number + 1),
            last: Some(LastRecord { offset: Offset(number), time: None, hash: [0; 16] }),
        };
        Batch { fold, progress: vec![progress], ..Batch::default() }
    };
    (0..).take(BATCHES).map(batch).collect()
}

async fn store(session: &mut Session, batches: Vec<Batch>) {
    for batch in batches {
        let written =
            postgres::write(session, "lock", &batch).await.unwrap_or_else(|error| panic!("{}", error.error));
        assert!(matches!(written, Written::Stored(_)), "{written:?}");
    }
}

/// What it takes until all sessions have stored their batches.
async fn round(sessions: &mut [Session], seed: u64) -> Duration {
    let work: Vec<_> = (seed..).zip(sessions).map(|(seed, session)| (session, batches(seed))).collect();
    let began = Instant::now();
    join_all(work.into_iter().map(|(session, batches)| store(session, batches))).await;
    began.elapsed()
}

#[ignore = "a measurement, to be looked at by a person"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_with_and_without_the_shared_lock() {
    let url = servers::database().await;
    servers::connect(&url).await.batch_execute(NO_LOCK).await.unwrap();
    let (with, without) = (client(&url, WITH).await, client(&url, WITHOUT).await);
    assert_eq!((locks(&with).await, locks(&without).await), (1, 0));

    let (mut locking, mut free) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS {
        locking.push(Session::prepare(client(&url, WITH).await).await.unwrap());
        free.push(Session::prepare(client(&url, WITHOUT).await).await.unwrap());
    }
    let (mut times, mut free_times) = (Vec::new(), Vec::new());
    // The first round of each makes plans and is not counted.
    for number in 0..=ROUNDS {
        let seed = u64::try_from(2 * SESSIONS * number).unwrap() + 1_000;
        let (first, second) = (seed, seed + u64::try_from(SESSIONS).unwrap());
        // Whoever comes first in a round has the smaller tables.
        let (time, free_time) = if number % 2 == 0 {
            let time = round(&mut locking, first).await;
            (time, round(&mut free, second).await)
        } else {
            let free_time = round(&mut free, first).await;
            (round(&mut locking, second).await, free_time)
        };
        if number > 0 {
            times.push(time);
            free_times.push(free_time);
        }
    }
    let per_batch = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2] / u32::try_from(BATCHES).unwrap()
    };
    let (time, free_time) = (per_batch(times), per_batch(free_times));
    let ratio = time.as_secs_f64() / free_time.as_secs_f64();
    println!(
        "a batch of {EVENTS} events, {SESSIONS} sessions at once: {time:?} with the lock, {free_time:?} without, {ratio:.3}"
    );
    let lock = "SELECT pg_advisory_xact_lock_shared(1, 1)";
    let same = client(&url, WITH).await;
    let at_once = join_all([&with, &same].map(|client| time_of(client, lock))).await;
    let nothing = join_all([&with, &same].map(|client| time_of(client, "SELECT 1"))).await;
    println!("the statement takes {at_once:?}, SELECT 1 takes {nothing:?}, in two sessions at once");
}
