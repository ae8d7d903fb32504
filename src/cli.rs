//! The command line: one file per subcommand.
//!
//! Data goes to stdout, logs and errors to stderr. How a command ended is its exit code: 0 done, 1 failed, 2 wrong
//! usage or configuration, 3 a check found a difference.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum as _};
use secrecy::SecretString;

use crate::{
    collector::CollectError,
    config::{self as configuration, ConfigError, Environment, Flag, Flags, Loaded},
    postgres::connect::PostgresError,
    telemetry::{self, LogFormat, TelemetryError},
};

mod app;
mod collect;
mod config;
mod deadletter;
#[cfg(feature = "dev-stack")]
mod dev;
mod doctor;
mod flogo;
mod flow;
mod lag;
mod output;
mod publish;
mod replay;
mod rerun;
mod retention;
mod schema;
mod serve;
mod slice;
mod token;
mod verify;
mod when;

#[cfg(feature = "dev-stack")]
const START_HERE: &str = "\
Start here:
  flowtrail dev            a Kafka, a Postgres and a collector on this machine, with sample traffic
  flowtrail flow list      what was recorded, newest first; set DATABASE_URL to what dev prints

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found a difference.";
#[cfg(not(feature = "dev-stack"))]
const START_HERE: &str = "\
Start here, with KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL set:
  flowtrail schema update  makes the tables
  flowtrail collect        keeps the history from then on

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found a difference.";

/// flowtrail keeps the execution history of flow runtimes: Kafka → Postgres.
#[derive(Debug, Parser)]
#[command(version, after_help = START_HERE, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these are shown on the terminal")]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Configuration file [default: $FLOWTRAIL_CONFIG, else flowtrail.toml in this folder if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Configuration of Flogo's state service to go by where nothing else is said [default: $FLOWTRAIL_FLOGO_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    flogo_config: Option<PathBuf>,
    /// Kafka brokers to begin with [default: $KAFKA_BOOTSTRAP_SERVERS, else 127.0.0.1:9092]
    #[arg(long, visible_alias = "kafka", global = true, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// Postgres, as postgres://user:password@host:port/dbname [default: $DATABASE_URL, else $PGHOST and its kin]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// error, warn, info, debug, trace, or a list like info,flowtrail=debug [default: $FLOWTRAIL_LOG, $RUST_LOG, info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How log lines are written [default: $FLOWTRAIL_LOG_FORMAT, else text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: Kafka, Postgres, a collector, sample traffic
    #[cfg(feature = "dev-stack")]
    Dev(dev::Args),
    /// Write what runtimes say on Kafka to Postgres, as a member of the consumer group
    Collect(collect::Args),
    /// Take what Flogo apps post to their state service, and put it on Kafka
    Serve(serve::Args),
    /// Put events on a topic, from files, stdin or made up
    Publish(publish::Args),
    /// Show how far a consumer group is behind, in records and seconds
    Lag(lag::Args),
    /// Compare what is on the topic with what the tables hold
    Verify(verify::Args),
    /// Store or copy once more what is on the topic
    Replay(replay::Args),
    /// Look at Kafka, Postgres and the clocks, and say what to do
    Doctor(doctor::Args),
    /// Show flows that were recorded, or erase them
    Flow(flow::Args),
    /// Move from Flogo's own state service: compare what both have stored
    Flogo(flogo::Args),
    /// Say which apps' history is to be kept
    App(app::Args),
    /// Ask a runtime to run an instance again
    Rerun(rerun::Args),
    /// Show, retry or drop messages that could not become rows
    Deadletter(deadletter::Args),
    /// Show or remove what has been kept long enough
    Retention(retention::Args),
    /// Make and list the tokens of `flowtrail serve`
    Token(token::Args),
    /// Make or check the tables
    Schema(schema::Args),
    /// Show or check the configuration
    Config(config::Args),
}

/// How a command ended, where it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it was asked.
    Done,
    /// It was asked to check, and found a difference.
    Difference,
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// Wrong usage that only the command itself could notice; its sentence is shown to the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Reads the command line, runs one role and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment: Environment = std::env::vars_os().collect();
    let as_json = matches!(logging(&cli.global, &environment), Ok((_, LogFormat::Json)));
    match run(cli, &environment) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Difference) => ExitCode::from(3),
        // Whoever read our output has had enough, as `flowtrail … | head` does.
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let sentence = complaint(&error);
            if as_json && tracing::enabled!(tracing::Level::ERROR) {
                // Whoever reads the log as JSON reads to its end.
                let error = sentence.trim_start_matches("error: ").trim_end();
                tracing::error!(event = "command_failed", error, "the command can't go on");
            } else {
                // Where stderr is gone too, the exit code is all that is left to say.
                let _ = io::stderr().write_all(sentence.as_bytes());
            }
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

fn run(cli: Cli, environment: &Environment) -> anyhow::Result<Outcome> {
    let (levels, format) = logging(&cli.global, environment)?;
    telemetry::init(levels.as_deref(), format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(Box::pin(dispatch(cli, environment)));
    // A thread that still waits for a broker must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn dispatch(cli: Cli, environment: &Environment) -> anyhow::Result<Outcome> {
    let loaded = configuration::load(&cli.global.flags(), environment, Path::new("."))?;
    let config = &loaded.config;
    if !matches!(cli.command, Command::Config(_)) {
        note_ignored(&loaded);
    }
    match cli.command {
        #[cfg(feature = "dev-stack")]
        Command::Dev(args) => Box::pin(dev::run(args, &loaded)).await.map(Outcome::from),
        Command::Collect(args) => Box::pin(collect::run(args, config)).await.map(Outcome::from),
        Command::Serve(args) => Box::pin(serve::run(args, config)).await.map(Outcome::from),
        Command::Publish(args) => Box::pin(publish::run(args, config)).await.map(Outcome::from),
        Command::Lag(args) => Box::pin(lag::run(args, config)).await.map(Outcome::from),
        Command::Verify(args) => Box::pin(verify::run(args, config)).await,
        Command::Replay(args) => Box::pin(replay::run(args, config)).await,
        Command::Doctor(args) => Box::pin(doctor::run(args, config)).await,
        Command::Flow(args) => Box::pin(flow::run(args, config)).await.map(Outcome::from),
        Command::Flogo(args) => Box::pin(flogo::run(args, config)).await,
        Command::App(args) => Box::pin(app::run(args, config)).await.map(Outcome::from),
        Command::Rerun(args) => Box::pin(rerun::run(args, config)).await.map(Outcome::from),
        Command::Deadletter(args) => Box::pin(deadletter::run(args, config)).await.map(Outcome::from),
        Command::Retention(args) => Box::pin(retention::run(args, config)).await.map(Outcome::from),
        Command::Schema(args) => Box::pin(schema::run(args, config)).await,
        Command::Token(args) => token::run(args, config).map(Outcome::from),
        Command::Config(args) => config::run(&args, &loaded).map(Outcome::from),
    }
}

/// Says what of a configuration of Flogo's state service has no use, in one line.
fn note_ignored(loaded: &Loaded) {
    if let (Some(file), false) = (&loaded.flogo_file, loaded.ignored.is_empty()) {
        let fields: Vec<String> = loaded.ignored.iter().map(ToString::to_string).collect();
        let (file, fields) = (file.display(), fields.join("; "));
        tracing::warn!(event = "flogo_config_ignored", %file, fields, "these fields change nothing");
    }
}

impl Global {
    fn flags(&self) -> Flags {
        let brokers = self.bootstrap_servers.as_deref().map(|value| Flag {
            key: "kafka.bootstrap_servers",
            name: "--bootstrap-servers",
            value: value.into(),
        });
        let database = self.database_url.clone();
        let database = database.map(|value| Flag { key: "postgres.url", name: "--database-url", value });
        Flags {
            file: self.config.clone(),
            flogo_file: self.flogo_config.clone(),
            settings: brokers.into_iter().chain(database).collect(),
        }
    }
}

/// Levels and format of the logs: flags over environment.
fn logging(global: &Global, environment: &Environment) -> anyhow::Result<(Option<String>, LogFormat)> {
    let variable = |name: &str| {
        let value = environment.get(std::ffi::OsStr::new(name))?.to_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let levels =
        global.log_level.clone().or_else(|| variable("FLOWTRAIL_LOG")).or_else(|| variable("RUST_LOG"));
    let format = match (global.log_format, variable("FLOWTRAIL_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Some(word)) => LogFormat::from_str(&word, true)
            .map_err(|_| UsageError(format!("FLOWTRAIL_LOG_FORMAT is text or json, not \"{word}\"")))?,
        (None, None) => LogFormat::default(),
    };
    Ok((levels, format))
}

/// Who is at the keyboard, as far as the environment says; Postgres adds its own user.
pub(crate) fn actor() -> String {
    let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned())
}

/// What is said of an error: one sentence, its causes behind it; a configuration lists all its problems.
fn complaint(error: &anyhow::Error) -> String {
    if let Some(problems) = error.downcast_ref::<ConfigError>().map(ConfigError::sentences)
        && problems.len() > 1
    {
        return format!(
            "error: the configuration has {} problems\n  {}\n",
            problems.len(),
            problems.join("\n  ")
        );
    }
    let mut sentence = String::new();
    for cause in error.chain() {
        let words = cause.to_string().replace(['\n', '\r'], " ");
        // Some errors repeat their cause in their own words.
        if !sentence.contains(&words) {
            let colon = if sentence.is_empty() { "error: " } else { ": " };
            sentence.push_str(colon);
            sentence.push_str(words.trim_end_matches('.'));
        }
    }
    sentence.push('\n');
    sentence
}

/// Whether the command line or the configuration is what was wrong.
fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || cause.is::<UsageError>()
            || cause.is::<TelemetryError>()
            || matches!(cause.downcast_ref(), Some(PostgresError::Config(_)))
            || matches!(cause.downcast_ref(), Some(CollectError::Postgres(PostgresError::Config(_))))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_commands_have_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        assert!(command.render_long_help().to_string().contains("Start here"));
        let letters = ["list", "show", "retry", "drop", "export"].map(|name| ["deadletter", name]);
        let others = [
            &["lag"][..],
            &["serve"],
            &["verify"],
            &["replay"],
            &["doctor"],
            &["flow"],
            &["flow", "list"],
            &["flow", "show"],
            &["flow", "tail"],
            &["flow", "export"],
            &["flow", "erase"],
            &["config"],
            &["flogo"],
            &["flogo", "compare"],
            &["rerun"],
            &["app"],
            &["app", "list"],
            &["app", "on"],
            &["app", "off"],
            &["retention"],
            &["retention", "plan"],
            &["retention", "run"],
            &["retention", "readmit"],
            &["token"],
            &["token", "add"],
            &["token", "list"],
            &["deadletter"],
        ];
        for path in others.into_iter().chain(letters.iter().map(|path| &path[..])) {
            let found = path.iter().try_fold(&command, |command, name| command.find_subcommand(name));
            let help = found.and_then(clap::Command::get_after_help).unwrap().to_string();
            assert!(help.contains(&format!("flowtrail {}", path.join(" "))), "{path:?}: {help}");
        }
    }

    #[test]
    fn an_error_is_one_sentence_with_its_causes() {
        let error = anyhow::Error::new(io::Error::other("no space\nleft")).context("cannot write the page");
        assert_eq!(complaint(&error), "error: cannot write the page: no space left\n");
    }

    #[test]
    fn every_problem_of_a_configuration_is_said_and_it_is_wrong_usage() {
        let environment: Environment = [("FLOWTRAIL_COLLECTOR__LANES", "0"), ("FLOWTRAIL_KAFKA__GRUOP", "x")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        let error = configuration::load(&Flags::default(), &environment, Path::new("/nowhere")).unwrap_err();
        let error = anyhow::Error::from(error);
        let said = complaint(&error);
        assert!(
            said.starts_with("error: the configuration has 2 problems\n") && said.lines().count() == 3,
            "{said}"
        );
        assert!(is_usage(&error));
        let error = anyhow::Error::from(PostgresError::from(
            crate::config::Postgres::default().connection().unwrap_err(),
        ));
        assert!(is_usage(&error));
        assert!(!is_usage(&anyhow::anyhow!("a disk is full")));
    }

    #[test]
    fn a_database_url_is_not_shown_by_debug() {
        let cli = Cli::parse_from(["flowtrail", "lag", "--database-url", "postgres://a:hunter2@b/c"]);
        assert!(!format!("{cli:?}").contains("hunter2"));
    }

    #[test]
    fn flags_of_logging_win_over_the_environment() {
        let cli = Cli::parse_from(["flowtrail", "--log-level", "debug", "config", "check"]);
        let environment: Environment =
            [("FLOWTRAIL_LOG", "warn"), ("RUST_LOG", "error"), ("FLOWTRAIL_LOG_FORMAT", "json")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
        assert_eq!(logging(&cli.global, &environment).unwrap(), (Some("debug".to_owned()), LogFormat::Json));
        let cli = Cli::parse_from(["flowtrail", "config", "check"]);
        assert_eq!(logging(&cli.global, &environment).unwrap().0.as_deref(), Some("warn"));
    }
}
