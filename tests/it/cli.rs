//! The command line as people and scripts meet it: exit codes, one sentence, no secrets, and what is printed.

use std::{io::Write as _, process::Stdio};

use flowtrail::config::Config;
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{
    collecting::collect_all,
    program::{Ran, configured, done, flowtrail, publish, run},
    servers,
};

/// A part of every password here that must never be seen.
const SECRET: &str = "hunter2";

/// It failed with one sentence for people, printed nothing, and told no secret.
fn assert_refused(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.lines().count() == 1, "{ran:?}");
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains(SECRET), "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part} in {}", ran.stderr);
    }
}

async fn refused(command: &mut Command, code: i32, parts: &[&str]) {
    assert_refused(&run(command.args(["--log-level", "error"])).await, code, parts);
}

/// Commands that need Kafka, and those that need Postgres, with what they need besides.
const WITH_KAFKA: [&[&str]; 3] =
    [&["collect", "--http", "127.0.0.1:0"], &["publish", "--synthetic", "1", "--timeout", "2"], &["lag"]];
const WITH_POSTGRES: [&[&str]; 5] = [
    &["collect", "--http", "127.0.0.1:0"],
    &["flow", "list"],
    &["flow", "show", "f"],
    &["schema", "status"],
    &["schema", "update"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_logs_are_json_so_is_the_sentence_that_a_command_ends_with() {
    let nowhere = ["lag", "--bootstrap-servers", "127.0.0.1:9", "--log-format", "json"];
    let ran = run(&mut flowtrail(nowhere)).await;
    let line: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!((ran.code, &line["event"], &line["level"]), (1, &"command_failed".into(), &"ERROR".into()));
    assert!(line["error"].as_str().unwrap().starts_with("no answer from Kafka at 127.0.0.1:9"), "{line}");
    // What nobody would see as a line of a log is said all the same.
    let silent = run(flowtrail(nowhere).args(["--log-level", "off"])).await;
    assert!(silent.code == 1 && silent.stderr.starts_with("error: no answer from Kafka"), "{silent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_ends_with_2() {
    let wrong: [&[&str]; 15] = [
        &[],
        &["--nope"],
        &["no-such-command"],
        &["collect", "--lanes", "3"],
        &["publish"],
        &["publish", "--from", "json"],
        &["publish", "--synthetic", "many"],
        &["lag", "--format", "xml"],
        &["doctor", "--sample", "some"],
        &["flow"],
        &["flow", "show"],
        &["flow", "list", "--limit", "0"],
        &["schema"],
        &["config"],
        &["dev", "--kafka-port", "70000"],
    ];
    for arguments in wrong {
        let ran = run(&mut flowtrail(arguments)).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{arguments:?}: {ran:?}");
    }
    refused(&mut flowtrail(["lag", "--topic", "^a"]), 2, &["--topic ^a"]).await;
    refused(&mut flowtrail(["doctor", "--backup-age", "old"]), 2, &["--backup-age old", "24h"]).await;
    refused(&mut flowtrail(["flow", "list", "--since", "yesterday-ish"]), 2, &["--since"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_setting_ends_every_command_with_2_and_names_it() {
    let all =
        [WITH_KAFKA.as_slice(), WITH_POSTGRES.as_slice(), &[&["config", "check"], &["dev", "--no-sample"]]];
    for arguments in all.concat() {
        let mut command = flowtrail(arguments);
        command.env("FLOWTRAIL_COLLECTOR__LANES", "0");
        refused(&mut command, 2, &["FLOWTRAIL_COLLECTOR__LANES", "1 to 64"]).await;
    }
    let mut command = flowtrail(["config", "check"]);
    command.env("FLOWTRAIL_KAFKA__GRUOP", "x");
    refused(&mut command, 2, &["FLOWTRAIL_KAFKA__GRUOP", "FLOWTRAIL_KAFKA__GROUP"]).await;
    refused(
        &mut flowtrail(["--config", "/nowhere/flowtrail.toml", "config", "check"]),
        2,
        &["/nowhere/flowtrail.toml"],
    )
    .await;
    for arguments in WITH_POSTGRES {
        refused(&mut flowtrail(arguments), 2, &["DATABASE_URL"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_is_named() {
    let config = servers::config(1).await;
    let ends = WITH_KAFKA.map(|arguments| {
        let mut command = configured(&config, arguments);
        command.env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9");
        async move { refused(&mut command, 1, &["127.0.0.1:9"]).await }
    });
    join_all(ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_or_refuses_the_password_is_named_without_it() {
    let config = servers::config(1).await;
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let (_, server) = url.rsplit_once('@').unwrap();
    let (_, database) = server.split_once('/').unwrap();
    for arguments in WITH_POSTGRES {
        for (wrong, parts) in [
            (format!("postgres://flowtrail:{SECRET}@{server}"), ["user and password", database]),
            (format!("postgres://flowtrail:{SECRET}@127.0.0.1:9/flows"), ["127.0.0.1:9", "running"]),
        ] {
            let mut command = configured(&config, arguments);
            refused(command.env("DATABASE_URL", &wrong), 1, &parts).await;
            // Nor in the most that it can be made to say.
            let ran = run(configured(&config, arguments)
                .env("DATABASE_URL", &wrong)
                .args(["--log-level", "trace"]))
            .await;
            assert_eq!(ran.code, 1);
            assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{ran:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_does_not_take_the_password_is_named_without_it() {
    let config = servers::config(1).await;
    let ends = WITH_KAFKA.map(|arguments| {
        let mut command = configured(&config, arguments);
        command
            .args(["--log-level", "trace"])
            .env("FLOWTRAIL_KAFKA__LIBRDKAFKA__SECURITY_PROTOCOL", "sasl_plaintext")
            .env("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_MECHANISM", "PLAIN")
            .env("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_USERNAME", "ann")
            .env("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD", SECRET);
        async move {
            let ran = run(&mut command).await;
            assert_eq!(ran.code, 1, "{ran:?}");
            let last = ran.stderr.lines().last().unwrap();
            assert!(last.starts_with("error: ") && last.contains("127.0.0.1:"), "{ran:?}");
            assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{ran:?}");
        }
    });
    join_all(ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_missing_tables_and_an_unknown_flow_are_named() {
    let config = servers::config(1).await;
    let mut elsewhere = config.clone();
    elsewhere.kafka.topics = vec!["no.such.topic".to_owned()];
    for arguments in WITH_KAFKA {
        refused(&mut configured(&elsewhere, arguments), 1, &["no.such.topic", "does not exist"]).await;
    }
    let mut bare = config.clone();
    bare.postgres.url = Some(servers::empty_database().await.into());
    for arguments in &WITH_POSTGRES[..3] {
        refused(&mut configured(&bare, *arguments), 1, &["flowtrail schema update"]).await;
    }
    refused(&mut configured(&config, ["flow", "show", "no-such-flow"]), 1, &["no-such-flow"]).await;
    refused(&mut configured(&config, ["flow", "list", "--after", "no-such-flow"]), 1, &["no-such-flow"])
        .await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let mut second = configured(&config, ["collect", "--http", &taken]);
    refused(&mut second, 1, &[&taken]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_of_input_is_named_and_what_came_before_it_is_published() {
    let config = servers::config(1).await;
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"{\"flow\":{\"flowInstanceId\":\"f\"}}\n{\"flow\":{\"flowInstanceId\":7}}\n{}\n")
        .unwrap();
    let path = file.path().to_str().unwrap();
    let mut command = configured(&config, ["publish", "--from", "json", path, "--format", "ndjson"]);
    let ran = run(command.args(["--log-level", "error"])).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{ran:?}");
    assert!(ran.stderr.contains("line 2"), "{ran:?}");
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&summary["delivered"], &summary["failed"]), (&json!(1), &json!(0)));

    let mut command =
        configured(&config, ["publish", "--from", "json", path, "--skip-bad", "--format", "ndjson"]);
    let summary: Value = serde_json::from_str(&done(&mut command).await).unwrap();
    assert_eq!((&summary["delivered"], &summary["passed_over"]), (&json!(1), &json!(2)));
    refused(&mut configured(&config, ["publish", "--from", "json", "/nowhere.json"]), 1, &["/nowhere.json"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_printed_without_its_secrets() {
    for format in ["toml", "json"] {
        let mut command = flowtrail(["config", "print", "--format", format]);
        command
            .env("DATABASE_URL", format!("postgres://ann:{SECRET}@db/flows"))
            .env("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD", SECRET)
            .env("FLOWTRAIL_KAFKA__GROUP", "printed-group");
        let text = done(&mut command).await;
        assert!(!text.contains(SECRET), "{text}");
        for part in ["ann", "db/flows", "sasl.password", "printed-group", "FLOWTRAIL_KAFKA__GROUP"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}

async fn json_of(config: &Config, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(configured(config, arguments).args(["--format", "json"])).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_told_per_partition_before_and_after_it_is_collected() {
    let config = servers::config(3).await;
    publish(&config, "recorded.jsonl", &[]).await;
    let lag = json_of(&config, &["lag"]).await;
    let rows = lag.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for (number, row) in rows.iter().enumerate() {
        let names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["topic", "partition", "committed", "end", "lag_records", "lag_seconds"]);
        assert_eq!((&row["topic"], &row["partition"]), (&json!(config.kafka.topics[0]), &json!(number)));
        assert_eq!((&row["committed"], &row["lag_records"]), (&Value::Null, &row["end"]));
    }
    assert_eq!(rows.iter().map(|row| row["lag_records"].as_u64().unwrap()).sum::<u64>(), 123);

    collect_all(&config).await;
    let lag = json_of(&config, &["lag"]).await;
    for row in lag.as_array().unwrap().iter().filter(|row| row["end"] != 0) {
        assert_eq!(
            (&row["committed"], &row["lag_records"], &row["lag_seconds"]),
            (&row["end"], &json!(0), &json!(0.0))
        );
    }
    let table = done(&mut configured(&config, ["lag"])).await;
    assert!(
        table.lines().count() == 4 && table.contains("PARTITION") && table.contains(&config.kafka.topics[0]),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_flows_are_listed_and_shown_for_people_and_for_programs() {
    let config = servers::config(3).await;
    publish(&config, "recorded.jsonl", &[]).await;
    publish(&config, "reruns.jsonl", &[]).await;
    collect_all(&config).await;

    let all = json_of(&config, &["flow", "list", "--limit", "100"]).await;
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 16 + 7);
    let starts: Vec<jiff::Timestamp> =
        all.iter().map(|flow| flow["started"].as_str().unwrap().parse().unwrap()).collect();
    assert!(starts.is_sorted_by(|a, b| a >= b), "not the newest first: {starts:?}");
    let failed = json_of(&config, &["flow", "list", "--status", "failed", "--since", "2026-11-22"]).await;
    assert_eq!(
        failed.as_array().unwrap().iter().map(|flow| &flow["id"]).collect::<Vec<_>>(),
        [&json!("rb".repeat(16))]
    );
    // Page by page it is the same list.
    let (mut pages, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = json_of(&config, &[&["flow", "list", "--limit", "10"], after.as_slice()].concat()).await;
        let Some(last) = page.as_array().unwrap().last() else { break };
        let last: &'static str = last["id"].as_str().unwrap().to_owned().leak();
        pages.extend(page.as_array().unwrap().clone());
        after = vec!["--after", last];
    }
    assert_eq!(&pages, all);

    let ra = "ra".repeat(16);
    let flow = json_of(&config, &["flow", "show", &ra]).await;
    assert_eq!((&flow["id"], &flow["state"]["status"]), (&json!(ra), &json!("Completed")));
    assert_eq!(flow["steps"].as_array().unwrap().len(), 6);
    assert_eq!((flow["runs"].as_array().unwrap().len(), &flow["superseded_executions"]), (3, &json!(5)));
    let rb = json_of(&config, &["flow", "show", &"rb".repeat(16)]).await;
    assert_eq!(rb["rerun_by"].as_array().unwrap().len(), 2);

    let table = done(&mut configured(&config, ["flow", "list", "--limit", "100"])).await;
    assert_eq!(table.lines().count(), 1 + 23, "{table}");
    assert!(table.contains(&ra) && table.contains("46.0 ms"), "{table}");
    let shown = done(&mut configured(&config, ["flow", "show", &ra, "--payloads"])).await;
    for part in ["Completed", "Charge", "5 superseded executions", "\"amount\": 7"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_had_enough_is_no_failure() {
    let config = servers::config(1).await;
    let mut command = configured(&config, ["publish", "--synthetic", "100000", "--dry-run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
}

/// The commands below one, as its help lists them.
fn commands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_help_of_every_command_has_an_example_of_it() {
    let mut open = vec![Vec::<String>::new()];
    let mut seen = Vec::new();
    while let Some(path) = open.pop() {
        let help = done(flowtrail(&path).arg("--help")).await;
        let name = ["flowtrail".to_owned()].into_iter().chain(path.clone()).collect::<Vec<_>>().join(" ");
        let examples = help.split("Usage:").nth(1).unwrap().split_once('\n').unwrap().1;
        assert!(examples.contains(&format!("  {name}")), "no example of {name} in\n{help}");
        open.extend(commands(&help).into_iter().map(|command| [path.clone(), vec![command]].concat()));
        seen.push(name);
    }
    assert!(seen.len() >= 14, "{seen:?}");
}
