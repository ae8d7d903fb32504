//! The newest flows in as few words as counting them takes.

use jiff::Timestamp;
use tokio_postgres::{Row, Transaction};

use super::{Filter, duration_ms, flogo::ReadError, list::newest, text, time};
use crate::model::RunState;

/// A flow as far as it is counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// App that holds it.
    pub app: Option<String>,
    /// Flow name.
    pub flow: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// Start.
    pub started: Timestamp,
    /// From start to end in milliseconds.
    pub duration_ms: Option<f64>,
    /// Whether it has ended.
    pub ended: bool,
}

/// The newest flows that match, without any whose start is not known; and where there may be older ones, from when on these are all.
pub async fn counted(
    moment: &Transaction<'_>,
    filter: &Filter,
) -> Result<(Vec<Counted>, Option<Timestamp>), ReadError> {
    const COLUMNS: &str =
        "appname, flowname, status, phase, error IS NOT NULL AS haserror, starttime, endtime";
    let (rows, complete_since) = newest(moment, filter, COLUMNS).await?;
    let flows = rows.iter().filter_map(|row| of(row).transpose()).collect::<Result<_, _>>()?;
    Ok((flows, complete_since))
}

fn of(row: &Row) -> Result<Option<Counted>, tokio_postgres::Error> {
    let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
    let (status, phase) = (text(row, "status")?, row.try_get::<_, Option<i16>>("phase")?);
    // A start at infinity is none that a histogram has a place for.
    let Some(started) = started else { return Ok(None) };
    Ok(Some(Counted {
        app: text(row, "appname")?,
        flow: text(row, "flowname")?,
        state: RunState::of(status.as_deref(), phase, row.try_get("haserror")?),
        status,
        duration_ms: duration_ms(Some(started), ended),
        started,
        ended: phase.is_none_or(|phase| phase >= 2),
    }))
}
