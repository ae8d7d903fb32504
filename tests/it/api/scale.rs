//! However much is stored, a question reads what an index names, and answers in time.

use std::time::{Duration, Instant};

use super::{Serving, config};
use crate::{
    rows,
    schema::view_plans::filler,
    servers::{self, until},
};

/// Steps of the test, ten to a flow. `.ci/long` takes a hundred million.
const STEPS: i64 = 100_000;

/// Older flows without steps, which take little time to make: with them there are six times as many flows as a question
/// looks at. Of a table of which most is wanted anyway, Postgres reads the whole, and is right to.
const OLDER: &str = "INSERT INTO flowstate (flowinstanceid, appname, flowname, hostid, userid, status, phase, starttime, endtime)
    SELECT md5('older' || n), 'app' || n % 20, 'flow' || n % 200, 'host', 'user', 'Completed', 2, start, start + interval '1 ms'
    FROM generate_series(1, 110000) n,
        LATERAL (SELECT now() AT TIME ZONE 'UTC' - interval '300 days' + n * interval '1 minute' AS start) s";

/// How long the list and a flow may take on a machine that has nothing else to do.
const QUICK: Duration = Duration::from_millis(200);

/// Whole reads of the tables of history so far, by Postgres's own count. Of sessions that go on it may know less.
async fn whole_reads(client: &tokio_postgres::Client) -> i64 {
    let sql = r"SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables WHERE relname ~ '^(steps|flowstate)(_p\d+)?$'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until nobody else is connected: then Postgres knows what they did.
async fn alone(client: &tokio_postgres::Client) {
    until("the other sessions have ended", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        match client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) {
            0 => Ok(()),
            others => Err(format!("{others} are there")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_reads_a_history_table_whole() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    // What it reads has to be counted before.
    let filling = servers::connect_to(&config).await;
    let long = std::env::var("IT_API_STEPS").ok();
    let steps = long.as_ref().map_or(STEPS, |steps| steps.parse().unwrap());
    filling.batch_execute(&filler(steps / 10)).await.unwrap();
    filling.batch_execute(OLDER).await.unwrap();
    filling.batch_execute("VACUUM ANALYZE").await.unwrap();
    let sql = "SELECT flowinstanceid FROM flowstate ORDER BY starttime DESC LIMIT 2";
    let flows: Vec<String> = rows::texts(&filling, sql).await.into_iter().flatten().collect();
    let [flow, other] = flows.as_slice() else { panic!("{flows:?}") };
    drop(filling);
    alone(&client).await;
    let before = whole_reads(&client).await;

    let serving = Serving::over(config.clone()).await;
    let questions = [
        "/flows".to_owned(),
        "/flows?status=failed&limit=500".to_owned(),
        "/flows?app=app3&flow=flow3".to_owned(),
        "/flows?host=nowhere".to_owned(),
        "/flows?since=-10d&min_duration_ms=96".to_owned(),
        format!("/flows?rerun_of={flow}"),
        format!("/flows?id={flow}"),
        "/flows?id=00".to_owned(),
        "/flows?failed_step=true".to_owned(),
        "/flows?text=zebra".to_owned(),
        "/counts".to_owned(),
        "/counts?app=app3&flow=flow3&since=-10d".to_owned(),
        format!("/flows/{flow}"),
        format!("/flows/{flow}/steps"),
        format!("/flows/{flow}/steps/3"),
        format!("/flows/{flow}/timeline"),
        format!("/flows/{flow}/compare/{other}"),
        format!("/flows/{flow}/export"),
        "/stats?since=-1d".to_owned(),
        "/stats?app=app3&flow=flow3&since=-90d".to_owned(),
        "/grid?app=app3&flow=flow3&runs=100".to_owned(),
    ];
    println!("| question, on {steps} steps | ms |\n| --- | --- |");
    for question in &questions {
        // The first time a session is opened, and what is on the disk only is read.
        let first = serving.ask(&format!("GET {question}"), &[], "").await;
        assert_eq!(first.status, 200, "{question}: {first:?}");
        let began = Instant::now();
        serving.ask(&format!("GET {question}"), &[], "").await;
        let took = began.elapsed();
        println!("| `{question}` | {} |", took.as_millis());
        let is_list_or_flow = question.starts_with("/flows") && !question.contains("compare");
        assert!(long.is_none() || !is_list_or_flow || took < QUICK, "{question} took {took:?}");
    }
    let Serving { process, .. } = serving;
    process.end("TERM").await;
    alone(&client).await;
    assert_eq!(whole_reads(&client).await - before, 0);

    // The count can tell: this is one.
    let reader = servers::connect_to(&config).await;
    reader.query_one("SELECT count(*) FROM steps WHERE taskname = 'x'", &[]).await.unwrap();
    drop(reader);
    alone(&client).await;
    assert!(whole_reads(&client).await > before);
}
