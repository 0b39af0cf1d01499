//! The `apiary` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    apiary::cli::main()
}
