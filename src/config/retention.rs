//! `[retention]`: how long what is kept.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use toml::Value;

use super::{settings::Raw, tables::tables};
use crate::span;

/// What a policy may say.
const FIELDS: [&str; 8] = ["name", "app", "flow", "statuses", "unfinished", "age", "payloads_after", "keep"];

/// The longest name of a policy, in bytes.
const LONGEST_NAME: usize = 100;

/// `[retention]`
#[derive(Debug, Clone)]
pub struct Retention {
    /// Which flows go; of a flow the first that it is under decides. None: nothing goes.
    pub policies: Vec<RetentionPolicy>,
    /// Dead letters that were kept longer ago go; `None`: they stay.
    pub dead_letters: Option<Duration>,
    /// What was noted in `ft_audit` longer ago goes; `None`: it stays.
    pub audit: Option<Duration>,
    /// How long it is remembered which flows went; at least as long as topics keep records. `None`: for ever.
    pub remember: Option<Duration>,
    /// Folder, or URL in object storage, that flows are written to before they go; empty: none.
    pub archive: String,
    /// How often one of the collectors runs the policies; `None`: never.
    pub every: Option<Duration>,
    /// So many flows are removed in one transaction.
    pub batch_flows: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            dead_letters: None,
            audit: None,
            remember: Some(Duration::from_hours(30 * 24)),
            archive: String::new(),
            every: None,
            batch_flows: 500,
        }
    }
}

/// `[[retention.policies]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Its name, under which its cut-off is stored.
    pub name: String,
    /// Pattern for the app; `*` is every app, and flows of none.
    pub app: String,
    /// Pattern for the flow's name; `*` is every flow, and those without a name.
    pub flow: String,
    /// Statuses in the runtime's words, without regard to case; none: every status.
    pub statuses: Vec<String>,
    /// Whether it is also for flows that never ended.
    pub unfinished: bool,
    /// Flows that started longer ago go.
    pub age: Duration,
    /// Payloads of flows that started longer ago go before them, which is less than `age`; `None`: they go with them.
    pub payloads_after: Option<Duration>,
    /// So many of its flows, chosen by their ids, are not under it; `None`: none.
    pub keep: Option<Share>,
}

/// A part of all flows, more than none and less than all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// In millionths.
    millionths: u32,
}

impl FromStr for Share {
    type Err = String;

    /// Reads `10%` or `0.5%`; up to four places after the point.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "want a part of the flows, like \"10%\" or \"0.5%\"".to_owned();
        let number = text.trim().strip_suffix('%').ok_or_else(wanted)?.trim();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_number = [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_number || whole.is_empty() || whole.len() > 2 || fraction.len() > 4 {
            return Err(wanted());
        }
        let millionths = format!("{whole}{fraction:0<4}").parse().map_err(|_| wanted())?;
        if millionths == 0 { Err(wanted()) } else { Ok(Self { millionths }) }
    }
}

impl Share {
    /// As a file has it.
    fn written(self) -> String {
        let text = format!("{}.{:04}", self.millionths / 10_000, self.millionths % 10_000);
        format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }

    /// How much of 2³² that is.
    pub fn of_all(self) -> u64 {
        (u64::from(self.millionths) << 32) / 1_000_000
    }
}

/// Policies as a file has them, or as a JSON array of objects.
pub(super) fn policies(raw: Raw) -> Result<Vec<RetentionPolicy>, String> {
    const WANTED: &str = "want a list of policies, each with name and age";
    let tables = tables(raw, WANTED)?;
    let mut read: Vec<RetentionPolicy> = Vec::with_capacity(tables.len());
    for (table, number) in tables.into_iter().zip(1..) {
        let policy = policy(table).map_err(|why| format!("policy {number}: {why}"))?;
        if read.iter().any(|other| other.name == policy.name) {
            return Err(format!("policy {number}: there is another {}", policy.name));
        }
        read.push(policy);
    }
    Ok(read)
}

fn policy(mut table: BTreeMap<String, Raw>) -> Result<RetentionPolicy, String> {
    if let Some(name) = table.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!("no such key {name}; a policy has {}", FIELDS.join(", ")));
    }
    let statuses = match table.remove("statuses") {
        None => Vec::new(),
        Some(Raw::List(words)) if words.iter().all(|word| !word.is_empty()) => words,
        Some(_) => return Err("statuses: want a list of words".to_owned()),
    };
    let unfinished = match table.remove("unfinished") {
        None => false,
        Some(Raw::Word(word)) if word == "true" || word == "false" => word == "true",
        Some(_) => return Err("unfinished: want true or false".to_owned()),
    };
    let mut take = |name: &str| match table.remove(name) {
        None => Ok(None),
        Some(Raw::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name}: want text")),
    };
    let name = take("name")?.ok_or("want a name")?;
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
        return Err(format!("name: want 1 to {LONGEST_NAME} bytes without control characters"));
    }
    let age = read_age(&take("age")?.ok_or("want an age")?).map_err(|why| format!("age: {why}"))?;
    let payloads_after = take("payloads_after")?.map(|text| read_age(&text)).transpose();
    let payloads_after = payloads_after.map_err(|why| format!("payloads_after: {why}"))?;
    if payloads_after.is_some_and(|after| after >= age) {
        return Err("payloads_after: want less than age; after that nothing is left of the flow".to_owned());
    }
    let keep = take("keep")?.map(|text| text.parse()).transpose();
    let keep = keep.map_err(|why: String| format!("keep: {why}"))?;
    let [app, flow] = [take("app")?, take("flow")?].map(|pattern| pattern.unwrap_or_else(|| "*".to_owned()));
    Ok(RetentionPolicy { name, app, flow, statuses, unfinished, age, payloads_after, keep })
}

/// A span of a second or more, or none: at once.
fn read_age(text: &str) -> Result<Duration, String> {
    if text.trim() == "0s" { Ok(Duration::ZERO) } else { read_span(text) }
}

/// A span of a second or more.
pub(super) fn read_span(text: &str) -> Result<Duration, String> {
    let read = span::span(text.trim()).filter(|span| !span.is_zero());
    read.ok_or_else(|| format!("want a span like 36h, 14d or 12w, not \"{text}\""))
}

/// A folder, or the URL of a bucket and of where in it.
pub(super) fn check_archive(text: &str) -> Result<(), String> {
    const SCHEMES: [&str; 4] = ["file", "s3", "gs", "az"];
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(()) };
    if !SCHEMES.contains(&scheme) {
        return Err("want a folder, or a URL that begins with s3://, gs://, az:// or file://".to_owned());
    }
    if rest.contains(['@', '?', '#']) {
        return Err("want a bucket and where in it only; credentials belong in the environment".to_owned());
    }
    let (bucket, _) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() != (scheme == "file") {
        return Err("want file:///FOLDER, or s3://BUCKET/PREFIX".to_owned());
    }
    Ok(())
}

/// Policies as a file would have them.
pub(super) fn shown(policies: &[RetentionPolicy]) -> Value {
    let table = |policy: &RetentionPolicy| {
        let age = span::written(policy.age);
        let texts = [("name", &policy.name), ("app", &policy.app), ("flow", &policy.flow), ("age", &age)];
        let mut table: toml::Table =
            texts.map(|(name, text)| (name.to_owned(), Value::String(text.clone()))).into_iter().collect();
        let statuses = policy.statuses.iter().cloned().map(Value::String).collect();
        table.insert("statuses".to_owned(), Value::Array(statuses));
        table.insert("unfinished".to_owned(), Value::Boolean(policy.unfinished));
        if let Some(after) = policy.payloads_after {
            table.insert("payloads_after".to_owned(), Value::String(span::written(after)));
        }
        if let Some(keep) = policy.keep {
            table.insert("keep".to_owned(), Value::String(keep.written()));
        }
        Value::Table(table)
    };
    Value::Array(policies.iter().map(table).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_json(json: &str) -> Result<Vec<RetentionPolicy>, String> {
        policies(Raw::Text(json.to_owned()))
    }

    #[test]
    fn a_policy_is_for_every_finished_flow_unless_it_says_otherwise() {
        let read = of_json(
            r#"[{ "name": "failures", "statuses": ["failed"], "age": "90d", "app": "shop-*" },
                { "name": "rest", "age": "14d", "unfinished": true, "payloads_after": "36h", "keep": "0.25 %" }]"#,
        );
        let day = Duration::from_hours(24);
        assert_eq!(
            read.unwrap(),
            [
                RetentionPolicy {
                    name: "failures".to_owned(),
                    app: "shop-*".to_owned(),
                    flow: "*".to_owned(),
                    statuses: vec!["failed".to_owned()],
                    unfinished: false,
                    age: day * 90,
                    payloads_after: None,
                    keep: None,
                },
                RetentionPolicy {
                    name: "rest".to_owned(),
                    app: "*".to_owned(),
                    flow: "*".to_owned(),
                    statuses: Vec::new(),
                    unfinished: true,
                    age: day * 14,
                    payloads_after: Some(Duration::from_hours(36)),
                    keep: Some(Share { millionths: 2_500 }),
                },
            ]
        );
    }

    #[test]
    fn an_archive_is_a_folder_or_a_bucket_without_credentials() {
        for right in
            ["", "archive", "/var/a@b", "file:///var/archive", "s3://bucket", "gs://bucket/a/b", "az://c/"]
        {
            assert_eq!(check_archive(right), Ok(()), "{right}");
        }
        for wrong in
            ["http://host/", "s3:///prefix", "file://folder", "s3://key:secret@bucket/", "az://c/?sig=secret"]
        {
            let why = check_archive(wrong).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_number() {
        for (json, wanted) in [
            (r#"[{"name":"a","age":"1d"},{"name":"a","age":"2d"}]"#, "policy 2: there is another a"),
            (r#"[{"age":"1d"}]"#, "policy 1: want a name"),
            (r#"[{"name":"a"}]"#, "policy 1: want an age"),
            (r#"[{"name":"a","age":"14"}]"#, "policy 1: age: want a span like 36h, 14d or 12w, not \"14\""),
            (r#"[{"name":"a","age":"0d"}]"#, "policy 1: age: want a span like 36h, 14d or 12w, not \"0d\""),
            (
                r#"[{"name":"a","age":"1d","status":"x"}]"#,
                "policy 1: no such key status; a policy has name, app, flow, statuses, unfinished, age, payloads_after, keep",
            ),
            (
                r#"[{"name":"a","age":"1d","keep":"100%"}]"#,
                "policy 1: keep: want a part of the flows, like \"10%\" or \"0.5%\"",
            ),
            (
                r#"[{"name":"a","age":"1d","payloads_after":"24h"}]"#,
                "policy 1: payloads_after: want less than age; after that nothing is left of the flow",
            ),
            (r#"[{"name":"a","age":"1d","statuses":"x"}]"#, "policy 1: statuses: want a list of words"),
            (r#"[{"name":"a","age":"1d","unfinished":1}]"#, "policy 1: unfinished: want true or false"),
        ] {
            assert_eq!(of_json(json).unwrap_err(), wanted);
        }
    }
}
