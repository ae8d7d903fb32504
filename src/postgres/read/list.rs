//! Flows, newest first. Reads `steps` only where it is asked which flows have one that failed.
//!
//! A question looks at a bounded number of flows, the candidates: those that an index names, newest first. What no index
//! knows is asked of these alone. So a question costs about the same however many flows there are and however few of
//! them are wanted; where it finds less than was asked for, it says how far it looked, and goes on from there next time.

use jiff::Timestamp;
use tokio_postgres::{Error, Row, Transaction, types::Type};

use super::{FAILED, Summary, Utc, statement::Statement};

/// Flows that one question looks at. Twenty thousand rows side by side take some 50 ms.
pub(super) const MOST_CANDIDATES: i64 = 20_000;

/// The same where each of them costs more: its steps are looked up, or its payloads searched.
pub(super) const MOST_COSTLY_CANDIDATES: i64 = 2_000;

/// Which flows are wanted; what is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these statuses, in letters of any case.
    pub statuses: Vec<String>,
    /// Only flows that failed.
    pub failed: bool,
    /// This flow name.
    pub flow: Option<String>,
    /// This app.
    pub app: Option<String>,
    /// This version of the app.
    pub version: Option<String>,
    /// This host.
    pub host: Option<String>,
    /// This user.
    pub user: Option<String>,
    /// This user as well: the only one whose flows the caller may see.
    pub only_user: Option<String>,
    /// Started at or after this.
    pub since: Option<Timestamp>,
    /// Started before this.
    pub until: Option<Timestamp>,
    /// Took at least so many milliseconds.
    pub min_duration_ms: Option<f64>,
    /// Re-runs of this instance.
    pub rerun_of: Option<String>,
    /// Instances whose id begins so.
    pub id: Option<String>,
    /// Only flows with a step that failed.
    pub failed_step: bool,
    /// These characters are in input, output or error.
    pub text: Option<String>,
    /// Only what comes after this in the list.
    pub after: Option<Cursor>,
}

/// A place in the list: behind this flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Its start; nothing where that is not known.
    pub start: Option<Timestamp>,
    /// Its id.
    pub id: String,
}

/// A piece of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Flows, the newest first.
    pub flows: Vec<Summary>,
    /// Where the next piece begins; nothing at the end of the list.
    pub next: Option<Cursor>,
    /// Where fewer flows were found than asked for and there are more to look at: how far back it was looked. Nothing also
    /// where that is among flows whose start is not known.
    pub searched_to: Option<Timestamp>,
}

/// Where a flow stands in the list; nothing where there is no such flow.
pub async fn place_of(moment: &Transaction<'_>, id: &str) -> Result<Option<Cursor>, Error> {
    let sql = "SELECT starttime FROM flowstate WHERE flowinstanceid = $1";
    let row = moment.query_typed_opt(sql, &[(&id, Type::TEXT)]).await?;
    row.map(|row| Ok(Cursor { start: super::time(&row, "starttime")?, id: id.to_owned() })).transpose()
}

/// At most `limit` flows, by start, the newest first; those whose start is not known come last.
///
/// An id that is a flow's whole one gives that flow alone.
pub async fn page(moment: &Transaction<'_>, filter: &Filter, limit: u32) -> Result<Page, Error> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    if let (Some(id), None) = (&filter.id, &filter.after) {
        let found = named(filter, id).rows(moment).await?;
        if !found.is_empty() {
            let flows = found.iter().map(Summary::of).collect::<Result<_, _>>()?;
            return Ok(Page { flows, next: None, searched_to: None });
        }
    }
    let mut flows = Vec::new();
    let phases = Candidates::phases(filter);
    for (number, candidates) in phases.iter().enumerate() {
        // One more than is wanted tells whether there are more.
        let missing = i64::try_from(wanted - flows.len()).unwrap_or(i64::MAX).saturating_add(1);
        for row in candidates.matching(Summary::COLUMNS, missing).rows(moment).await? {
            flows.push(Summary::of(&row)?);
        }
        if flows.len() > wanted {
            flows.truncate(wanted);
            let next = flows.last().map(|flow| Cursor { start: flow.started, id: flow.id.clone() });
            return Ok(Page { flows, next, searched_to: None });
        }
        if let Some(last) = candidates.last(moment).await? {
            let searched_to = last.start.filter(|_| flows.len() < wanted);
            return Ok(Page { flows, next: Some(last), searched_to });
        }
        if flows.len() == wanted && number + 1 < phases.len() {
            let next = flows.last().map(|flow| Cursor { start: flow.started, id: flow.id.clone() });
            return Ok(Page { flows, next, searched_to: None });
        }
    }
    Ok(Page { flows, next: None, searched_to: None })
}

/// The newest rows that a list with this filter would look at and that match it, for whoever counts them; and from when on
/// these are all there are, if they are not all at once. Flows whose start is not known are none of them.
pub(super) async fn newest(
    moment: &Transaction<'_>,
    filter: &Filter,
    columns: &str,
) -> Result<(Vec<Row>, Option<Timestamp>), Error> {
    let candidates = Candidates { filter, is_started: true };
    let rows = candidates.matching(columns, candidates.most()).rows(moment).await?;
    let last = candidates.last(moment).await?;
    Ok((rows, last.and_then(|last| last.start)))
}

/// Appends the statement of [`newest`], so that another may ask more of its rows.
pub(super) fn push_newest<'a>(statement: &mut Statement<'a>, filter: &'a Filter, columns: &str) {
    let candidates = Candidates { filter, is_started: true };
    candidates.push_matching(statement, columns, candidates.most());
}

fn named<'a>(filter: &'a Filter, id: &'a str) -> Statement<'a> {
    let mut statement =
        Statement::new(format!("SELECT {} FROM flowstate WHERE flowinstanceid = ", Summary::COLUMNS));
    statement.push("?", id, Type::TEXT);
    if let Some(since) = filter.since {
        statement.push(" AND starttime >= ?", Utc(Some(since)), Type::TIMESTAMP);
    }
    if let Some(until) = filter.until {
        statement.push(" AND starttime < ?", Utc(Some(until)), Type::TIMESTAMP);
    }
    if let Some(original) = &filter.rerun_of {
        statement.push(" AND rerunofflowinstanceid = ?", original.as_str(), Type::TEXT);
    }
    narrow(&mut statement, filter);
    statement
}

/// Flows that an index names, in the order of the list: those with a start, or those without one.
struct Candidates<'a> {
    filter: &'a Filter,
    is_started: bool,
}

impl<'a> Candidates<'a> {
    fn phases(filter: &'a Filter) -> Vec<Self> {
        let begins_unknown = matches!(&filter.after, Some(Cursor { start: None, .. }));
        let is_bounded = filter.since.is_some() || filter.until.is_some();
        let phases = [(true, !begins_unknown), (false, !is_bounded)];
        phases
            .into_iter()
            .filter_map(|(is_started, is_wanted)| is_wanted.then_some(Self { filter, is_started }))
            .collect()
    }

    fn most(&self) -> i64 {
        let is_costly = self.filter.failed_step || self.filter.text.is_some();
        if is_costly { MOST_COSTLY_CANDIDATES } else { MOST_CANDIDATES }
    }

    /// Those that match, at most `limit`.
    fn matching(&self, columns: &str, limit: i64) -> Statement<'a> {
        let mut statement = Statement::new("");
        self.push_matching(&mut statement, columns, limit);
        statement
    }

    fn push_matching(&self, statement: &mut Statement<'a>, columns: &str, limit: i64) {
        statement.sql(&format!("SELECT {columns} FROM (SELECT * FROM flowstate"));
        self.by_index(statement);
        statement.push(" LIMIT ?) AS candidates WHERE true", self.most(), Type::INT8);
        narrow(statement, self.filter);
        statement.sql(self.order());
        statement.push(" LIMIT ?", limit, Type::INT8);
    }

    /// The last of them, where there are more behind it.
    async fn last(&self, moment: &Transaction<'_>) -> Result<Option<Cursor>, Error> {
        let mut statement = Statement::new("SELECT starttime, flowinstanceid FROM flowstate");
        self.by_index(&mut statement);
        statement.push(" OFFSET ?", self.most() - 1, Type::INT8);
        statement.sql(" LIMIT 2");
        let rows = statement.rows(moment).await?;
        let [last, _] = rows.as_slice() else { return Ok(None) };
        Ok(Some(Cursor { start: super::time(last, "starttime")?, id: last.try_get("flowinstanceid")? }))
    }

    fn by_index(&self, statement: &mut Statement<'a>) {
        let filter = self.filter;
        statement.sql(if self.is_started {
            " WHERE starttime IS NOT NULL"
        } else {
            " WHERE starttime IS NULL"
        });
        if let (Some(app), Some(flow)) = (&filter.app, &filter.flow) {
            statement.push(" AND appname = ?", app.as_str(), Type::TEXT);
            statement.push(" AND flowname = ?", flow.as_str(), Type::TEXT);
        }
        if let Some(original) = &filter.rerun_of {
            statement.push(" AND rerunofflowinstanceid = ?", original.as_str(), Type::TEXT);
        }
        if let Some(since) = filter.since {
            statement.push(" AND starttime >= ?", Utc(Some(since)), Type::TIMESTAMP);
        }
        if let Some(until) = filter.until {
            statement.push(" AND starttime < ?", Utc(Some(until)), Type::TIMESTAMP);
        }
        match &filter.after {
            Some(Cursor { start: start @ Some(_), id }) if self.is_started => {
                statement.push(" AND (starttime, flowinstanceid) < (?, ", Utc(*start), Type::TIMESTAMP);
                statement.push("?)", id.as_str(), Type::TEXT);
            }
            Some(Cursor { start: None, id }) if !self.is_started => {
                statement.push(" AND flowinstanceid < ?", id.as_str(), Type::TEXT);
            }
            _ => {}
        }
        statement.sql(self.order());
    }

    fn order(&self) -> &'static str {
        if self.is_started {
            " ORDER BY starttime DESC, flowinstanceid DESC"
        } else {
            " ORDER BY flowinstanceid DESC"
        }
    }
}

/// What no index knows.
fn narrow<'a>(statement: &mut Statement<'a>, filter: &'a Filter) {
    if !filter.statuses.is_empty() {
        let statuses: Vec<String> = filter.statuses.iter().map(|status| status.to_lowercase()).collect();
        statement.push(" AND lower(status) = ANY (?)", statuses, Type::TEXT_ARRAY);
    }
    if filter.failed {
        statement.sql(" AND ");
        statement.sql(FAILED);
    }
    let equal = [
        (" AND flowname = ?", &filter.flow),
        (" AND appname = ?", &filter.app),
        (" AND appversion = ?", &filter.version),
        (" AND hostid = ?", &filter.host),
        (" AND userid = ?", &filter.user),
        (" AND userid = ?", &filter.only_user),
        (" AND starts_with(flowinstanceid, ?)", &filter.id),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            statement.push(condition, value.as_str(), Type::TEXT);
        }
    }
    if let Some(least) = filter.min_duration_ms {
        statement.push(" AND ft_ms(endtime - starttime) >= ?", least, Type::FLOAT8);
    }
    if let Some(text) = &filter.text {
        // Bytes are searched, as they are stored: whatever they are, it can't fail.
        statement.push(" AND (position(? IN flowinput) > 0", text.as_bytes(), Type::BYTEA);
        statement.push(" OR position(? IN flowoutput) > 0", text.as_bytes(), Type::BYTEA);
        statement.push(" OR position(? IN error) > 0)", text.as_bytes(), Type::BYTEA);
    }
    if filter.failed_step {
        // Not as EXISTS: that may become a join for which Postgres reads the steps of all flows.
        let of_flow = "SELECT true FROM steps s WHERE s.flowinstanceid = candidates.flowinstanceid";
        statement.sql(&format!(
            " AND ({of_flow} AND (lower(s.status) = 'failed' OR s.error IS NOT NULL) LIMIT 1)"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Filter {
        let text = |text: &str| Some(text.to_owned());
        Filter {
            statuses: vec!["'; drop table flowstate".to_owned()],
            failed: true,
            flow: text("it's"),
            app: text("a"),
            version: text("1'"),
            host: text("h"),
            user: text("u"),
            only_user: text("v"),
            since: Timestamp::from_second(1).ok(),
            until: Timestamp::from_second(2).ok(),
            min_duration_ms: Some(0.5),
            rerun_of: text("o'"),
            id: text("x' OR 1=1"),
            failed_step: false,
            text: text("1=1"),
            after: Some(Cursor { start: Timestamp::from_second(1).ok(), id: "x' OR 1=1".to_owned() }),
        }
    }

    #[test]
    fn values_are_bound_and_steps_are_not_read() {
        let filter = everything();
        let of = |is_started| Candidates { filter: &filter, is_started }.matching(Summary::COLUMNS, 20);
        for statement in [of(true), of(false), named(&filter, "1=1")] {
            let (sql, parameters) = statement.text();
            assert!(
                !sql.contains("drop") && !sql.contains("it's") && !sql.contains("1=1") && !sql.contains('?'),
                "{sql}"
            );
            assert!(!sql.contains("steps"), "{sql}");
            assert_eq!(sql.matches('$').count(), parameters, "{sql}");
        }
        assert!(of(true).text().0.contains("(starttime, flowinstanceid) < ("));
    }

    #[test]
    fn failed_is_one_rule_for_flows_and_for_their_steps() {
        let filter = Filter { failed_step: true, ..Filter::default() };
        let statement = Candidates { filter: &filter, is_started: true }.matching("1", 1);
        let of_steps = FAILED.replace("status", "s.status").replace("error", "s.error");
        assert!(statement.text().0.contains(&of_steps));
    }
}
