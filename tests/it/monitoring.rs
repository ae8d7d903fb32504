//! The alert rules and the dashboard: held to promtool's cases, to the metrics that there are, and to a real Prometheus that
//! scrapes a collector and a gateway.

mod alerts;
mod dashboard;
mod prometheus;

use std::{collections::BTreeSet, fs, path::PathBuf};

use flowtrail::metrics;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(folder(name)).unwrap()
}

/// Every word that looks like a metric, as Prometheus spells names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let ours = |word: &&str| {
        let first = word.rsplit(':').nth(1).unwrap_or(word);
        ["flowtrail_", "process_", "kafka_"].iter().any(|prefix| first.starts_with(prefix))
    };
    words.filter(ours).map(str::to_owned).collect()
}

/// Whether the program shows it, or the rules record it.
fn is_known(name: &str, rules: &str) -> bool {
    let series = |metric: &metrics::Metric| match metric.kind {
        metrics::Kind::Histogram(_) => {
            ["_bucket", "_sum", "_count"].iter().any(|suffix| name == format!("{}{suffix}", metric.name))
        }
        _ => name == metric.name,
    };
    metrics::ALL.iter().any(series) || rules.contains(&format!("- record: {name}\n"))
}

#[test]
fn every_metric_that_a_rule_or_a_panel_names_is_there() {
    let rules = read("deploy/prometheus/flowtrail.rules.yml");
    for file in [
        "deploy/prometheus/flowtrail.rules.yml",
        "deploy/prometheus/flowtrail.test.yml",
        "deploy/grafana/flowtrail.json",
    ] {
        let named = named(&read(file));
        assert!(named.len() > 5, "{file} names {named:?} only");
        for name in named {
            assert!(is_known(&name, &rules), "{file}: nobody shows {name}");
        }
    }
    assert!(!is_known("flowtrail_batch_rows", &rules), "a histogram has no series of its own name");
}
