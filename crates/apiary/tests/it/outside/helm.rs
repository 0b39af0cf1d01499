//! Real Helm against a workload cluster: it reads what Apiary deployed, and deploys, upgrades and rolls back itself.
//! `APIARY_HELM_PYTHON` names a Python with the package `helm-python-sdk`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use expect_test::expect;

use super::world::{Fleet, finish};

/// A Python that has Helm; `None` after a message if there is none, which fails in CI.
pub(super) fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let path = std::env::var_os("APIARY_HELM_PYTHON")
            .map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        let probe = Command::new(&path)
            .args(["-c", "import helm_python"])
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success()).then_some(path)
    });
    if found.is_none() {
        let message = "no Python with helm-python-sdk: `cargo xtask ci test` installs one";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
    }
    found.as_deref()
}

/// What releases look like to Helm: name, revision, status, and the chart.
const SCRIPT: &str = r#"
import sys, helm_python
kubeconfig, chart = sys.argv[1:]

def show(what, releases):
    for r in releases:
        print(what, r["name"], r["revision"], r["status"], r["chart_name"], r["chart_version"])

deployed = helm_python.Config(kubeconfig_path=kubeconfig, namespace="hello-world")
show("list", deployed.list())
show("status", [deployed.status("world")])
show("history", deployed.history("world"))
print("manifest", deployed.status("world")["manifest"].count("kind: Deployment"))

own = helm_python.Config(kubeconfig_path=kubeconfig, namespace="with-helm")
wait = dict(wait="watcher", timeout=60)
show("install", [own.install(chart, "own", {"replicaCount": 1}, create_namespace=True, **wait)])
show("upgrade", [own.upgrade(chart, "own", {"replicaCount": 3}, **wait)])
own.rollback("own", version=1, **wait)
show("history", own.history("own"))
own.uninstall("own")
print("left", len(own.list()))
"#;

#[test]
fn helm_reads_what_apiary_deployed_and_deploys_itself() {
    let (Some(python), Some(fleet)) = (python(), Fleet::shared()) else {
        return;
    };
    let hello = fleet.hello("helm");
    let chart =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello/catalog/hello-world");
    let mut command = Command::new(python);
    command
        .args(["-c", SCRIPT])
        .arg(&hello.kubeconfig)
        .arg(chart);
    let output = finish(&mut command, "");
    assert_eq!(output.code, Some(0), "{output:?}");
    expect![[r#"
        list world 1 deployed hello-world 0.1.0
        status world 1 deployed hello-world 0.1.0
        history world 1 deployed hello-world 0.1.0
        manifest 1
        install own 1 deployed hello-world 0.1.0
        upgrade own 2 deployed hello-world 0.1.0
        history own 1 superseded hello-world 0.1.0
        history own 2 superseded hello-world 0.1.0
        history own 3 deployed hello-world 0.1.0
        left 0
    "#]]
    .assert_eq(&output.stdout);
    let left = hello.ok(&["get", "all", "-n", "with-helm", "-o", "name"]);
    assert!(!left.contains("deployment"), "{left}");
}
