//! Where the report goes beside standard output: JSON, plots, and the page for users.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use flowtrail::clock;

use crate::{
    plot::{Plot, Point, Series},
    report::{Report, Round},
};

/// What the bench writes of the page stands between these.
const BEGIN: &str = "<!-- written by the benchmark: begin -->";
const END: &str = "<!-- written by the benchmark: end -->";

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

/// Writes what was measured into a page, between the two marks, and JSON and plots into a folder of the page's name
/// beside it.
pub(crate) fn update(report: &Report, path: &Path, is_quick: bool) -> anyhow::Result<()> {
    let folder = path.with_extension("");
    let plots = write_plots(report, &folder)?;
    write_json(report, &folder.join("report.json"))?;
    let beside = PathBuf::from(folder.file_name().context("the page has no name")?);
    let written = part(report, &beside.display().to_string(), &plots, is_quick);
    let (before, after) = around(path)?;
    let page = format!("{before}{BEGIN}\n\n{written}\n{END}{after}");
    fs::write(path, page).with_context(|| path.display().to_string())
}

/// What stands before and behind the marks of a page; nothing, if there is no such page yet.
pub(crate) fn around(path: &Path) -> anyhow::Result<(String, String)> {
    let page = match fs::read_to_string(path) {
        Ok(page) => page,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((String::new(), "\n".to_owned())),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let around = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        around.with_context(|| format!("{}: there is no {BEGIN} with a {END} behind it", path.display()))?;
    Ok((before.to_owned(), after.to_owned()))
}

/// The part between the marks.
fn part(report: &Report, folder: &str, plots: &[(&str, &str)], is_quick: bool) -> String {
    let date = clock::now().strftime("%F");
    let (commit, machine, command) = (report.commit(), report.machine(), command());
    let quick = if is_quick { "It is the quick form: it shows that it runs, not how fast.\n\n" } else { "" };
    let plots: String =
        plots.iter().flat_map(|(file, title)| ["![", title, "](", folder, "/", file, ")\n\n"]).collect();
    format!(
        "Written on {date} of commit {commit}, on {machine}, by\n\n```console\n$ {command}\n```\n\n{quick}{plots}\
         All figures of all rounds are in [report.json]({folder}/report.json).\n\n```text\n{}\n```\n",
        report.to_string().trim_end()
    )
}

/// The command that this program was started by.
fn command() -> String {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    format!("cargo bench --bench end_to_end{separator}{}", arguments.join(" "))
}
