//! The database's lines.

use flowtrail::{
    config::Config,
    doctor::Verdict,
    postgres::look::{NEEDED_RIGHTS, WANTED_INDEXES},
};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::{assert_says, examine, of};
use crate::{
    collecting::collect_all,
    pooler,
    program::publish,
    proxy::{Mode, through_a_proxy},
    rows, servers,
    servers::{PATIENCE, until},
    topics::{self, Raw},
};

/// A user of the shared server who is no superuser, with these rights in the database; and the configuration with it.
async fn user(config: &Config, rights: &[(&str, &[&str])]) -> (Config, Client, String) {
    let owner = servers::connect_to(config).await;
    let name = servers::unique("somebody").replace('-', "_");
    owner.batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'x'")).await.unwrap();
    for (table, rights) in rights {
        owner.batch_execute(&format!("GRANT {} ON {table} TO {name}", rights.join(", "))).await.unwrap();
    }
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let (_, server) = url.rsplit_once('@').unwrap();
    let mut config = config.clone();
    config.postgres.url = Some(format!("postgres://{name}:x@{server}").into());
    (config, owner, name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_as_it_should_be_fails_in_nothing_but_what_tests_switch_off() {
    let config = servers::config(1).await;
    let found = examine(&config).await;
    let version = "SELECT current_setting('server_version_num')::integer";
    let version: i32 = servers::connect_to(&config).await.query_one(version, &[]).await.unwrap().get(0);
    for finding in found.iter().filter(|finding| finding.check.starts_with("postgres.")) {
        let expected = match finding.check {
            // The shared server is made to be quick.
            "postgres.durability" => Verdict::Fail,
            // From Postgres 18 on they are on unless one says otherwise.
            "postgres.checksums" if version < 180_000 => Verdict::Warn,
            // How full the disk is, and what others do on the server, is not this test's.
            "postgres.disk" | "postgres.replicas" | "postgres.slots" => continue,
            _ => Verdict::Ok,
        };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
    assert_says(&found, "postgres.durability", Verdict::Fail, &["fsync off"]);
    // This process and the server read the same clock.
    assert_says(&found, "clock.database", Verdict::Ok, &["give or take"]);
    // Tests run on the server's machine, as somebody who may look.
    assert!(!of(&found, "postgres.disk")[0].said.contains("another machine") || !servers::is_root());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_one_line_with_what_to_do() {
    let mut config = servers::config(1).await;
    config.postgres.url = Some("postgres://ann:hunter2@127.0.0.1:9/flows".into());
    let found = examine(&config).await;
    assert_says(&found, "postgres.reachable", Verdict::Fail, &["127.0.0.1:9", "DATABASE_URL"]);
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_connections_and_says_nothing_is_given_up() {
    let (mut config, proxy) = through_a_proxy(&servers::config(1).await).await;
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    config.postgres.url = Some(format!("{url}?connect_timeout=1").into());
    proxy.set(Mode::Hang);
    let found = timeout(PATIENCE, examine(&config)).await.expect("it waits for ever");
    assert_says(&found, "postgres.reachable", Verdict::Fail, &["within 1 s"]);
    assert_says(&found, "postgres.schema", Verdict::Skipped, &[]);
    assert_says(&found, "kafka.topic", Verdict::Ok, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_missing_or_altered_are_named() {
    let mut config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute("DELETE FROM ft_schema_change WHERE number = 3").await.unwrap();
    let found = examine(&config).await;
    assert_says(&found, "postgres.schema", Verdict::Fail, &["change", "flowtrail schema update"]);

    config.postgres.url = Some(servers::empty_database().await.into());
    let found = examine(&config).await;
    assert_says(&found, "postgres.schema", Verdict::Fail, &["flowtrail schema update"]);
    assert_says(&found, "postgres.rights", Verdict::Fail, &["no table steps"]);
    assert_says(&found, "postgres.indexes", Verdict::Skipped, &["no tables"]);
    assert_says(&found, "postgres.lock", Verdict::Ok, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_indexes_that_are_looked_for_are_those_that_the_changes_make() {
    let client = servers::connect(&servers::database().await).await;
    let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
    let made = rows::texts(&client, sql).await.into_iter().flatten().map(|text| {
        // CREATE [UNIQUE] INDEX name ON public.table USING btree (columns)[ WHERE rows]
        let (head, tail) = text.split_once(" USING btree ").unwrap();
        let (begin, table) = head.split_once(" ON public.").unwrap();
        let (columns, rows) = tail.split_once(" WHERE ").unwrap_or((tail, ""));
        let columns = columns.trim_matches(['(', ')']).to_owned();
        (table.to_owned(), columns, rows.to_owned(), begin.starts_with("CREATE UNIQUE"))
    });
    let mut made: Vec<_> = made.collect();
    let mut wanted: Vec<_> = WANTED_INDEXES
        .iter()
        .map(|index| {
            let rows = index.rows.unwrap_or_default().to_owned();
            (index.table.to_owned(), index.columns.to_owned(), rows, index.unique)
        })
        .collect();
    made.sort();
    wanted.sort();
    assert_eq!(wanted, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_dropped_or_broken_off_is_named_and_the_advice_mends_it() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    client
        .batch_execute("ALTER TABLE steps DROP CONSTRAINT steps_pkey; DROP INDEX ft_flowstate_original")
        .await
        .unwrap();
    let found = examine(&config).await;
    assert_says(
        &found,
        "postgres.indexes",
        Verdict::Fail,
        &["steps", "refuses every batch", "CREATE UNIQUE INDEX"],
    );
    let dropped = of(&found, "postgres.indexes");
    assert_eq!(
        dropped.iter().map(|finding| finding.verdict).collect::<Vec<_>>(),
        [Verdict::Warn, Verdict::Fail]
    );
    for finding in dropped {
        client.batch_execute(finding.advice.as_ref().unwrap()).await.unwrap();
    }
    assert_says(&examine(&config).await, "postgres.indexes", Verdict::Ok, &[]);

    // Postgres leaves an index that could not be made to the end.
    client.batch_execute("ALTER TABLE ft_run DROP CONSTRAINT ft_run_pkey").await.unwrap();
    client
        .batch_execute(
            "INSERT INTO ft_run (flowinstanceid, run, phase, hostid) VALUES ('f', 1, 0, ''), ('f', 1, 0, '')",
        )
        .await
        .unwrap();
    let broken =
        client.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY ON ft_run (flowinstanceid, run)").await;
    assert!(broken.is_err());
    assert_says(&examine(&config).await, "postgres.indexes", Verdict::Fail, &["not valid", "REINDEX"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_are_asked_for_are_enough_to_collect_and_each_that_is_missing_is_named() {
    let config = servers::config(1).await;
    let (mine, owner, name) = user(&config, &NEEDED_RIGHTS).await;
    let found = examine(&mine).await;
    assert_says(&found, "postgres.rights", Verdict::Ok, &[]);
    assert_says(&found, "postgres.temp", Verdict::Ok, &[]);
    publish(&config, "recorded.jsonl", &[]).await;
    publish(&config, "reruns.jsonl", &[]).await;
    // A deletion and a dead letter use rights that the recordings don't.
    let delete = flowtrail::proto::v1::FlowDeleted { flow_instance_id: "ra".repeat(16), before: None };
    let event = flowtrail::proto::v1::history_event::Event::FlowDeleted(delete);
    let delete = Raw::of(&flowtrail::proto::v1::HistoryEvent { event: Some(event) });
    topics::put(&config, &[delete, Raw { value: Some(b"\0".to_vec()), ..Raw::default() }]).await;
    collect_all(&mine).await;
    assert_eq!(rows::count(&owner, "ft_dead_letter").await, 1);
    assert_eq!(rows::count(&owner, "ft_tombstone").await, 1);

    owner.batch_execute(&format!("REVOKE UPDATE ON steps FROM {name}")).await.unwrap();
    owner.batch_execute(&format!("REVOKE INSERT, UPDATE ON ft_offset FROM {name}")).await.unwrap();
    let database = rows::texts(&owner, "SELECT current_database()::text").await[0].clone().unwrap();
    owner.batch_execute(&format!("REVOKE TEMP ON DATABASE {database} FROM PUBLIC")).await.unwrap();
    let found = examine(&mine).await;
    assert_says(&found, "postgres.rights", Verdict::Fail, &["lacks UPDATE on steps"]);
    assert_says(&found, "postgres.rights", Verdict::Fail, &["lacks INSERT, UPDATE on ft_offset"]);
    assert_eq!(of(&found, "postgres.rights").len(), 2);
    assert_says(&found, "postgres.temp", Verdict::Fail, &["GRANT TEMP"]);
    for check in ["postgres.rights", "postgres.temp"] {
        for finding in of(&found, check) {
            owner.batch_execute(finding.advice.as_ref().unwrap()).await.unwrap();
        }
    }
    let found = examine(&mine).await;
    assert_says(&found, "postgres.rights", Verdict::Ok, &[]);
    assert_says(&found, "postgres.temp", Verdict::Ok, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_of_other_encodings_are_told() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    for (encoding, verdict) in [("LATIN1", Verdict::Fail), ("SQL_ASCII", Verdict::Warn)] {
        let name = servers::unique("encoded").replace('-', "_");
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'");
        client.batch_execute(&create).await.unwrap();
        let mut other = config.clone();
        let url = config.postgres.url.as_ref().unwrap().expose_secret();
        let (server, _) = url.rsplit_once('/').unwrap();
        other.postgres.url = Some(format!("{server}/{name}").into());
        assert_says(&examine(&other).await, "postgres.encoding", verdict, &[encoding, "UTF8"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_read_only_or_full_of_sessions_is_told() {
    let config = servers::config(1).await;
    let (mine, owner, name) = user(&config, &NEEDED_RIGHTS).await;
    let database = rows::texts(&owner, "SELECT current_database()::text").await[0].clone().unwrap();
    let alter = format!(
        "ALTER ROLE {name} CONNECTION LIMIT 4; ALTER DATABASE {database} SET default_transaction_read_only = on"
    );
    owner.batch_execute(&alter).await.unwrap();
    let found = examine(&mine).await;
    assert_says(&found, "postgres.writable", Verdict::Fail, &["default_transaction_read_only"]);
    assert_says(
        &found,
        "postgres.connections",
        Verdict::Fail,
        &["of 4", "this user's limit", "collector.lanes"],
    );
    let alter =
        format!("ALTER ROLE {name} CONNECTION LIMIT -1; ALTER DATABASE {database} CONNECTION LIMIT 5");
    owner.batch_execute(&alter).await.unwrap();
    let found = examine(&mine).await;
    assert_says(&found, "postgres.connections", Verdict::Fail, &["of 5", "this database's limit"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_the_lock_that_every_batch_takes_is_named() {
    let config = servers::config(1).await;
    let mut client = servers::connect_to(&config).await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let holding = client.transaction().await.unwrap();
    // The two numbers of the lock: "ftlw" and the table.
    holding
        .batch_execute("SELECT pg_advisory_xact_lock(1718905975, 'steps'::regclass::oid::integer)")
        .await
        .unwrap();
    let terminate = format!("pg_terminate_backend({pid})");
    until("it has held it for a second", async || {
        let found = examine(&config).await;
        let lock = of(&found, "postgres.lock")[0];
        if lock.verdict == Verdict::Fail { Ok(()) } else { Err(lock.said.clone()) }
    })
    .await;
    let found = examine(&config).await;
    assert_says(&found, "postgres.lock", Verdict::Fail, &["nothing is stored meanwhile", &terminate]);
    assert_says(&found, "postgres.transactions", Verdict::Ok, &["1 transaction open"]);
    // Somebody who is not shown what other users do says so.
    let (mine, _, _) = user(&config, &NEEDED_RIGHTS).await;
    let found = examine(&mine).await;
    assert_says(&found, "postgres.transactions", Verdict::Skipped, &["pg_read_all_stats"]);
    assert_says(&found, "postgres.lock", Verdict::Ok, &[]);
    holding.rollback().await.unwrap();
    assert_says(&examine(&config).await, "postgres.lock", Verdict::Ok, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_is_off_is_told() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    // The server's own clock can't be set here; a function of the same name that is found first can.
    let clock = |offset: &str| {
        format!(
            "CREATE SCHEMA IF NOT EXISTS off; CREATE OR REPLACE FUNCTION off.clock_timestamp() RETURNS timestamptz
            LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + interval ''{offset}'''"
        )
    };
    let database = rows::texts(&client, "SELECT current_database()::text").await[0].clone().unwrap();
    let first = format!("ALTER DATABASE {database} SET search_path = off, pg_catalog, public");
    client.batch_execute(&clock("-20 s")).await.unwrap();
    client.batch_execute(&first).await.unwrap();
    assert_says(&examine(&config).await, "clock.database", Verdict::Warn, &["behind ours", "NTP"]);
    client.batch_execute(&clock("10 min")).await.unwrap();
    assert_says(&examine(&config).await, "clock.database", Verdict::Fail, &["ahead of ours", "NTP"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_transactions_is_told_and_the_rest_is_looked_at_through_it() {
    let Some(program) = pooler::program() else {
        eprintln!("SKIPPED: there is no pgbouncer on this machine; install the package pgbouncer");
        return;
    };
    let mut config = servers::config(1).await;
    let database = config.postgres.url.as_ref().unwrap().expose_secret().to_owned();
    for (mode, verdict) in [("transaction", Verdict::Fail), ("session", Verdict::Ok)] {
        let pooler = pooler::pooler(&program, &database, mode).await;
        config.postgres.url = Some(pooler.url.as_str().into());
        let found = examine(&config).await;
        assert_says(&found, "postgres.pooler", verdict, &[]);
        for check in
            ["postgres.schema", "postgres.rights", "postgres.indexes", "postgres.lock", "clock.database"]
        {
            assert_says(&found, check, Verdict::Ok, &[]);
        }
    }
}
