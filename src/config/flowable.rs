//! `[flowable]`: how records are read that Flowable engines wrote themselves.

use std::time::Duration;

use crate::flowable::DEFAULT_SOURCE;

/// `[flowable]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flowable {
    /// The engine of records whose header does not name one; its ids are told from those of others by it.
    pub source: String,
    /// Whether sequence flows become steps.
    pub sequence_flows: bool,
    /// What a gzip'd record may grow to, in bytes.
    pub max_inflated_bytes: usize,
    /// How long a collector tries again what is of a flow instance that is not known yet; `None`: never.
    pub hold: Option<Duration>,
}

impl Default for Flowable {
    fn default() -> Self {
        Self {
            source: DEFAULT_SOURCE.to_owned(),
            sequence_flows: false,
            max_inflated_bytes: 16 << 20,
            hold: Some(Duration::from_mins(10)),
        }
    }
}
