//! A second start on the same data goes on with the same objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::{Kubectl, Server, apiary, finish, free_port, kubectl};

/// Uid and revision of all objects of a cluster, by kind, namespace and name.
fn objects(cluster: &Kubectl) -> BTreeMap<String, (String, u64)> {
    let listed = cluster.ok(&["api-resources", "--verbs=list", "-o", "name"]);
    // Metrics of a moment and what names itself by time come and go.
    let kinds: Vec<&str> = listed
        .lines()
        .filter(|name| !name.starts_with("events"))
        .collect();
    let list = cluster.ok(&["get", &kinds.join(","), "--all-namespaces", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let entry = |object: &Value| {
        let meta = &object["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap_or_default().to_owned();
        let name = format!(
            "{} {}/{}",
            object["kind"].as_str().unwrap(),
            text("namespace"),
            text("name")
        );
        (
            name,
            (text("uid"), text("resourceVersion").parse().unwrap_or(0)),
        )
    };
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(entry)
        .collect()
}

#[test]
fn a_second_start_goes_on_with_the_same_objects() {
    if kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::ready(&data, &[]);
    server.wait_for("fleet", "ready");
    let (management, hello) = (server.kubectl(), server.kubectl_of("hello"));
    for cluster in [&management, &hello] {
        cluster.ok(&["create", "configmap", "mine", "--from-literal=key=value"]);
    }
    let before = [&management, &hello].map(objects);
    let mine = [&management, &hello].map(|cluster| cluster.object("configmap/mine"));
    let port = server.port;
    server.kill();

    let server = Server::start_on(port, &data, &[]);
    server.wait_for("fleet", "ready");
    // The kubeconfigs of before are good: same port, same authorities.
    let after = [&management, &hello].map(objects);
    for (before, after) in before.iter().zip(&after) {
        assert!(before.len() > 50, "{before:?}");
        for (name, (uid, revision)) in before {
            let Some((uid_after, revision_after)) = after.get(name) else {
                panic!("{name} is gone")
            };
            assert_eq!(uid, uid_after, "{name} is another");
            assert!(
                revision <= revision_after,
                "{name} went back from {revision} to {revision_after}"
            );
        }
    }
    assert_eq!(
        [&management, &hello].map(|cluster| cluster.object("configmap/mine")),
        mine
    );
    // Revisions go on where they were.
    for (cluster, before) in [&management, &hello].into_iter().zip(&before) {
        cluster.ok(&["create", "configmap", "next"]);
        let revision: u64 = cluster
            .field("configmap/next", "/metadata/resourceVersion")
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let newest = before
            .values()
            .map(|(_, revision)| *revision)
            .max()
            .unwrap();
        assert!(revision > newest, "{revision} is not beyond {newest}");
    }
    let (is_ready, status) = server.status();
    assert!(is_ready, "{status}");
    assert!(server.down());
    // Kubeconfigs name the port, so another is refused, and none means the same.
    let (code, text) = Server::start_on(free_port(), &data, &[]).ended();
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!("cluster org-acme/hello answers on port {port}"))
            && text.contains(&format!("--port {port}")),
        "{text}"
    );
    let server = Server::start_again(port, &data, &[]);
    server.wait_for("fleet", "ready");
    hello.ok(&["get", "nodes"]);
    assert!(server.down());
    // The reason and what to do, and nothing of the libraries underneath.
    let output = finish(apiary().args(["status", "--data-dir"]).arg(&data), "");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output
            .stderr
            .starts_with("Error: the management cluster does not answer: does `apiary up` run?"),
        "{output:?}"
    );
}

#[test]
fn a_management_cluster_alone_may_move_to_another_port() {
    if kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(Server::ready(&data, &["--empty"]).down());
    let server = Server::ready(&data, &["--empty"]);
    let management = server.kubectl();
    for (object, at) in [
        ("service/kubernetes", "/spec/ports/0/targetPort"),
        ("endpoints/kubernetes", "/subsets/0/ports/0/port"),
        ("endpointslice/kubernetes", "/ports/0/port"),
    ] {
        assert_eq!(management.field(object, at), server.port, "{object}");
    }
    assert!(server.down());
}
