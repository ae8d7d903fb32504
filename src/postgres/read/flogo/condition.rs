//! A condition that grows, and what is bound to it.

use tokio_postgres::types::{ToSql, Type};

/// Conditions that all have to hold. No value becomes part of the text.
pub(super) struct Condition<'a> {
    sql: String,
    bound: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

impl<'a> Condition<'a> {
    /// One condition; each `?` of it stands for the value.
    pub(super) fn new(condition: &str, value: &'a (dyn ToSql + Sync), kind: Type) -> Self {
        let mut all = Self { sql: String::new(), bound: Vec::new() };
        all.push(condition, value, kind);
        all
    }

    /// One more, if there is a value.
    pub(super) fn and<T: ToSql + Sync>(&mut self, condition: &str, value: Option<&'a T>, kind: Type) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.push(condition, value, kind);
        }
    }

    /// Appends a piece of SQL that is no condition.
    pub(super) fn then(&mut self, piece: &str, value: &'a (dyn ToSql + Sync), kind: Type) {
        self.push(piece, value, kind);
    }

    /// A statement with the conditions behind it.
    pub(super) fn behind(&self, statement: &str) -> String {
        format!("{statement} WHERE {}", self.sql)
    }

    /// What is bound, in the order of the numbers.
    pub(super) fn bound(&self) -> &[(&'a (dyn ToSql + Sync), Type)] {
        &self.bound
    }

    fn push(&mut self, piece: &str, value: &'a (dyn ToSql + Sync), kind: Type) {
        self.bound.push((value, kind));
        self.sql.push_str(&piece.replace('?', &format!("${}", self.bound.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_by_number_and_what_is_not_given_is_not_asked() {
        let (user, app, host) = ("'; drop table steps".to_owned(), "b".to_owned(), None::<String>);
        let mut condition = Condition::new("a = ?", &user, Type::TEXT);
        condition.and("h = ?", host.as_ref(), Type::TEXT);
        condition.and("(b = ? OR c = ?)", Some(&app), Type::TEXT);
        assert_eq!(condition.behind("SELECT"), "SELECT WHERE a = $1 AND (b = $2 OR c = $2)");
        assert_eq!(condition.bound().len(), 2);
    }
}
