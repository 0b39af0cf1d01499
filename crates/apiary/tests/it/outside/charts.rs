//! Real charts by real Helm on a workload cluster: install, upgrade, history, rollback, uninstall, each as with `--wait`: until
//! all that belongs to the release is ready. Charts of many styles:
//! with definitions as files and as templates, with hooks that run Jobs, webhooks, an aggregated API, DaemonSets,
//! StatefulSets, CronJobs, value schemas. `APIARY_CHARTS` names the folder that holds them.

use std::path::PathBuf;
use std::process::Command;

use expect_test::{Expect, expect};

use super::helm;
use super::world::{Fleet, finish};

/// The folder with the charts; `None` after a message if there is none, which fails in CI.
fn charts() -> Option<PathBuf> {
    let found = std::env::var_os("APIARY_CHARTS").map(PathBuf::from);
    if found.is_none() {
        let message = "no charts: `cargo xtask ci test` downloads them";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
    }
    found
}

/// Takes each chart of its arguments (`name`, JSON values, JSON values of the upgrade) through its life as a release of
/// that name in a namespace of that name.
const SCRIPT: &str = r#"
import sys, os, json, helm_python
kubeconfig, folder = sys.argv[1:3]
for line in sys.argv[3:]:
    name, values, changed = line.split("|")
    chart = os.path.join(folder, name)
    helm = helm_python.Config(kubeconfig_path=kubeconfig, namespace=name)
    values, changed = json.loads(values), json.loads(changed)
    steps = []
    def step(what, release=None):
        steps.append(what if release is None else f'{what} {release["revision"]} {release["status"]}')
    try:
        waiting = dict(timeout=90, wait="watcher")
        step("install", helm.install(chart, name, values, create_namespace=True, **waiting))
        step("upgrade", helm.upgrade(chart, name, {**values, **changed}, **waiting))
        helm.rollback(name, version=1, **waiting)
        step("history " + " ".join(h["status"] for h in helm.history(name)))
        assert [r["name"] for r in helm.list()] == [name], helm.list()
        helm.uninstall(name, timeout=90)
        step(f"left {len(helm.list())}")
    except Exception as error:
        step(f"{type(error).__name__}: {error}")
    print(f"{name}: {', '.join(steps)}", flush=True)
"#;

/// Some charts mount Secrets that a program in their containers makes, and no program runs in simulated ones.
const PROFILE: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: simulated-pods, namespace: kube-system}
data:
  rules: |
    - namespaces: [cert-manager, argo-workflows, ingress-nginx, traefik, argo-rollouts, sealed-secrets, vault, metrics-server]
      settings: {missing-config: ignore}
"#;

/// Runs the script with charts, each as `name|values|changed values`.
fn check(charts_of: &[&str], expected: &Expect) {
    let (Some(python), Some(folder), Some(fleet)) = (helm::python(), charts(), Fleet::shared())
    else {
        return;
    };
    let hello = fleet.hello_cluster();
    hello.ok_with(
        &["apply", "--server-side", "-n", "kube-system", "-f", "-"],
        PROFILE,
    );
    let mut command = Command::new(python);
    command
        .args(["-c", SCRIPT])
        .arg(&hello.kubeconfig)
        .arg(folder)
        .args(charts_of);
    let output = finish(&mut command, "");
    // What client-go logs there is no answer of ours: it sometimes says that a watch which Helm itself ended was ended.
    eprintln!("standard error of Helm:\n{}", output.stderr);
    assert_eq!(output.code, Some(0));
    expected.assert_eq(&output.stdout);
    for chart in charts_of {
        let name = chart.split('|').next().unwrap_or_default();
        let kinds = "deployment,statefulset,daemonset,job,cronjob,service,configmap,secret,serviceaccount,role,rolebinding,pdb";
        let ours = "app.kubernetes.io/managed-by=Helm";
        let left = hello.ok(&["get", kinds, "-n", name, "-l", ours, "-o", "name"]);
        assert_eq!(left, "", "{name}");
        let label = format!("app.kubernetes.io/instance={name}");
        let kinds = "clusterrole,clusterrolebinding,mutatingwebhookconfiguration,validatingwebhookconfiguration,apiservice";
        let left = hello.ok(&["get", kinds, "-l", &label, "-o", "name"]);
        assert_eq!(left, "", "{name}");
    }
}

#[test]
fn charts_with_hooks_and_webhooks_live_and_go() {
    check(
        &[
            r#"cert-manager|{"crds":{"enabled":true,"keep":false}}|{"replicaCount":2}"#,
            r#"argo-workflows|{"crds":{"install":true}}|{"controller":{"podAnnotations":{"changed":"yes"}}}"#,
            r#"ingress-nginx|{}|{"controller":{"replicaCount":2}}"#,
        ],
        &expect![[r#"
            cert-manager: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            argo-workflows: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            ingress-nginx: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
        "#]],
    );
}

#[test]
fn charts_with_definitions_live_and_go() {
    check(
        &[
            r#"traefik|{"deployment":{"replicas":1}}|{"deployment":{"replicas":2}}"#,
            r#"argo-rollouts|{"installCRDs":true,"keepCRDs":false}|{"controller":{"replicas":3}}"#,
            r#"sealed-secrets|{"replicas":1}|{"replicas":2}"#,
        ],
        &expect![[r#"
            traefik: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            argo-rollouts: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            sealed-secrets: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
        "#]],
    );
}

#[test]
fn charts_of_other_styles_live_and_go() {
    check(
        &[
            r#"vault|{"server":{"dev":{"enabled":true}},"injector":{"affinity":""}}|{"injector":{"affinity":"","replicas":2}}"#,
            r#"metrics-server|{"replicas":1}|{"replicas":2}"#,
            r#"node-exporter|{"hostNetwork":true}|{"hostNetwork":false}"#,
            r#"kube-state-metrics|{"replicas":1}|{"replicas":2}"#,
            r#"descheduler|{"schedule":"*/2 * * * *"}|{"schedule":"*/5 * * * *"}"#,
        ],
        &expect![[r#"
            vault: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            metrics-server: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            node-exporter: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            kube-state-metrics: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
            descheduler: install 1 deployed, upgrade 2 deployed, history superseded superseded deployed, left 0
        "#]],
    );
}
