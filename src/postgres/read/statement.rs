//! SQL that is put together, and what is bound to it.

use futures_util::TryStreamExt as _;
use tokio_postgres::{
    Error, Row, Transaction,
    types::{ToSql, Type},
};

/// SQL and its values; no value ever becomes part of the text.
pub(super) struct Statement<'a> {
    sql: String,
    parameters: Vec<(Box<dyn ToSql + Sync + Send + 'a>, Type)>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), parameters: Vec::new() }
    }

    /// Appends a piece of SQL.
    pub(super) fn sql(&mut self, piece: &str) {
        self.sql.push_str(piece);
    }

    /// Appends a piece of SQL whose `?` stands for the value.
    pub(super) fn push(&mut self, piece: &str, value: impl ToSql + Sync + Send + 'a, kind: Type) {
        self.parameters.push((Box::new(value), kind));
        self.sql.push_str(&piece.replace('?', &format!("${}", self.parameters.len())));
    }

    /// Its rows. Nothing is prepared that a pooler would mix up.
    pub(super) async fn rows(&self, moment: &Transaction<'_>) -> Result<Vec<Row>, Error> {
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = Vec::with_capacity(self.parameters.len());
        for (value, kind) in &self.parameters {
            parameters.push((value.as_ref(), kind.clone()));
        }
        let rows = moment.query_typed_raw(&self.sql, parameters).await?;
        rows.try_collect().await
    }

    /// The text, and how many values are bound to it.
    #[cfg(test)]
    pub(super) fn text(&self) -> (&str, usize) {
        (&self.sql, self.parameters.len())
    }
}
