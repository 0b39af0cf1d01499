//! Development tasks of the house.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks on its standard output"
)]

mod bench;
mod chaos;
mod ci;
mod codegen;
mod replay;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Development tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything that CI checks, and install what that needs
    Ci(ci::Args),
    /// Measure the release build and print tables
    Bench(bench::Args),
    /// Play stories of fleets to which things go wrong
    Chaos(chaos::Args),
    /// Write the tables that are derived from public sources
    Codegen(codegen::Args),
    /// Send recorded requests to a server and print what it answers differently
    Replay(replay::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Chaos(args) => chaos::run(&args),
        Task::Codegen(args) => codegen::run(&args),
        Task::Replay(args) => replay::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
