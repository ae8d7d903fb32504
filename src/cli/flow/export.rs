//! `flowtrail flow export`.

use anyhow::bail;

use super::{super::output::Output, APPLICATION};
use crate::{
    config::Postgres,
    export,
    postgres::{
        connect::{self, PostgresError},
        read::{self, flogo::ReadError},
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flow export 1c4f… > flow.json
  flowtrail publish --from json flow.json --topic elsewhere
  flowtrail flow export 1c4f… 2d5e… | jq -c 'select(.step.statusWord == \"Failed\")'

It prints the events that make a flow, one a line in proto3 JSON: its runs, every execution of its steps, and what
superseded some of them. Published and collected into an empty database they make the same rows.")]
pub(super) struct Args {
    /// Flow instance ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(super) async fn run(args: Args, postgres: &Postgres) -> anyhow::Result<()> {
    let mut client = connect::connect(postgres, APPLICATION).await?;
    let failed = |error| PostgresError::of_statement(postgres, error);
    let mut output = Output::stdout();
    for id in &args.ids {
        let moment = client.build_transaction().read_only(true).start().await.map_err(failed)?;
        let stored = match Box::pin(read::stored_flow(&moment, id)).await {
            Ok(stored) => stored,
            Err(ReadError::Postgres(error)) => return Err(failed(error).into()),
            Err(error @ ReadError::TooLarge) => bail!("flow {id}: {error}"),
        };
        let Some(stored) = stored else { bail!("there is no flow {id}") };
        for event in export::events(id, &stored) {
            output.line_of_json(&event)?;
        }
    }
    Ok(output.finish()?)
}
