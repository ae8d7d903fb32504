//! Grafana's dashboard: every query is one, and every panel has data where there is traffic.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    prometheus::{Prometheus, program},
    read,
};
use crate::{
    gateway::{self, JSON},
    http_client::ask,
    program::Process,
    servers::until,
    topics::{Raw, put},
    traffic::{send, traffic},
};

/// Panels that have data only where something is configured that this scene has not.
const EMPTY: [&str; 1] = ["Retention behind"];

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/flowtrail.json")).unwrap()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

/// What Grafana makes of an expression where everything is chosen.
fn filled(expression: &Value) -> String {
    let mut filled = expression.as_str().unwrap().to_owned();
    for (variable, value) in [
        ("$__rate_interval", "10s"),
        ("$__range", "1m"),
        ("$job", "flowtrail.*"),
        ("$instance", ".*"),
        ("$topic", ".*"),
    ] {
        filled = filled.replace(variable, value);
    }
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// A quantile of no observations is a series too, and no data.
fn has_data(series: &[Value]) -> bool {
    series.iter().any(|series| series["value"][1] != "NaN")
}

#[test]
fn panels_lie_beside_each_other_and_say_what_they_show() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39, "older than Grafana 11");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<_> =
        variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "docs", "instance", "job", "topic"]));
    let (mut ids, mut taken, mut titles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another");
        assert!(titles.insert(title), "{title} is there twice");
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} does not fit");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies over another");
            }
        }
    }
    for panel in panels(&dashboard) {
        assert!(panel["description"].as_str().unwrap().ends_with('.'), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_has_data_where_there_is_traffic() {
    let Some(program) = program("prometheus") else { return };
    let config = gateway::config(2).await;
    let spool = tempfile::tempdir().unwrap();
    let collector = Process::collect(&config).await;
    let server = Process::serve(&config, &["--spool-dir", spool.path().to_str().unwrap()]).await;
    let jobs = [("flowtrail", &*collector.address), ("flowtrail-serve", &*server.address)];
    let rules = read("deploy/prometheus/flowtrail.rules.yml");
    let prometheus = Prometheus::start(&program, &jobs, &rules).await;
    // Some of it before Prometheus is there to see it would be no growth.
    until("both are scraped", async || match prometheus.value("sum(up)").await {
        Some(2.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // A second member makes the group share anew.
    let second = Process::collect(&config).await;
    let sending = send(&config, &traffic(41, 3_000), 300);
    put(&config, &[Raw { value: Some(b"no event".to_vec()), ..Raw::default() }]).await;
    // Again and again: what is all over before it is looked at for the first time is no growth either.
    let (address, recording) = (server.address.clone(), gateway::recording("recorded.jsonl"));
    let posting = tokio::spawn(async move {
        for recorded in recording.iter().take(20).cycle() {
            ask(&address, &recorded.request, &[JSON], recorded.body.as_bytes()).await;
        }
    });

    let dashboard = dashboard();
    let queries = panels(&dashboard).into_iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        panel["targets"].as_array().unwrap().iter().map(move |target| (title, filled(&target["expr"])))
    });
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let annotations = annotations.iter().map(|each| (each["name"].as_str().unwrap(), filled(&each["expr"])));
    // The marks of starts and rebalances are there for a minute only, so they come first.
    for (title, query) in annotations.chain(queries) {
        until(&format!("{title}: {query}"), async || match prometheus.query(&query).await {
            Ok(series) if has_data(&series) != EMPTY.contains(&title) => Ok(()),
            Ok(_) => Err("no data, or data where there should be none".to_owned()),
            Err(why) => panic!("{title}: {query}: {why}"),
        })
        .await;
    }
    sending.await.unwrap();
    posting.abort();
    assert_eq!(server.end("TERM").await, Some(0));
    assert_eq!(collector.end("TERM").await, Some(0));
    assert_eq!(second.end("TERM").await, Some(0));
}
