//! Reading the history back: flows newest first, and all there is about one of them.

use bytes::BytesMut;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use utoipa::ToSchema;

use crate::model::{Micros, RunState, millis};

pub mod compare;
pub mod flogo;

mod app;
mod counts;
mod detail;
mod gateway;
mod letter;
mod list;
mod operations;
mod over;
mod payload;
mod rerun;
mod show;
mod shown;
mod statement;
mod step_line;
mod stored;
mod variable;

pub use self::{
    app::{AppState, app_states},
    counts::{Counted, counted},
    detail::{Detail, Kin, StateCount, StepCounts, WholeFlow, WholeRun, children, detail, is_known, summary},
    gateway::{greatest_execution, switched_off, user_of},
    letter::{Letter, LetterFilter, LetterSummary, count_letters, letters, whole_letters},
    list::{Cursor, Filter, Page, page, place_of},
    operations::{
        AppliedChange, Backend, Cutoff, GapFound, Note, Stored, applied_changes, backends, cutoffs, gaps,
        notes, progress,
    },
    over::{GridStep, SlowTask, slow_tasks, steps_of},
    payload::{Content, Payload},
    rerun::{Standing, another_rerun, reruns, standing},
    show::{Flow, Run, State, Step, Value, show},
    shown::{Shown, first_start, shown},
    step_line::{
        Execution, HashedStep, StepCursor, StepFilter, StepLine, WholeStep, executions, hashed_steps, steps,
        whole_step,
    },
    stored::stored_flow,
    variable::{Variable, VariableCursor, VariableFilter, variables},
};

/// That a flow or a step failed, as [`RunState::of`] has it, of a table with the columns `status` and `error`.
pub const FAILED: &str = "(lower(status) = 'failed' OR error IS NOT NULL)";

type Boxed = Box<dyn std::error::Error + Sync + Send>;

/// 2000-01-01T00:00:00Z, from which Postgres counts, in microseconds since 1970.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// One flow instance, without its payloads.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Summary {
    /// Flow instance id.
    pub id: String,
    /// Flow name.
    pub flow: Option<String>,
    /// App that holds the flow.
    pub app: Option<String>,
    /// Version of that app.
    pub version: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// End, UTC.
    pub ended: Option<Timestamp>,
    /// From start to end in milliseconds; negative where the clocks disagreed.
    pub duration_ms: Option<f64>,
    /// How many other instances are re-runs of this one.
    pub reruns: i32,
    /// Host it ran on.
    pub host: Option<String>,
    /// User who ran it.
    pub user: Option<String>,
    /// The instance this one is a re-run of.
    pub rerun_of: Option<String>,
    /// The instance that called this one.
    pub parent: Option<String>,
    /// Flow name of that instance.
    pub parent_flow: Option<String>,
    /// How it stands, in few words that are the same for every runtime.
    pub state: RunState,
}

impl Summary {
    /// What [`Summary::of`] reads.
    const COLUMNS: &str = "flowinstanceid, flowname, appname, appversion, status, starttime, endtime, reruncount, \
                           hostid, userid, rerunofflowinstanceid, parentflowinstanceid, parentflowname, phase, \
                           error IS NOT NULL AS haserror";

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
        let status = text(row, "status")?;
        Ok(Self {
            state: RunState::of(status.as_deref(), row.try_get("phase")?, row.try_get("haserror")?),
            id: row.try_get("flowinstanceid")?,
            flow: text(row, "flowname")?,
            app: text(row, "appname")?,
            version: text(row, "appversion")?,
            status,
            duration_ms: duration_ms(started, ended),
            started,
            ended,
            reruns: row.try_get::<_, Option<i32>>("reruncount")?.unwrap_or(0),
            host: text(row, "hostid")?,
            user: text(row, "userid")?,
            rerun_of: text(row, "rerunofflowinstanceid")?,
            parent: text(row, "parentflowinstanceid")?,
            parent_flow: text(row, "parentflowname")?,
        })
    }
}

/// Text, or nothing where it is null or empty.
fn text(row: &Row, column: &str) -> Result<Option<String>, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<String>>(column)?.filter(|text| !text.is_empty()))
}

fn time(row: &Row, column: &str) -> Result<Option<Timestamp>, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<Utc>>(column)?.and_then(|Utc(time)| time))
}

fn duration_ms(started: Option<Timestamp>, ended: Option<Timestamp>) -> Option<f64> {
    let micros = ended?.as_microsecond().checked_sub(started?.as_microsecond())?;
    Some(millis(micros))
}

/// A `timestamp` column, which holds UTC, or one with a time zone; nothing for `infinity` and what lies beyond what can be shown.
#[derive(Debug)]
pub(crate) struct Utc(pub(crate) Option<Timestamp>);

impl Utc {
    /// The same time.
    pub(crate) fn of(time: Micros) -> Self {
        Self(Timestamp::from_microsecond(time.get()).ok())
    }
}

impl<'a> FromSql<'a> for Utc {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let since_1970 = micros.checked_add(EPOCH_2000);
        Ok(Self(since_1970.and_then(|micros| Timestamp::from_microsecond(micros).ok())))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TIMESTAMP | Type::TIMESTAMPTZ)
    }
}

impl ToSql for Utc {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        let Some(time) = self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(&(time.as_microsecond() - EPOCH_2000).to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TIMESTAMP | Type::TIMESTAMPTZ)
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_column_is_utc_to_the_microsecond() {
        let time: Timestamp = "2026-11-21T10:00:00.000001Z".parse().unwrap();
        let mut raw = BytesMut::new();
        Utc(Some(time)).to_sql(&Type::TIMESTAMP, &mut raw).unwrap();
        assert_eq!(Utc::from_sql(&Type::TIMESTAMP, &raw).unwrap().0, Some(time));
        assert_eq!(
            Utc::from_sql(&Type::TIMESTAMP, &0_i64.to_be_bytes()).unwrap().0,
            "2000-01-01T00:00:00Z".parse().ok()
        );
        assert_eq!(Utc::from_sql(&Type::TIMESTAMP, &i64::MAX.to_be_bytes()).unwrap().0, None, "infinity");
    }

    #[test]
    fn a_duration_needs_both_ends_and_may_be_negative() {
        let at = |micros| Timestamp::from_microsecond(micros).ok();
        assert_eq!(duration_ms(at(0), at(11_267)), Some(11.267));
        assert_eq!(duration_ms(at(500), at(0)), Some(-0.5));
        assert_eq!(duration_ms(None, at(0)), None);
        assert_eq!(duration_ms(at(0), None), None);
    }
}
