//! The `flowtrail` command: reads the command line and runs one role.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowtrail::cli::main()
}
