//! Where the report goes beside standard output: JSON and plots.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{
    plot::{Plot, Point, Series},
    report::{Report, Round},
};

/// Writes a plot of each thing that was measured over several sizes or rates; gives the files' names and titles.
pub(crate) fn write_plots(
    report: &Report,
    folder: &Path,
) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let plots = [("throughput.svg", throughput(report)), ("latency.svg", latency(report))];
    let mut written = Vec::new();
    for (name, plot) in plots {
        let Some(plot) = plot else { continue };
        let path = folder.join(name);
        fs::write(&path, plot.to_string()).with_context(|| path.display().to_string())?;
        written.push((name, plot.title));
    }
    Ok(written)
}

fn throughput(report: &Report) -> Option<Plot> {
    let sizes = &report.growth.as_ref()?.sizes;
    let series = |name, of: fn(&Round) -> f64| {
        let point = |grown: &crate::growth::Grown| {
            let [up, least, greatest] = grown.spread(of);
            Point { across: grown.steps(), up, spread: Some((least, greatest)) }
        };
        Series { name, points: sizes.iter().map(point).collect() }
    };
    Some(Plot {
        title: "Throughput against table size",
        across: "steps in the table before (logarithmic)",
        up: "rows/s",
        series: vec![
            series("collector", |round| round.drain.rows_per_second),
            series("raw COPY", |round| round.copy.rows_per_second),
        ],
    })
}

fn latency(report: &Report) -> Option<Plot> {
    if report.latencies.is_empty() {
        return None;
    }
    let series = |name, of: fn(&crate::latency::Latency) -> f64| {
        let point = |at: &crate::latency::Latency| Point { across: at.rate.into(), up: of(at), spread: None };
        Series { name, points: report.latencies.iter().map(point).collect() }
    };
    Some(Plot {
        title: "Latency against rate: a producer's call to a visible row",
        across: "events/s (logarithmic)",
        up: "ms",
        series: vec![series("p50", |at| at.p50_ms), series("p99", |at| at.p99_ms)],
    })
}

/// Writes the report as JSON.
pub(crate) fn write_json(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    fs::write(path, json).with_context(|| path.display().to_string())
}
