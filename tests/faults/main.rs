//! Faults on real servers: collectors, Postgres, Kafka and the ways between them are killed, stopped, cut and filled up in
//! the middle of traffic, and afterwards every row is compared with what an oracle expects.
//!
//! ```text
//! cargo test --test faults                    # each fault once, 200 000 events
//! cargo test --test faults -- postgres        # those whose names hold this word
//! IT_FAULTS_EVENTS=1000000 IT_FAULTS_TIMES=5 IT_FAULTS_REPORT=docs/reliability.md cargo test --test faults
//! ```
//!
//! `IT_FAULTS_SEED` is the seed of the traffic and of where faults come. Nothing is tried twice.

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, and tests read the clock to give up"
)]

mod collector;
mod comparison;
mod faults;
mod matrix;
mod mixed;
mod oracle;
mod pressure;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/program.rs"]
mod program;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/proxy.rs"]
mod proxy;
mod report;
mod scene;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "../support/servers.rs"]
mod servers;
mod stack;
mod topic;
mod traffic;

use std::{env, process::ExitCode};

use anyhow::Context as _;

use self::matrix::Form;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let done = tokio::select! {
        done = run(&words) => done,
        // Servers and collectors end with this process, a mount does not.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let unmounted = faults::disk::unmount(&stack::folder()).await;
    match done.and_then(|failed| unmounted.map(|()| failed)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            println!("{failed} failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Says how many faults failed.
async fn run(words: &[String]) -> anyhow::Result<usize> {
    let form = Form::of_environment()?;
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: python3 is not installed, so there is no oracle; install the package python3");
        return Ok(0);
    }
    let (report, failed) = matrix::run(form, words).await?;
    println!("\n{report}");
    match env::var("IT_FAULTS_REPORT") {
        Ok(file) if failed == 0 => std::fs::write(&file, report.to_string()).context(file)?,
        _ => {}
    }
    Ok(failed)
}
