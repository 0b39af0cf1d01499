//! Where the scheduler puts pods, and who has to make room for whom.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions, names};

const RESOURCE: &str = "example.com~1fakecpu";
/// The same without the escape that JSON pointers need.
const FAKE: &str = "example.com/fakecpu";

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

fn nodes(suite: &Suite) -> Kind<'_> {
    suite.cluster_wide("v1", "Node", "nodes")
}

/// A pod that does nothing; `more` is added to its spec.
fn pause(name: &str, more: Value) -> Value {
    let mut spec = json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": name, "image": "registry.k8s.io/pause:3.10"}]});
    let more = more.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    json!({"metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
}

/// The same with so much of a resource.
fn asking(mut pod: Value, resource: &str, amount: &str) -> Value {
    let amounts = json!({resource: amount});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": amounts, "limits": amounts});
    pod
}

async fn running(suite: &Suite, name: &str) -> Value {
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    pods(suite).until(name, "it runs", is_running).await
}

/// Waits until the scheduler says that the pod fits nowhere.
async fn unschedulable(suite: &Suite, name: &str) {
    let is_so = |pod: &Value| {
        conditions(pod)
            .get("PodScheduled")
            .is_some_and(|c| c["reason"] == "Unschedulable")
    };
    let pod = pods(suite).until(name, "it fits nowhere", is_so).await;
    assert_eq!(pod["spec"]["nodeName"], Value::Null);
}

async fn label(suite: &Suite, node: &str, key: &str, value: &str) {
    let patch = json!({"metadata": {"labels": {key: value}}});
    nodes(suite).merge(node, patch).await;
}

/// The node has so much of a resource that nobody knows.
async fn add_resource(suite: &Suite, node: &str, amount: &str) {
    let patch = json!([
        {"op": "add", "path": format!("/status/capacity/{RESOURCE}"), "value": amount},
        {"op": "add", "path": format!("/status/allocatable/{RESOURCE}"), "value": amount},
    ]);
    nodes(suite)
        .json_patch(&format!("{node}/status"), patch)
        .await;
}

/// Classes by name and value.
async fn add_classes(suite: &Suite, classes: &[(&str, i32)]) {
    let kind = suite.cluster_wide("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses");
    for (name, value) in classes {
        kind.create(json!({"metadata": {"name": name}, "value": value}))
            .await;
    }
}

const CLASSES: [(&str, i32); 3] = [("low", 1), ("medium", 100), ("high", 1000)];

fn on(node: &str) -> Value {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let terms = json!([{"matchFields": [field]}]);
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
}

#[tokio::test(start_paused = true)]
async fn schedulerpredicates_validates_resource_limits_of_pods_that_are_allowed_to_run() {
    let suite = Suite::with_nodes(2).await;
    // Each node has two cores, and seven tenths of them are taken.
    for node in ["node-1", "node-2"] {
        label(&suite, node, "node", node).await;
        let filler = pause(
            &format!("filler-{node}"),
            json!({"nodeSelector": {"node": node}}),
        );
        pods(&suite).create(asking(filler, "cpu", "1400m")).await;
        let pod = running(&suite, &format!("filler-{node}")).await;
        assert_eq!(pod["spec"]["nodeName"], node);
    }
    let more = asking(pause("additional", json!({})), "cpu", "1");
    pods(&suite).create(more).await;
    unschedulable(&suite, "additional").await;
}

#[tokio::test(start_paused = true)]
async fn schedulerpredicates_validates_that_nodeselector_is_respected_if_not_matching() {
    let suite = Suite::with_nodes(2).await;
    let pod = pause("restricted", json!({"nodeSelector": {"label": "nonempty"}}));
    pods(&suite).create(pod).await;
    unschedulable(&suite, "restricted").await;
    let pod = pods(&suite).get("restricted").await;
    assert_eq!(pod["status"]["phase"], "Pending");
}

#[tokio::test(start_paused = true)]
async fn schedulerpredicates_validates_that_nodeselector_is_respected_if_matching() {
    let suite = Suite::with_nodes(2).await;
    label(&suite, "node-2", "kubernetes.io/e2e", "42").await;
    let pod = pause(
        "with-labels",
        json!({"nodeSelector": {"kubernetes.io/e2e": "42"}}),
    );
    pods(&suite).create(pod).await;
    let pod = running(&suite, "with-labels").await;
    assert_eq!(pod["spec"]["nodeName"], "node-2");
}

#[tokio::test(start_paused = true)]
async fn schedulerpredicates_validates_that_there_exists_conflict_between_pods_with_same_hostport_and_protocol_but_one_using_0_0_0_0_hostip()
 {
    let suite = Suite::with_nodes(2).await;
    label(&suite, "node-1", "kubernetes.io/e2e", "95").await;
    let with_port = |name: &str, ip: &str| {
        let mut pod = pause(name, json!({"nodeSelector": {"kubernetes.io/e2e": "95"}}));
        pod["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 8080, "hostPort": 54322, "protocol": "TCP", "hostIP": ip}]);
        pod
    };
    pods(&suite).create(with_port("pod4", "")).await;
    running(&suite, "pod4").await;
    pods(&suite).create(with_port("pod5", "10.0.0.1")).await;
    unschedulable(&suite, "pod5").await;
}

/// Two pods on each node leave a fifth of it; the first is of low, the others of medium importance.
async fn fill(suite: &Suite) -> Vec<String> {
    add_classes(suite, &CLASSES).await;
    let mut made = vec![];
    for node in ["node-1", "node-2"] {
        add_resource(suite, node, "5").await;
        for at in 0..2 {
            let class = if made.is_empty() { "low" } else { "medium" };
            let name = format!("{node}-{at}-{class}");
            let spec = json!({"priorityClassName": class, "affinity": on(node)});
            let pod = asking(pause(&name, spec), FAKE, "2");
            pods(suite).create(pod).await;
            made.push(name);
        }
    }
    for name in &made {
        running(suite, name).await;
    }
    made
}

/// The first of the pods had to go, and none of the others.
async fn only_the_first_went(suite: &Suite, made: &[String]) {
    let left = names(&pods(suite).list("").await);
    assert!(!left.contains(&made[0]), "{left:?}");
    for name in &made[1..] {
        let pod = pods(suite).get(name).await;
        assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn schedulerpreemption_validates_basic_preemption_works() {
    let suite = Suite::with_nodes(2).await;
    let made = fill(&suite).await;
    let pod = pause("preemptor-pod", json!({"priorityClassName": "high"}));
    pods(&suite).create(asking(pod, FAKE, "2")).await;
    let pod = running(&suite, "preemptor-pod").await;
    assert_eq!(pod["spec"]["nodeName"], "node-1");
    only_the_first_went(&suite, &made).await;
}

#[tokio::test(start_paused = true)]
async fn schedulerpreemption_validates_lower_priority_pod_preemption_by_critical_pod() {
    let suite = Suite::with_nodes(2).await;
    let made = fill(&suite).await;
    let pod = pause(
        "critical-pod",
        json!({"priorityClassName": "system-cluster-critical"}),
    );
    let system = pods(&suite).within("kube-system");
    system.create(asking(pod, FAKE, "2")).await;
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    system.until("critical-pod", "it runs", is_running).await;
    only_the_first_went(&suite, &made).await;
}

#[tokio::test(start_paused = true)]
async fn schedulerpreemption_validates_pod_disruption_condition_is_added_to_the_preempted_pod() {
    let suite = Suite::with_nodes(1).await;
    add_classes(&suite, &CLASSES).await;
    add_resource(&suite, "node-1", "1").await;
    let spec = |class: &str| json!({"priorityClassName": class, "affinity": on("node-1")});
    let mut victim = asking(pause("victim-pod", spec("low")), FAKE, "1");
    victim["metadata"]["finalizers"] = json!(["example.com/test-finalizer"]);
    pods(&suite).create(victim).await;
    running(&suite, "victim-pod").await;
    let preemptor = asking(pause("preemptor-pod", spec("high")), FAKE, "1");
    pods(&suite).create(preemptor).await;
    let is_going = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_string();
    let victim = pods(&suite)
        .until("victim-pod", "it has to go", is_going)
        .await;
    let condition = conditions(&victim)["DisruptionTarget"].clone();
    assert_eq!(condition["status"], "True");
    assert_eq!(condition["reason"], "PreemptionByScheduler");
    let patch = json!({"metadata": {"finalizers": null}});
    pods(&suite).merge("victim-pod", patch).await;
    running(&suite, "preemptor-pod").await;
}

#[tokio::test(start_paused = true)]
async fn schedulerpreemption_preemptionexecutionpath_runs_replicasets_to_verify_preemption_running_path()
 {
    let suite = Suite::with_nodes(2).await;
    add_classes(&suite, &[("p1", 1), ("p2", 2), ("p3", 3), ("p4", 4)]).await;
    add_resource(&suite, "node-1", "1000").await;
    let mut watching = pods(&suite).watch("").await;
    let spec = |class: &str| json!({"priorityClassName": class, "nodeSelector": {"kubernetes.io/hostname": "node-1"}});
    let sets = suite.namespaced("apps/v1", "ReplicaSet", "replicasets");
    for (at, amount) in [(1, "200"), (2, "300"), (3, "450")] {
        let name = format!("pod{at}");
        let template = asking(pause(&name, spec(&format!("p{at}"))), FAKE, amount);
        let template = json!({"metadata": {"labels": {"name": name}}, "spec": template["spec"]});
        let selector = json!({"matchLabels": {"name": name}});
        let spec = json!({"replicas": 1, "selector": selector, "template": template});
        let name = format!("rs-{name}");
        sets.create(json!({"metadata": {"name": name}, "spec": spec}))
            .await;
        let is_available = |set: &Value| set["status"]["availableReplicas"] == 1;
        sets.until(&name, "its pod is available", is_available)
            .await;
    }
    let preemptor = asking(pause("pod4", spec("p4")), FAKE, "500");
    pods(&suite).create(preemptor).await;
    running(&suite, "pod4").await;
    // Those of the first two ReplicaSets had to go once, and wait; the third's stayed.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    pods(&suite).create(pause("last", json!({}))).await;
    let mut seen = [0; 3];
    loop {
        let (event, pod) = watching.next().await;
        let name = pod["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if name == "last" {
            break;
        }
        for (at, count) in seen.iter_mut().enumerate() {
            let is_of_set = name.starts_with(&format!("rs-pod{}-", at + 1));
            *count += u32::from(event == "ADDED" && is_of_set);
        }
    }
    assert_eq!(seen, [2, 2, 1]);
}
