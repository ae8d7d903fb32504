//! `flowtrail deadletter`: from what is kept to what is stored after all.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flowtrail::config::Config;
use prost::Message as _;
use serde_json::Value;
use tokio_postgres::Client;

use crate::{
    collecting::collect_all,
    poison::{assert_letters, poison, refuse_by_constraint},
    program::{configured, done, run},
    rows, servers,
    topics::{Raw, put},
    traffic::{assert_stored, send, traffic},
};

pub async fn deadletter(config: &Config, arguments: &[&str]) -> String {
    done(configured(config, ["deadletter"]).args(arguments)).await
}

async fn audited(client: &Client, action: &str) -> i64 {
    let sql = "SELECT count(*) FROM ft_audit WHERE action = $1 AND actor LIKE 'night (%)'";
    client.query_one(sql, &[&action]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_messages_are_seen_and_stored_once_their_cause_is_gone() {
    let config = servers::config(2).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let (all, marked, plain) = poison(traffic(21, 1_000), 50);
    send(&config, &all, 0).await.unwrap();
    let garbage = Raw { key: Some(b"k".to_vec()), value: Some(b"\xff\xff".to_vec()), ..Raw::default() };
    put(&config, &[garbage]).await;
    collect_all(&config).await;

    let listed = run(&mut configured(&config, ["deadletter", "list", "--limit", "5"])).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    let said = format!("5 of {} dead letters: {} refused, 1 undecodable", marked.len() + 1, marked.len());
    assert!(listed.stderr.contains(&said), "{listed:?}");
    assert!(listed.stdout.starts_with("NUMBER") && listed.stdout.lines().count() == 6, "{listed:?}");

    let list = deadletter(&config, &["list", "--reason", "refused", "--format", "json"]).await;
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert!(list.iter().all(|letter| letter["sqlstate"] == "23514"), "{list:?}");
    let number = list[0]["id"].to_string();
    let shown = deadletter(&config, &["show", &number]).await;
    assert!(shown.contains("unmarked") && shown.contains("\"~refused\""), "{shown}");

    assert_export(&config, marked.iter().map(|record| record.event.encode_to_vec())).await;

    // Too early: they stay, and it says so.
    let early = run(&mut configured(&config, ["deadletter", "retry", "--all", "--format", "json"])).await;
    assert_eq!(early.code, 1, "{early:?}");
    let report: Value = serde_json::from_str(&early.stdout).unwrap();
    assert_eq!((&report["stored"], report["left"].as_array().unwrap().len()), (&0.into(), marked.len() + 1));
    assert_eq!(audited(&client, "deadletter.retry").await, 0);

    for table in ["steps", "ft_superseded_step", "flowstate", "ft_run", "appstate"] {
        client.batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT unmarked")).await.unwrap();
    }
    let mut retry = configured(&config, ["deadletter", "retry", "--reason", "refused"]);
    let retried = done(retry.env("USER", "night")).await;
    assert!(retried.contains(&format!("{} stored, 0 left", marked.len())), "{retried}");
    let mut in_any_order = plain;
    in_any_order.extend(marked.iter().cloned());
    assert_stored(&config, &in_any_order).await;
    let count = i64::try_from(marked.len()).unwrap();
    assert_eq!(audited(&client, "deadletter.retry").await, count);
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 1);

    // What nobody needs is dropped, but not by accident.
    let unasked = run(&mut configured(&config, ["deadletter", "drop", "--all"])).await;
    assert_eq!((unasked.code, rows::count(&client, "ft_dead_letter").await), (2, 1), "{unasked:?}");
    done(configured(&config, ["deadletter", "drop", "--all", "--yes"]).env("USER", "night")).await;
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
    assert_eq!(audited(&client, "deadletter.drop").await, 1);
}

/// Every letter is exported byte for byte.
async fn assert_export(config: &Config, payloads: impl Iterator<Item = Vec<u8>>) {
    let lines = deadletter(config, &["export", "--reason", "refused"]).await;
    let payload = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        STANDARD.decode(letter["payload"].as_str().unwrap()).unwrap()
    };
    let mut exported: Vec<Vec<u8>> = lines.lines().map(payload).collect();
    let mut wanted: Vec<Vec<u8>> = payloads.collect();
    exported.sort();
    wanted.sort();
    assert!(exported == wanted, "{} lines of {}", exported.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_stores_what_it_can_and_keeps_what_is_still_refused() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let (all, marked, _) = poison(traffic(22, 600), 7);
    send(&config, &all, 0).await.unwrap();
    collect_all(&config).await;
    assert_letters(&client, &marked, "23514").await;
    let of_flow = |record: &&flowtrail::publish::Record| {
        matches!(record.event.event, Some(flowtrail::proto::v1::history_event::Event::Flow(_)))
    };
    let flows = marked.iter().filter(of_flow).count();
    assert!(flows > 0 && flows < marked.len(), "{flows} of {}", marked.len());
    for table in ["steps", "ft_superseded_step"] {
        client.batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT unmarked")).await.unwrap();
    }
    let retried = run(&mut configured(&config, ["deadletter", "retry", "--all"])).await;
    assert_eq!(retried.code, 1, "{retried:?}");
    let said = format!("{} stored, {flows} left", marked.len() - flows);
    assert!(retried.stdout.contains(&said), "{retried:?}");
    assert_eq!(rows::count(&client, "ft_dead_letter").await, i64::try_from(flows).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_letters_has_to_be_said() {
    let config = servers::config(1).await;
    for command in ["retry", "drop"] {
        let ran = run(&mut configured(&config, ["deadletter", command])).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("say which: numbers, --reason"), "{ran:?}");
    }
    let none = run(&mut configured(&config, ["deadletter", "show", "1"])).await;
    assert_eq!((none.code, none.stderr.as_str()), (1, "error: there is no dead letter 1\n"));
    let none = run(&mut configured(&config, ["deadletter", "list"])).await;
    assert_eq!((none.code, none.stderr.as_str()), (0, "there are no dead letters\n"));
}
