//! kubectl's commands for those who run a cluster: cordon, drain, taint, certificate, top, debug, cluster-info.
//!
//! Other tests use the same nodes: a node is only closed to new pods, and only the pods of this test are driven from it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::world::{Fleet, Kubectl};

/// A worker that nothing else is done to at the same time.
fn worker(cluster: &Kubectl, at: usize) -> String {
    let selector = "!node-role.kubernetes.io/control-plane";
    let nodes = cluster.ok(&["get", "nodes", "-l", selector, "-o", "name"]);
    let node = nodes.lines().nth(at).unwrap();
    node.strip_prefix("node/").unwrap().to_owned()
}

#[test]
fn a_node_is_closed_emptied_and_opened() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("nodes-drain");
    let node = worker(&cluster, 0);
    let pod = |name: &str, app: &str| {
        let place = format!(r#"{{"spec": {{"nodeName": "{node}"}}}}"#);
        let (labels, overrides) = (format!("-lapp={app}"), format!("--overrides={place}"));
        cluster.ok(&["run", name, "--image=nginx", &labels, &overrides]);
        let ready = ["wait", "--for=condition=Ready", "--timeout=50s"];
        cluster.ok(&[&ready[..], &[&format!("pod/{name}")]].concat());
    };
    pod("drained", "drained");
    pod("kept", "kept");
    assert_eq!(
        cluster.does(&format!("cordon {node}")),
        format!("node/{node} cordoned\n")
    );
    assert_eq!(
        cluster.field(&format!("node/{node}"), "/spec/unschedulable"),
        true
    );
    assert!(
        cluster
            .does(&format!("get node {node}"))
            .contains("Ready,SchedulingDisabled")
    );
    // What nobody would make again is not evicted without being told so.
    let drain = [
        "drain",
        &node,
        "--pod-selector=app=drained",
        "--timeout=50s",
    ];
    let refusal = cluster.refused(&drain);
    assert!(
        refusal.contains("cannot delete Pods that declare no controller"),
        "{refusal}"
    );
    // Nor what a budget keeps.
    cluster.does("create pdb drained --selector=app=drained --min-available=1");
    cluster.does("wait pdb/drained --for=jsonpath={.status.observedGeneration}=1 --timeout=50s");
    let drain = [&drain[..3], &["--force", "--timeout=1s"]].concat();
    let refusal = cluster.refused(&drain);
    assert!(
        refusal.contains("Cannot evict pod as it would violate the pod's disruption budget."),
        "{refusal}"
    );
    cluster.does("delete pdb drained");
    let drain = [&drain[..3], &["--force", "--timeout=50s"]].concat();
    let said = cluster.ok(&drain);
    assert!(said.contains("pod/drained evicted"), "{said}");
    assert!(said.contains(&format!("node/{node} drained")), "{said}");
    assert_eq!(cluster.does("get pods -o name"), "pod/kept\n");
    assert_eq!(
        cluster.does(&format!("uncordon {node}")),
        format!("node/{node} uncordoned\n")
    );
}

#[test]
fn taints_and_labels_of_nodes_come_and_go() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("nodes-taint");
    let node = worker(&cluster, 1);
    let does = |line: &str| cluster.does(&line.replace("NODE", &node));
    let tainted = does("taint nodes NODE slow=very:PreferNoSchedule");
    assert_eq!(tainted, format!("node/{node} tainted\n"));
    let taints = cluster.field(&format!("node/{node}"), "/spec/taints");
    assert!(
        taints
            .to_string()
            .contains(r#"{"effect":"PreferNoSchedule","key":"slow","value":"very"}"#),
        "{taints}"
    );
    let again = ["taint", "nodes", &node, "slow=not:PreferNoSchedule"];
    assert!(
        cluster
            .refused(&again)
            .contains("already has slow taint(s)")
    );
    does("taint nodes NODE slow=not:PreferNoSchedule --overwrite");
    assert_eq!(
        does("taint nodes NODE slow-"),
        format!("node/{node} untainted\n")
    );
    does("label node NODE node-role.kubernetes.io/odd=");
    assert!(does("get node NODE").contains(" odd "));
    does("label node NODE node-role.kubernetes.io/odd-");
}

#[test]
fn metrics_show_what_nodes_and_pods_use() {
    let Some(fleet) = Fleet::shared() else { return };
    let [management, cluster] = fleet.both("nodes-top");
    // No pod runs there, so nobody measures any.
    for what in ["nodes", "pods"] {
        let refusal = management.refused(&["top", what]);
        assert_eq!(refusal, "error: Metrics API not available\n");
    }
    cluster.does(
        "run busy --image=nginx --annotations=simulated.apiary.io/cpu=250m --annotations=simulated.apiary.io/memory=64Mi",
    );
    cluster.does("wait --for=condition=Ready pod/busy --timeout=50s");
    let pods = cluster.does("top pods --no-headers");
    let words: Vec<&str> = pods.split_whitespace().collect();
    assert_eq!(words, ["busy", "250m", "64Mi"]);
    let containers = cluster.does("top pod busy --containers --no-headers");
    let words: Vec<&str> = containers.split_whitespace().collect();
    assert_eq!(words, ["busy", "busy", "250m", "64Mi"]);
    let nodes = cluster.does("top nodes --no-headers");
    let node = worker(&cluster, 0);
    assert!(nodes.contains(&node), "{nodes}");
}

#[test]
fn an_autoscaler_is_made_and_followed() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("nodes-autoscale");
    let annotations = r#"{"simulated.apiary.io/cpu": "90m"}"#;
    let manifest = format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "web"}}, "spec": {{
            "replicas": 1, "selector": {{"matchLabels": {{"app": "web"}}}}, "template": {{
                "metadata": {{"labels": {{"app": "web"}}, "annotations": {annotations}}},
                "spec": {{"containers": [{{"name": "web", "image": "nginx", "resources": {{"requests": {{"cpu": "100m"}}}}}}]}}}}}}}}"#
    );
    cluster.ok_with(&["create", "-f", "-"], &manifest);
    cluster.does("autoscale deployment web --cpu-percent=30 --min=1 --max=3");
    cluster.does("wait hpa/web --for=jsonpath={.status.desiredReplicas}=3 --timeout=120s");
    cluster.does("rollout status deployment/web --timeout=50s");
    let described = cluster.does("describe hpa web");
    for word in [
        "ScalingActive",
        "ValidMetricFound",
        "90% (90m) / 30%",
        "SuccessfulRescale",
    ] {
        assert!(described.contains(word), "{word} in {described}");
    }
}

#[test]
fn requests_for_certificates_are_approved_or_denied() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("nodes-certificate") {
        let request = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "jane");
            let pem = params
                .serialize_request(&KeyPair::generate().unwrap())
                .and_then(|request| request.pem())
                .unwrap();
            let manifest = serde_json::json!({
                "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
                "spec": {"request": STANDARD.encode(pem), "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
            });
            cluster.ok_with(&["create", "-f", "-"], &manifest.to_string());
        };
        request("yes");
        request("no");
        assert!(cluster.does("get csr yes").contains("Pending"));
        assert_eq!(
            cluster.does("certificate approve yes"),
            "certificatesigningrequest.certificates.k8s.io/yes approved\n"
        );
        assert_eq!(
            cluster.does("certificate deny no"),
            "certificatesigningrequest.certificates.k8s.io/no denied\n"
        );
        cluster.does("wait csr/yes --for=jsonpath={.status.certificate} --timeout=50s");
        assert!(cluster.does("get csr yes").contains("Approved,Issued"));
        assert!(cluster.does("get csr no").contains("Denied"));
        assert_eq!(
            cluster.field("csr/no", "/status/certificate"),
            serde_json::Value::Null
        );
        cluster.does("delete csr yes no");
    }
}

#[test]
fn pods_and_nodes_are_debugged() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("nodes-debug");
    cluster.does("run one --image=nginx");
    cluster.does("wait pod/one --for=condition=Ready --timeout=50s");
    cluster.does("debug one --image=busybox -c looker --profile=general -- sleep 1d");
    let looker = "/spec/ephemeralContainers/0/name";
    assert_eq!(cluster.field("pod/one", looker), "looker");
    cluster.does("wait pod/one --for=jsonpath={.status.ephemeralContainerStatuses[0].state.running} --timeout=50s");
    assert_eq!(cluster.does("exec one -c looker -- hostname"), "one\n");
    cluster.does("debug one --image=busybox --copy-to=copy --profile=general -- sleep 1d");
    assert_eq!(
        cluster.field("pod/copy", "/spec/containers/0/image"),
        "nginx"
    );
    let node = worker(&cluster, 1);
    let said = cluster.does(&format!(
        "debug node/{node} --image=busybox --profile=general -- sleep 1d"
    ));
    assert!(
        said.starts_with("Creating debugging pod node-debugger-"),
        "{said}"
    );
    let debugger = said.split_whitespace().nth(3).unwrap();
    assert_eq!(
        cluster.field(&format!("pod/{debugger}"), "/spec/nodeName"),
        node.as_str()
    );
}

#[test]
fn a_cluster_is_dumped() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("nodes-dump") {
        cluster.does("create configmap a");
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().to_str().unwrap();
        cluster.does(&format!(
            "cluster-info dump --namespaces=nodes-dump --output-directory={to}"
        ));
        let nodes = std::fs::read_to_string(folder.path().join("nodes.json")).unwrap();
        assert!(nodes.contains("\"kind\": \"NodeList\""), "{nodes}");
        assert!(folder.path().join("nodes-dump/pods.json").exists());
    }
}
