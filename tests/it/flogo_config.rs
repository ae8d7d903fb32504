//! A configuration of Flogo's state service, handed to the program as it is.

use std::{fs, path::Path};

use flowtrail::{config::Config, doctor::Verdict};
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{
    collecting::until_stored,
    doctor::{assert_says, examine},
    http_client::ask,
    program::{Process, configured, done, flowtrail, publish, run},
    rows, servers,
};

const SECRET: &str = "hunter2";

fn file_with(content: &Value) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), content.to_string()).unwrap();
    file
}

/// The database of a configuration in the words of the vendor's documentation, and in those of the service's own file.
fn both_forms(config: &Config, most: &str) -> [Value; 2] {
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let driver: tokio_postgres::Config = url.parse().unwrap();
    let tokio_postgres::config::Host::Tcp(host) = &driver.get_hosts()[0] else { panic!("no host in {url}") };
    let (port, name, user) =
        (driver.get_ports()[0].to_string(), driver.get_dbname().unwrap(), driver.get_user().unwrap());
    let password = driver.get_password().map_or("unused", |password| std::str::from_utf8(password).unwrap());
    [
        json!({"dbType": "postgres", "dbHost": host, "dbPort": port, "dbName": name, "dbUser": user,
            "dbPass": password, "dbMaxOpenConnection": most}),
        json!({"exposeRecorder": true, "port": "9190", "persistence": {"type": "postgres", "host": host, "port": port,
            "databaseName": name, "user": user, "password": password, "maxopenconnection": most,
            "maxidleconnection": "2"}}),
    ]
}

/// The program with the Kafka of a configuration, and with the file for all it has to know of Postgres.
fn by_file(config: &Config, file: &Path, arguments: &[&str]) -> Command {
    let mut command = configured(config, arguments);
    command.env_remove("DATABASE_URL").arg("--flogo-config").arg(file);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_form_is_shown_checked_and_gets_to_the_database() {
    let config = servers::config(1).await;
    for (form, content) in both_forms(&config, "50").into_iter().enumerate() {
        let file = file_with(&content);
        let listed = done(&mut by_file(&config, file.path(), &["flow", "list", "--format", "json"])).await;
        assert_eq!(listed.trim(), "[]");
        let printed = done(&mut by_file(&config, file.path(), &["config", "print"])).await;
        let name = file.path().file_name().unwrap().to_str().unwrap();
        for part in [format!("{name}: "), "max_sessions = 50".to_owned()] {
            assert!(printed.contains(&part), "no {part} in {printed}");
        }
        let ignored = "persistence.maxidleconnection";
        let json = done(&mut by_file(&config, file.path(), &["config", "print", "--format", "json"])).await;
        let check = done(&mut by_file(&config, file.path(), &["config", "check"])).await;
        for shown in [printed, json, check] {
            assert_eq!(shown.contains(ignored), form == 1, "{shown}");
        }
        let ran = run(&mut by_file(&config, file.path(), &["flow", "list"])).await;
        let lines: Vec<&str> =
            ran.stderr.lines().filter(|line| line.contains("flogo_config_ignored")).collect();
        assert_eq!(lines.len(), form, "{ran:?}");
        assert!(lines.iter().all(|line| line.contains(ignored) && line.contains(name)), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variable_names_it_too_and_database_url_wins() {
    let config = servers::config(1).await;
    let [mut content, _] = both_forms(&config, "0");
    let file = file_with(&content);
    let mut command = configured(&config, ["flow", "list"]);
    done(command.env_remove("DATABASE_URL").env("FLOWTRAIL_FLOGO_CONFIG", file.path())).await;
    content["dbHost"] = json!("no-such-host.invalid");
    let file = file_with(&content);
    done(configured(&config, ["flow", "list", "--flogo-config"]).arg(file.path())).await;
    let ran = run(&mut by_file(&config, file.path(), &["flow", "list"])).await;
    assert!(ran.code == 1 && ran.stderr.contains("no-such-host.invalid"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_worked_with_is_refused_by_file_and_field_and_without_the_password() {
    for (content, parts) in [
        (json!({"dbType": "mysql", "dbHost": "db", "dbPass": SECRET}), ["dbType", "want postgres"]),
        (json!({"dbHost": "db", "dbPort": SECRET}), ["dbPort", "want a port"]),
        (
            json!({"dbHost": "db", "dbPass": SECRET, "dbMaxOpenConnection": "3"}),
            ["dbMaxOpenConnection", "8 or more"],
        ),
        (
            json!({"port": 1, "persistence": {"host": {}, "password": SECRET}}),
            ["persistence.host", "want text"],
        ),
    ] {
        let file = file_with(&content);
        for arguments in [&["config", "check"][..], &["flow", "list"]] {
            let ran = run(flowtrail(arguments).arg("--flogo-config").arg(file.path())).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
            let name = file.path().to_str().unwrap();
            assert!(parts.iter().chain([&name]).all(|part| ran.stderr.contains(part)), "{ran:?}");
            assert!(!ran.stderr.contains(SECRET), "{ran:?}");
        }
    }
    let ran = run(&mut flowtrail(["--flogo-config", "/nowhere/config.json", "config", "check"])).await;
    assert!(ran.code == 2 && ran.stderr.contains("/nowhere/config.json"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_and_a_server_stay_within_the_number_that_is_given() {
    let config = servers::config(16).await;
    let [_, content] = both_forms(&config, "8");
    let file = file_with(&content);
    publish(&config, "recorded.jsonl", &[]).await;
    let mut collect = by_file(&config, file.path(), &["collect", "--http", "127.0.0.1:0"]);
    // More than fit: they are lowered.
    collect.env("FLOWTRAIL_COLLECTOR__LANES", "16");
    let collector = Process::start(collect).await;
    let topic = &config.kafka.topics[0];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--topic", topic];
    let server = Process::start(by_file(&config, file.path(), &serve)).await;
    until_stored(&config).await;
    // More at once than there are sessions.
    let request = "GET /v1/instances?app=a&version=1";
    let asked = (0..24).map(|_| ask(&server.address, request, &[("username", "u")], b""));
    for answer in join_all(asked).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let client = servers::connect_to(&config).await;
    let names = "SELECT application_name FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'flowtrail-%'";
    let open: Vec<String> = rows::texts(&client, names).await.into_iter().flatten().collect();
    let (of_server, of_collector): (Vec<_>, Vec<_>) =
        open.iter().partition(|name| *name == "flowtrail-serve");
    assert!((1..=4).contains(&of_collector.len()) && (1..=4).contains(&of_server.len()), "{open:?}");
    assert_eq!(collector.end("TERM").await, Some(0));
    assert_eq!(server.end("TERM").await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_counts_what_both_may_open_against_what_others_leave() {
    let mut config = servers::config(1).await;
    let database = servers::connect_to(&config).await;
    let role = servers::unique("counted").replace('-', "_");
    database
        .batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 14"))
        .await
        .unwrap();
    let url = config.postgres.url.as_ref().unwrap().expose_secret().to_owned();
    let (_, server) = url.rsplit_once('@').unwrap();
    config.postgres.url = Some(format!("postgres://{role}:x@{server}").into());
    let found = examine(&config).await;
    assert_says(
        &found,
        "postgres.sessions",
        Verdict::Ok,
        &["a collector (5)", "a server (8)", "13 sessions"],
    );
    // Sessions of somebody else, under the same account.
    let other = config.postgres.url.as_ref().unwrap().expose_secret().to_owned();
    let others = [servers::connect(&other).await, servers::connect(&other).await];
    let found = examine(&config).await;
    let words = ["this user's limit is 14", "others have 2", "max_sessions = 12"];
    assert_says(&found, "postgres.sessions", Verdict::Warn, &words);
    config.gateway.sessions = 7;
    assert_says(&examine(&config).await, "postgres.sessions", Verdict::Ok, &["others have 2"]);
    drop(others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_exposes_no_recorder_answers_questions_and_takes_nothing() {
    let config = servers::config(1).await;
    let [_, mut content] = both_forms(&config, "0");
    content["exposeRecorder"] = json!(false);
    let file = file_with(&content);
    let topic = &config.kafka.topics[0];
    let server = Process::start(by_file(
        &config,
        file.path(),
        &["serve", "--listen", "127.0.0.1:0", "--topic", topic],
    ))
    .await;
    for request in [
        "POST /v1/instances/start",
        "POST /v1/instances/end",
        "POST /v1/instances/steps",
        "POST /v1/instances/snapshot",
        "POST /v1/instances/events",
        "DELETE /v1/instances/f",
        "DELETE /v1/instances/f/step/1",
        "POST /v1/app/state/a",
        "DELETE /v1/app/state/a",
    ] {
        let answer =
            ask(&server.address, request, &[("username", "u")], br#"{"flow_instance_id":"f"}"#).await;
        assert!([404, 405].contains(&answer.status), "{request}: {answer:?}");
    }
    let read = ask(&server.address, "GET /v1/instances?app=a&version=1", &[("username", "u")], b"").await;
    assert_eq!(read.status, 200, "{read:?}");
    let ready = ask(&server.address, "GET /readyz", &[], b"").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(server.end("TERM").await, Some(0));
}
