//! The command line: one file per subcommand.

use std::process::ExitCode;

use clap::Parser;

mod config;
#[cfg(feature = "dev-stack")]
mod dev;
mod flow;
mod lag;
mod publish;
mod schema;

/// Reads the command line, runs one role and says how it ended.
pub fn main() -> ExitCode {
    let _ = Cli::parse();
    ExitCode::SUCCESS
}

/// flowtrail keeps the execution history of flow runtimes: Kafka → Postgres.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {}
