mod reference;

use std::collections::BTreeMap;

use super::*;

/// Everything recorded once, rendered.
fn rendered() -> String {
    let recorder = recorder().unwrap();
    let exposition = Exposition::of(&recorder);
    metrics::with_local_recorder(&recorder, || {
        describe_all();
        events_consumed(3);
        rows("steps", RowOp::Insert, 2);
        rows("steps", RowOp::Unchanged, 1);
        events_merged(1);
        dead_letters("undecodable", 1);
        unresolved("held", 1);
        events_sanitized("nul", 1);
        batch(20_000, 1 << 20);
        share(Whose::App, "shop", 2, 300);
        share(Whose::User, "ann", 2, 300);
        stage("store", Duration::from_millis(3));
        visible_latency(Duration::from_millis(20));
        rebalance("assign");
        postgres_error("retry");
        gap("expired");
        pause();
        gateway_request("/v1/instances/start".to_owned(), 200, Duration::from_millis(2));
        gateway_spooled();
        gateway_spool_bytes(4_096);
        gateway_switched_off();
        gateway_over_quota();
        retention_removed("flows", 1);
        retention_behind(3.5);
        gateway_also("sent");
        http_refused(401);
    });
    exposition.lag().set("flow.history", 0, LagSample { records: 7, seconds: Some(1.5), stored: Some(35) });
    exposition.lag().set("odd\"topic\\", 1, LagSample { records: 0, seconds: None, stored: None });
    let exposition = exposition.with_lag_of_group("the group");
    // As a busy server would: what upkeep folded has to be in the text.
    exposition.handle.run_upkeep();
    exposition.render()
}

/// One sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads Prometheus' text format strictly: every sample under the TYPE of its metric, no series twice.
fn parse(text: &str) -> Result<(BTreeMap<String, String>, Vec<Sample>), String> {
    let mut types = BTreeMap::new();
    let mut helps = BTreeMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or(line)?;
            if help.is_empty() || helps.insert(name.to_owned(), help.to_owned()).is_some() {
                return Err(format!("second or empty HELP: {line}"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(line)?;
            if !["counter", "gauge", "histogram"].contains(&kind)
                || types.insert(name.to_owned(), kind.to_owned()).is_some()
            {
                return Err(format!("second or unknown TYPE: {line}"));
            }
        } else {
            let sample = sample(line).ok_or_else(|| format!("not a sample: {line}"))?;
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| sample.0.strip_suffix(suffix))
                .find(|name| types.get(*name).is_some_and(|kind| kind == "histogram"))
                .unwrap_or(&sample.0);
            if !types.contains_key(family) || !helps.contains_key(family) {
                return Err(format!("no TYPE or HELP before {line}"));
            }
            if samples.iter().any(|(name, labels, _)| *name == sample.0 && *labels == sample.1) {
                return Err(format!("twice: {line}"));
            }
            samples.push(sample);
        }
    }
    Ok((types, samples))
}

fn sample(line: &str) -> Option<Sample> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let (head, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = match head.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (head, ""),
    };
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let mut end = 0;
        while !after[end..].starts_with('"') {
            end += if after[end..].starts_with('\\') { 2 } else { 1 };
            after.get(end..)?;
        }
        is_name(label).then(|| labels.insert(label.to_owned(), after[..end].to_owned()))?;
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    is_name(name).then_some((name.to_owned(), labels, value.parse().ok()?))
}

#[test]
fn the_rendered_text_is_prometheus_text() {
    let text = rendered();
    let (types, samples) = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for metric in ALL {
        let wanted = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(types.get(metric.name).map(String::as_str), Some(wanted), "{}", metric.name);
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
        let mine = samples.iter().filter(|(name, ..)| name.starts_with(metric.name));
        for (name, labels, _) in mine {
            let names: Vec<_> = labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
            let mut wanted = metric.labels.to_vec();
            wanted.sort_unstable();
            assert_eq!(names, wanted, "labels of {name}");
        }
    }
    assert_eq!(types.len(), ALL.len(), "something is exposed that is not in the list");
}

#[test]
fn the_checker_refuses_what_is_not_prometheus_text() {
    for bad in [
        "a_total 1",
        "# TYPE a counter\na 1",
        "# HELP a x\n# TYPE a counter\na 1\na 1",
        "a{b=\"c} 1",
        "# TYPE a blob",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_carry_their_units() {
    for metric in ALL {
        let base = metric.name.strip_suffix("_total");
        assert_eq!(base.is_some(), metric.kind == Kind::Counter, "{}: _total is for counters", metric.name);
        let base = base.unwrap_or(metric.name);
        match metric.unit {
            Unit::Seconds => assert!(base.ends_with("_seconds"), "{}", metric.name),
            Unit::Bytes => assert!(base.ends_with("_bytes"), "{}", metric.name),
            _ => assert!(!base.ends_with("_seconds") && !base.ends_with("_bytes"), "{}", metric.name),
        }
        assert!(metric.help.ends_with('.') && !metric.labels.contains(&"flow"), "{}", metric.name);
    }
}

#[test]
fn histograms_have_the_buckets_of_their_metric() {
    let text = rendered();
    assert!(text.contains("flowtrail_batch_rows_bucket{le=\"10000\"} 0"), "{text}");
    assert!(text.contains("flowtrail_batch_rows_bucket{le=\"30000\"} 1"), "{text}");
    assert!(text.contains("flowtrail_event_visible_latency_seconds_bucket{le=\"0.025\"} 1"), "{text}");
    assert!(
        text.contains("flowtrail_stage_duration_seconds_bucket{stage=\"store\",le=\"0.001\"} 0"),
        "{text}"
    );
}

#[test]
fn the_series_of_a_revoked_partition_vanish() {
    let table = LagTable::default();
    table.set("t", 0, LagSample { records: 3, seconds: Some(1.0), stored: Some(9) });
    table.set("t", 1, LagSample { records: 4, seconds: None, stored: None });
    assert_eq!(table.total_records(), Some(7));
    table.remove("t", 0);
    let mut text = String::new();
    table.render(&mut text, None);
    assert!(!text.contains("partition=\"0\""), "{text}");
    assert!(text.contains("flowtrail_kafka_lag_records{topic=\"t\",partition=\"1\"} 4"), "{text}");
    for unknown in
        ["flowtrail_kafka_lag_seconds{", "flowtrail_kafka_stored_offset{", "kafka_consumergroup_lag"]
    {
        assert!(!text.contains(unknown), "{text}");
    }
    table.clear();
    assert_eq!(table.total_records(), None);
}

#[test]
fn the_lag_goes_by_the_name_that_kafka_exporter_gives_it_where_that_is_wanted() {
    let line =
        "kafka_consumergroup_lag{consumergroup=\"the group\",topic=\"flow.history\",partition=\"0\"} 7\n";
    let text = rendered();
    assert!(text.contains(line), "{text}");
}

#[test]
fn what_is_counted_by_reason_is_there_at_zero_before_it_first_happens() {
    use crate::{
        pipeline::decode::{Oddity as O, Reject},
        postgres::Fault,
    };
    let recorder = recorder().unwrap();
    let exposition = Exposition::of(&recorder);
    metrics::with_local_recorder(&recorder, describe_all);
    let text = exposition.render();
    let is_there = |series: String| assert!(text.contains(&format!("{series} 0\n")), "no {series} in {text}");
    let of_ids = [O::EmptyKey, O::KeyMismatch, O::IdFromKey];
    let of_fields = [O::Nul, O::Time, O::Phase, O::Oversized, O::Unreadable, O::NotKept];
    for oddity in of_ids.into_iter().chain(of_fields) {
        is_there(format!("{}{{reason=\"{}\"}}", EVENTS_SANITIZED.name, oddity.name()));
    }
    let too_long = Reject::IdTooLong { name: "", bytes: 0 };
    for reject in
        [Reject::Empty, Reject::Undecodable(String::new()), Reject::UnknownEvent, Reject::NoId(""), too_long]
    {
        is_there(format!("{}{{reason=\"{}\"}}", DEAD_LETTERS.name, reject.reason()));
    }
    for reason in [crate::pipeline::sieve::REFUSED, crate::pipeline::group::UNRESOLVED] {
        is_there(format!("{}{{reason=\"{reason}\"}}", DEAD_LETTERS.name));
    }
    for outcome in ["held", "resolved", "given_up"] {
        is_there(format!("{}{{outcome=\"{outcome}\"}}", UNRESOLVED.name));
    }
    for fault in [Fault::Retry, Fault::Reject, Fault::Halt] {
        is_there(format!("{}{{class=\"{}\"}}", POSTGRES_ERRORS.name, fault.name()));
    }
}
