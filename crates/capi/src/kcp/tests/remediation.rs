//! Which machines of a control plane are replaced because they are unhealthy.

use expect_test::{Expect, expect};

use super::super::{KubeadmControlPlaneController, plan};
use super::{certified, etcd, machine, machines};
use crate::testing::{now, show};

/// A machine of which a health check says that it is to be replaced.
fn sick(name: &str, more: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(&machine(name, more)).unwrap();
    let conditions = value["status"]["conditions"].as_array_mut().unwrap();
    for condition in conditions.iter_mut() {
        if condition["type"] == "EtcdMemberHealthy" || condition["type"] == "EtcdPodHealthy" {
            condition["status"] = "False".into();
        }
    }
    for (type_, reason) in [
        ("HealthCheckSucceeded", "UnhealthyNode"),
        ("OwnerRemediated", "WaitingForRemediation"),
    ] {
        conditions.push(serde_json::json!({
            "type": type_, "status": "False", "reason": reason, "message": "m", "lastTransitionTime": "2026-01-02T03:00:00Z",
        }));
    }
    value.to_string()
}

/// What is planned beyond keeping machines as they are.
fn check_remediation(overrides: &[&str], expect: &Expect) {
    let plan = plan::plan(&certified(overrides), now()).to_string();
    let lines = plan
        .lines()
        .filter(|line| !line.starts_with("apply Machine"));
    expect.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

const THREE: &str = "control_plane: {spec: {replicas: 3}}";

/// The cluster is set up, with the members of etcd still to be said.
const SET_UP: &str = "{link: Up, workload: {configuration: {apiVersion: kubeadm.k8s.io/v1beta4, kubernetesVersion: v1.36.0}, kube_proxy_image: 'registry.k8s.io/kube-proxy:v1.36.0'}}";

#[test]
fn an_unhealthy_machine_is_replaced_if_the_others_have_a_majority() {
    let members = etcd(&["a", "b", "c"]);
    let one = machines(&[machine("a", "{}"), sick("b", "{}"), machine("c", "{}")]);
    check_remediation(
        &[SET_UP, THREE, &members, &one],
        &expect![[r#"
            patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":"{\"machine\":\"b\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"retryCount\":0}"}}}
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
            delete Machine acme/b
            note SuccessfulDelete: Deleted machine b because it is unhealthy
        "#]],
    );
    // The one after it has to wait, and both if there is no majority without it.
    let two = machines(&[machine("a", "{}"), sick("b", "{}"), sick("c", "{}")]);
    check_remediation(
        &[SET_UP, THREE, &members, &two],
        &expect![[r#"
        apply status of Machine acme/c {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for Machine b to be replaced first","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Without Machine b etcd would have no healthy majority","reason":"CannotBeRemediated","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]],
    );
    let five = etcd(&["a", "b", "c", "d", "e"]);
    let of_five = machines(&[
        machine("a", "{}"),
        sick("b", "{}"),
        sick(
            "c",
            "{metadata: {annotations: {cluster.x-k8s.io/remediate-machine: ''}}}",
        ),
        machine("d", "{}"),
        machine("e", "{}"),
    ]);
    let all = [
        SET_UP,
        "control_plane: {spec: {replicas: 5}}",
        &five,
        &of_five,
    ];
    check_remediation(
        &all,
        &expect![[r#"
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for Machine c to be replaced first","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
            patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":"{\"machine\":\"c\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"retryCount\":0}"}}}
            apply status of Machine acme/c {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
            delete Machine acme/c
            note SuccessfulDelete: Deleted machine c because it is unhealthy
        "#]],
    );
}

#[test]
fn why_a_machine_of_the_control_plane_is_not_replaced_yet() {
    let members = etcd(&["a", "b", "c"]);
    let with = |third: String| machines(&[machine("a", "{}"), sick("b", "{}"), third]);
    let base = [SET_UP, THREE, &members];
    let deleting = with(machine(
        "c",
        "{metadata: {deletionTimestamp: '2026-01-02T03:00:00Z'}}",
    ));
    check_remediation(
        &[base[0], base[1], base[2], &deleting],
        &expect![[r#"
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for the deletion of Machine c","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]],
    );
    let coming = with(machine("c", "{status: {nodeRef: null}}"));
    check_remediation(
        &[base[0], base[1], base[2], &coming],
        &expect![[r#"
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for Machine c to come up","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]],
    );
    let well = with(machine("c", "{}"));
    let blind = "workload: {etcd: null}";
    check_remediation(
        &[base[0], base[1], base[2], &well, blind],
        &expect![[r#"
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for the list of etcd members to be readable","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]],
    );
    let alone = machines(&[sick("a", "{}")]);
    check_remediation(
        &[SET_UP, &alone, &etcd(&["a"])],
        &expect![[r#"
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The only machine of a control plane cannot be replaced: the cluster is in it","reason":"CannotBeRemediated","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]],
    );
}

const RECORD: &str = r#"{"machine":"x","timestamp":"2026-01-02T03:00:00Z","retryCount":1}"#;

#[test]
fn a_replacement_is_remembered_until_the_new_machine_is_there() {
    let members = etcd(&["a", "c"]);
    let begun = format!(
        "control_plane: {{metadata: {{annotations: {{controlplane.cluster.x-k8s.io/remediation-in-progress: '{RECORD}'}}}}}}"
    );
    let two = machines(&[machine("a", "{}"), machine("c", "{}")]);
    let world = certified(&[SET_UP, THREE, &members, &begun, &two]);
    let plan = plan::plan(&world, now());
    let made = plan.changes.iter().find_map(|change| match change {
        runtime::Change::Create(machine) if machine.types.as_ref().unwrap().kind == "Machine" => {
            machine.metadata.annotations.clone()
        }
        _ => None,
    });
    let key = "controlplane.cluster.x-k8s.io/remediation-for";
    assert_eq!(made.unwrap()[key], RECORD);
    let new =
        format!("{{metadata: {{annotations: {{{key}: '{RECORD}'}}}}, status: {{nodeRef: null}}}}");
    let three = machines(&[machine("a", "{}"), machine("c", "{}"), machine("d", &new)]);
    check_remediation(
        &[SET_UP, THREE, &members, &begun, &three],
        &expect![[r#"
        patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":null}}}
    "#]],
    );
    let shown =
        show::<KubeadmControlPlaneController>(&certified(&[SET_UP, THREE, &members, &three]));
    let last = shown
        .lines()
        .skip_while(|line| *line != "lastRemediation:")
        .take(4);
    expect![[r#"
        lastRemediation:
          machine: x
          retryCount: 1
          time: "2026-01-02T03:00:00Z""#]]
    .assert_eq(&last.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_machine_that_fails_soon_after_it_replaced_another_is_a_retry() {
    let members = etcd(&["a", "b", "c"]);
    let again = format!(
        "{{metadata: {{annotations: {{controlplane.cluster.x-k8s.io/remediation-for: '{RECORD}'}}}}}}"
    );
    let three = machines(&[machine("a", "{}"), sick("b", &again), machine("c", "{}")]);
    let told = |limits: &str| {
        let limits = format!("control_plane: {{spec: {{remediation: {limits}}}}}");
        let world = certified(&[SET_UP, THREE, &members, &three, &limits]);
        let plan = plan::plan(&world, now()).to_string();
        let lines = plan
            .lines()
            .filter(|line| !line.starts_with("apply Machine"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    expect![[r#"
        patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":"{\"machine\":\"b\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"retryCount\":2}"}}}
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/b
        note SuccessfulDelete: Deleted machine b because it is unhealthy
    "#]].assert_eq(&told("{maxRetry: 5}"));
    expect![[r#"
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Replacing Machine x has been tried again 1 times, and spec.remediation.maxRetry allows 1","reason":"CannotBeRemediated","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]].assert_eq(&told("{maxRetry: 1}"));
    expect![[r#"
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Machine b took the place of x: the next try is not before 2026-01-02T03:05:00Z, by spec.remediation.retryPeriodSeconds","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        again in 55s
    "#]].assert_eq(&told("{retryPeriodSeconds: 300}"));
    expect![[r#"
        patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":"{\"machine\":\"b\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"retryCount\":0}"}}}
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/b
        note SuccessfulDelete: Deleted machine b because it is unhealthy
    "#]].assert_eq(&told("{maxRetry: 1, minHealthyPeriodSeconds: 60}"));
}

#[test]
fn what_was_written_down_and_not_done_is_done() {
    let members = etcd(&["a", "b", "c"]);
    let begun = format!(
        "control_plane: {{metadata: {{annotations: {{controlplane.cluster.x-k8s.io/remediation-in-progress: '{}'}}}}}}",
        RECORD.replace("\"x\"", "\"b\"")
    );
    let three = |b: String| machines(&[machine("a", "{}"), b, machine("c", "{}")]);
    let base = [SET_UP, THREE, &members, &begun];
    let sick = three(sick("b", "{}"));
    check_remediation(
        &[base[0], base[1], base[2], base[3], &sick],
        &expect![[r#"
            patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":"{\"machine\":\"b\",\"timestamp\":\"2026-01-02T03:00:00Z\",\"retryCount\":1}"}}}
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
            delete Machine acme/b
            note SuccessfulDelete: Deleted machine b because it is unhealthy
        "#]],
    );
    // It is well again.
    let well = three(machine("b", "{}"));
    check_remediation(
        &[base[0], base[1], base[2], base[3], &well],
        &expect![[r#"
        patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":null}}}
    "#]],
    );
}

#[test]
fn what_has_no_majority_is_not_made_smaller() {
    let four = etcd(&["a", "b", "c", "d"]);
    let machines = machines(&[
        machine("a", "{}"),
        machine("b", "{}"),
        sick("c", "{}"),
        sick("d", "{}"),
    ]);
    check_remediation(
        &[SET_UP, THREE, &four, &machines],
        &expect![[r#"
            apply status of Machine acme/d {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for Machine c to be replaced first","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
            apply status of Machine acme/c {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Without Machine c etcd would have no healthy majority","reason":"CannotBeRemediated","status":"False","type":"OwnerRemediated"}]}
            wait ControlPlaneUnhealthy: * Machine d: EtcdPodHealthy, EtcdMemberHealthy not true
            again in 15s
        "#]],
    );
    let learning = "workload: {etcd: {e: {id: a, peerURL: x, isLearner: true}}}";
    let four = [
        machine("a", "{}"),
        sick("b", "{}"),
        machine("c", "{}"),
        machine("e", "{}"),
    ];
    let three = super::machines(&four);
    let members = etcd(&["a", "b", "c"]);
    check_remediation(
        &[SET_UP, THREE, &members, &three, learning],
        &expect![[r#"
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting for a member of etcd that is still learning","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
            delete Machine acme/b
            note SuccessfulDelete: Deleted machine b
            again in 15s
        "#]],
    );
}

#[test]
fn only_one_machine_takes_the_place() {
    let key = "controlplane.cluster.x-k8s.io/remediation-for";
    let begun = format!(
        "control_plane: {{spec: {{replicas: 5}}, metadata: {{annotations: {{controlplane.cluster.x-k8s.io/remediation-in-progress: '{RECORD}'}}}}}}"
    );
    let new =
        format!("{{metadata: {{annotations: {{{key}: '{RECORD}'}}}}, status: {{nodeRef: null}}}}");
    let three = machines(&[machine("a", "{}"), machine("c", "{}"), machine("d", &new)]);
    // Five are wanted by now: the next ones come as others do, when all are well.
    let members = etcd(&["a", "c"]);
    check_remediation(
        &[SET_UP, &begun, &members, &three],
        &expect![[r#"
        patch KubeadmControlPlane acme/hello {"metadata":{"annotations":{"controlplane.cluster.x-k8s.io/remediation-in-progress":null}}}
        wait ControlPlaneUnhealthy: * Machine d: no node yet
        again in 15s
    "#]],
    );
}

#[test]
fn a_member_that_never_learns_is_replaced() {
    let members = "workload: {etcd: {a: {id: a, peerURL: x}, b: {id: b, peerURL: x}, c: {id: c, peerURL: x, isLearner: true}}}";
    let three = machines(&[machine("a", "{}"), machine("b", "{}"), sick("c", "{}")]);
    let plan = plan::plan(&certified(&[SET_UP, THREE, members, &three]), now()).to_string();
    assert!(plan.contains("delete Machine acme/c\n"), "{plan}");
}

/// What is done about the last of `count` machines, which is sick, while `more` others are.
fn outcome(count: usize, more: usize, external: bool) -> &'static str {
    let names: Vec<String> = (0..count).map(|i| format!("m{i}")).collect();
    let is_sick = |i: usize| i + more + 1 >= count;
    let all: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            if is_sick(i) {
                sick(name, "{}")
            } else {
                machine(name, "{}")
            }
        })
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let elsewhere = "control_plane: {spec: {kubeadmConfigSpec: {clusterConfiguration: {etcd: {external: {endpoints: [e], caFile: a, certFile: b, keyFile: c}}}}}}";
    let wanted = format!("control_plane: {{spec: {{replicas: {count}}}}}");
    let layers = [
        SET_UP,
        &wanted,
        &etcd(&names),
        &machines(&all),
        if external { elsewhere } else { "{}" },
    ];
    let plan = plan::plan(&certified(&layers), now()).to_string();
    let deleted = plan
        .lines()
        .filter(|line| line.starts_with("delete Machine"))
        .count();
    assert!(deleted <= 1, "{plan}");
    if deleted == 1 {
        "yes"
    } else if plan.contains("CannotBeRemediated") {
        "no"
    } else {
        "later"
    }
}

#[test]
fn one_machine_is_replaced_as_long_as_the_rest_decides() {
    let mut table = String::from("machines sick | etcd on them | elsewhere\n");
    for count in [1, 2, 3, 4, 5, 7] {
        for more in 0..count {
            let (own, elsewhere) = (outcome(count, more, false), outcome(count, more, true));
            table += &format!("{count} {} | {own} | {elsewhere}\n", more + 1);
        }
    }
    expect![[r#"
        machines sick | etcd on them | elsewhere
        1 1 | no | no
        2 1 | no | yes
        2 2 | no | yes
        3 1 | yes | yes
        3 2 | no | yes
        3 3 | no | yes
        4 1 | yes | yes
        4 2 | no | yes
        4 3 | no | yes
        4 4 | no | yes
        5 1 | yes | yes
        5 2 | yes | yes
        5 3 | no | yes
        5 4 | no | yes
        5 5 | no | yes
        7 1 | yes | yes
        7 2 | yes | yes
        7 3 | yes | yes
        7 4 | no | yes
        7 5 | no | yes
        7 6 | no | yes
        7 7 | no | yes
    "#]]
    .assert_eq(&table);
}
