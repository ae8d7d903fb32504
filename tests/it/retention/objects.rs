//! An archive in a bucket of a real S3 server: nothing goes that is not there, and all of it comes back from there.

mod server;

use tokio::process::Command;

use self::server::{SECRET, Server, URL};
use super::*;

/// Has a statement that removes steps wait for as long as the table `held` has a row.
const HOLD: &str = "CREATE TABLE held (); INSERT INTO held DEFAULT VALUES;
    CREATE FUNCTION wait_while_held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE EXISTS (SELECT FROM held) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL;
    END $$;
    CREATE TRIGGER hold BEFORE DELETE ON steps EXECUTE FUNCTION wait_while_held()";
/// Not by TRUNCATE, which would wait for the statement that waits.
const RELEASE: &str = "DELETE FROM held";

/// Ten flows of several days that go, in two chunks, and one that stays.
async fn stored_flows() -> (Config, Client) {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    let old =
        |n: i64| Made { run: 1_000, ..Made::new(&format!("goes-{n}"), 15 + n / 3, FlowStatus::Completed) };
    let mut flows: Vec<Made> = (0..10).map(old).collect();
    flows.push(Made { run: 2_000, ..flows[0].clone() });
    flows.push(Made::new("stays-young", 13, FlowStatus::Completed));
    publish(&config, &flows).await;
    collect_all(&config).await;
    (config, client)
}

async fn retain(server: &Server, config: &Config) -> Value {
    let ran = done(&mut server.command(config, &["retention", "run", "--yes", "--format", "json"])).await;
    serde_json::from_str(&ran).unwrap()
}

/// Publishes what the archive has, and stores it.
async fn restore(server: &Server, config: &Config) {
    done(&mut server.command(config, &["retention", "readmit", URL])).await;
    done(&mut server.command(config, &["publish", "--from", "json", URL])).await;
    collect_all(config).await;
}

/// Ids in objects, by programs that know nothing of this one.
async fn archived_flows(server: &Server) -> Vec<String> {
    let lines = done(Command::new("zcat").args(server.objects())).await;
    let ids = lines.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["flow"]["flowInstanceId"].as_str().map(str::to_owned)
    });
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Waits until the first chunk is archived and its rows are being removed, which waits for `held`.
async fn until_held(client: &Client) {
    const SQL: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
        AND query LIKE 'DELETE FROM steps%'";
    let waits = async || match client.query_one(SQL, &[]).await.unwrap().get(0) {
        1_i64 => Ok(()),
        sessions => Err(format!("{sessions} sessions remove steps")),
    };
    until("rows are being removed", waits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_archived_in_a_bucket_comes_back_from_there_as_it_was() {
    let Some(server) = Server::start().await else { return };
    let (config, client) = stored_flows().await;
    let before = of_database(&client, "").await;
    let snapshots = rows::count(&client, "ft_snapshot").await;

    let ran = retain(&server, &config).await;
    assert_eq!((&ran["flows"], &ran["archived"]), (&10.into(), &10.into()), "{ran}");
    assert_eq!(held(&client).await, ["stays-young"]);
    let wanted: Vec<String> = (0..10).map(|n| format!("goes-{n}")).collect();
    assert_eq!(archived_flows(&server).await, wanted);
    let days: Vec<String> = (15..19)
        .map(|days| {
            (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days))
                .strftime("/%F/")
                .to_string()
        })
        .collect();
    let objects = server.objects();
    assert!(objects.iter().all(|object| object.ends_with(".ndjson.gz")), "{objects:?}");
    assert!(
        days.iter().all(|day| objects.iter().any(|object| object.contains(day))),
        "{days:?}: {objects:?}"
    );

    restore(&server, &config).await;
    assert_eq!(of_database(&client, "").await, before);
    assert_eq!(rows::count(&client, "ft_snapshot").await, snapshots);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_amid_a_run_ends_it_and_what_it_does_not_have_stays() {
    let Some(mut server) = Server::start().await else { return };
    let (config, client) = stored_flows().await;
    let before = of_database(&client, "").await;
    client.batch_execute(HOLD).await.unwrap();
    let mut command = server.command(&config, &["retention", "run", "--yes"]);
    let running = tokio::spawn(async move { program::run(&mut command).await });
    until_held(&client).await;
    server.kill().await;
    client.batch_execute(RELEASE).await.unwrap();
    let ended = running.await.unwrap();
    assert_eq!(ended.code, 1, "{ended:?}");
    let wanted =
        "cannot archive to s3://history/flows/old; the flows stay: the object storage does not answer";
    assert!(ended.stderr.contains(wanted), "{ended:?}");

    // Of each flow all is in a table, or all in the archive.
    let archived = archived_flows(&server).await;
    let left = held(&client).await;
    let gone: Vec<String> =
        (0..10).map(|n| format!("goes-{n}")).filter(|flow| !left.contains(flow)).collect();
    assert!(!gone.is_empty() && left.len() > 1, "{left:?}");
    assert!(gone.iter().all(|flow| archived.contains(flow)), "{gone:?} are gone, {archived:?} are archived");

    server.run().await;
    retain(&server, &config).await;
    assert_eq!(held(&client).await, ["stays-young"]);
    restore(&server, &config).await;
    assert_eq!(of_database(&client, "").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_between_the_archive_and_the_tables_loses_nothing() {
    let Some(server) = Server::start().await else { return };
    let (config, client) = stored_flows().await;
    let before = of_database(&client, "").await;
    client.batch_execute(HOLD).await.unwrap();
    let mut running = server.command(&config, &["retention", "run", "--yes"]).spawn().unwrap();
    until_held(&client).await;
    running.kill().await.unwrap();
    assert_eq!(held(&client).await.len(), 11);
    client.batch_execute(RELEASE).await.unwrap();
    // Postgres may not have noticed yet that nobody waits for it.
    let turn = async || {
        let ran = program::run(&mut server.command(&config, &["retention", "run", "--yes"])).await;
        if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
    };
    until("the next run has its turn", turn).await;
    assert_eq!(held(&client).await, ["stays-young"]);
    restore(&server, &config).await;
    assert_eq!(of_database(&client, "").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_said_in_a_sentence_that_tells_no_secret() {
    let Some(server) = Server::start().await else { return };
    let (config, client) = stored_flows().await;
    let run = ["retention", "run", "--yes"];
    for (name, value, wanted) in [
        ("AWS_SECRET_ACCESS_KEY", "another-secret", "access is denied (SignatureDoesNotMatch)"),
        ("FLOWTRAIL_RETENTION__ARCHIVE", "s3://nowhere/", "there is no such bucket"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "the object storage does not answer"),
    ] {
        let refused = program::run(server.command(&config, &run).env(name, value)).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        let error = refused.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        let begins = error.starts_with("error: cannot archive to s3://");
        assert!(begins && error.contains("; the flows stay: ") && error.contains(wanted), "{refused:?}");
        for secret in [SECRET, "another-secret", "StringToSign", "AWS4-HMAC"] {
            assert!(!refused.stderr.contains(secret), "{refused:?}");
        }
    }
    assert_eq!(held(&client).await.len(), 11);
    let sql = "SELECT DISTINCT detail ->> 'flows' FROM ft_audit WHERE action = 'retention.run'";
    assert_eq!(rows::texts(&client, sql).await, [Some("0".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_goes_from_the_bucket_and_what_is_not_stays_there() {
    let Some(server) = Server::start().await else { return };
    let (config, client) = stored_flows().await;
    retain(&server, &config).await;
    // Of the two of its day one is another's; and of one day all go.
    let erased = ["goes-1", "goes-9"];
    let mut command = server.command(&config, &["flow", "erase", "--yes", "--format", "json"]);
    let said: Value = serde_json::from_str(&done(command.args(erased)).await).unwrap();
    assert!(said["archived"].as_u64().unwrap() >= 12, "{said}");
    let lines = done(Command::new("zcat").args(server.objects())).await;
    assert!(erased.iter().all(|flow| !lines.contains(flow)), "{lines}");
    let wanted: Vec<String> =
        (0..10).map(|n| format!("goes-{n}")).filter(|flow| !erased.contains(&flow.as_str())).collect();
    assert_eq!(archived_flows(&server).await, wanted);
    restore(&server, &config).await;
    let mut stored = held(&client).await;
    stored.retain(|flow| flow != "stays-young");
    assert_eq!(stored, wanted);
}
