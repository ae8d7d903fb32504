//! What questions say: filters, times, places in lists.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, openapi::RefOr};

use super::trouble::Trouble;
use crate::{
    clock,
    postgres::read::{Cursor, Filter, StepCursor, VariableCursor},
    when,
};

/// Where payloads are cut by themselves.
const PAYLOAD_BYTES: usize = 64 << 10;

/// Where they are cut at the latest.
const MOST_PAYLOAD_BYTES: usize = 4 << 20;

/// Flows that match all of what is given.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Narrow {
    /// Statuses in the runtime's own words, with commas between; letters of any case.
    status: Option<String>,
    /// Only flows that failed: with the status Failed, or an error.
    failed: Option<bool>,
    /// Flow name.
    flow: Option<String>,
    /// App that holds the flow.
    app: Option<String>,
    /// Version of the app.
    version: Option<String>,
    /// Host.
    host: Option<String>,
    /// User.
    user: Option<String>,
    /// Started at or after: RFC 3339, a date, or how long ago, like -2h.
    since: Option<String>,
    /// Started before.
    until: Option<String>,
    /// Took at least so many milliseconds.
    min_duration_ms: Option<f64>,
    /// Re-runs of this instance.
    rerun_of: Option<String>,
    /// Id, or the beginning of one.
    id: Option<String>,
    /// Only flows with a step that failed. Looks at a tenth as many flows.
    failed_step: Option<bool>,
    /// Characters in input, output or error. Looks at a tenth as many flows.
    text: Option<String>,
}

impl Narrow {
    /// As a filter, for a caller who may see only this user's flows.
    pub(super) fn filter(self, only_user: Option<String>) -> Result<Filter, Trouble> {
        let now = clock::now();
        Ok(Filter {
            statuses: list(self.status.as_deref()),
            failed: self.failed.unwrap_or(false),
            flow: given(self.flow),
            app: given(self.app),
            version: given(self.version),
            host: given(self.host),
            user: given(self.user),
            only_user,
            since: time("since", self.since.as_deref(), now)?,
            until: time("until", self.until.as_deref(), now)?,
            min_duration_ms: self.min_duration_ms,
            rerun_of: given(self.rerun_of),
            id: given(self.id),
            failed_step: self.failed_step.unwrap_or(false),
            text: given(self.text),
            after: None,
        })
    }
}

/// A piece of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Piece {
    /// How many at most.
    limit: Option<u32>,
    /// The place behind which it begins: `next` of the piece before.
    pub(super) after: Option<String>,
}

impl Piece {
    /// How many are wanted: from 1 to `most`, by itself `usual`.
    pub(super) fn limit(&self, usual: u32, most: u32) -> Result<u32, Trouble> {
        count("limit", self.limit, usual, most)
    }

    /// The place as a number.
    pub(super) fn number(&self) -> Result<Option<i64>, Trouble> {
        let number = |after: &str| after.parse().map_err(|_| no_place());
        self.after.as_deref().map(number).transpose()
    }
}

/// Where payloads are cut.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Cut {
    /// Payloads are cut after so many bytes; at most 4 194 304, by itself 65 536.
    payload_bytes: Option<usize>,
}

impl Cut {
    pub(super) fn bytes(&self) -> Result<usize, Trouble> {
        match self.payload_bytes {
            None => Ok(PAYLOAD_BYTES),
            Some(bytes) if bytes <= MOST_PAYLOAD_BYTES => Ok(bytes),
            Some(bytes) => {
                let why = format!("want at most {MOST_PAYLOAD_BYTES} bytes, not {bytes}");
                Err(Trouble::parameter("payload_bytes", why))
            }
        }
    }
}

/// A number from 1 to `most`, by itself `usual`.
pub(super) fn count(name: &str, given: Option<u32>, usual: u32, most: u32) -> Result<u32, Trouble> {
    match given {
        None => Ok(usual),
        Some(count) if (1..=most).contains(&count) => Ok(count),
        Some(count) => Err(Trouble::parameter(name, format!("want a number from 1 to {most}, not {count}"))),
    }
}

/// What stands between commas.
pub(super) fn list(text: Option<&str>) -> Vec<String> {
    let entries = text.unwrap_or_default().split(',').map(str::trim);
    entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// A time, if one is given.
pub(super) fn time(name: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Trouble> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| when::parse(text, now).map_err(|why| Trouble::parameter(name, why))).transpose()
}

/// Empty is not given.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A place in a list as its `next` says it.
pub(super) trait Place: Sized {
    /// In text that nobody has to understand.
    fn told(&self) -> String;
    /// What [`Place::told`] told.
    fn read(told: &str) -> Option<Self>;

    /// The place behind which a piece begins.
    fn after(piece: &Piece) -> Result<Option<Self>, Trouble> {
        let read = |told: &str| Self::read(told).ok_or_else(no_place);
        piece.after.as_deref().filter(|told| !told.is_empty()).map(read).transpose()
    }
}

fn no_place() -> Trouble {
    Trouble::parameter("after", "want what an answer had as its next")
}

impl Place for Cursor {
    fn told(&self) -> String {
        place(self.start, &self.id)
    }

    fn read(told: &str) -> Option<Self> {
        placed(told).map(|(start, id)| Self { start, id })
    }
}

impl Place for StepCursor {
    fn told(&self) -> String {
        place(self.start, &self.id)
    }

    fn read(told: &str) -> Option<Self> {
        placed(told).map(|(start, id)| Self { start, id })
    }
}

impl Place for VariableCursor {
    fn told(&self) -> String {
        format!("{}~{}{}", self.scope.len(), self.scope, self.name)
    }

    fn read(told: &str) -> Option<Self> {
        let (length, both) = told.split_once('~')?;
        let (scope, name) = both.split_at_checked(length.parse().ok()?)?;
        Some(Self { scope: scope.to_owned(), name: name.to_owned() })
    }
}

fn place(start: Option<Timestamp>, id: &str) -> String {
    let micros = start.map(|start| start.as_microsecond().to_string());
    format!("{}~{id}", micros.unwrap_or_default())
}

fn placed(told: &str) -> Option<(Option<Timestamp>, String)> {
    let (micros, id) = told.split_once('~')?;
    let start = match micros {
        "" => None,
        micros => Some(Timestamp::from_microsecond(micros.parse().ok()?).ok()?),
    };
    Some((start, id.to_owned()))
}

/// Names of the parameters of each path, by the path's pattern.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, Vec<String>>);

impl Known {
    /// Those that the documentation names.
    pub(super) fn of(document: &utoipa::openapi::OpenApi) -> Self {
        let names = document.paths.paths.iter().map(|(path, item)| {
            let operations = [&item.get, &item.post].into_iter().flatten();
            let parameters = operations.flat_map(|operation| operation.parameters.iter().flatten());
            let names = parameters.filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some(parameter.name.clone()),
                RefOr::Ref(_) => None,
            });
            (path.clone(), names.collect())
        });
        Self(names.collect())
    }

    /// Refuses a parameter that the path does not know: misspelt, it would be as if it were not given.
    pub(super) fn check(&self, path: &str, query: &str) -> Result<(), Trouble> {
        let Some(known) = self.0.get(path) else { return Ok(()) };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if !known.iter().any(|known| known == name) {
                let near =
                    known.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
                let near = near.map_or_else(String::new, |near| format!("; is {near} meant?"));
                return Err(Trouble::parameter(
                    &crate::sentence::quotable(name),
                    format!("there is no such parameter{near}"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_told() {
        for start in [None, Timestamp::from_microsecond(-7).ok(), Timestamp::from_microsecond(1).ok()] {
            let cursor = Cursor { start, id: "a~b".to_owned() };
            assert_eq!(Cursor::read(&cursor.told()), Some(cursor));
        }
        for wrong in ["", "x", "x~y", "99999999999999999999~y"] {
            assert_eq!(Cursor::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_place_among_variables_is_read_as_it_was_told() {
        for (scope, name) in [("", "a~b"), ("execution:1~", "é"), ("é", "")] {
            let cursor = VariableCursor { scope: scope.to_owned(), name: name.to_owned() };
            assert_eq!(VariableCursor::read(&cursor.told()), Some(cursor));
        }
        for wrong in ["", "x~y", "9~y", "1~é"] {
            assert_eq!(VariableCursor::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn empty_is_not_given_and_a_list_stands_between_commas() {
        let narrow = Narrow {
            status: Some("Failed, ,cancelled".to_owned()),
            app: Some(String::new()),
            ..Narrow::default()
        };
        let filter = narrow.filter(None).unwrap();
        assert_eq!((filter.statuses, filter.app), (vec!["Failed".to_owned(), "cancelled".to_owned()], None));
    }

    #[test]
    fn what_can_not_be_meant_is_refused_by_its_name() {
        let narrow = Narrow { since: Some("yesterday".to_owned()), ..Narrow::default() };
        assert!(narrow.filter(None).unwrap_err().to_string().starts_with("since: want a time"));
        let piece = Piece { limit: Some(0), after: None };
        assert_eq!(
            piece.limit(50, 500).unwrap_err().to_string(),
            "limit: want a number from 1 to 500, not 0"
        );
    }
}
