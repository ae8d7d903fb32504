//! Alerts: promtool's cases for each, and some of them on a real Prometheus.

use std::process::Command;

use super::{
    folder,
    prometheus::{Prometheus, free_port, program},
    read,
};
use crate::{
    gaps::flows,
    program::{Process, configured},
    servers::{self, until},
    topics::{Raw, put},
};

const RULES: &str = "deploy/prometheus/flowtrail.rules.yml";
const CASES: &str = "deploy/prometheus/flowtrail.test.yml";

fn alerts() -> Vec<String> {
    let rules = read(RULES);
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn the_cases_of_the_rules_come_out_as_they_say() {
    let Some(promtool) = program("promtool") else { return };
    for arguments in [["check", "rules", RULES], ["test", "rules", CASES]] {
        let ran = Command::new(&promtool).current_dir(folder("")).args(arguments).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn every_alert_has_a_case_where_it_goes_off_one_where_it_does_not_and_a_page() {
    let (rules, cases, guide) = (read(RULES), read(CASES), read("docs/monitoring.md"));
    let alerts = alerts();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        assert!(
            cases.contains(&format!("alertname: {alert}\n        exp_alerts:")),
            "{alert} never goes off"
        );
        assert!(cases.contains(&format!("alertname: {alert}}}")), "{alert} always goes off");
        let anchor = format!("docs/monitoring.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&anchor), "{alert} says nothing of {anchor}");
        assert!(guide.contains(&format!("\n### {alert}\n")), "docs/monitoring.md does not explain {alert}");
    }
}

/// The rules with shorter times: what takes minutes is seen within seconds, and the conditions stay.
fn hurried(rules: &str) -> String {
    let mut hurried = String::new();
    for line in rules.lines() {
        let line = match line.split_once("for: ") {
            Some((before, _)) if before.trim().is_empty() => format!("{before}for: 1s"),
            _ => line.replace("[5m]", "[5s]").replace("[15m]", "[8s]"),
        };
        hurried.push_str(&line);
        hurried.push('\n');
    }
    hurried
}

async fn until_firing(prometheus: &Prometheus, wanted: &[&str]) {
    until(&format!("{wanted:?} go off, and no other"), async || {
        let firing = prometheus.firing().await;
        if firing == wanted { Ok(()) } else { Err(format!("{firing:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_go_off_when_the_collector_is_stopped_or_meets_what_is_no_event_and_clear_after() {
    let Some(program) = program("prometheus") else { return };
    let config = servers::config(1).await;
    let address = format!("127.0.0.1:{}", free_port());
    let start = async || Process::start(configured(&config, ["collect", "--http", &address])).await;
    let collector = start().await;
    let rules = hurried(&read(RULES));
    let prometheus = Prometheus::start(&program, &[("flowtrail", &address)], &rules).await;
    put(&config, &flows("a", 5)).await;
    until("Prometheus sees that it is stored", async || {
        match prometheus.value("sum(job_topic_partition:flowtrail_kafka_stored_offset:max)").await {
            Some(5.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    until_firing(&prometheus, &[]).await;

    put(&config, &[Raw { value: Some(b"no event".to_vec()), ..Raw::default() }]).await;
    until_firing(&prometheus, &["FlowtrailDeadLetters"]).await;
    until_firing(&prometheus, &[]).await;

    assert_eq!(collector.end("TERM").await, Some(0));
    until_firing(&prometheus, &["FlowtrailDown", "FlowtrailNobodyReads"]).await;
    let collector = start().await;
    until_firing(&prometheus, &[]).await;

    // Somebody holds a table: records wait, and nothing is stored.
    let holder = servers::connect_to(&config).await;
    holder.batch_execute("BEGIN; LOCK TABLE ft_offset IN SHARE MODE").await.unwrap();
    put(&config, &flows("b", 5)).await;
    until("records that wait are told", async || match prometheus.firing().await {
        firing if firing.iter().any(|alert| alert == "FlowtrailStuck") => Ok(()),
        firing => Err(format!("{firing:?}")),
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    until_firing(&prometheus, &[]).await;
    assert_eq!(collector.end("TERM").await, Some(0));
}
