//! Logs: to stderr, as text or JSON. Traces: by OTLP, where that is configured.

mod seldom;
mod traces;

use std::io::{self, IsTerminal as _};

use thiserror::Error;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use self::traces::TracesError;
pub(crate) use self::{
    seldom::Seldom,
    traces::{BatchTrace, Tracer, Traces},
};

/// What is logged where nobody said anything. The drivers repeat at `info` what flowtrail says itself.
const DEFAULT_LEVELS: &str = "info,librdkafka=warn,tokio_postgres=warn";

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The levels can't be read.
    #[error(
        "log level \"{levels}\" is not one of error, warn, info, debug, trace, nor a list like info,flowtrail=debug"
    )]
    Levels {
        /// What was asked for.
        levels: String,
    },
    /// Something else in this process takes the logs already.
    #[error("logging is set up already")]
    AlreadySetUp,
}

/// Sends logs to stderr from now on. `levels` is a level or a list `info,module=debug`; `None` means the default.
pub fn init(levels: Option<&str>, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = filter(levels)?;
    let ansi =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => registry.with(layer.with_ansi(ansi)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| TelemetryError::AlreadySetUp)
}

fn filter(levels: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let levels = levels.map(str::trim).filter(|levels| !levels.is_empty()).unwrap_or(DEFAULT_LEVELS);
    let wrong = || TelemetryError::Levels { levels: levels.to_owned() };
    // A single word that is no level would be taken for the name of a module and silence everything else.
    let is_word = levels.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word && levels.parse::<tracing::metadata::LevelFilter>().is_err() {
        return Err(wrong());
    }
    let lower = levels.to_ascii_lowercase();
    let levels = match lower.as_str() {
        "info" => DEFAULT_LEVELS.to_owned(),
        // What the libraries say to themselves drowns the rest; a list still gets it.
        "debug" | "trace" => format!("{DEFAULT_LEVELS},flowtrail={lower},librdkafka={lower}"),
        _ => levels.to_owned(),
    };
    EnvFilter::builder().parse(&levels).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_a_level_or_a_list() {
        for good in [None, Some(""), Some("debug"), Some("OFF"), Some("info,flowtrail::pipeline=trace")] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        for bad in ["verbose", "info,flowtrail=loud"] {
            assert!(filter(Some(bad)).unwrap_err().to_string().contains(bad));
        }
    }

    #[test]
    fn debug_is_for_flowtrail_and_librdkafka_not_for_every_library() {
        let shown = filter(Some("DEBUG")).unwrap().to_string();
        assert!(shown.contains("flowtrail=debug") && shown.contains("librdkafka=debug"), "{shown}");
        assert!(shown.split(',').any(|level| level == "info"), "{shown}");
    }
}
