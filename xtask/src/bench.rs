//! `cargo xtask bench`: builds for release and measures. What is measured, and how, is in `crates/apiary/benches/fleet.rs`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::tools::{self, Places};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only these: start, fleet, clusters, creates
    measures: Vec<String>,
    /// How often each is measured; medians are shown
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// Measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    let places = Places::find()?;
    let mut command = places.cargo();
    command
        .args([
            "bench",
            "--quiet",
            "--package",
            "apiary",
            "--bench",
            "fleet",
            "--",
        ])
        .args(["--runs", &args.runs.to_string()])
        .args(&args.measures);
    match loadgen(&places)? {
        Some(path) => {
            command.env("APIARY_LOADGEN", path);
        }
        None => {
            println!("../shared/tools/loadgen is not there: creates per second are not measured");
        }
    }
    tools::run(&mut command)
}

/// The load generator, built from the folder beside the workspace.
fn loadgen(places: &Places) -> Result<Option<PathBuf>> {
    let source = places.root.join("../shared/tools/loadgen");
    if !source.join("Cargo.toml").exists() {
        return Ok(None);
    }
    let copy = places.target.join("loadgen");
    copy_folder(&source, &copy)?;
    tools::run(
        places
            .cargo()
            .args(["build", "--release", "--quiet", "--manifest-path"])
            .arg(copy.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(copy.join("target"))
            .env_remove("CARGO_TARGET_DIR"),
    )?;
    Ok(Some(copy.join("target/release/loadgen")))
}

/// Copies what changed: a copy that is newer than its original is left alone, so that nothing is built again for it.
fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
            continue;
        }
        let text = std::fs::read(entry.path())
            .with_context(|| format!("reading {}", entry.path().display()))?;
        if std::fs::read(&target).is_ok_and(|old| old == text) {
            continue;
        }
        std::fs::write(&target, text).with_context(|| format!("writing {}", target.display()))?;
    }
    Ok(())
}
