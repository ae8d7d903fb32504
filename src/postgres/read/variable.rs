//! Variables of a flow as they were last set or removed.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Error, Row, Transaction, types::Type};
use utoipa::ToSchema;

use super::{Content, flogo::ReadError, statement::Statement, text, time};

/// A variable, or a part of a record that a runtime keeps of an instance, a step or a task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Variable {
    /// What has it, by the runtime's own id; empty if that is the instance. Parts of records have one that begins with `@`.
    pub scope: String,
    /// Name.
    pub name: String,
    /// The runtime's word for what the value is.
    pub r#type: Option<String>,
    /// Value; null where it was removed, is null, or is not kept any more.
    pub value: Option<Content>,
    /// It was removed.
    pub removed: bool,
    /// Number of the run that set it.
    pub run: i64,
    /// Number of the change; the greatest is the latest.
    pub revision: i64,
    /// The runtime's own id of it.
    pub variable_id: Option<String>,
    /// When it was created, UTC.
    pub created: Option<Timestamp>,
    /// When it was changed, UTC.
    pub updated: Option<Timestamp>,
    /// What else the runtime keeps of it.
    pub misc: Option<Content>,
}

/// A place among the variables of a flow: behind this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableCursor {
    /// Its scope.
    pub scope: String,
    /// Its name.
    pub name: String,
}

/// Which variables of a flow.
#[derive(Debug, Clone, Default)]
pub struct VariableFilter {
    /// Those of one scope.
    pub scope: Option<String>,
    /// Those of one name.
    pub name: Option<String>,
    /// Those behind a place.
    pub after: Option<VariableCursor>,
}

/// At most `limit` variables of a flow by scope and name, and whether there are more. Of each value no more than `most` bytes.
pub async fn variables(
    moment: &Transaction<'_>,
    flow: &str,
    filter: &VariableFilter,
    limit: u32,
    most: usize,
) -> Result<(Vec<Variable>, bool), ReadError> {
    let mut statement = Statement::new(format!(
        "SELECT scope, name, type, removed, run, revision, variableid, createdat, updatedat, {}, {} \
         FROM ft_variable WHERE flowinstanceid = ",
        Content::columns("value", most),
        Content::columns("misc", most),
    ));
    statement.push("?", flow, Type::TEXT);
    if let Some(scope) = &filter.scope {
        statement.push(" AND scope = ?", scope, Type::TEXT);
    }
    if let Some(name) = &filter.name {
        statement.push(" AND name = ?", name, Type::TEXT);
    }
    if let Some(VariableCursor { scope, name }) = &filter.after {
        statement.push(" AND (scope, name) > (?, ", scope, Type::TEXT);
        statement.push("?)", name, Type::TEXT);
    }
    statement.push(" ORDER BY scope, name LIMIT ?", i64::from(limit) + 1, Type::INT8);
    let rows = statement.rows(moment).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = rows.iter().take(limit).map(Variable::of).collect::<Result<_, _>>()?;
    Ok((found, rows.len() > limit))
}

impl Variable {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            scope: row.try_get("scope")?,
            name: row.try_get("name")?,
            r#type: text(row, "type")?,
            value: Content::read(row, "value")?,
            removed: row.try_get("removed")?,
            run: row.try_get("run")?,
            revision: row.try_get("revision")?,
            variable_id: text(row, "variableid")?,
            created: time(row, "createdat")?,
            updated: time(row, "updatedat")?,
            misc: Content::read(row, "misc")?,
        })
    }
}
