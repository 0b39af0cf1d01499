//! Worlds of a MachineHealthCheck: what is planned, and what is shown.

use std::sync::Arc;

use api::cluster::{Machine, MachineHealthCheck};
use expect_test::{Expect, expect};

use super::{MachineHealthCheckController, World, is_ours};
use crate::testing::{layers, show};

const BASE: &str = "
check:
  metadata: {name: workers, namespace: acme, uid: h1, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]}
  spec:
    clusterName: hello
    selector: {matchLabels: {pool: a}}
    checks:
      nodeStartupTimeoutSeconds: 600
      unhealthyNodeConditions: [{type: Ready, status: Unknown, timeoutSeconds: 300}, {type: Ready, status: 'False', timeoutSeconds: 300}]
cluster:
  metadata: {name: hello, namespace: acme, uid: c1}
  spec: {}
  status:
    conditions:
      - {type: InfrastructureReady, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}
      - {type: ControlPlaneInitialized, status: 'True', reason: Initialized, message: '', lastTransitionTime: '2026-01-01T00:10:00Z'}
link: Up
nodes: {}
";

/// A machine with a node of its name.
fn machine(name: &str, more: &str) -> String {
    let base = format!(
        "
metadata: {{name: {name}, namespace: acme, uid: u-{name}, creationTimestamp: '2026-01-01T01:00:00Z', labels: {{pool: a}}}}
spec: {{clusterName: hello, bootstrap: {{}}, infrastructureRef: {{apiGroup: i, kind: I, name: {name}}}}}
status: {{nodeRef: {{name: {name}}}}}
"
    );
    let merged: serde_json::Value = crate::testing::world(&base, more);
    merged.to_string()
}

fn machines(list: &[String]) -> String {
    format!("machines: [{}]", list.join(", "))
}

/// A node whose `Ready` condition has had this status since then.
fn node(name: &str, status: &str, since: &str) -> String {
    format!(
        "{name}: {{metadata: {{name: {name}}}, status: {{conditions: [{{type: Ready, status: '{status}', lastTransitionTime: '{since}'}}]}}}}"
    )
}

fn nodes(list: &[String]) -> String {
    format!("nodes: {{{}}}", list.join(", "))
}

const LONG_AGO: &str = "2026-01-01T02:00:00Z";

fn well(name: &str) -> String {
    node(name, "True", LONG_AGO)
}

fn check(overrides: &[&str], expect: &Expect) {
    let world = layers::<World>(BASE, overrides);
    expect.assert_eq(&show::<MachineHealthCheckController>(&world));
}

#[test]
fn a_machine_whose_node_is_ready_is_healthy() {
    let said = "{status: {conditions: [{type: HealthCheckSucceeded, status: 'True', reason: HealthCheckSucceeded, message: '', lastTransitionTime: '2026-01-01T02:00:00Z'}]}}";
    let all = machines(&[machine("b", said), machine("a", "{}")]);
    check(
        &[&all, &nodes(&[well("a"), well("b")])],
        &expect![[r#"
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-01T02:00:00Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
        RemediationAllowed=True RemediationAllowed
        Paused=False NotPaused
        currentHealthy: 2
        expectedMachines: 2
        remediationsAllowed: 2
        targets:
        - a
        - b
    "#]],
    );
}

#[test]
fn a_node_that_is_not_ready_for_too_long_is_a_reason() {
    let all = machines(&[machine("a", "{}"), machine("b", "{}")]);
    let gone = node("b", "Unknown", "2026-01-02T02:59:05Z");
    check(
        &[&all, &nodes(&[well("a"), gone])],
        &expect![[r#"
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: condition Ready of Node b is Unknown for more than 5m","reason":"UnhealthyNode","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for the owner of the machine to replace it","reason":"WaitingForRemediation","status":"False","type":"OwnerRemediated"}]}
            warn Machine b: MachineMarkedUnhealthy: Machine b is unhealthy: condition Ready of Node b is Unknown for more than 5m
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 1
            expectedMachines: 2
            remediationsAllowed: 1
            targets:
            - a
            - b
        "#]],
    );
    // A second less.
    let soon = node("b", "Unknown", "2026-01-02T02:59:06Z");
    check(
        &[&all, &nodes(&[well("a"), soon])],
        &expect![[r#"
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
            again in 2s
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 1
            expectedMachines: 2
            remediationsAllowed: 1
            targets:
            - a
            - b
        "#]],
    );
}

#[test]
fn what_the_owner_has_answered_stays_and_goes_with_health() {
    let said = "{status: {conditions: [
        {type: HealthCheckSucceeded, status: 'False', reason: UnhealthyNode, message: old, lastTransitionTime: '2026-01-02T03:00:00Z'},
        {type: OwnerRemediated, status: 'False', reason: RemediationDeferred, message: later, lastTransitionTime: '2026-01-02T03:00:00Z'}]}}";
    let all = machines(&[machine("a", said)]);
    check(
        &[&all, &nodes(&[node("a", "False", LONG_AGO)])],
        &expect![[r#"
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Health check failed: condition Ready of Node a is False for more than 5m","reason":"UnhealthyNode","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"later","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 0
            expectedMachines: 1
            remediationsAllowed: 0
            targets:
            - a
        "#]],
    );
    check(
        &[&all, &nodes(&[well("a")])],
        &expect![[r#"
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
        RemediationAllowed=True RemediationAllowed
        Paused=False NotPaused
        currentHealthy: 1
        expectedMachines: 1
        remediationsAllowed: 1
        targets:
        - a
    "#]],
    );
}

#[test]
fn a_machine_without_a_node_has_time_from_when_all_it_needs_is_there() {
    let starting = "{status: {nodeRef: null, conditions: [{type: InfrastructureReady, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-02T03:00:00Z'}]}}";
    check(
        &[&machines(&[machine("a", starting)])],
        &expect![[r#"
            again in 356s
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 0
            expectedMachines: 1
            remediationsAllowed: 0
            targets:
            - a
        "#]],
    );
    check(
        &[&machines(&[machine("a", "{status: {nodeRef: null}}")])],
        &expect![[r#"
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: no Node came within 10m","reason":"NodeStartupTimeout","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for the owner of the machine to replace it","reason":"WaitingForRemediation","status":"False","type":"OwnerRemediated"}]}
            warn Machine a: MachineMarkedUnhealthy: Machine a is unhealthy: no Node came within 10m
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 0
            expectedMachines: 1
            remediationsAllowed: 0
            targets:
            - a
        "#]],
    );
    let unlimited = "check: {spec: {checks: {nodeStartupTimeoutSeconds: 0}}}";
    let never = machines(&[machine("a", "{status: {nodeRef: null}}")]);
    check(
        &[&never, unlimited],
        &expect![[r#"
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 0
            expectedMachines: 1
            remediationsAllowed: 0
            targets:
            - a
        "#]],
    );
    // Workers cannot come up before there is a control plane.
    let early = "cluster: {status: {conditions: [{type: InfrastructureReady, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}}";
    check(
        &[&never, early],
        &expect![[r#"
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 0
            expectedMachines: 1
            remediationsAllowed: 0
            targets:
            - a
        "#]],
    );
}

#[test]
fn other_reasons() {
    let all = machines(&[
        machine(
            "annotated",
            "{metadata: {annotations: {cluster.x-k8s.io/remediate-machine: ''}}}",
        ),
        machine(
            "conditioned",
            "{status: {conditions: [{type: DiskFull, status: 'True', reason: Full, message: '', lastTransitionTime: '2026-01-02T03:00:00Z'}]}}",
        ),
        machine(
            "deleting",
            "{metadata: {deletionTimestamp: '2026-01-02T03:00:00Z'}}",
        ),
        machine("lost", "{}"),
    ]);
    let checks = "check: {spec: {checks: {unhealthyMachineConditions: [{type: DiskFull, status: 'True', timeoutSeconds: 60}]}}}";
    check(
        &[&all, checks],
        &expect![[r#"
            apply status of Machine acme/annotated {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: it has the annotation cluster.x-k8s.io/remediate-machine","reason":"HasRemediateAnnotation","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for the owner of the machine to replace it","reason":"WaitingForRemediation","status":"False","type":"OwnerRemediated"}]}
            apply status of Machine acme/conditioned {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: condition DiskFull is True for more than 1m","reason":"UnhealthyMachine","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for the owner of the machine to replace it","reason":"WaitingForRemediation","status":"False","type":"OwnerRemediated"}]}
            apply status of Machine acme/lost {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: Node lost has been deleted","reason":"NodeDeleted","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for the owner of the machine to replace it","reason":"WaitingForRemediation","status":"False","type":"OwnerRemediated"}]}
            warn Machine annotated: MachineMarkedUnhealthy: Machine annotated is unhealthy: it has the annotation cluster.x-k8s.io/remediate-machine
            warn Machine conditioned: MachineMarkedUnhealthy: Machine conditioned is unhealthy: condition DiskFull is True for more than 1m
            warn Machine lost: MachineMarkedUnhealthy: Machine lost is unhealthy: Node lost has been deleted
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 0
            expectedMachines: 4
            remediationsAllowed: 0
            targets:
            - annotated
            - conditioned
            - deleting
            - lost
        "#]],
    );
}

#[test]
fn too_many_unhealthy_machines_are_left_alone() {
    let all = machines(&[machine("a", "{}"), machine("b", "{}"), machine("c", "{}")]);
    let limit = |limit: &str| format!("check: {{spec: {{remediation: {{triggerIf: {limit}}}}}}}");
    let one = nodes(&[well("a"), well("b")]);
    check(
        &[&all, &one, &limit("{unhealthyLessThanOrEqualTo: 30%}")],
        &expect![[r#"
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
            apply status of Machine acme/c {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: Node c has been deleted","reason":"NodeDeleted","status":"False","type":"HealthCheckSucceeded"}]}
            warn RemediationRestricted: Remediation is not allowed: 1 of 3 machines are not healthy, it is done for 0 at most
            RemediationAllowed=False TooManyUnhealthy Remediation is not allowed: 1 of 3 machines are not healthy, it is done for 0 at most
            Paused=False NotPaused
            currentHealthy: 2
            expectedMachines: 3
            remediationsAllowed: 0
            targets:
            - a
            - b
            - c
        "#]],
    );
    let world = |limits: &str| layers::<World>(BASE, &[&all, &one, &limit(limits)]);
    let allowed = |limits: &str| {
        let world = world(limits);
        let findings = super::plan::Findings::of(&world, crate::testing::now());
        (findings.is_allowed(), findings.left())
    };
    assert_eq!(allowed("{unhealthyLessThanOrEqualTo: 40%}"), (true, 0));
    assert_eq!(allowed("{unhealthyLessThanOrEqualTo: 2}"), (true, 1));
    assert_eq!(allowed("{unhealthyLessThanOrEqualTo: 0}"), (false, 0));
    assert_eq!(allowed("{unhealthyInRange: '[1-2]'}"), (true, 1));
    assert_eq!(allowed("{unhealthyInRange: '[2-3]'}"), (false, 0));
    let both = "{unhealthyInRange: '[1-1]', unhealthyLessThanOrEqualTo: 0}";
    assert_eq!(allowed(both), (true, 0));
}

#[test]
fn somebody_else_may_heal_machines() {
    let all = machines(&[machine("a", "{}"), machine("b", "{}")]);
    let by = "check: {spec: {remediation: {templateRef: {apiVersion: heal.example.com/v1, kind: RebootTemplate, name: reboot}}}}";
    let layers = [&*all, &nodes(&[well("b")]), by];
    check(
        &layers,
        &expect![[r#"
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: Node a has been deleted","reason":"NodeDeleted","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"RebootTemplate reboot does not exist","reason":"RemediationTemplateNotFound","status":"False","type":"ExternallyRemediated"}]}
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
            warn Machine a: MachineMarkedUnhealthy: Machine a is unhealthy: Node a has been deleted
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 1
            expectedMachines: 2
            remediationsAllowed: 1
            targets:
            - a
            - b
        "#]],
    );
    let template = "template: {apiVersion: heal.example.com/v1, kind: RebootTemplate, metadata: {name: reboot, namespace: acme}, spec: {template: {spec: {hard: true}}}}";
    let request = "requests: {b: {apiVersion: heal.example.com/v1, kind: Reboot, metadata: {name: b, namespace: acme, uid: r1, annotations: {cluster.x-k8s.io/cloned-from-name: reboot}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: b, uid: u-b}]}}}";
    // An object of its name that nobody made for this is left alone.
    let other = "requests: {b: {apiVersion: heal.example.com/v1, kind: Reboot, metadata: {name: b, namespace: acme, uid: r1}}}";
    check(
        &[layers[0], layers[1], by, template, other],
        &expect![[r#"
        create Reboot acme/a
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: Node a has been deleted","reason":"NodeDeleted","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for Reboot a to heal the machine","reason":"WaitingForRemediation","status":"False","type":"ExternallyRemediated"}]}
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
        warn Machine a: MachineMarkedUnhealthy: Machine a is unhealthy: Node a has been deleted
        RemediationAllowed=True RemediationAllowed
        Paused=False NotPaused
        currentHealthy: 1
        expectedMachines: 2
        remediationsAllowed: 1
        targets:
        - a
        - b
    "#]],
    );
    check(
        &[layers[0], layers[1], by, template, request],
        &expect![[r#"
            create Reboot acme/a
            apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Health check failed: Node a has been deleted","reason":"NodeDeleted","status":"False","type":"HealthCheckSucceeded"},{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Waiting for Reboot a to heal the machine","reason":"WaitingForRemediation","status":"False","type":"ExternallyRemediated"}]}
            delete Reboot acme/b
            apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"HealthCheckSucceeded","status":"True","type":"HealthCheckSucceeded"}]}
            warn Machine a: MachineMarkedUnhealthy: Machine a is unhealthy: Node a has been deleted
            RemediationAllowed=True RemediationAllowed
            Paused=False NotPaused
            currentHealthy: 1
            expectedMachines: 2
            remediationsAllowed: 1
            targets:
            - a
            - b
        "#]],
    );
}

#[test]
fn nothing_is_said_of_nodes_that_cannot_be_seen() {
    let all = machines(&[machine("a", "{}")]);
    let down = "link: {Down: {since: '2026-01-02T03:00:00Z', message: connection refused}}";
    check(
        &[&all, down],
        &expect![[r#"
        wait ConnectionDown: Connection down since 2026-01-02T03:00:00Z: connection refused
        RemediationAllowed=Unknown ConnectionDown Connection down since 2026-01-02T03:00:00Z: connection refused
        Paused=False NotPaused
    "#]],
    );
    // What was found before stays, but not that it was found for what is wanted now.
    let before = "check: {status: {expectedMachines: 1, currentHealthy: 1, observedGeneration: 1}}";
    check(
        &[&all, down, before],
        &expect![[r#"
        wait ConnectionDown: Connection down since 2026-01-02T03:00:00Z: connection refused
        RemediationAllowed=Unknown ConnectionDown Connection down since 2026-01-02T03:00:00Z: connection refused
        Paused=False NotPaused
        currentHealthy: 1
        expectedMachines: 1
    "#]],
    );
    check(
        &[&all, "cluster: null"],
        &expect![[r#"
        wait ObjectDoesNotExist: Cluster hello does not exist
        RemediationAllowed=Unknown ObjectDoesNotExist Cluster hello does not exist
        Paused=False NotPaused
    "#]],
    );
    check(
        &[&all, "cluster: {spec: {paused: true}}"],
        &expect![[r#"
        wait Paused: Reconciliation is paused
        Paused=True Paused
    "#]],
    );
}

#[test]
fn of_several_checks_the_first_by_name_judges_a_machine() {
    let check = |name: &str, cluster: &str, pool: &str| -> Arc<MachineHealthCheck> {
        let text = format!(
            "{{metadata: {{name: {name}}}, spec: {{clusterName: {cluster}, selector: {{matchLabels: {{pool: {pool}}}}}}}}}"
        );
        Arc::new(serde_saphyr::from_str(&text).unwrap())
    };
    let machine: Machine = serde_json::from_str(&machine("m", "{}")).unwrap();
    let own = check("m", "hello", "a");
    let ours = |other: Arc<MachineHealthCheck>| is_ours(&own, &[own.clone(), other], &machine);
    assert!(!ours(check("l", "hello", "a")));
    assert!(ours(check("x", "hello", "a")));
    assert!(ours(check("l", "hello", "b")), "it selects others");
    assert!(ours(check("l", "other", "a")), "it is for another cluster");
}
