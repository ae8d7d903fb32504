//! Lists of tables: as a file has them, or as a JSON array of objects where there is one text only.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::settings::Raw;

/// One value of an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Switch(bool),
    List(Vec<String>),
    Other(serde::de::IgnoredAny),
}

/// The tables of a list; `wanted` is said if it is none. What a parser has to say is not: it may quote anything.
pub(super) fn tables(raw: Raw, wanted: &str) -> Result<Vec<BTreeMap<String, Raw>>, String> {
    match raw {
        Raw::Tables(tables) => Ok(tables),
        Raw::List(texts) if texts.is_empty() => Ok(Vec::new()),
        Raw::Text(json) => of_json(&json).ok_or_else(|| format!("{wanted}, as a JSON array of objects")),
        _ => Err(wanted.to_owned()),
    }
}

fn of_json(json: &str) -> Option<Vec<BTreeMap<String, Raw>>> {
    let objects: Vec<BTreeMap<String, Word>> = serde_json::from_str(json).ok()?;
    let raw = |word| match word {
        Word::Text(text) => Raw::Text(text),
        Word::Switch(on) => Raw::Word(on.to_string()),
        Word::List(texts) => Raw::List(texts),
        Word::Other(_) => Raw::Other("something else"),
    };
    let table =
        |object: BTreeMap<String, Word>| object.into_iter().map(|(name, word)| (name, raw(word))).collect();
    Some(objects.into_iter().map(table).collect())
}
