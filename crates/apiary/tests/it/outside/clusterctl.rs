//! Cluster API's own client. `APIARY_CLUSTERCTL` names it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::world::{Kubectl, Output, Server, finish, kubectl};

const NAMESPACE: &str = "org-acme";

/// The client; `None` after a message if there is none, which fails in CI.
fn clusterctl() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| std::env::var_os("APIARY_CLUSTERCTL").map(PathBuf::from));
    if found.is_none() {
        let message = "no clusterctl: `cargo xtask ci test` builds it";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
    }
    found.as_deref()
}

/// Runs it for the organization's namespace of a management cluster.
fn run(of: &Kubectl, words: &str, more: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=1", "90"])
        .arg(clusterctl().unwrap())
        .args(words.split_whitespace())
        .args(["--namespace", NAMESPACE, "--kubeconfig"])
        .arg(&of.kubeconfig)
        .args(more)
        // It looks for newer versions of itself, and keeps what it found in the home directory.
        .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true")
        .env("HOME", of.kubeconfig.with_extension("home"))
        .stdin(Stdio::null());
    let output = finish(&mut command, "");
    assert_eq!(output.code, Some(0), "clusterctl {words}: {output:?}");
    output
}

/// A management cluster with these manifests, and its client in the organization's namespace.
fn server(folder: &Path, name: &str, args: &[&str]) -> (Server, Kubectl) {
    let server = Server::ready(&folder.join(name), args);
    server.wait_for("fleet", "ready");
    let kubectl = server.kubectl().within(NAMESPACE);
    (server, kubectl)
}

#[test]
fn a_cluster_is_described_and_rolled_out() {
    if kubectl().is_none() || clusterctl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, acme) = server(folder.path(), "data", &[]);
    let tree = run(
        &acme,
        "describe cluster hello",
        &["--show-conditions", "all"],
    )
    .stdout;
    for part in [
        "Cluster/hello",
        "ClusterInfrastructure - LocalCluster/hello",
        "ControlPlane - KubeadmControlPlane/hello",
        "Machine/hello-",
        "MachineDeployment/hello-workers",
        "EtcdClusterHealthy",
    ] {
        assert!(tree.contains(part), "{part:?} is missing of\n{tree}");
    }
    let kubeconfig = folder.path().join("hello.kubeconfig");
    std::fs::write(&kubeconfig, run(&acme, "get kubeconfig hello", &[]).stdout).unwrap();
    let hello = acme.with_kubeconfig(kubeconfig);
    assert_eq!(hello.does("get nodes -o name").lines().count(), 3);

    let machines = |kind: &str| -> String {
        let label = match kind {
            "workers" => "cluster.x-k8s.io/deployment-name=hello-workers",
            _ => "cluster.x-k8s.io/control-plane",
        };
        acme.ok(&["get", "machines", "-l", label, "-o", "name"])
    };
    let before = machines("workers");
    run(
        &acme,
        "alpha rollout restart machinedeployment/hello-workers",
        &[],
    );
    replaced(&acme, &before);
    run(
        &acme,
        "alpha rollout pause machinedeployment/hello-workers",
        &[],
    );
    assert_eq!(
        acme.does("get md hello-workers -o jsonpath={.spec.paused}"),
        "true"
    );
    run(
        &acme,
        "alpha rollout resume machinedeployment/hello-workers",
        &[],
    );
    assert_ne!(
        acme.does("get md hello-workers -o jsonpath={.spec.paused}"),
        "true"
    );
    let before = machines("control plane");
    run(
        &acme,
        "alpha rollout restart kubeadmcontrolplane/hello",
        &[],
    );
    replaced(&acme, &before);
    drop(server);
}

/// Waits until these machines are gone and the cluster is available with others.
fn replaced(acme: &Kubectl, before: &str) {
    for machine in before.lines() {
        acme.ok(&["wait", machine, "--for", "delete", "--timeout", "60s"]);
    }
    settled(acme);
}

fn settled(acme: &Kubectl) {
    for condition in [
        "Available",
        "RollingOut=False",
        "ScalingUp=False",
        "WorkerMachinesUpToDate",
    ] {
        let condition = format!("condition={condition}");
        let args = [
            "wait",
            "cluster",
            "--all",
            "--timeout",
            "60s",
            "--for",
            &condition,
        ];
        acme.ok(&args);
    }
}

/// Everything of Cluster API in the namespace, but for what every server writes itself.
fn everything(acme: &Kubectl) -> Value {
    let label = "clusterctl.cluster.x-k8s.io";
    let names = acme.ok(&[
        "get",
        "crd",
        "-l",
        label,
        "-o",
        "jsonpath={range .items[?(@.spec.scope==\"Namespaced\")]}{.metadata.name},{end}",
    ]);
    let kinds = format!("{names}secrets");
    let list: Value = serde_json::from_str(&acme.ok(&["get", &kinds, "-o", "json"])).unwrap();
    let mut all = json!({});
    for mut object in list["items"].as_array().unwrap().clone() {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            metadata.remove(field);
        }
        let owners = metadata.get_mut("ownerReferences");
        if let Some(owners) = owners.and_then(Value::as_array_mut) {
            for owner in owners.iter_mut() {
                owner.as_object_mut().unwrap().remove("uid");
            }
            owners.sort_by_key(ToString::to_string);
        }
        all[format!("{kind}/{name}")] = object;
    }
    all
}

/// Compares what was with what is, by the first difference.
fn check_same(was: &Value, is: &Value) {
    let names = |all: &Value| -> Vec<String> { all.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(was), names(is));
    for name in names(was) {
        let text = |all: &Value| serde_json::to_string_pretty(&all[&name]).unwrap();
        assert_eq!(text(was), text(is), "{name}");
    }
}

#[test]
fn clusters_move_to_another_management_cluster_and_back() {
    if kubectl().is_none() || clusterctl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.yaml");
    let nothing =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nothing, namespace: default}\n";
    std::fs::write(&empty, nothing).unwrap();
    let root = crate::source::root();
    let (scenarios, example) = (
        root.join("crates/apiary/tests/it/scenarios"),
        root.join("examples"),
    );
    let (mut home, here) = server(
        folder.path(),
        "home",
        &[
            "-f",
            example.join("hello/organization.yaml").to_str().unwrap(),
        ],
    );
    let (_away, there) = server(folder.path(), "away", &["-f", empty.to_str().unwrap()]);
    for manifest in ["hello/cluster.yaml", "topology/class.yaml"] {
        here.ok(&["apply", "-f", example.join(manifest).to_str().unwrap()]);
    }
    for manifest in ["pool/pool.yaml", "pool/check.yaml"] {
        here.ok(&["apply", "-f", scenarios.join(manifest).to_str().unwrap()]);
    }
    settled(&here);
    let nodes = |at: &Kubectl| {
        let kubeconfig = at.kubeconfig.with_extension("hello");
        std::fs::write(&kubeconfig, run(at, "get kubeconfig hello", &[]).stdout).unwrap();
        let hello = at.with_kubeconfig(kubeconfig);
        hello.does("get nodes -o jsonpath={range.items[*]}{.metadata.name}={.metadata.uid},{end}")
    };
    let (known, members) = (everything(&here), nodes(&here));

    let to = |to: &Kubectl| {
        [
            "--to-kubeconfig".to_owned(),
            to.kubeconfig.display().to_string(),
        ]
    };
    let moved = |from: &Kubectl, at: &Kubectl| {
        let to = to(at);
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        run(from, "move", &to);
        settled(at);
        assert_eq!(everything(from), json!({}));
    };
    moved(&here, &there);
    check_same(&known, &everything(&there));
    assert_eq!(members, nodes(&there));

    // The cluster is at work there, and its control plane where it was made, also after a restart.
    there.does("scale machinedeployment hello-workers --replicas 3");
    there.does("wait machinedeployment hello-workers --for jsonpath={.status.availableReplicas}=3 --timeout 60s");
    there.does("wait localcluster hello --for condition=Hosted=false --timeout 60s");
    home.kill();
    let args = ["-f", empty.to_str().unwrap()];
    let home = Server::start_on(home.port, &home.data, &args);
    home.wait_for("fleet", "ready");
    settled(&there);

    let (known, members) = (everything(&there), nodes(&there));
    moved(&there, &here);
    check_same(&known, &everything(&here));
    assert_eq!(members, nodes(&here));
    here.does("scale machinepool hello-pool --replicas 2");
    here.does("wait machinepool hello-pool --for jsonpath={.status.replicas}=2 --timeout 60s");
    settled(&here);
    here.does("delete cluster hello --timeout 90s");
    let left = here.does("get machines,machinepools,localmachines,localclusters -o name");
    assert_eq!(left, "");
    drop(home);
}
