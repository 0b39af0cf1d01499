//! Worlds of a MachineSet: what is planned, and what is shown.

use expect_test::{Expect, expect};

use super::{MachineSetController, World, plan};
use crate::testing::{layers, now, show, world};

mod preflight;

const BASE: &str = "
set:
  metadata: {name: md-0-abcde, namespace: acme, uid: s1, labels: {cluster.x-k8s.io/cluster-name: hello, cluster.x-k8s.io/deployment-name: md-0}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, name: md-0, uid: d1, controller: true}]}
  spec:
    clusterName: hello
    replicas: 2
    selector: {matchLabels: {machine-template-hash: h}}
    template:
      metadata: {labels: {machine-template-hash: h}}
      spec:
        clusterName: hello
        version: v1.36.0
        bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: boot}}
        infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachineTemplate, name: small}
cluster: {metadata: {name: hello, namespace: acme, uid: c1}, spec: {}}
control_plane:
  apiVersion: controlplane.cluster.x-k8s.io/v1beta2
  kind: KubeadmControlPlane
  metadata: {name: hello, namespace: acme}
  spec: {version: v1.36.0}
  status: {versions: [{version: v1.36.0, replicas: 1}]}
bootstrap_template:
  apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
  kind: KubeadmConfigTemplate
  metadata: {name: boot, namespace: acme, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]}
  spec: {template: {spec: {preKubeadmCommands: [date]}}}
infrastructure_template:
  apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
  kind: LocalMachineTemplate
  metadata: {name: small, namespace: acme, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]}
  spec: {template: {spec: {cpus: 2}}}
";

fn machine(name: &str, more: &str) -> String {
    let base = format!(
        "
metadata: {{name: {name}, namespace: acme, uid: u-{name}, labels: {{machine-template-hash: h}}, ownerReferences: [{{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineSet, name: md-0-abcde, uid: s1, controller: true}}]}}
spec:
  clusterName: hello
  version: v1.36.0
  bootstrap: {{configRef: {{apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfig, name: {name}}}}}
  infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachine, name: {name}}}
status: {{nodeRef: {{name: {name}}}, initialization: {{infrastructureProvisioned: true}}}}
"
    );
    let merged: serde_json::Value = world(&base, more);
    merged.to_string()
}

fn machines(list: &[String]) -> String {
    format!("machines: [{}]", list.join(", "))
}

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<MachineSetController>(&layers::<World>(
        BASE, overrides,
    )));
}

fn check_plan(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&plan::plan(&layers::<World>(BASE, overrides), now()).to_string());
}

#[test]
fn machines_come_first_and_their_parts_follow() {
    check(
        &[],
        &expect![[r#"
        create Machine acme/md-0-abcde-fdlq9
        create Machine acme/md-0-abcde-scbk2
        note SuccessfulCreate: Created machine md-0-abcde-fdlq9
        note SuccessfulCreate: Created machine md-0-abcde-scbk2
        MachinesReady=True NoReplicas
        MachinesUpToDate=True NoReplicas
        ScalingUp=True ScalingUp Scaling up from 0 to 2 replicas
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        availableReplicas: 0
        readyReplicas: 0
        replicas: 0
        selector: machine-template-hash=h
        upToDateReplicas: 0
    "#]],
    );
    let new = machines(&[
        machine("a", "{status: null}"),
        machine("b", "{status: null}"),
    ]);
    check_plan(
        &[
            &new,
            "parts: {b: {bootstrap: {apiVersion: g/v1beta2, kind: KubeadmConfig, metadata: {name: b, labels: {machine-template-hash: h}}}}}",
        ],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        create KubeadmConfig acme/a
        create LocalMachine acme/a
        create LocalMachine acme/b
    "#]],
    );
}

#[test]
fn machines_are_like_the_template() {
    let plan = plan::plan(&layers::<World>(BASE, &[]), now());
    let Some(runtime::Change::Create(machine)) = plan.changes.first() else {
        panic!("{plan}");
    };
    expect![[r#"
        apiVersion: cluster.x-k8s.io/v1beta2
        kind: Machine
        metadata:
          labels:
            cluster.x-k8s.io/cluster-name: hello
            cluster.x-k8s.io/deployment-name: md-0
            cluster.x-k8s.io/set-name: md-0-abcde
            machine-template-hash: h
          name: md-0-abcde-fdlq9
          namespace: acme
          ownerReferences:
          - apiVersion: cluster.x-k8s.io/v1beta2
            blockOwnerDeletion: true
            controller: true
            kind: MachineSet
            name: md-0-abcde
            uid: s1
        spec:
          bootstrap:
            configRef:
              apiGroup: bootstrap.cluster.x-k8s.io
              kind: KubeadmConfig
              name: md-0-abcde-fdlq9
          clusterName: hello
          infrastructureRef:
            apiGroup: infrastructure.cluster.x-k8s.io
            kind: LocalMachine
            name: md-0-abcde-fdlq9
          version: v1.36.0
    "#]]
    .assert_eq(&serde_saphyr::to_string(machine).unwrap());
}

#[test]
fn parts_are_like_their_templates() {
    let new = machines(&[
        machine("a", "{status: null}"),
        machine("b", "{status: null}"),
    ]);
    let plan = plan::plan(&layers::<World>(BASE, &[&new]), now());
    let parts = plan.changes.iter().filter_map(|c| match c {
        runtime::Change::Create(part) => Some(serde_saphyr::to_string(part).unwrap()),
        _ => None,
    });
    expect![[r#"
        apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
        kind: KubeadmConfig
        metadata:
          annotations:
            cluster.x-k8s.io/cloned-from-groupkind: KubeadmConfigTemplate.bootstrap.cluster.x-k8s.io
            cluster.x-k8s.io/cloned-from-name: boot
          labels:
            cluster.x-k8s.io/cluster-name: hello
            machine-template-hash: h
          name: a
          namespace: acme
          ownerReferences:
          - apiVersion: cluster.x-k8s.io/v1beta2
            blockOwnerDeletion: true
            controller: true
            kind: Machine
            name: a
            uid: u-a
        spec:
          preKubeadmCommands:
          - date
        ---
        apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
        kind: LocalMachine
        metadata:
          annotations:
            cluster.x-k8s.io/cloned-from-groupkind: LocalMachineTemplate.infrastructure.cluster.x-k8s.io
            cluster.x-k8s.io/cloned-from-name: small
          labels:
            cluster.x-k8s.io/cluster-name: hello
            machine-template-hash: h
          name: a
          namespace: acme
          ownerReferences:
          - apiVersion: cluster.x-k8s.io/v1beta2
            blockOwnerDeletion: true
            controller: true
            kind: Machine
            name: a
            uid: u-a
        spec:
          cpus: 2
    "#]].assert_eq(&parts.take(2).collect::<Vec<_>>().join("---\n"));
}

#[test]
fn parts_that_were_there_once_are_not_made_anew() {
    let lost = machines(&[machine("a", "{}"), machine("b", "{}")]);
    check_plan(
        &[&lost],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
    "#]],
    );
}

#[test]
fn what_needs_no_new_machine_is_changed_in_place() {
    let old = machines(&[
        machine("a", "{spec: {version: v1.35.0}}"),
        machine("b", "{}"),
    ]);
    let world = layers::<World>(
        BASE,
        &[
            &old,
            "set: {spec: {template: {spec: {minReadySeconds: 5, deletion: {nodeDrainTimeoutSeconds: 9}}}}}",
        ],
    );
    let plan = plan::plan(&world, now());
    let Some(runtime::Change::Apply(machine)) = plan.changes.first() else {
        panic!("{plan}");
    };
    expect![[r#"
        bootstrap:
          configRef:
            apiGroup: bootstrap.cluster.x-k8s.io
            kind: KubeadmConfig
            name: a
        clusterName: hello
        deletion:
          nodeDrainTimeoutSeconds: 9
        infrastructureRef:
          apiGroup: infrastructure.cluster.x-k8s.io
          kind: LocalMachine
          name: a
        minReadySeconds: 5
        version: v1.35.0
    "#]]
    .assert_eq(&serde_saphyr::to_string(&machine.data["spec"]).unwrap());
}

#[test]
fn machines_go_by_priority() {
    let four = machines(&[
        machine("healthy", "{}"),
        machine(
            "marked",
            "metadata: {annotations: {cluster.x-k8s.io/delete-machine: 'yes'}}",
        ),
        machine("nodeless", "{status: {nodeRef: null}}"),
        machine(
            "going",
            "metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}",
        ),
    ]);
    check_plan(
        &[&four, "set: {spec: {replicas: 3}}"],
        &expect![[r#"
        apply Machine acme/healthy
        apply Machine acme/marked
        apply Machine acme/nodeless
    "#]],
    );
    check_plan(
        &[&four, "set: {spec: {replicas: 2}}"],
        &expect![[r#"
        apply Machine acme/healthy
        apply Machine acme/marked
        apply Machine acme/nodeless
        delete Machine acme/marked
        note SuccessfulDelete: Deleted machine marked
    "#]],
    );
    check_plan(
        &[&four, "set: {spec: {replicas: 1}}"],
        &expect![[r#"
        apply Machine acme/healthy
        apply Machine acme/marked
        apply Machine acme/nodeless
        delete Machine acme/marked
        delete Machine acme/nodeless
        note SuccessfulDelete: Deleted machine marked
        note SuccessfulDelete: Deleted machine nodeless
    "#]],
    );
}

#[test]
fn age_decides_among_equals() {
    let aged = machines(&[
        machine(
            "middle",
            "metadata: {creationTimestamp: '2026-01-01T12:00:00Z'}",
        ),
        machine(
            "old",
            "metadata: {creationTimestamp: '2026-01-01T00:00:00Z'}",
        ),
        machine(
            "young",
            "metadata: {creationTimestamp: '2026-01-02T00:00:00Z'}",
        ),
    ]);
    check_plan(
        &[&aged, "set: {spec: {deletion: {order: Oldest}}}"],
        &expect![[r#"
        apply Machine acme/middle
        apply Machine acme/old
        apply Machine acme/young
        delete Machine acme/old
        note SuccessfulDelete: Deleted machine old
    "#]],
    );
    check_plan(
        &[&aged, "set: {spec: {deletion: {order: Newest}}}"],
        &expect![[r#"
        apply Machine acme/middle
        apply Machine acme/old
        apply Machine acme/young
        delete Machine acme/young
        note SuccessfulDelete: Deleted machine young
    "#]],
    );
    check_plan(
        &[&aged],
        &expect![[r#"
        apply Machine acme/middle
        apply Machine acme/old
        apply Machine acme/young
        delete Machine acme/middle
        note SuccessfulDelete: Deleted machine middle
    "#]],
    );
}

#[test]
fn missing_templates_block() {
    check(
        &["infrastructure_template: null"],
        &expect![[r#"
        wait ScalingUp: LocalMachineTemplate small does not exist
        MachinesReady=True NoReplicas
        MachinesUpToDate=True NoReplicas
        ScalingUp=True ScalingUp Scaling up from 0 to 2 replicas is blocked because:
            * LocalMachineTemplate small does not exist
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        availableReplicas: 0
        readyReplicas: 0
        replicas: 0
        selector: machine-template-hash=h
        upToDateReplicas: 0
    "#]],
    );
}

#[test]
fn machine_creation_can_be_forbidden() {
    check_plan(
        &["set: {metadata: {annotations: {cluster.x-k8s.io/disable-machine-create: 'true'}}}"],
        &expect![[""]],
    );
}

#[test]
fn orphans_are_adopted() {
    let orphan = machines(&[
        machine("a", "metadata: {ownerReferences: null}"),
        machine("b", "{}"),
    ]);
    let plan = plan::plan(&layers::<World>(BASE, &[&orphan]), now());
    let Some(runtime::Change::Apply(machine)) = plan.changes.first() else {
        panic!("{plan}");
    };
    expect![[r#"
        - apiVersion: cluster.x-k8s.io/v1beta2
          blockOwnerDeletion: true
          controller: true
          kind: MachineSet
          name: md-0-abcde
          uid: s1
    "#]]
    .assert_eq(&serde_saphyr::to_string(&machine.metadata.owner_references).unwrap());
}

#[test]
fn deletion_takes_all_machines() {
    let two = machines(&[
        machine("a", "{}"),
        machine("b", "metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}"),
    ]);
    check(
        &[
            &two,
            "set: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}",
        ],
        &expect![[r#"
        delete Machine acme/a
        wait Deleting: Deleting Machines a, b
        MachinesReady=Unknown ReadyUnknown * Machines a, b: Condition Ready not yet reported
        MachinesUpToDate=Unknown UpToDateUnknown * Machines a, b: Condition UpToDate not yet reported
        ScalingUp=False NotScalingUp
        ScalingDown=True ScalingDown Scaling down from 2 to 0 replicas
        Remediating=False NotRemediating
        Deleting=True Deleting Deleting Machines a, b
        Paused=False NotPaused
        availableReplicas: 0
        readyReplicas: 0
        replicas: 2
        selector: machine-template-hash=h
        upToDateReplicas: 0
        versions:
        - replicas: 2
          version: v1.36.0
    "#]],
    );
    check_plan(
        &["set: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}"],
        &expect![[r#"
        finished
    "#]],
    );
}

const SICK: &str = "conditions: [
    {type: HealthCheckSucceeded, status: 'False', reason: UnhealthyNode, message: m, lastTransitionTime: '2026-01-02T03:00:00Z'},
    {type: OwnerRemediated, status: 'False', reason: WaitingForRemediation, message: w, lastTransitionTime: '2026-01-02T03:00:00Z'}]";

/// Three machines, of which two are to be replaced; `b` is the newer one.
fn sick() -> String {
    let of = |name: &str, created: &str, status: &str| {
        machine(
            name,
            &format!("{{metadata: {{creationTimestamp: '{created}'}}, status: {{{status}}}}}"),
        )
    };
    machines(&[
        of("a", "2026-01-01T00:00:00Z", SICK),
        of("b", "2026-01-01T00:01:00Z", SICK),
        of("c", "2026-01-01T00:02:00Z", ""),
    ])
}

const THREE: &str = "set: {spec: {replicas: 3}}";
const DEPLOYMENT: &str = "deployment: {metadata: {name: md-0}, spec: {clusterName: hello, replicas: 3, selector: {}, template: {spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: i, kind: I, name: small}}}}}";

#[test]
fn unhealthy_machines_are_replaced() {
    check(
        &[&sick(), THREE],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply Machine acme/c
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/b
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/a
        note SuccessfulDelete: Deleted machine b because it is unhealthy
        note SuccessfulDelete: Deleted machine a because it is unhealthy
        MachinesReady=Unknown ReadyUnknown * Machines a, b, c: Condition Ready not yet reported
        MachinesUpToDate=Unknown UpToDateUnknown * Machines a, b, c: Condition UpToDate not yet reported
        ScalingUp=False NotScalingUp
        ScalingDown=False NotScalingDown
        Remediating=True Remediating * Machine a: w
            * Machine b: w
        Deleting=False NotDeleting
        Paused=False NotPaused
        availableReplicas: 0
        readyReplicas: 0
        replicas: 3
        selector: machine-template-hash=h
        upToDateReplicas: 0
        versions:
        - replicas: 3
          version: v1.36.0
    "#]],
    );
}

#[test]
fn not_more_unhealthy_machines_are_replaced_at_once_than_are_allowed() {
    let one = "deployment: {spec: {remediation: {maxInFlight: 1}}}";
    check_plan(
        &[&sick(), THREE, DEPLOYMENT, one],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply Machine acme/c
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/b
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting because as many machines are being replaced as spec.remediation.maxInFlight of the MachineDeployment allows","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        note SuccessfulDelete: Deleted machine b because it is unhealthy
    "#]],
    );
    let marked = sick().replacen(
        "\"name\":\"a\"",
        "\"annotations\":{\"cluster.x-k8s.io/remediate-machine\":\"\"},\"name\":\"a\"",
        1,
    );
    check_plan(
        &[&marked, THREE, DEPLOYMENT, one],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply Machine acme/c
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/a
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"Waiting because as many machines are being replaced as spec.remediation.maxInFlight of the MachineDeployment allows","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        note SuccessfulDelete: Deleted machine a because it is unhealthy
    "#]],
    );
}

#[test]
fn why_unhealthy_machines_are_not_replaced() {
    let old = "deployment: {metadata: {annotations: {machinedeployment.clusters.x-k8s.io/revision: '2'}}}";
    check_plan(
        &[&sick(), THREE, DEPLOYMENT, old],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply Machine acme/c
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"MachineSet md-0-abcde is not the current one of MachineDeployment md-0: its machines go with the rollout","reason":"CannotBeRemediated","status":"False","type":"OwnerRemediated"}]}
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"MachineSet md-0-abcde is not the current one of MachineDeployment md-0: its machines go with the rollout","reason":"CannotBeRemediated","status":"False","type":"OwnerRemediated"}]}
    "#]],
    );
    let upgrading = "control_plane: {spec: {version: v1.36.1}}";
    check_plan(
        &[&sick(), THREE, upgrading],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply Machine acme/c
        apply status of Machine acme/b {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"KubeadmControlPlane is upgrading (\"ControlPlaneIsStable\" preflight check failed)","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"KubeadmControlPlane is upgrading (\"ControlPlaneIsStable\" preflight check failed)","reason":"RemediationDeferred","status":"False","type":"OwnerRemediated"}]}
        again in 15s
    "#]],
    );
}

#[test]
fn what_was_said_of_a_machine_that_is_healthy_again_is_taken_back() {
    let healthy = "{status: {conditions: [
        {type: HealthCheckSucceeded, status: 'True', reason: HealthCheckSucceeded, message: '', lastTransitionTime: '2026-01-02T03:00:00Z'},
        {type: OwnerRemediated, status: 'False', reason: RemediationDeferred, message: w, lastTransitionTime: '2026-01-02T03:00:00Z'}]}}";
    let two = machines(&[machine("a", healthy), machine("b", "{}")]);
    check_plan(
        &[&two],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply status of Machine acme/a {}
    "#]],
    );
}

#[test]
fn a_machine_that_goes_for_its_health_is_one_of_those_that_are_too_many() {
    let two = machines(&[
        machine("a", &format!("{{status: {{{SICK}}}}}")),
        machine(
            "b",
            "{metadata: {annotations: {cluster.x-k8s.io/delete-machine: ''}}}",
        ),
        machine("c", "{}"),
    ]);
    check_plan(
        &[&two],
        &expect![[r#"
        apply Machine acme/a
        apply Machine acme/b
        apply Machine acme/c
        apply status of Machine acme/a {"conditions":[{"lastTransitionTime":"2026-01-02T03:00:00Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
        delete Machine acme/a
        note SuccessfulDelete: Deleted machine a because it is unhealthy
    "#]],
    );
}

#[test]
fn machines_on_their_way_out_still_get_other_times() {
    let template = "set: {spec: {replicas: 0, template: {metadata: {labels: {machine-template-hash: h, new: label}}, spec: {version: v1.36.1, minReadySeconds: 5, deletion: {nodeDrainTimeoutSeconds: 60}}}}}";
    let leaving = |more: &str| {
        let deleted = "{metadata: {deletionTimestamp: '2026-01-02T03:00:00Z'}}";
        let leaving: serde_json::Value = world(&machine("m-1", deleted), more);
        machines(&[leaving.to_string()])
    };
    let before = leaving(
        "{spec: {taints: [{key: a, effect: NoSchedule, propagation: Always}], deletion: {nodeDrainTimeoutSeconds: 600, nodeVolumeDetachTimeoutSeconds: 7, nodeDeletionTimeoutSeconds: 10}}}",
    );
    check_plan(
        &[template, &before],
        &expect![[r#"
            patch Machine acme/m-1 {"spec":{"deletion":{"nodeDrainTimeoutSeconds":60,"nodeVolumeDetachTimeoutSeconds":null},"minReadySeconds":5,"taints":null}}
        "#]],
    );
    // What a machine gets if nobody says anything is no difference.
    let after = leaving(
        "{spec: {minReadySeconds: 5, deletion: {nodeDrainTimeoutSeconds: 60, nodeDeletionTimeoutSeconds: 10}}}",
    );
    check_plan(&[template, &after], &expect![""]);
}

#[test]
fn labels_and_annotations_go_on_to_the_parts() {
    let one = machines(&[machine("a", "{metadata: {labels: {team: a}}}")]);
    let parts = "parts: {a: {
        bootstrap: {apiVersion: b/v1beta2, kind: KubeadmConfig, metadata: {name: a, namespace: acme, labels: {machine-template-hash: h}}},
        infrastructure: {apiVersion: i/v1beta2, kind: LocalMachine, metadata: {name: a, namespace: acme, labels: {machine-template-hash: h, team: a}}}}}";
    let annotated = "set: {spec: {replicas: 1, template: {metadata: {annotations: {note: seen}}}}}";
    check_plan(
        &[&one, parts, annotated],
        &expect![[r#"
            apply Machine acme/a
            patch KubeadmConfig acme/a {"metadata":{"annotations":{"note":"seen"},"labels":{"team":"a"}}}
            patch LocalMachine acme/a {"metadata":{"annotations":{"note":"seen"}}}
        "#]],
    );
}
