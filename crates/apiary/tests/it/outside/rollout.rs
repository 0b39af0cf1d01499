//! kubectl's `rollout` of StatefulSets and DaemonSets: status, history, undo, restart.

use super::world::{Fleet, Kubectl};

/// A workload of two kinds with one pod per node or two, as `kubectl apply` takes it.
fn manifest(kind: &str) -> String {
    let replicas = if kind == "StatefulSet" {
        "  replicas: 2\n  serviceName: app\n"
    } else {
        ""
    };
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: app, annotations: {{kubernetes.io/change-cause: first}}}}
spec:
{replicas}  selector: {{matchLabels: {{app: app}}}}
  template:
    metadata: {{labels: {{app: app}}}}
    spec: {{containers: [{{name: app, image: \"app:1\"}}]}}
"
    )
}

/// The images of all pods, once the rollout is complete.
fn images(cluster: &Kubectl, what: &str) -> Vec<String> {
    cluster.does(&format!("rollout status {what} --timeout=50s"));
    let path = "jsonpath={range .items[*]}{.spec.containers[0].image}{'\\n'}{end}";
    let said = cluster.ok(&["get", "pods", "-l", "app=app", "-o", path]);
    said.lines().map(str::to_owned).collect()
}

fn rolls(namespace: &str, kind: &str) {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello(namespace);
    let what = format!("{}/app", kind.to_lowercase());
    cluster.ok_with(&["apply", "-f", "-"], &manifest(kind));
    let all = |image: &str| {
        let images = images(&cluster, &what);
        assert!(
            !images.is_empty() && images.iter().all(|i| i == image),
            "{images:?}"
        );
    };
    all("app:1");
    cluster.does(&format!(
        "annotate {what} kubernetes.io/change-cause=second --overwrite"
    ));
    cluster.does(&format!("set image {what} app=app:2"));
    all("app:2");
    let history = cluster.does(&format!("rollout history {what}"));
    let lines: Vec<Vec<&str>> = history
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert!(lines.contains(&vec!["1", "first"]), "{history}");
    assert!(lines.contains(&vec!["2", "second"]), "{history}");
    let first = cluster.does(&format!("rollout history {what} --revision=1"));
    assert!(first.contains("app:1"), "{first}");
    let undone = cluster.does(&format!("rollout undo {what}"));
    assert!(undone.contains("rolled back"), "{undone}");
    all("app:1");
    let history = cluster.does(&format!("rollout history {what}"));
    let numbers: Vec<&str> = history
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(numbers.ends_with(&["2", "3"]), "{history}");
    let same = cluster.does(&format!("rollout undo {what} --to-revision=2"));
    assert!(same.contains("rolled back"), "{same}");
    all("app:2");
    cluster.does(&format!("rollout restart {what}"));
    all("app:2");
}

#[test]
fn a_stateful_set_is_rolled_out_undone_and_restarted() {
    rolls("rollout-stateful", "StatefulSet");
}

#[test]
fn a_daemon_set_is_rolled_out_undone_and_restarted() {
    rolls("rollout-daemon", "DaemonSet");
}
