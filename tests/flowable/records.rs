//! What an engine keeps of itself is what flowtrail keeps of it, on every version and in both modes.

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::task::spawn_blocking;

use crate::{
    collecting::collect_all,
    driver::{Driver, IN_MEMORY, counted},
    jar::{self, ENGINES},
    oracle,
    program::{configured, done},
    servers, topics,
};

async fn every_row_is_the_engines(engine: &'static str, mode: &str) {
    let Some(driver) = Driver::new(engine, mode).await else { return };
    let ran = driver.run(2, IN_MEMORY).await;
    let [sent, dropped, failed] = counted(&ran);
    assert!(sent > 500 && dropped == 0 && failed == 0, "{ran:?}");
    collect_all(&driver.config).await;
    let client = servers::connect_to(&driver.config).await;
    let counts = oracle::compare(&client, driver.folder.path()).await;
    assert!(counts.iter().zip([28, 130, 28, 90]).all(|(count, least)| *count >= least), "{counts:?}");
    // What the engine's history says nothing of: each attempt that failed, once by `retried` and twice by `dead`.
    let failed = "SELECT taskname, count(*), count(DISTINCT stepid) FROM (
            SELECT taskname, stepid FROM steps WHERE status = 'Failed'
            UNION ALL SELECT taskname, stepid FROM ft_superseded_step WHERE status = 'Failed'
        ) attempts GROUP BY taskname ORDER BY taskname";
    let rows = client.query(failed, &[]).await.unwrap();
    let attempts: Vec<(String, i64, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(attempts, [("broken".to_owned(), 4, 2), ("flaky".to_owned(), 2, 2)]);
    let letters: i64 = client.query_one("SELECT count(*) FROM ft_dead_letter", &[]).await.unwrap().get(0);
    assert_eq!(letters, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_6_8_after_commit() {
    every_row_is_the_engines("6.8.1", "after-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_6_8_by_the_outbox() {
    every_row_is_the_engines("6.8.1", "outbox").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_7_2_after_commit() {
    every_row_is_the_engines("7.2.0", "after-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_8_0_after_commit() {
    every_row_is_the_engines("8.0.0", "after-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_8_0_by_the_outbox() {
    every_row_is_the_engines("8.0.0", "outbox").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_order_and_twice_it_comes_to_the_same_rows() {
    let Some(mut driver) = Driver::new("8.0.0", "after-commit").await else { return };
    // One partition, to have all records in one place.
    let topic = servers::topic(1).await;
    driver.config.kafka.topics = vec![topic.clone()];
    let driver = driver.with("topic", &topic);
    driver.run(2, IN_MEMORY).await;
    let mut again = servers::config(3).await;
    let mut records: Vec<_> =
        topics::records(&driver.config).await.into_iter().map(|(_, record)| record).collect();
    records.extend(records.clone());
    records.shuffle(&mut StdRng::seed_from_u64(8));
    for (record, partition) in records.iter_mut().zip((0..3).cycle()) {
        record.partition = partition;
    }
    topics::put(&again, &records).await;
    collect_all(&again).await;
    let client = servers::connect_to(&again).await;
    oracle::compare(&client, driver.folder.path()).await;
    let before = oracle::everything(&client).await;
    // Once more from the topic of the engine: nothing is missing, and nothing changes.
    again.kafka.topics = vec![topic];
    done(&mut configured(&again, ["replay", "--into", "postgres"])).await;
    assert_eq!(oracle::everything(&client).await, before);
}

#[tokio::test]
async fn the_jars_own_tests_pass_on_every_engine() {
    let tested = spawn_blocking(|| {
        jar::jar()?;
        // The first is what it was built with.
        for (engine, slf4j) in &ENGINES[1..] {
            let (version, slf4j) =
                (format!("-Dflowable.version={engine}"), format!("-Dslf4j.version={slf4j}"));
            jar::maven(&jar::source(), &["surefire:test", &version, &slf4j])
                .unwrap_or_else(|error| panic!("{engine}: {error}"));
        }
        Some(())
    });
    tested.await.unwrap();
}
