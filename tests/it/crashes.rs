//! Collectors that are killed, and a Postgres that goes away: nothing is lost, nothing is doubled.

use flowtrail::config::Config;
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;

use crate::{
    collecting::{Collecting, collect_all, stored, until_stored},
    program::Process,
    proxy::{Mode, through_a_proxy},
    servers::{self, until},
    traffic::{assert_stored, send, traffic},
};

/// A database that takes its time with every batch, so that there is a middle to be killed in.
pub const SLOW: &str = "
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;
    CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON ft_offset FOR EACH STATEMENT EXECUTE FUNCTION slow()";

/// A static member: the next one of its name takes its place at once, dead or not.
fn static_member(config: &mut Config) {
    config.kafka.librdkafka.insert("group.instance.id".to_owned(), "one".into());
}

/// Holds a batch in the middle of its transaction, once so much is stored: its rows written, its offset not.
pub async fn hold_a_batch(client: &Client, config: &Config, goal: i64) {
    until("so much is stored", async || {
        let stored: i64 = stored(client, config).await.iter().map(|(_, next)| next).sum();
        if stored >= goal { Ok(()) } else { Err(format!("{stored} of {goal}")) }
    })
    .await;
    client.batch_execute("BEGIN; LOCK TABLE ft_offset IN EXCLUSIVE MODE").await.unwrap();
    until("a batch waits for its offset", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ft_offset'::regclass
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waiting: i64 = client.query_one(waiting, &[]).await.unwrap().get(0);
        if waiting > 0 { Ok(()) } else { Err(format!("{:?} are stored", stored(client, config).await)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_killed_in_the_middle_of_batches_loses_nothing_and_doubles_nothing() {
    let mut config = servers::config(4).await;
    config.collector.batch_rows = 50;
    static_member(&mut config);
    let records = traffic(21, 20_000);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    client.batch_execute(SLOW).await.unwrap();

    for round in 1..=3 {
        let mut process = Process::collect(&config).await;
        hold_a_batch(&client, &config, round * 2_000).await;
        process.child.kill().await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();

        let collecting = Collecting::start(&config);
        hold_a_batch(&client, &config, round * 2_000 + 1_000).await;
        collecting.abort().await;
        client.batch_execute("COMMIT").await.unwrap();
    }
    client.batch_execute("DROP TRIGGER slow ON ft_offset").await.unwrap();
    let process = Process::collect(&config).await;
    until_stored(&config).await;
    assert_eq!(process.end("TERM").await, Some(0));
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_told_to_stop_while_a_batch_is_held_ends_in_time_and_the_next_goes_on() {
    let mut config = servers::config(4).await;
    config.collector.batch_rows = 50;
    config.collector.shutdown_timeout_ms = 300;
    let records = traffic(25, 6_000);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    client.batch_execute(SLOW).await.unwrap();
    for signal in ["TERM", "INT"] {
        let process = Process::collect(&config).await;
        let stored: i64 = stored(&client, &config).await.iter().map(|(_, next)| next).sum();
        hold_a_batch(&client, &config, stored + 500).await;
        assert_eq!(process.end(signal).await, Some(0));
        client.batch_execute("COMMIT").await.unwrap();
    }
    client.batch_execute("DROP TRIGGER slow ON ft_offset").await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_not_as_it_should_be_ends_the_collector_and_loses_nothing() {
    let config = servers::config(2).await;
    let records = traffic(26, 1_000);
    let (first, rest) = records.split_at(500);
    send(&config, first, 0).await.unwrap();
    let mut process = Process::collect(&config).await;
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute("ALTER TABLE steps RENAME COLUMN status TO state").await.unwrap();
    send(&config, rest, 0).await.unwrap();
    let said = process.says("error: ").await;
    assert!(said.contains("status") && said.contains("nothing is lost"), "{said}");
    assert_eq!(process.child.wait().await.unwrap().code(), Some(1));

    client.batch_execute("ALTER TABLE steps RENAME COLUMN state TO status").await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &records).await;
}

/// Where partitions begin is asked outside of any batch: that it may not be asked has to end it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_may_not_see_what_is_stored_ends_and_says_so() {
    let config = servers::config(1).await;
    let records = traffic(24, 300);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    let role = servers::unique("blind").replace('-', "_");
    let rights = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE SELECT ON ft_offset FROM {role}"
    );
    client.batch_execute(&rights).await.unwrap();
    let mut blind = config.clone();
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let server = url.rsplit_once('@').unwrap().1;
    blind.postgres.url = Some(format!("postgres://{role}:x@{server}").into());
    let mut process = Process::collect(&blind).await;
    let said = process.says("error: ").await;
    assert!(
        said.contains("permission denied for table ft_offset") && said.contains("nothing is lost"),
        "{said}"
    );
    assert_eq!(process.child.wait().await.unwrap().code(), Some(1));

    client.batch_execute(&format!("GRANT SELECT ON ft_offset TO {role}")).await.unwrap();
    collect_all(&blind).await;
    assert_stored(&config, &records).await;
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_cut_again_and_again_lose_nothing_and_double_nothing() {
    let mut config = servers::config(4).await;
    config.collector.batch_rows = 50;
    let records = traffic(23, 6_000);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    client.batch_execute(SLOW).await.unwrap();
    let (proxied, proxy) = through_a_proxy(&config).await;
    let collecting = Collecting::start(&proxied);
    for round in 1..=3 {
        hold_a_batch(&client, &config, round * 500).await;
        proxy.cut().await;
        client.batch_execute("COMMIT").await.unwrap();
        proxy.set(Mode::Pass);
    }
    client.batch_execute("DROP TRIGGER slow ON ft_offset").await.unwrap();
    until_stored(&config).await;
    collecting.stop().await;
    assert_stored(&config, &records).await;
}

/// A database whose commits of offsets wait for whoever holds the lock 42.
pub const HELD_COMMITS: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT OR UPDATE ON ft_offset DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION hold()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_counts_once_it_is_seen_to_be_there() {
    let mut config = servers::config(1).await;
    config.collector.batch_rows = 200;
    let records = traffic(24, 2_000);
    let client = servers::connect_to(&config).await;
    client.batch_execute(HELD_COMMITS).await.unwrap();
    let (proxied, proxy) = through_a_proxy(&config).await;
    let collecting = Collecting::start(&proxied);
    for half in records.chunks(records.len() / 2 + 1) {
        client.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
        let before = stored(&client, &config).await;
        send(&config, half, 0).await.unwrap();
        until("a commit waits", async || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid = 42
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            let waiting: i64 = client.query_one(waiting, &[]).await.unwrap().get(0);
            if waiting > 0 { Ok(()) } else { Err("none".to_owned()) }
        })
        .await;
        proxy.cut().await;
        client.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
        until("it is there, though nobody was told", async || {
            let now = stored(&client, &config).await;
            if now == before { Err(format!("{now:?}")) } else { Ok(()) }
        })
        .await;
        proxy.set(Mode::Pass);
        until_stored(&config).await;
    }
    collecting.stop().await;
    assert_stored(&config, &records).await;
}
