//! Programs that checks and tests need and a machine may lack: found, or installed below `target/tools` by the clients
//! of the package registries. What is there already costs a moment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest kubectl that the tests are written for, as minor version of 1.
const KUBECTL_MINOR: u32 = 32;
/// What is built where the machine has none: the version in `xtask/kubectl/go.mod`.
const KUBECTL_BUILT: &str = "v1.36.0";
/// Real Helm, as a Python package.
const HELM_PACKAGE: &str = "helm-python-sdk";
const HELM_VERSION: &str = "0.2.2";
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Where things are.
pub(crate) struct Places {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

impl Places {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is a folder of the workspace")?
            .to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || root.join("target"),
            |given| {
                std::path::absolute(PathBuf::from(given)).unwrap_or_else(|_| root.join("target"))
            },
        );
        Ok(Self { root, target })
    }

    fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// `cargo`, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }
}

/// Runs a command and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Standard output of a command, if it runs and succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// A kubectl that is new enough: the one `APIARY_KUBECTL` names, the machine's, or one built from its Go module.
pub(crate) fn kubectl(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_KUBECTL") {
        return Ok(given.into());
    }
    let built = places.tools().join("kubectl");
    for candidate in [Path::new("kubectl"), &built] {
        if kubectl_minor(candidate).is_some_and(|minor| minor >= KUBECTL_MINOR) {
            return Ok(candidate.to_owned());
        }
    }
    println!("no kubectl 1.{KUBECTL_MINOR} or newer here: building {KUBECTL_BUILT}");
    let minor = KUBECTL_BUILT.split('.').nth(1).unwrap_or_default();
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={KUBECTL_BUILT} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
    );
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&built)
        .arg(".")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .current_dir(places.root.join("xtask/kubectl"));
    run(&mut go).context(
        "building kubectl needs Go; or install kubectl, or name one with APIARY_KUBECTL",
    )?;
    Ok(built)
}

fn kubectl_minor(path: &Path) -> Option<u32> {
    let text = output(Command::new(path).args(["version", "--client", "-o", "json"]))?;
    let version: serde_json::Value = serde_json::from_str(&text).ok()?;
    let version = &version["clientVersion"];
    // Some builds append a plus.
    let minor = version["minor"]
        .as_str()?
        .trim_end_matches('+')
        .parse()
        .ok()?;
    (version["major"] == "1").then_some(minor)
}

/// A Python that has real Helm: the one `APIARY_HELM_PYTHON` names, or a virtual environment of our own.
pub(crate) fn helm_python(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_HELM_PYTHON") {
        return Ok(given.into());
    }
    let folder = places.tools().join("helm-python");
    let python = folder.join("bin/python");
    let probe =
        format!("import helm_python, importlib.metadata as m; print(m.version('{HELM_PACKAGE}'))");
    let installed = output(Command::new(&python).args(["-c", &probe]));
    if installed.as_deref().map(str::trim) != Some(HELM_VERSION) {
        println!("installing {HELM_PACKAGE} {HELM_VERSION}");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
            .context("tests against real Helm need Python 3 with venv; or name one that has it with APIARY_HELM_PYTHON")?;
        let package = format!("{HELM_PACKAGE}=={HELM_VERSION}");
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            &package,
        ]))?;
    }
    Ok(python)
}

/// The folder of cargo-deny, for the search path.
pub(crate) fn cargo_deny(places: &Places) -> Result<PathBuf> {
    let folder = places.tools().join("bin");
    let installed = output(Command::new(folder.join("cargo-deny")).arg("--version"));
    if installed.is_none_or(|text| !text.trim().ends_with(CARGO_DENY_VERSION)) {
        println!("building cargo-deny {CARGO_DENY_VERSION}");
        let build = places.tools().join("build");
        let version = format!("cargo-deny@{CARGO_DENY_VERSION}");
        // Without optimization it is built in a fraction of the time, and still done in two seconds.
        run(places
            .cargo()
            .args([
                "install",
                "--locked",
                "--quiet",
                "--force",
                "--profile",
                "dev",
                "--config",
                "profile.dev.debug=0",
            ])
            .args([&version, "--root"])
            .arg(places.tools())
            .arg("--target-dir")
            .arg(&build)
            .env_remove("CARGO_TARGET_DIR"))?;
        std::fs::remove_dir_all(&build).with_context(|| format!("removing {}", build.display()))?;
    }
    Ok(folder)
}
