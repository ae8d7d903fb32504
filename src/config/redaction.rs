//! `[redaction]`: what nobody is to read.

use std::collections::BTreeMap;

use secrecy::SecretString;
use toml::Value;

use super::{settings::Raw, tables::tables};

/// What a rule may say.
const FIELDS: [&str; 4] = ["app", "path", "key", "action"];

/// The least bytes of a salt. Card numbers are few: with a short one, all of them can be tried.
const LEAST_SALT: usize = 16;

/// `[redaction]`
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    /// What is masked; none: nothing.
    pub rules: Vec<RedactionRule>,
    /// Key of the hashes, which rules that hash need.
    pub salt: Option<SecretString>,
    /// Whether fields that are not JSON, and dead letters that are no events, are kept as they are.
    pub keep_unreadable: bool,
}

/// `[[redaction.rules]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactionRule {
    /// Pattern for the apps that it is for; `*` is every app.
    pub app: String,
    /// Which values it is about.
    pub target: RedactionTarget,
    /// What becomes of them.
    pub action: RedactionAction,
}

/// Which values a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedactionTarget {
    /// Those of keys that this is the pattern of, wherever they are.
    Key(String),
    /// Those that this path from the field's root leads to.
    Path(String),
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedactionAction {
    /// `"***"` stands in its place.
    Mask,
    /// Its hash stands in its place.
    Hash,
}

/// Rules as a file has them, or as a JSON array of objects.
pub(super) fn rules(raw: Raw) -> Result<Vec<RedactionRule>, String> {
    const WANTED: &str = "want a list of rules, each with path or key";
    let rules = tables(raw, WANTED)?.into_iter().zip(1..);
    rules.map(|(table, number)| rule(table).map_err(|why| format!("rule {number}: {why}"))).collect()
}

fn rule(mut table: BTreeMap<String, Raw>) -> Result<RedactionRule, String> {
    if let Some(name) = table.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!("no such key {name}; a rule has {}", FIELDS.join(", ")));
    }
    let mut take = |name: &str| match table.remove(name) {
        None => Ok(None),
        Some(Raw::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name}: want text")),
    };
    let target = match (take("path")?, take("key")?) {
        (Some(path), None) => RedactionTarget::Path(path),
        (None, Some(key)) => RedactionTarget::Key(key),
        (Some(_), Some(_)) => return Err("want path or key, not both".to_owned()),
        (None, None) => return Err("want path or key".to_owned()),
    };
    let action = match take("action")?.as_deref() {
        None | Some("mask") => RedactionAction::Mask,
        Some("hash") => RedactionAction::Hash,
        Some(other) => return Err(format!("action: want mask or hash, not \"{other}\"")),
    };
    Ok(RedactionRule { app: take("app")?.unwrap_or_else(|| "*".to_owned()), target, action })
}

/// Rules as a file would have them.
pub(super) fn shown(rules: &[RedactionRule]) -> Value {
    let table = |rule: &RedactionRule| {
        let (name, target) = match &rule.target {
            RedactionTarget::Key(key) => ("key", key),
            RedactionTarget::Path(path) => ("path", path),
        };
        let action = match rule.action {
            RedactionAction::Mask => "mask",
            RedactionAction::Hash => "hash",
        };
        let words = [("app", rule.app.as_str()), (name, target), ("action", action)];
        let words = words.into_iter();
        Value::Table(words.map(|(name, word)| (name.to_owned(), Value::String(word.to_owned()))).collect())
    };
    Value::Array(rules.iter().map(table).collect())
}

/// Whether it can be a salt.
pub(super) fn check_salt(salt: &str) -> Result<(), String> {
    if salt.len() < LEAST_SALT {
        return Err(format!("want {LEAST_SALT} bytes or more"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_json(json: &str) -> Result<Vec<RedactionRule>, String> {
        rules(Raw::Text(json.to_owned()))
    }

    #[test]
    fn a_rule_is_for_every_app_and_masks_unless_it_says_otherwise() {
        let read =
            of_json(r#"[{ "key": "*password*" }, { "app": "shop-*", "path": "$..card", "action": "hash" }]"#);
        let key = RedactionTarget::Key("*password*".to_owned());
        let path = RedactionTarget::Path("$..card".to_owned());
        assert_eq!(
            read.unwrap(),
            [
                RedactionRule { app: "*".to_owned(), target: key, action: RedactionAction::Mask },
                RedactionRule { app: "shop-*".to_owned(), target: path, action: RedactionAction::Hash },
            ]
        );
        assert_eq!(of_json("[]").unwrap(), []);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_number() {
        for (json, wanted) in [
            (r#"[{"key":"a"},{"kye":"b"}]"#, "rule 2: no such key kye; a rule has app, path, key, action"),
            (r#"[{"key":"a","path":"$.a"}]"#, "rule 1: want path or key, not both"),
            (r#"[{"app":"a"}]"#, "rule 1: want path or key"),
            (r#"[{"key":1}]"#, "rule 1: key: want text"),
            (r#"[{"key":"a","action":"drop"}]"#, "rule 1: action: want mask or hash, not \"drop\""),
            (r#"{"key":"a"}"#, "want a list of rules, each with path or key, as a JSON array of objects"),
        ] {
            assert_eq!(of_json(json).unwrap_err(), wanted);
        }
        assert!(rules(Raw::List(vec!["x".to_owned()])).is_err());
    }
}
