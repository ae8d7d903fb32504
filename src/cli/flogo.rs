//! `flowtrail flogo`: what has to do with Flogo's own state service.

use clap::Subcommand;

use super::Outcome;
use crate::config::Config;

mod compare;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flogo compare --with postgres://flogo@old-db/flogo --since -1h")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare what Flogo's state service has stored with what the tables hold
    Compare(compare::Args),
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Compare(args) => compare::run(args, config).await,
    }
}
