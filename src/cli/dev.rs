//! `flowtrail dev`

use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, _: &Config) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
