//! Real Helm, as the Python package `helm-python-sdk` has it. `APIARY_HELM_PYTHON` names an interpreter that can import it
//! (`python3` otherwise). Without the package the comparisons are skipped with a message; in CI that is a failure.

use render::{Capabilities, Chart, NoCluster, ReleaseContext, Rendered};
use serde_json::Value as Json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs cases through real Helm; `None` if it isn't installed.
pub(crate) fn run(cases: &[Json]) -> Option<Vec<Json>> {
    let python = std::env::var("APIARY_HELM_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python)
        .args(["-c", "import helm_python"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        let message = format!(
            "{python} has no package helm-python-sdk: install it and set APIARY_HELM_PYTHON"
        );
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oracle.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(cases).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Directory of a test chart.
pub(crate) fn chart_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/charts")
        .join(name)
}

/// Reads a chart's directory.
pub(crate) fn load(directory: &Path) -> Result<Chart, render::LoadError> {
    Chart::from_files(files(directory))
}

/// The files of a directory, by path in it.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path
                    .strip_prefix(directory)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Renders a first installation.
pub(crate) fn render(
    chart: &Chart,
    name: &str,
    namespace: &str,
    values: &Json,
) -> Result<Rendered, render::Error> {
    let release = ReleaseContext {
        name: name.into(),
        namespace: namespace.into(),
        revision: 1,
        is_install: true,
        is_upgrade: false,
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
        seed: [7; 32],
    };
    render::template(
        chart,
        &release,
        values,
        &Capabilities::default(),
        &NoCluster,
    )
}
