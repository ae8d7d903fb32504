//! Points in time on the command line.

use jiff::Timestamp;

use super::UsageError;
pub(crate) use crate::when::{ahead, parse, span};

/// A flag's time, if it is given; what is wrong names the flag.
pub(crate) fn given(
    flag: &str,
    text: Option<&String>,
    now: Timestamp,
) -> Result<Option<Timestamp>, UsageError> {
    text.map(|text| parse(text, now)).transpose().map_err(|why| UsageError(format!("{flag}: {why}")))
}
