//! What a node takes, and what it gives.

use expect_test::expect;

use super::nodes::spec;
use super::*;

fn asking(name: &str, requests: Value) -> Pod {
    let container = json!({"name": "c", "image": "i", "resources": {"requests": requests}});
    let pod = json!({"metadata": {"name": name}, "spec": {"containers": [container]}});
    serde_json::from_value(pod).unwrap()
}

fn refused(pod: &Pod, others: &[&Pod]) -> String {
    let node = serde_json::from_value(node::object(&spec(), start())).unwrap();
    match admit::against(&spec(), &node, pod, others) {
        Some((reason, message)) => format!("{reason}: {message}"),
        None => String::new(),
    }
}

#[test]
fn a_node_refuses_what_it_has_no_room_for() {
    let one = asking("one", json!({"cpu": "1500m", "memory": "1Gi"}));
    assert_eq!(refused(&one, &[]), "");
    expect!["OutOfcpu: Node didn't have enough resource: cpu, requested: 1500, used: 1500, capacity: 2000"].assert_eq(&refused(&one, &[&one]));
    let large = asking("large", json!({"memory": "3500Mi"}));
    expect!["OutOfmemory: Node didn't have enough resource: memory, requested: 3670016000, used: 1073741824, capacity: 4294967296"].assert_eq(&refused(&large, &[&one]));
    let small = asking("small", json!({}));
    let many = vec![&small; 110];
    expect![
        "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 110, capacity: 110"
    ]
    .assert_eq(&refused(&small, &many));
}

#[test]
fn a_node_refuses_what_does_not_belong_there() {
    let mut elsewhere = asking("p", json!({}));
    let selector = [("kubernetes.io/hostname".to_owned(), "n2".to_owned())];
    elsewhere.spec.as_mut().unwrap().node_selector = Some(selector.into());
    expect!["NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"].assert_eq(&refused(&elsewhere, &[]));
    let mut port = asking("p", json!({}));
    let ports = json!([{"containerPort": 80, "hostPort": 8080}]);
    port.spec.as_mut().unwrap().containers[0].ports = serde_json::from_value(ports).unwrap();
    assert_eq!(refused(&port, &[]), "");
    expect!["NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"].assert_eq(&refused(&port, &[&port]));
}

/// A running pod whose spec asks for other resources than it has, beside others.
fn resized(requests: Value, policy: &str, others: &[&Pod]) -> String {
    let mut pod = asking("p", json!({"cpu": "500m", "memory": "1Gi"}));
    pod.metadata.uid = Some("u1".into());
    pod.metadata.generation = Some(1);
    let mut memory = Memory::default();
    go(&mut pod, &mut memory, start());
    pod.metadata.generation = Some(2);
    let container = &mut pod.spec.as_mut().unwrap().containers[0];
    let policies = json!([{"resourceName": "memory", "restartPolicy": policy}]);
    container.resize_policy = serde_json::from_value(policies).unwrap();
    container.resources.as_mut().unwrap().requests = serde_json::from_value(requests).unwrap();
    let later = start() + SignedDuration::from_secs(60);
    let mut text = String::new();
    for _ in 0..2 {
        let resize = Resize::of(&pod, || Room::of(&spec(), others.iter().copied()));
        let step = look_at(&pod, &memory, later, &Missing::default(), &resize);
        for event in resize.events {
            writeln!(text, "{} {}", event.reason, event.message).unwrap();
        }
        text += &told(&step);
        memory = step.memory;
        if let Some(status) = step.status {
            merge_status(&mut pod, status);
        }
    }
    let status = json!(pod.status);
    let container = &status["containerStatuses"][0];
    writeln!(
        text,
        "{} {} {}x",
        container["allocatedResources"], container["resources"], container["restartCount"]
    )
    .unwrap();
    if let Some(pending) = conditions::known(&pod, "PodResizePending") {
        writeln!(text, "{}", json!(pending)).unwrap();
    }
    text
}

#[test]
fn a_resize_is_done_in_place_if_there_is_room() {
    let other = asking("other", json!({"cpu": "1"}));
    let wanted = json!({"cpu": "800m", "memory": "2Gi"});
    expect![[r#"
        ResizeStarted Pod resize started: {"containers":[{"name":"c","resources":{"requests":{"cpu":"800m","memory":"2Gi"}}}],"generation":2}
        ResizeCompleted Pod resize completed: {"containers":[{"name":"c","resources":{"requests":{"cpu":"800m","memory":"2Gi"}}}],"generation":2}
        {"cpu":"800m","memory":"2Gi"} {"requests":{"cpu":"800m","memory":"2Gi"}} 0x
    "#]].assert_eq(&resized(wanted.clone(), "NotRequired", &[&other]));
    expect![[r#"
        ResizeStarted Pod resize started: {"containers":[{"name":"c","resources":{"requests":{"cpu":"800m","memory":"2Gi"}}}],"generation":2}
        ResizeCompleted Pod resize completed: {"containers":[{"name":"c","resources":{"requests":{"cpu":"800m","memory":"2Gi"}}}],"generation":2}
        Normal Killing spec.containers{c}: Container c resize requires restart
        Normal Pulled spec.containers{c}: Container image "i" already present on machine (simulated)
        Normal Created spec.containers{c}: Created container: c (simulated)
        Normal Started spec.containers{c}: Started container c (simulated)
        {"cpu":"800m","memory":"2Gi"} {"requests":{"cpu":"800m","memory":"2Gi"}} 1x
    "#]].assert_eq(&resized(wanted, "RestartContainer", &[&other]));
    let deferred = json!({"cpu": "1500m", "memory": "1Gi"});
    expect![[r#"
        ResizeDeferred Pod resize Deferred: {"containers":[{"name":"c","resources":{"requests":{"cpu":"1500m","memory":"1Gi"}}}],"error":"Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000","generation":2}
        {"cpu":"500m","memory":"1Gi"} {"requests":{"cpu":"500m","memory":"1Gi"}} 0x
        {"lastTransitionTime":"2026-01-01T00:01:00Z","message":"Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000","observedGeneration":2,"reason":"Deferred","status":"True","type":"PodResizePending"}
    "#]].assert_eq(&resized(deferred, "NotRequired", &[&other]));
    let infeasible = json!({"cpu": "3", "memory": "1Gi"});
    expect![[r#"
        ResizeInfeasible Pod resize Infeasible: {"containers":[{"name":"c","resources":{"requests":{"cpu":"3","memory":"1Gi"}}}],"error":"Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000","generation":2}
        {"cpu":"500m","memory":"1Gi"} {"requests":{"cpu":"500m","memory":"1Gi"}} 0x
        {"lastTransitionTime":"2026-01-01T00:01:00Z","message":"Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000","observedGeneration":2,"reason":"Infeasible","status":"True","type":"PodResizePending"}
    "#]].assert_eq(&resized(infeasible, "NotRequired", &[&other]));
}
