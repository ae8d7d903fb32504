//! `flowtrail config`: what is configured, and whether it can be worked with.

use clap::Subcommand;

use super::output::Output;
use crate::config::{self, Loaded, Printed};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail config print                     every setting, and where its value came from
  flowtrail config print > flowtrail.toml    a file to begin with (put the passwords in yourself)
  flowtrail --config other.toml config check
  flowtrail --flogo-config config.json config print      what a configuration of Flogo's state service comes to

Settings come from flags, environment (FLOWTRAIL_SECTION__KEY), file, --flogo-config and defaults, in this order. Under
FLOWTRAIL_KAFKA__LIBRDKAFKA__ a _ stands for a dot and __ for a _: SASL_PASSWORD is sasl.password. NAME_FILE names a
file that holds a secret: DATABASE_URL_FILE, FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD_FILE.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every setting and where its value came from; secrets are masked
    #[command(after_help = "\
Examples:
  flowtrail config print
  flowtrail config print --format json | jq '.[] | select(.origin != \"default\")'")]
    Print {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "toml")]
        format: Format,
    },
    /// Say everything that is wrong with the configuration; exit 2 if anything is
    #[command(after_help = "\
Examples:
  flowtrail config check
  flowtrail config check --config other.toml")]
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// As a configuration file, with a comment on each value.
    Toml,
    /// An array of {key, value, origin}; fields of --flogo-config that change nothing have no value.
    Json,
}

/// What is wrong has been said before: there is no `Loaded` of a configuration with problems.
pub(crate) fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    match args.command {
        Command::Print { format: Format::Toml } => output.line(config::to_toml(loaded).trim_end())?,
        Command::Print { format: Format::Json } => {
            output.json(&[config::printed(loaded), config::ignored(loaded)].concat())?;
        }
        Command::Check => {
            let files: Vec<String> = [&loaded.flogo_file, &loaded.file]
                .into_iter()
                .flatten()
                .map(|file| file.display().to_string())
                .collect();
            let files = if files.is_empty() { "no file".to_owned() } else { files.join(", ") };
            output.line(&format!("the configuration is valid ({files})"))?;
            for Printed { key, origin, .. } in config::ignored(loaded) {
                output.line(&format!("{key}: {origin}"))?;
            }
            if loaded.config.postgres.url.is_none() {
                output.line("no database is named: set DATABASE_URL, PGHOST, or url under [postgres]")?;
            }
        }
    }
    Ok(output.finish()?)
}
