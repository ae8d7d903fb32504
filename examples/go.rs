//! Prints the path of a Go that the checks can build with: the machine's, or one that is fetched.

use std::io::{self, Write as _};

fn main() -> anyhow::Result<()> {
    let go = flowtrail::dev::go()?;
    Ok(writeln!(io::stdout(), "{}", go.display())?)
}
