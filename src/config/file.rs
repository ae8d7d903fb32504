//! The configuration file as a layer: TOML, with the line of every value.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use toml::de::{DeArray, DeTable, DeValue};

use super::{
    error::{ConfigError, Origin},
    load::Entry,
    settings::Raw,
};

/// The longest file that is read. A path may lead to something without an end, and the parser takes 200 times as much.
const MOST: u64 = 1 << 20;

/// What the file says, by dotted name.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let text = text(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// What is in a file, of which nobody expects that it is long.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = fs::File::open(path)?.take(MOST);
    file.read_to_string(&mut text)?;
    // What is left of the limit.
    if file.limit() == 0 { Err(io::Error::other("it is 1 MiB long or longer")) } else { Ok(text) }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_at(text, error.span().map_or(0, |span| span.start)),
        message: error.message().replace('\n', ", "),
    })?;
    let mut file = File { path: path.to_owned(), text, entries: Vec::new() };
    file.walk("", table.get_ref());
    Ok(file.entries)
}

struct File<'a> {
    path: PathBuf,
    text: &'a str,
    entries: Vec<Entry>,
}

impl File<'_> {
    /// Collects the leaves under `prefix`. `sasl.password = …` and `"sasl.password" = …` are the same here.
    fn walk(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let raw = match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => {
                    self.walk(&key, inner);
                    continue;
                }
                DeValue::Array(entries) => list(entries),
                value => single(value),
            };
            let line = line_at(self.text, name.span().start);
            self.entries.push(Entry { key, raw, origin: Origin::File { path: self.path.clone(), line } });
        }
    }
}

fn single(value: &DeValue<'_>) -> Raw {
    match value {
        // An empty section says nothing, but it may be one that doesn't exist.
        DeValue::Table(_) => Raw::Other("a section"),
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number beyond 64 bits"), Raw::Whole),
        DeValue::Float(number) => Raw::Word(number.as_str().to_owned()),
        DeValue::Boolean(value) => Raw::Word(value.to_string()),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(entries) => texts(entries),
    }
}

/// A list of texts, or one of tables, whose values are no tables themselves.
fn list(entries: &DeArray<'_>) -> Raw {
    let tables = entries.iter().map(|entry| match entry.get_ref() {
        DeValue::Table(table) => Some(
            table.iter().map(|(name, value)| (name.get_ref().to_string(), single(value.get_ref()))).collect(),
        ),
        _ => None,
    });
    if !entries.is_empty()
        && let Some(tables) = tables.collect()
    {
        return Raw::Tables(tables);
    }
    texts(entries)
}

fn texts(entries: &DeArray<'_>) -> Raw {
    let texts = entries.iter().map(|entry| match entry.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    });
    texts.collect::<Option<_>>().map_or(Raw::Other("a list of something else"), Raw::List)
}

/// The line, counted from 1, that the byte at `position` is on.
fn line_at(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "# comment\n[kafka]\ngroup = \"g\"\n\n[kafka.librdkafka]\nsasl.password = \"x\"\n";
        let entries = parse(Path::new("f.toml"), text).unwrap();
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.origin.to_string())).collect();
        assert!(found.contains(&("kafka.group", "f.toml:3".to_owned())), "{found:?}");
        assert!(found.contains(&("kafka.librdkafka.sasl.password", "f.toml:6".to_owned())), "{found:?}");
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        assert_eq!(text(Path::new("/dev/zero")).unwrap_err().to_string(), "it is 1 MiB long or longer");
    }

    #[test]
    fn a_broken_line_is_named_and_not_quoted() {
        let error = parse(Path::new("f.toml"), "[postgres]\nurl = \"postgres://a:hunter2@db\n").unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("f.toml:2") && !shown.contains("hunter2"), "{shown}");
    }
}
