//! Flows, newest first. Never reads `steps`.

use jiff::Timestamp;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use super::{Summary, Utc};

/// Which flows are wanted; what is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these statuses, in the runtime's own words.
    pub statuses: Vec<String>,
    /// This flow name.
    pub flow: Option<String>,
    /// This app.
    pub app: Option<String>,
    /// Started at or after this.
    pub since: Option<Timestamp>,
    /// Started before this.
    pub until: Option<Timestamp>,
    /// Only what comes after this flow in the list: its id, and its start as [`start_of`] gives it.
    pub after: Option<(String, Option<Timestamp>)>,
}

/// Where a flow stands in the list; nothing where there is no such flow.
pub async fn start_of(client: &Client, id: &str) -> Result<Option<Option<Timestamp>>, Error> {
    let row = client
        .query_typed_opt("SELECT starttime FROM flowstate WHERE flowinstanceid = $1", &[(&id, Type::TEXT)])
        .await?;
    row.map(|row| super::time(&row, "starttime")).transpose()
}

/// At most `limit` flows, by start, the newest first; those whose start is not known come last.
///
/// Two statements, so that each follows the index on (starttime, flowinstanceid) from where the last page ended.
pub async fn list(client: &Client, filter: &Filter, limit: u32) -> Result<Vec<Summary>, Error> {
    let mut flows = Vec::new();
    let begins_unknown = matches!(filter.after, Some((_, None)));
    if !begins_unknown {
        flows = run(client, &Statement::started(filter), limit).await?;
    }
    let missing = limit.saturating_sub(u32::try_from(flows.len()).unwrap_or(u32::MAX));
    if missing > 0 && filter.since.is_none() && filter.until.is_none() {
        flows.extend(run(client, &Statement::unknown_start(filter), missing).await?);
    }
    Ok(flows)
}

async fn run(client: &Client, statement: &Statement<'_>, limit: u32) -> Result<Vec<Summary>, Error> {
    let limit = i64::from(limit);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = Vec::with_capacity(statement.parameters.len() + 1);
    for (value, kind) in &statement.parameters {
        parameters.push((value.as_ref(), kind.clone()));
    }
    parameters.push((&limit, Type::INT8));
    let sql = format!("{} LIMIT ${}", statement.sql, parameters.len());
    client.query_typed(&sql, &parameters).await?.iter().map(Summary::of).collect()
}

/// SQL and what is bound to it; no value ever becomes part of the text.
struct Statement<'a> {
    sql: String,
    parameters: Vec<(Box<dyn ToSql + Sync + Send + 'a>, Type)>,
}

impl<'a> Statement<'a> {
    fn started(filter: &'a Filter) -> Self {
        let mut statement = Self::narrowed(filter, "starttime IS NOT NULL");
        if let Some(since) = filter.since {
            statement.and("starttime >= ?", Utc(Some(since)), Type::TIMESTAMP);
        }
        if let Some(until) = filter.until {
            statement.and("starttime < ?", Utc(Some(until)), Type::TIMESTAMP);
        }
        if let Some((id, start @ Some(_))) = &filter.after {
            statement.and("(starttime, flowinstanceid) < (?, ", Utc(*start), Type::TIMESTAMP);
            statement.push("?)", id.as_str(), Type::TEXT);
        }
        statement.sql.push_str(" ORDER BY starttime DESC, flowinstanceid DESC");
        statement
    }

    fn unknown_start(filter: &'a Filter) -> Self {
        let mut statement = Self::narrowed(filter, "starttime IS NULL");
        if let Some((id, None)) = &filter.after {
            statement.and("flowinstanceid < ?", id.as_str(), Type::TEXT);
        }
        statement.sql.push_str(" ORDER BY flowinstanceid DESC");
        statement
    }

    fn narrowed(filter: &'a Filter, condition: &str) -> Self {
        let sql = format!("SELECT {} FROM flowstate WHERE {condition}", Summary::COLUMNS);
        let mut statement = Self { sql, parameters: Vec::new() };
        if !filter.statuses.is_empty() {
            statement.and("status = ANY (?)", filter.statuses.as_slice(), Type::TEXT_ARRAY);
        }
        if let Some(flow) = &filter.flow {
            statement.and("flowname = ?", flow.as_str(), Type::TEXT);
        }
        if let Some(app) = &filter.app {
            statement.and("appname = ?", app.as_str(), Type::TEXT);
        }
        statement
    }

    fn and(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'a, kind: Type) {
        self.sql.push_str(" AND ");
        self.push(condition, value, kind);
    }

    /// Appends a piece of SQL whose `?` stands for the value.
    fn push(&mut self, piece: &str, value: impl ToSql + Sync + Send + 'a, kind: Type) {
        self.parameters.push((Box::new(value), kind));
        self.sql.push_str(&piece.replace('?', &format!("${}", self.parameters.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_and_steps_are_not_read() {
        let filter = Filter {
            statuses: vec!["'; drop table flowstate".to_owned()],
            flow: Some("it's".to_owned()),
            app: Some("a".to_owned()),
            since: Timestamp::from_second(1).ok(),
            until: Timestamp::from_second(2).ok(),
            after: Some(("x' OR 1=1".to_owned(), Timestamp::from_second(1).ok())),
        };
        for statement in [Statement::started(&filter), Statement::unknown_start(&filter)] {
            let sql = &statement.sql;
            assert!(
                !sql.contains("drop") && !sql.contains("it's") && !sql.contains("1=1") && !sql.contains('?'),
                "{sql}"
            );
            assert!(!sql.contains("steps"), "{sql}");
            assert_eq!(sql.matches('$').count(), statement.parameters.len(), "{sql}");
        }
        let sql = Statement::started(&filter).sql;
        assert!(sql.contains("(starttime, flowinstanceid) < ($6, $7)"), "{sql}");
    }
}
