//! `docs/metrics.md`: made of the list of metrics, and held to it.

use std::{fmt::Write as _, fs, path::Path};

use super::super::{ALL, KNOWN, Kind, Metric};

const HEAD: &str = "\
# Metrics

What `/metrics` of `flowtrail collect` and `flowtrail serve` show, in Prometheus' text format. Of a collector's and a server's
each process shows its own; those that nothing happens to stay at zero. Names, labels and units don't change within a major
version. No label ever holds the id of a flow. [monitoring.md](monitoring.md) says which to watch, and has alerts and a dashboard.

This page is made of `src/metrics.rs`: `WRITE_DOCS=1 cargo test --lib metrics::` writes it.

| metric | kind | unit | labels | it says |
| --- | --- | --- | --- | --- |
";

const BUCKETS: &str = "
## Buckets

Each histogram also has `_sum` and `_count`.

| histogram | upper bounds |
| --- | --- |
";

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let unit = match metric.unit {
        metrics::Unit::Seconds => "seconds",
        metrics::Unit::Bytes => "bytes",
        _ => "",
    };
    let values = KNOWN.iter().find(|(known, _)| known.name == metric.name);
    let values = values.map_or_else(String::new, |(_, values)| format!(": {}", values.join(", ")));
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`{values}")).collect();
    format!("| `{}` | {kind} | {unit} | {} | {} |\n", metric.name, labels.join(", "), metric.help)
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.extend(ALL.iter().map(row));
    page.push_str(BUCKETS);
    for metric in ALL {
        if let Kind::Histogram(bounds) = metric.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            let _ = writeln!(page, "| `{}` | {} |", metric.name, bounds.join(", "));
        }
    }
    page
}

#[test]
fn the_documentation_names_every_metric_as_it_is() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let wanted = page();
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "docs/metrics.md is not what WRITE_DOCS=1 cargo test --lib metrics:: writes");
}
