//! The sessions behind the answers.

use super::*;

async fn number(pool: &Pool, sql: &str) -> i64 {
    let mut reader = pool.get().await.unwrap();
    let moment = reader.moment().await.unwrap();
    moment.query_typed_one(sql, &[]).await.unwrap().get(0)
}

const OWN: &str = "SELECT pg_backend_pid()::bigint";
const PREPARED: &str = "SELECT count(*) FROM pg_prepared_statements";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_distinct_questions_leave_no_statement_behind() {
    let config = servers::config_of(&servers::database().await).await;
    let pool = Pool::new(&config.postgres, "test-reads", 1);
    let serving = Serving::start(pool.clone()).await;
    let session = number(&pool, OWN).await;
    for question in 0..3_000 {
        let path = match question % 3 {
            0 => format!("/v1/instances?app=a{question}&version=1&flow=f&interval={question}%20days"),
            1 => format!("/v1/instances/i{question}/steps/status"),
            _ => format!("/v1/app/state/a{question}"),
        };
        assert_eq!(serving.ask(&path).await.code, 200);
    }
    assert_eq!(number(&pool, OWN).await, session, "another session answered");
    assert_eq!(number(&pool, PREPARED).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_can_not_write_and_does_not_last() {
    let config = servers::config_of(&servers::database().await).await;
    let pool = Pool::new(&config.postgres, "test-reads", 1);
    let mut reader = pool.get().await.unwrap();
    let moment = reader.moment().await.unwrap();
    let shown = moment.query_typed_one("SELECT current_setting('statement_timeout')", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "10s");
    let written = moment.batch_execute("DELETE FROM steps").await.unwrap_err();
    assert_eq!(written.code().unwrap().code(), "25006");
    drop(moment);
    // Given back in the middle of what failed, the session still serves.
    drop(reader);
    assert_eq!(number(&pool, "SELECT 7::bigint").await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_all_sessions_busy_is_told_so() {
    let config = servers::config_of(&servers::database().await).await;
    let pool = Pool::new(&config.postgres, "test-reads", 1);
    let held = pool.get().await.unwrap();
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, PoolError::Busy { size: 1 }), "{error:?}");
    assert_eq!(error.to_string(), "all 1 sessions with Postgres were busy for 5 s; try again later");
    drop(held);
    assert!(pool.get().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_postgres_ended_are_replaced() {
    let config = servers::config_of(&servers::database().await).await;
    let pool = Pool::new(&config.postgres, "test-reads", 2);
    let serving = Serving::start(pool.clone()).await;
    let session = number(&pool, OWN).await;
    let client = servers::connect_to(&config).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(client.query(end, &[]).await.unwrap().len(), 1);
    assert_eq!(serving.ask("/v1/health").await.code, 200);
    assert_ne!(number(&pool, OWN).await, session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_every_question_is_answered_with_503() {
    let away = config::Postgres {
        url: Some("postgres://ann:hunter2@127.0.0.1:1/flows".into()),
        ..config::Postgres::default()
    };
    let serving = Serving::start(Pool::new(&away, "test-reads", 2)).await;
    let health = serving.ask("/v1/health").await;
    assert_eq!((health.code, health.content_type.as_str()), (503, "application/json"));
    let wanted = json!({
        "smVersion": "2.0", "connected": false, "tablesExists": false,
        "message": "the database is not available", "status": false,
    });
    assert_eq!(serde_json::from_str::<Value>(&health.body).unwrap(), wanted);
    for (path, what) in [
        (format!("/v1/instances?{APP}"), "Getting flow instance error:"),
        ("/v1/instances/x/steps".to_owned(), "get steps error:"),
        ("/v1/instances/x/snapshot/0".to_owned(), "get getSnapshotAtStep error:"),
        ("/v1/instances/x/status".to_owned(), "get status error:"),
    ] {
        let wanted = format!("{what}the database is not available");
        assert_eq!(serving.ask(&path).await.sentence(), (503, wanted.as_str()), "{path}");
    }
    // The server is there, but the tables are not.
    let empty = servers::config_of(&servers::empty_database().await).await;
    let serving = Serving::over(&empty).await;
    let health = serving.ask("/v1/health").await;
    assert!(
        health.code == 503 && health.body.contains(r#""connected":true,"tablesExists":false"#),
        "{health:?}"
    );
    let answer = serving.ask("/v1/instances/x/steps").await;
    assert_eq!(answer.sentence(), (500, "get steps error:the database gave no answer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_pools_transactions_will_do() {
    let Some(program) = pooler::program() else {
        eprintln!("SKIPPED: there is no pgbouncer on this machine; install the package pgbouncer");
        return;
    };
    let (config, _) = recorded("recorded.jsonl").await;
    let database = config.postgres.url.as_ref().unwrap().expose_secret();
    let behind = pooler::pooler(&program, database, "transaction").await;
    let postgres = config::Postgres { url: Some(behind.url.clone().into()), ..config::Postgres::default() };
    let serving = Serving::start(Pool::new(&postgres, "test-reads", 4)).await;
    let path = format!("/v1/instances/{}/snapshot/3", id("36c"));
    let asked = (0..40).map(|_| serving.ask(&path));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.json()["attrs"]["_A.Each"].as_array().unwrap().len(), 2);
    }
    // Nothing that was set outlives its transaction: the server sessions are handed to others.
    let other = servers::connect(&behind.url).await;
    for _ in 0..8 {
        let row = other
            .query_typed_one(
                "SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')",
                &[],
            )
            .await
            .unwrap();
        assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("0", "off"));
    }
}
