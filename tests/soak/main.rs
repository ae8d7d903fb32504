//! Everything at once, for long: traffic of several kinds, collectors that come, go and die, replays, retention and the
//! gateway. Afterwards nothing is behind, `verify` finds no difference, and what ran all the time has not grown.
//!
//! ```text
//! cargo test --test soak                                     # a minute
//! .ci/soak                                                   # ten minutes, in release, and docs/soak.md
//! IT_SOAK_SECONDS=3600 IT_SOAK_REPORT=soak.md cargo test --release --test soak
//! ```

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and tests read the clock to give up"
)]

mod actors;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/http.rs"]
mod http;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/program.rs"]
mod program;
mod report;
mod samples;
mod scene;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/servers.rs"]
mod servers;

use std::{env, process::ExitCode, time::Duration};

use anyhow::Context as _;

use self::{report::Report, scene::Scene};

/// How long it lasts where nothing else is said, in seconds.
const SHORT: u64 = 60;

#[tokio::main]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = run() => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match done {
        Ok(report) if report.faults.is_empty() => ExitCode::SUCCESS,
        Ok(report) => {
            println!("{} things are not as they should be", report.faults.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<Report> {
    let seconds = match env::var("IT_SOAK_SECONDS") {
        Ok(text) => text.parse().context("IT_SOAK_SECONDS")?,
        Err(_) => SHORT,
    };
    let scene = Scene::set(Duration::from_secs(seconds)).await?;
    let report = scene.play().await?;
    println!("\n{report}");
    match env::var("IT_SOAK_REPORT") {
        Ok(file) if report.faults.is_empty() => std::fs::write(&file, report.to_string()).context(file)?,
        _ => {}
    }
    Ok(report)
}
