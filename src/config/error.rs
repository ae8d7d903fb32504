//! What can be wrong with a configuration, and where each value came from.

use std::{fmt, path::PathBuf};

use thiserror::Error;

use crate::sentence::quotable;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file, with the line where the value begins, counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A configuration of Flogo's state service.
    Flogo {
        /// The file as it was named.
        path: PathBuf,
        /// The fields that say it, or that none does.
        fields: String,
    },
    /// An environment variable, or several of them.
    Environment(String),
    /// A flag on the command line.
    Flag(&'static str),
    /// More than another setting allows was wanted.
    Lowered {
        /// What was wanted.
        was: usize,
        /// Where that came from.
        before: Box<Origin>,
        /// The setting that allows no more.
        by: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Flogo { path, fields } => write!(f, "{}: {fields}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Lowered { was, before, by } => write!(f, "{before}, lowered from {was} by {by}"),
        }
    }
}

/// One thing that is wrong, in one sentence. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting it is about, `section.key`, or the name that is not known.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, message) = (quotable(&self.key), quotable(&self.message));
        match &self.origin {
            Origin::Default => write!(f, "{key}: {message}"),
            Origin::Environment(name) if *name == self.key => write!(f, "environment {key}: {message}"),
            Origin::Flogo { fields, .. } if *fields == self.key => {
                write!(f, "{}: {message}", quotable(&self.origin.to_string()))
            }
            origin => write!(f, "{}: {key}: {message}", quotable(&origin.to_string())),
        }
    }
}

/// Why there is no configuration to work with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML. The offending line is named, not quoted: it may hold a secret.
    #[error("{}:{line}: not TOML: {message}", path.display())]
    Syntax {
        /// The file as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// The file is not JSON. The place is named, not quoted: it may hold a secret.
    #[error("{}: not a JSON object: {message}", path.display())]
    Json {
        /// The file as it was named.
        path: PathBuf,
        /// What the parser says, with the line.
        message: String,
    },
    /// Values that are unknown or out of range; at least one.
    #[error("{}", one_line(.0))]
    Problems(Vec<Problem>),
}

impl ConfigError {
    /// One problem with a setting, wherever its value came from.
    pub(super) fn of(key: &str, message: impl Into<String>) -> Self {
        Self::Problems(vec![Problem {
            key: key.to_owned(),
            message: message.into(),
            origin: Origin::Default,
        }])
    }

    /// Every problem as a sentence of its own.
    pub fn sentences(&self) -> Vec<String> {
        match self {
            Self::Problems(problems) => problems.iter().map(Problem::to_string).collect(),
            Self::Unreadable { source, .. } => vec![format!("{self}: {source}")],
            Self::Syntax { .. } | Self::Json { .. } => vec![self.to_string()],
        }
    }
}

fn one_line(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}
