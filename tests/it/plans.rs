//! What a batch costs does not depend on how much is stored already.

use std::sync::Arc;

use flowtrail::{
    model::{Offset, Partition},
    pipeline::{decode::decode, merge::Fold},
    postgres::{self, Batch, LastRecord, Progress, Session, Written},
    publish::{Synthetic, SyntheticOptions},
};
use prost::Message as _;
use tokio_postgres::Client;

use crate::servers;

/// Flows that are stored already, with as many steps.
const STORED: i64 = 60_000;

/// A session keeps its plans. Made while the tables are empty, they must not read whole tables once they are not.
#[tokio::test]
async fn a_batch_reads_no_more_than_its_own_flows_however_full_the_tables_are() {
    let url = servers::database().await;
    let client = servers::connect(&url).await;
    // The planner now takes the tables for empty, and not only for unknown.
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let mut session = servers::session(&url).await;
    for number in 0..4 {
        write(&mut session, number).await;
    }
    client.batch_execute(&filler()).await.unwrap();
    for number in 4..8 {
        write(&mut session, number).await;
    }
    // A session counts what it read at its end.
    drop(session);
    servers::until("the session's end", || ended(&client)).await;
    let tables = client.query(READ, &[]).await.unwrap();
    assert!(tables.len() >= 8, "tables are missing");
    let read_by_many = tables.iter().filter_map(|table| {
        let (name, by_index, whole): (&str, i64, i64) = (table.get(0), table.get(1), table.get(2));
        let rows = format!("{name}: {by_index} rows read by index, {whole} by reading it whole");
        (by_index + whole >= STORED / 2).then_some(rows)
    });
    assert_eq!(read_by_many.collect::<Vec<_>>(), Vec::<String>::new());
}

const READ: &str = "SELECT t.relname::text, sum(i.idx_tup_read)::bigint, t.seq_tup_read FROM pg_stat_user_tables t \
    JOIN pg_stat_user_indexes i USING (relid) WHERE t.schemaname = 'public' GROUP BY t.relname, t.seq_tup_read";

/// Flows, steps and what goes with re-runs, of instances that no batch is about.
fn filler() -> String {
    format!(
        "INSERT INTO flowstate (flowinstanceid, hostid) SELECT 'stored' || n, '' FROM generate_series(1, {STORED}) n;
         INSERT INTO steps (flowinstanceid, stepid, rerun)
            SELECT 'stored' || n, '0', true FROM generate_series(1, {STORED}) n;
         INSERT INTO ft_superseded_step (flowinstanceid, stepid, execution, phase)
            SELECT 'stored' || n, '0', 0, 2 FROM generate_series(1, {STORED}) n;
         INSERT INTO ft_run (flowinstanceid, run, phase, hostid)
            SELECT 'stored' || n, 0, 2, '' FROM generate_series(1, {STORED}) n;
         INSERT INTO ft_rewind SELECT 'stored' || n, 0, 1 FROM generate_series(1, {STORED}) n;
         INSERT INTO ft_tombstone SELECT 'stored' || n, 1 FROM generate_series(1, {STORED}) n;"
    )
}

/// Writes a batch of what synthetic flows say, many of them run again; it ends and begins amid flows.
async fn write(session: &mut Session, number: u32) {
    let options = SyntheticOptions { rerun_percent: 20.0, payload_bytes: 20, ..SyntheticOptions::default() };
    let (first, count) = (usize::try_from(number).unwrap() * 1_000, 1_000);
    let mut fold = Fold::default();
    for record in Synthetic::new(options).skip(first).take(count) {
        let payload = record.event.encode_to_vec().into();
        fold.extend(decode(Some(record.key.as_bytes()), Some(&payload), 1 << 20, None).unwrap().events);
    }
    let progress = Progress {
        partition: Partition { topic: Arc::from("plans"), number: 0 },
        from: (number > 0).then_some(Offset(number.into())),
        next: Offset(i64::from(number) + 1),
        last: Some(LastRecord { offset: Offset(number.into()), time: None, hash: [0; 16] }),
    };
    let batch = Batch { fold, progress: vec![progress], ..Batch::default() };
    let written = postgres::write(session, "plans", &batch).await.unwrap();
    assert!(matches!(written, Written::Stored(_)), "{written:?}");
}

async fn ended(client: &Client) -> Result<(), String> {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let running: i64 = client.query_one(others, &[]).await.unwrap().get(0);
    if running == 0 { Ok(()) } else { Err(format!("{running} sessions")) }
}
