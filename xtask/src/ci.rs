//! `cargo xtask ci`: everything that CI checks, in the order in which it is most likely to fail early. All steps run,
//! also after one has failed, so that one run shows all that is wrong.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools::{self, Places};

/// Checks and tests share one profile, and so what was built of our dependencies.
const PROFILE: &[&str] = &["--profile", "ci"];

/// Arguments of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps: room, fmt, deny, clippy, test, doc
    steps: Vec<String>,
}

/// Tests that ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tests {
    passed: u64,
    failed: u64,
}

type Step = (&'static str, fn(&Places, &mut Tests) -> Result<()>);

const STEPS: &[Step] = &[
    ("room", room),
    ("fmt", fmt),
    ("deny", deny),
    ("clippy", clippy),
    ("test", test),
    ("doc", doc),
];

/// Runs the steps.
pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.steps {
        if !STEPS.iter().any(|(step, _)| step == name) {
            let known: Vec<_> = STEPS.iter().map(|(step, _)| *step).collect();
            bail!(
                "there is no step {name:?}: choose from {}",
                known.join(", ")
            );
        }
    }
    let places = Places::find()?;
    let is_chosen =
        |name: &str| args.steps.is_empty() || args.steps.iter().any(|step| step == name);
    let mut tests = Tests::default();
    let mut lines = vec![];
    let mut failed = vec![];
    for (name, step) in STEPS.iter().filter(|(name, _)| is_chosen(name)) {
        println!("── {name}");
        let start = Instant::now();
        let result = step(&places, &mut tests);
        let took = seconds(start.elapsed());
        match &result {
            Ok(()) => lines.push(format!("{name:<8} ok      {took}")),
            Err(error) => {
                println!("{name} failed: {error:#}");
                lines.push(format!("{name:<8} FAILED  {took}   {error:#}"));
                failed.push(*name);
            }
        }
    }
    println!("\n{}", lines.join("\n"));
    if is_chosen("test") {
        println!("\n{} passed, {} failed", tests.passed, tests.failed);
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    format!("{:>2} min {:>2} s", whole / 60, whole % 60)
}

/// What a run from nothing builds and downloads, in GiB.
const WANTED_GIB: f64 = 6.0;

/// Whether everything will fit on the disk. Without room, every later step fails in words that do not say so.
fn room(places: &Places, _: &mut Tests) -> Result<()> {
    let free = tools::free_gib(&places.root)?;
    let has_built = places.target.join("ci").is_dir();
    println!("{free:.1} GiB are free");
    if free < WANTED_GIB && !has_built {
        bail!(
            "what is built here takes {WANTED_GIB} GiB, and {free:.1} are free at {}",
            places.root.display()
        );
    }
    Ok(())
}

fn fmt(places: &Places, _: &mut Tests) -> Result<()> {
    tools::run(places.cargo().args(["fmt", "--all", "--check"]))
}

fn deny(places: &Places, _: &mut Tests) -> Result<()> {
    let folder = tools::cargo_deny(places)?;
    tools::run(
        Command::new(folder.join("cargo-deny"))
            .args([
                "--log-level",
                "error",
                "check",
                "--show-stats",
                "--hide-inclusion-graph",
            ])
            .args(["bans", "licenses", "sources"])
            .current_dir(&places.root),
    )
}

fn clippy(places: &Places, _: &mut Tests) -> Result<()> {
    tools::run(places.cargo().arg("clippy").args(PROFILE).args([
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

fn doc(places: &Places, _: &mut Tests) -> Result<()> {
    tools::run(
        places
            .cargo()
            .arg("doc")
            .args(PROFILE)
            .args([
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--quiet",
            ])
            .env(
                "RUSTDOCFLAGS",
                // Private items are documented as well, so links to them lead somewhere.
                "-D warnings -A rustdoc::private_intra_doc_links",
            ),
    )
}

fn test(places: &Places, tests: &mut Tests) -> Result<()> {
    let kubectl = tools::kubectl(places)?;
    let python = tools::helm_python(places)?;
    let clients = tools::go_clients(places)?;
    let clusterctl = tools::clusterctl(places)?;
    let charts = tools::charts(places)?;
    let mut command = places.cargo();
    command
        .arg("test")
        .args(PROFILE)
        .args(["--workspace", "--no-fail-fast"])
        .env("APIARY_KUBECTL", kubectl)
        .env("APIARY_HELM_PYTHON", python)
        .env("APIARY_GO_CLIENTS", clients)
        .env("APIARY_CLUSTERCTL", clusterctl)
        .env("APIARY_CHARTS", charts)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("starting cargo test")?;
    let output = child.stdout.take().context("standard output is piped")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("reading what the tests print")?;
        println!("{line}");
        tests.add(&line);
    }
    let status = child.wait().context("waiting for cargo test")?;
    if !status.success() || tests.failed > 0 {
        bail!("cargo test: {status}");
    }
    if tests.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

impl Tests {
    /// Counts a closing line of a test binary.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in counts.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[test]
fn closing_lines_are_added_up() {
    let mut tests = Tests::default();
    tests.add("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.45s");
    tests.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.45s");
    tests.add("test a ... ok");
    assert_eq!(
        tests,
        Tests {
            passed: 15,
            failed: 2
        }
    );
}
