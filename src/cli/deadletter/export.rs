//! `flowtrail deadletter export`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{super::output::Output, APPLICATION, Choice, PAGE};
use crate::{
    clock,
    config::Postgres,
    postgres::{
        connect::{self, PostgresError},
        read::{self, Letter},
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail deadletter export > letters.ndjson
  flowtrail deadletter export 17 | jq -r .payload | base64 -d > 17.bin

Each line is a letter; key, payload and the values of headers are base64.")]
pub(super) struct Args {
    /// Numbers, as list shows them [default: all]
    #[arg(value_name = "NUMBER")]
    ids: Vec<i64>,
    #[command(flatten)]
    choice: Choice,
}

pub(super) async fn run(args: &Args, postgres: &Postgres) -> anyhow::Result<()> {
    let filter = args.choice.filter(&args.ids, clock::now())?;
    let client = connect::connect(postgres, APPLICATION).await?;
    let mut output = Output::stdout();
    let mut after = i64::MIN;
    loop {
        let page = read::whole_letters(&client, &filter, after, PAGE).await;
        let page = page.map_err(|error| PostgresError::of_statement(postgres, error))?;
        let Some(last) = page.last() else { return Ok(output.finish()?) };
        after = last.summary.id;
        for letter in &page {
            output.line_of_json(&line(letter))?;
        }
    }
}

fn line(letter: &Letter) -> Value {
    let mut line = json!(letter.summary);
    if let Some(fields) = line.as_object_mut() {
        let base64 =
            |bytes: &Option<Vec<u8>>| json!(bytes.as_ref().map(|bytes| BASE64_STANDARD.encode(bytes)));
        fields.insert("key".to_owned(), base64(&letter.key));
        fields.insert("payload".to_owned(), base64(&letter.payload));
        fields.insert("headers".to_owned(), letter.headers.clone().unwrap_or(Value::Null));
    }
    line
}
