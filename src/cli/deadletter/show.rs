//! `flowtrail deadletter show`.

use anyhow::bail;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    super::output::{Format, Output, or_dash, time},
    APPLICATION,
};
use crate::{
    config::Postgres,
    postgres::{
        connect::{self, PostgresError},
        read::{self, Letter, LetterFilter, Payload},
    },
    proto::v1::HistoryEvent,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail deadletter show 17
  flowtrail deadletter show 17 --format json | jq .event")]
pub(super) struct Args {
    /// Its number, as list shows it
    #[arg(value_name = "NUMBER")]
    id: i64,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args, postgres: &Postgres) -> anyhow::Result<()> {
    let client = connect::connect(postgres, APPLICATION).await?;
    let filter = LetterFilter { ids: Some(vec![args.id]), ..LetterFilter::default() };
    let found = read::whole_letters(&client, &filter, i64::MIN, 1).await;
    let found = found.map_err(|error| PostgresError::of_statement(postgres, error))?;
    let Some(letter) = found.first() else { bail!("there is no dead letter {}", args.id) };
    let mut output = Output::stdout();
    match args.format {
        Format::Table => print(&mut output, letter)?,
        Format::Json => output.json(&document(letter))?,
        Format::Ndjson => output.line_of_json(&document(letter))?,
    }
    Ok(output.finish()?)
}

fn print(output: &mut Output<impl std::io::Write>, letter: &Letter) -> anyhow::Result<()> {
    let summary = &letter.summary;
    output.heading(&format!("dead letter {}: {}", summary.id, summary.reason))?;
    output.line(&format!("detail     {}", or_dash(summary.detail.as_ref())))?;
    output.line(&format!("SQLSTATE   {}", or_dash(summary.sqlstate.as_ref())))?;
    output.line(&format!("record     {}[{}]@{}", summary.topic, summary.partition, summary.offset))?;
    output.line(&format!("its time   {}", time(summary.time)))?;
    output.line(&format!("kept       {} by group {}", time(summary.kept_at), summary.group))?;
    output.line(&format!("key        {}", letter.key.as_deref().map_or_else(|| "-".to_owned(), shown)))?;
    for (key, value) in headers(letter) {
        output
            .line(&format!("header     {key}: {}", value.as_deref().map_or_else(|| "-".to_owned(), shown)))?;
    }
    let Some(payload) = &letter.payload else { return Ok(output.line("no value")?) };
    if let Some(event) = event(payload) {
        output.heading(&format!("value, {} bytes of protobuf", payload.len()))?;
        output.line(&serde_json::to_string_pretty(&event)?)?;
    } else {
        output.heading(&format!("value, {} bytes that are no event", payload.len()))?;
        output.line(&shown(payload))?;
    }
    Ok(())
}

fn shown(bytes: &[u8]) -> String {
    Payload(bytes.to_vec()).shown()
}

/// The event, if the value is bare protobuf that this version knows.
fn event(payload: &[u8]) -> Option<HistoryEvent> {
    HistoryEvent::decode(Bytes::copy_from_slice(payload)).ok().filter(|event| event.event.is_some())
}

fn headers(letter: &Letter) -> Vec<(String, Option<Vec<u8>>)> {
    let list = letter.headers.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let header = |header: &Value| {
        let value = header.get("value").and_then(Value::as_str);
        let value = value.and_then(|text| BASE64_STANDARD.decode(text).ok());
        (header.get("key").and_then(Value::as_str).unwrap_or_default().to_owned(), value)
    };
    list.iter().map(header).collect()
}

fn document(letter: &Letter) -> Value {
    let mut document = json!(letter.summary);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("key".to_owned(), json!(letter.key.clone().map(Payload)));
        fields.insert("headers".to_owned(), letter.headers.clone().unwrap_or(Value::Null));
        fields.insert("event".to_owned(), json!(letter.payload.as_deref().and_then(event)));
        fields.insert("payload".to_owned(), json!(letter.payload.clone().map(Payload)));
    }
    document
}
