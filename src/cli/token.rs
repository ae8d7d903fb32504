//! `flowtrail token`: who may ask `flowtrail serve` what.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    UsageError,
    output::{Column, Format, Output, or_dash, time},
    when,
};
use crate::{
    clock,
    config::Config,
    http::{
        Role,
        access::tokens::{self, Entry},
    },
};

#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these are shown on the terminal")]
#[command(after_help = "\
Examples:
  flowtrail token add shop --role record --role read --file /etc/flowtrail/tokens.toml
  flowtrail token add ann --role read --user ann --expires 90d
  flowtrail token list

The file is named by http.tokens_file and holds a hash of each token, never the token. A server that runs reads it again by
itself: to exchange a token add the new one, change who uses it, and delete the old one's lines.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The file of tokens [default: http.tokens_file]
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token, print it once, and add its hash to the file
    #[command(after_help = "\
Examples:
  flowtrail token add shop --role record --role read --file /etc/flowtrail/tokens.toml
  curl -H \"Authorization: Bearer $(flowtrail token add me --role read)\" localhost:9190/v1/flows")]
    Add(Add),
    /// List the tokens of the file: names, roles, users and ends
    #[command(after_help = "\
Examples:
  flowtrail token list
  flowtrail token list --format json")]
    List(List),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Name for audits and logs
    name: String,
    /// What it may do; may be repeated
    #[arg(long = "role", required = true, value_name = "ROLE")]
    roles: Vec<Role>,
    /// Only this user's history
    #[arg(long)]
    user: Option<String>,
    /// When it ends: 90d, 12h, or a time like 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let configured = &config.http.tokens_file;
    let file = args.file.or_else(|| (!configured.is_empty()).then(|| configured.into()));
    let file = file.ok_or_else(|| UsageError("name a file: --file, or http.tokens_file".to_owned()))?;
    match args.command {
        Command::Add(add) => add.run(&file),
        Command::List(list) => list.run(&file),
    }
}

impl Add {
    fn run(self, file: &Path) -> anyhow::Result<()> {
        if file.exists() {
            // Nothing is added to what is no file of tokens.
            tokens::entries(file)?;
        }
        let expires = self.expires.as_deref().map(|text| when::ahead(text, clock::now())).transpose();
        let expires = expires.map_err(|why| UsageError(format!("--expires: {why}")))?;
        let (token, sha256) = tokens::make();
        let Self { name, roles, user, .. } = self;
        let block = tokens::block(&Entry { name, roles, user, expires, sha256 })?;
        let adding = || format!("cannot add a token to {}", file.display());
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let mut opened = options.open(file).with_context(adding)?;
        let separator = if opened.metadata().with_context(adding)?.len() > 0 { "\n" } else { "" };
        opened.write_all(format!("{separator}{block}").as_bytes()).with_context(adding)?;
        opened.sync_all().with_context(adding)?;
        writeln!(io::stdout(), "{token}")?;
        Ok(())
    }
}

/// A token as it is listed: what it may do, and nothing to guess it by.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    roles: Vec<Role>,
    user: Option<String>,
    expires: Option<Timestamp>,
    expired: bool,
}

const COLUMNS: [Column<Listed>; 5] = [
    Column::whole("NAME", |token| token.name.clone()),
    Column::whole("ROLES", |token| token.roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(" ")),
    Column::whole("USER", |token| or_dash(token.user.as_ref())),
    Column::whole("EXPIRES", |token| time(token.expires)),
    Column::whole("EXPIRED", |token| if token.expired { "yes" } else { "no" }.to_owned()),
];

impl List {
    fn run(self, file: &Path) -> anyhow::Result<()> {
        let now = clock::now();
        let tokens: Vec<_> = tokens::entries(file)?
            .into_iter()
            .map(|Entry { name, roles, user, expires, .. }| {
                let expired = expires.is_some_and(|end| end <= now);
                Listed { name, roles, user, expires, expired }
            })
            .collect();
        let mut output = Output::stdout();
        output.items(self.format, &tokens, &COLUMNS)?;
        Ok(output.finish()?)
    }
}
