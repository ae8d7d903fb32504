//! How an app is asked, as `[rerun.apps]` says.

use std::fmt;

/// How an app is asked to run an instance again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// `http://host:port`: a Flogo app's own endpoints, `/app/state/instance/restart` and `/app/state/task/restart`.
    Flogo(String),
    /// `tester+http://host:port`: the tester of the open-source Flogo engine, `/flow/restart`.
    Tester(String),
    /// `kafka:topic`: a `RerunRequest` on a topic, for any other runtime.
    Topic(String),
}

impl Runtime {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let base = |url: &str| {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            let host = rest.and_then(|rest| rest.split('/').next()).filter(|host| !host.is_empty());
            let fits = host.is_some_and(|host| !host.contains(|c: char| c.is_whitespace() || c == '@'));
            fits.then(|| url.trim_end_matches('/').to_owned())
        };
        let read = if let Some(topic) = text.strip_prefix("kafka:") {
            (!topic.is_empty()).then(|| Self::Topic(topic.to_owned()))
        } else if let Some(url) = text.strip_prefix("tester+") {
            base(url).map(Self::Tester)
        } else {
            base(text).map(Self::Flogo)
        };
        read.ok_or_else(|| {
            "want http://host:port of a Flogo app, tester+http://host:port of an open-source tester, or kafka:topic; \
             no user or password"
                .to_owned()
        })
    }

    /// Whether it is told the recorded state, since it asks for none itself.
    pub fn is_told_the_state(&self) -> bool {
        matches!(self, Self::Tester(_))
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flogo(base) => f.write_str(base),
            Self::Tester(base) => write!(f, "tester+{base}"),
            Self::Topic(topic) => write!(f, "kafka:{topic}"),
        }
    }
}
