//! The conformance tests of Kubernetes that run kubectl, in our own words; `docs/conformance.md` names them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::world::{Fleet, Kubectl, fetch};

#[test]
fn api_versions_has_v1() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-versions") {
        let versions = cluster.ok(&["api-versions"]);
        assert!(versions.lines().any(|line| line == "v1"), "{versions}");
    }
}

#[test]
fn version_prints_both_versions() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-version") {
        let text = cluster.ok(&["version"]);
        for item in ["Client Version: v", "Server Version: v"] {
            let version = text.lines().find_map(|line| line.strip_prefix(item));
            let version = version.unwrap_or_else(|| panic!("{item} is missing of\n{text}"));
            let parts: Vec<&str> = version.splitn(3, '.').collect();
            let is_number =
                |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            assert!(
                parts[..2].iter().all(is_number) && !parts[2].is_empty(),
                "{text}"
            );
        }
    }
}

#[test]
fn cluster_info_names_the_control_plane() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-info") {
        let text = cluster.ok(&["cluster-info"]);
        assert!(text.contains("Kubernetes control plane"), "{text}");
        assert!(text.contains("is running at"), "{text}");
    }
}

#[test]
fn diff_finds_another_image() {
    let Some(fleet) = Fleet::shared() else { return };
    let manifest = |image: &str| {
        format!(
            r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "agnhost"}}, "spec": {{
            "replicas": 1, "selector": {{"matchLabels": {{"app": "a"}}}}, "template": {{"metadata": {{"labels": {{"app": "a"}}}},
            "spec": {{"containers": [{{"name": "c", "image": "{image}"}}]}}}}}}}}"#
        )
    };
    for cluster in fleet.both("cli-diff") {
        cluster.ok_with(&["create", "-f", "-"], &manifest("agnhost:1"));
        let diff = cluster.run_with(&["diff", "-f", "-"], &manifest("busybox:2"));
        assert_eq!(diff.code, Some(1), "{diff:?}");
        for image in ["agnhost:1", "busybox:2"] {
            assert!(diff.stdout.contains(image), "{diff:?}");
        }
        cluster.ok_with(&["delete", "-f", "-"], &manifest("agnhost:1"));
    }
}

/// At least one version of the core group is told.
fn check_versions(mut stream: impl Read + Write, path: &str) {
    let answer = fetch(&mut stream, path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let versions: Value = serde_json::from_str(body).unwrap();
    assert_eq!(versions["versions"], serde_json::json!(["v1"]));
}

#[test]
fn proxy_takes_a_free_port() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-proxy-port") {
        let proxy = cluster.start(&["proxy", "-p", "0", "--disable-filter"]);
        let line = proxy.until(|line| line.starts_with("Starting to serve on "));
        let address = line.strip_prefix("Starting to serve on ").unwrap();
        check_versions(TcpStream::connect(address).unwrap(), "/api/");
    }
}

#[test]
fn proxy_listens_on_a_unix_socket() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-proxy-socket") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test");
        let proxy = cluster.start(&["proxy", "--unix-socket", path.to_str().unwrap()]);
        proxy.until(|line| line.starts_with("Starting to serve on "));
        check_versions(UnixStream::connect(&path).unwrap(), "/api");
    }
}

/// The ReplicationController of one pod that most of these tests use.
const CONTROLLER: &str = r#"{
    "apiVersion": "v1", "kind": "ReplicationController",
    "metadata": {"name": "agnhost-primary", "labels": {"app": "agnhost", "role": "primary"}},
    "spec": {"replicas": 1, "selector": {"app": "agnhost", "role": "primary"}, "template": {
        "metadata": {
            "labels": {"app": "agnhost", "role": "primary"}, "annotations": {"simulated.apiary.io/log": "Paused"}
        },
        "spec": {"containers": [{
            "name": "agnhost-primary", "image": "agnhost:1", "ports": [{"name": "agnhost-server", "containerPort": 6379}]
        }]}
    }}
}"#;

/// The name of the pod of [`CONTROLLER`], which is ready.
fn start_controller(cluster: &Kubectl) -> String {
    cluster.ok_with(&["create", "-f", "-"], CONTROLLER);
    let ready = "wait rc/agnhost-primary --for=jsonpath={.status.readyReplicas}=1 --timeout=50s";
    cluster.does(ready);
    let names = cluster.does("get pods -l app=agnhost -o name");
    let name = names.trim().strip_prefix("pod/").unwrap();
    assert!(!name.contains('\n'), "one pod: {names}");
    name.to_owned()
}

/// For each group of words, in order, there is a line that has them all.
fn check_lines(text: &str, groups: &[&[&str]]) {
    let mut lines = text.lines();
    for words in groups {
        let is_it = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(lines.any(is_it), "{words:?} is missing of\n{text}");
    }
}

fn describe_workload(cluster: &Kubectl, namespace: &str, pod: &str) {
    let (app, role): (&[&str], &[&str]) = (&["Labels:", "app=agnhost"], &["role=primary"]);
    let place: &[&str] = &["Namespace:", namespace];
    let image: &[&str] = &["Image:", "agnhost:1"];
    check_lines(
        &cluster.ok(&["describe", "pod", pod]),
        &[
            &["Name:", "agnhost-primary-"],
            place,
            &["Node:"],
            app,
            role,
            &["Annotations:"],
            &["Status:", "Running"],
            &["IP:"],
            &["Controlled By:", "ReplicationController/agnhost-primary"],
            image,
            &["State:", "Running"],
            &["QoS Class:", "BestEffort"],
        ],
    );
    check_lines(
        &cluster.does("describe rc agnhost-primary"),
        &[
            &["Name:", "agnhost-primary"],
            place,
            &["Selector:", "app=agnhost,role=primary"],
            app,
            role,
            &["Annotations:"],
            &["Replicas:", "1 current", "1 desired"],
            &[
                "Pods Status:",
                "1 Running",
                "0 Waiting",
                "0 Succeeded",
                "0 Failed",
            ],
            &["Pod Template:"],
            image,
            &["Events:"],
        ],
    );
    check_lines(
        &cluster.does("describe service agnhost-primary"),
        &[
            &["Name:", "agnhost-primary"],
            place,
            app,
            role,
            &["Annotations:"],
            &["Selector:", "app=agnhost", "role=primary"],
            &["Type:", "ClusterIP"],
            &["IP:"],
            &["Port:", "<unset>", "6379/TCP"],
            &["Endpoints:"],
            &["Session Affinity:", "None"],
        ],
    );
}

fn describe_place(cluster: &Kubectl, namespace: &str) {
    let nodes = cluster.does("get nodes --field-selector=spec.unschedulable=false -o name");
    let node = nodes.lines().next().unwrap().strip_prefix("node/").unwrap();
    let columns = [
        "Type",
        "Status",
        "LastHeartbeatTime",
        "LastTransitionTime",
        "Reason",
        "Message",
    ];
    check_lines(
        &cluster.ok(&["describe", "node", node]),
        &[
            &["Name:", node],
            &["Labels:"],
            &["Annotations:"],
            &["CreationTimestamp:"],
            &["Conditions:"],
            &columns,
            &["Addresses:"],
            &["Capacity:"],
            &["Kernel Version:"],
            &["OS Image:"],
            &["Container Runtime Version:"],
            &["Kubelet Version:"],
            &["Pods:"],
        ],
    );
    check_lines(
        &cluster.ok(&["describe", "namespace", namespace]),
        &[
            &["Name:", namespace],
            &["Labels:"],
            &["Annotations:"],
            &["Status:", "Active"],
        ],
    );
}

#[test]
fn describe_tells_of_rc_and_pods() {
    let Some(fleet) = Fleet::shared() else { return };
    let namespace = "cli-describe";
    let cluster = fleet.hello(namespace);
    let service = r#"{"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "agnhost-primary", "labels": {"app": "agnhost", "role": "primary"}}, "spec": {
        "ports": [{"port": 6379, "targetPort": "agnhost-server"}], "selector": {"app": "agnhost", "role": "primary"}}}"#;
    cluster.ok_with(&["create", "-f", "-"], service);
    let pod = start_controller(&cluster);
    describe_workload(&cluster, namespace, &pod);
    describe_place(&cluster, namespace);
}

#[test]
fn expose_makes_services_of_rc() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("cli-expose");
    let pod = start_controller(&cluster);
    assert!(cluster.ok(&["logs", &pod]).contains("Paused"));
    for (of, name, port) in [
        ("rc agnhost-primary", "rm2", 1234),
        ("service rm2", "rm3", 2345),
    ] {
        cluster.does(&format!(
            "expose {of} --name={name} --port={port} --target-port=6379"
        ));
        cluster.does(&format!("wait endpoints/{name} --for=create --timeout=50s"));
        let there = "--for=jsonpath={.subsets[0].ports[0].port}=6379";
        cluster.does(&format!("wait endpoints/{name} {there} --timeout=50s"));
        let selector = format!("kubernetes.io/service-name={name}");
        let list = cluster.ok(&["get", "endpointslices", "-l", &selector, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let slices = list["items"].as_array().unwrap();
        assert_eq!(slices.len(), 1, "{list:#}");
        assert_eq!(slices[0]["endpoints"].as_array().unwrap().len(), 1);
        assert_eq!(slices[0]["ports"][0]["port"], 6379);
        let ports = cluster.field(&format!("service/{name}"), "/spec/ports");
        assert_eq!(ports.as_array().unwrap().len(), 1, "{ports:#}");
        assert_eq!(ports[0]["port"], port);
        assert_eq!(ports[0]["targetPort"], 6379);
    }
}

#[test]
fn label_comes_and_goes() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("cli-label");
    cluster.does("run pause --image=pause --port=80 --labels=name=pause");
    cluster.does("wait pod/pause --for=condition=Ready --timeout=50s");
    cluster.does("label pods pause testing-label=testing-label-value");
    let shown = cluster.does("get pod pause -L testing-label");
    assert!(shown.contains("testing-label-value"), "{shown}");
    cluster.does("label pods pause testing-label-");
    let shown = cluster.does("get pod pause -L testing-label");
    assert!(!shown.contains("testing-label-value"), "{shown}");
}

#[test]
fn patch_annotates_pods_of_rc() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("cli-patch");
    let pod = start_controller(&cluster);
    let patch = r#"{"metadata":{"annotations":{"x":"y"}}}"#;
    cluster.ok(&["patch", "pod", &pod, "-p", patch]);
    let annotations = cluster.field(&format!("pod/{pod}"), "/metadata/annotations");
    assert_eq!(annotations["x"], "y");
}

/// The image of the only container of a pod.
fn image(cluster: &Kubectl, pod: &str) -> Value {
    let containers = cluster.field(&format!("pod/{pod}"), "/spec/containers");
    assert_eq!(containers.as_array().unwrap().len(), 1);
    containers[0]["image"].clone()
}

const RUN: &str =
    "run e2e-test-agnhost-pod --image=agnhost:1 --pod-running-timeout=2m0s --labels=run=e2e";

#[test]
fn replace_changes_the_image_of_a_pod() {
    let Some(fleet) = Fleet::shared() else { return };
    let (cluster, pod) = (fleet.hello("cli-replace"), "e2e-test-agnhost-pod");
    cluster.does(RUN);
    let running = "--for=jsonpath={.status.phase}=Running --timeout=50s";
    cluster.does(&format!("wait pod -l run=e2e {running}"));
    let object = cluster.ok(&["get", "pod", pod, "-o", "json"]);
    let changed = object.replacen("agnhost:1", "busybox:2", 1);
    cluster.ok_with(&["replace", "-f", "-"], &changed);
    assert_eq!(image(&cluster, pod), "busybox:2");
    cluster.ok(&["delete", "pods", pod]);
}

#[test]
fn run_makes_a_pod_that_is_never_restarted() {
    let Some(fleet) = Fleet::shared() else { return };
    let (cluster, pod) = (fleet.hello("cli-run"), "e2e-test-agnhost-pod");
    cluster.does(&format!("{RUN} --restart=Never"));
    assert_eq!(image(&cluster, pod), "agnhost:1");
    let policy = cluster.field(&format!("pod/{pod}"), "/spec/restartPolicy");
    assert_eq!(policy, "Never");
    cluster.ok(&["delete", "pods", pod]);
}

#[test]
fn a_dry_run_on_the_server_changes_no_pod() {
    let Some(fleet) = Fleet::shared() else { return };
    let (cluster, pod) = (fleet.hello("cli-dry-run"), "e2e-test-agnhost-pod");
    cluster.does(RUN);
    let patch = format!(r#"{{"spec":{{"containers":[{{"name":"{pod}","image":"busybox:2"}}]}}}}"#);
    cluster.ok(&["patch", "pod", pod, "-p", &patch, "--dry-run=server"]);
    assert_eq!(image(&cluster, pod), "agnhost:1");
    cluster.ok(&["delete", "pods", pod]);
}
