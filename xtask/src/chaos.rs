//! `cargo xtask chaos`: plays stories of fleets to which things go wrong, as many as are asked for.

use anyhow::{Context, Result, bail};

use crate::tools::Places;

/// Arguments of `cargo xtask chaos`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many stories are played, one after the other
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// The seed of the first; the next ones follow. A story that failed is played again with `--seed SEED --runs 1`
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Builds the tests with optimization, but without the last of it, and plays.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cargo = Places::find()?.cargo();
    cargo
        .args(["test", "--release", "--workspace", "--test", "it", "--"])
        .args(["chaos::fleets", "--nocapture"])
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64")
        .env("APIARY_SEED", args.seed.to_string())
        .env("APIARY_RUNS", args.runs.to_string());
    let ended = cargo.status().context("starting cargo test")?;
    if !ended.success() {
        bail!("some stories failed: their seeds and steps are above");
    }
    Ok(())
}
