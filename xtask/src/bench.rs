//! `cargo xtask bench`: builds for release and measures. What is measured, and how, is in `crates/apiary/benches`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools::{self, Places};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only these: start, fleet, clusters; or `apiserver`, alone or with what of it, e.g. create, watch, memory,
    /// clusters; or `lifecycle`, alone or with 100, 1000, 3+50, 3+500 or upgrades; or `scale`, alone or with cluster or clusters
    measures: Vec<String>,
    /// How often start, fleet and clusters are measured; medians are shown
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Load the server of this kubeconfig instead of our own (apiserver only)
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// The process of that server, for its memory and processor time
    #[arg(long, requires = "kubeconfig")]
    pid: Option<u32>,
    /// Load `apiary up`, with its controllers, instead of the API server alone (apiserver only)
    #[arg(long, conflicts_with = "kubeconfig")]
    up: bool,
    /// Logical clusters that `apiserver clusters` creates
    #[arg(long, default_value = "10000")]
    clusters: NonZeroUsize,
    /// Seconds that each rate is measured for (apiserver only)
    #[arg(long, default_value_t = 5)]
    seconds: u32,
}

/// Measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    let places = Places::find()?;
    if args
        .measures
        .first()
        .is_some_and(|first| first == "apiserver")
    {
        return apiserver(&places, args);
    }
    if args.kubeconfig.is_some() || args.up {
        bail!("--kubeconfig and --up choose the server for `cargo xtask bench apiserver`");
    }
    for name in ["lifecycle", "scale"] {
        if args.measures.first().is_some_and(|first| first == name) {
            let mut command = bench(&places, name);
            return tools::run(command.args(&args.measures[1..]));
        }
    }
    let mut command = bench(&places, "fleet");
    command
        .args(["--runs", &args.runs.to_string()])
        .args(&args.measures);
    tools::run(&mut command)
}

/// The API server under load.
fn apiserver(places: &Places, args: &Args) -> Result<()> {
    let Some(loadgen) = loadgen(places)? else {
        bail!("../shared/tools/loadgen is not there: without a load generator there is no load");
    };
    let mut command = bench(places, "apiserver");
    command
        .args(&args.measures[1..])
        .args(["--seconds", &args.seconds.to_string()])
        .args(["--clusters", &args.clusters.to_string()])
        .env("APIARY_LOADGEN", loadgen);
    if args.up {
        command.arg("--up");
    }
    if let Some(kubeconfig) = &args.kubeconfig {
        let path = std::path::absolute(kubeconfig)
            .with_context(|| format!("finding {}", kubeconfig.display()))?;
        command.arg("--kubeconfig").arg(path);
    }
    if let Some(pid) = args.pid {
        command.args(["--pid", &pid.to_string()]);
    }
    tools::run(&mut command)
}

fn bench(places: &Places, name: &str) -> Command {
    let mut command = places.cargo();
    command.args([
        "bench",
        "--quiet",
        "--package",
        "apiary",
        "--bench",
        name,
        "--",
    ]);
    command
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
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
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
