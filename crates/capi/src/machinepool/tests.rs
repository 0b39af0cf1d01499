//! Worlds of MachinePools, and what is planned and shown for them.

use expect_test::{Expect, expect};
use runtime::Reconciler;

use super::{MachinePoolController, World};
use crate::testing::{layers, now, show};

const BASE: &str = "
pool:
  metadata:
    name: pool
    namespace: acme
    uid: p1
    resourceVersion: '5'
    labels: {cluster.x-k8s.io/cluster-name: hello}
    ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]
  spec:
    clusterName: hello
    replicas: 2
    template:
      metadata: {labels: {team: a}, annotations: {note: b}}
      spec:
        clusterName: hello
        version: v1.36.0
        minReadySeconds: 30
        bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfig, name: pool}}
        infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachinePool, name: pool}
cluster:
  metadata: {name: hello, namespace: acme, uid: c1}
  spec: {}
  status: {initialization: {infrastructureProvisioned: true, controlPlaneInitialized: true}}
bootstrap:
  apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
  kind: KubeadmConfig
  metadata: {name: pool, namespace: acme}
infrastructure:
  apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
  kind: LocalMachinePool
  metadata: {name: pool, namespace: acme}
";

/// Its parts belong to the pool.
const OWNED: &str = "
bootstrap:
  metadata: {labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachinePool, name: pool, uid: p1, controller: true, blockOwnerDeletion: true}]}
infrastructure:
  metadata: {labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachinePool, name: pool, uid: p1, controller: true, blockOwnerDeletion: true}]}
";

/// Data and infrastructure are there, with two machines of which one has a Node.
const PROVISIONED: &str = "
pool: {spec: {template: {spec: {bootstrap: {dataSecretName: pool}}}}}
bootstrap: {status: {dataSecretName: pool, initialization: {dataSecretCreated: true}}}
infrastructure:
  spec: {providerIDList: ['local:///acme/pool-1', 'local:///acme/pool-2']}
  status: {replicas: 2, initialization: {provisioned: true}}
link: Up
nodes:
- metadata: {name: pool-1, uid: n1, resourceVersion: '7'}
  spec:
    providerID: local:///acme/pool-1
    taints: [{key: node.cluster.x-k8s.io/uninitialized, effect: NoSchedule}, {key: own, effect: NoSchedule}]
  status:
    conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-02T03:03:55Z'}]
    nodeInfo: {architecture: amd64, bootID: '', containerRuntimeVersion: '', kernelVersion: '', kubeProxyVersion: '', kubeletVersion: v1.35.0, machineID: '', operatingSystem: linux, osImage: '', systemUUID: ''}
- metadata: {name: control-plane, uid: n0}
  spec: {providerID: 'local:///acme/control-plane'}
";

/// The infrastructure has objects for single machines.
const INSTANCES: &str = "
is_listed: true
infrastructure: {status: {infrastructureMachineKind: LocalMachine}}
instances:
- {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachine, metadata: {name: pool-1, namespace: acme}, spec: {providerID: 'local:///acme/pool-1'}}
- {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachine, metadata: {name: pool-2, namespace: acme}, spec: {}}
";

/// One of them has a Machine.
const MACHINE: &str = "
machines:
- metadata: {name: pool-1, namespace: acme, uid: m1, labels: {cluster.x-k8s.io/pool-name: pool}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachinePool, name: pool, uid: p1, controller: true}]}
  spec: {clusterName: hello, version: v1.35.0, bootstrap: {dataSecretName: ''}, infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachine, name: pool-1}}
  status:
    nodeRef: {name: pool-1}
    conditions:
    - {type: Ready, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-02T03:03:55Z'}
    - {type: Available, status: 'True', reason: Available, message: '', lastTransitionTime: '2026-01-02T03:03:55Z'}
    - {type: UpToDate, status: 'False', reason: NotUpToDate, message: '* Version v1.35.0, v1.36.0 required', lastTransitionTime: '2026-01-02T03:03:55Z'}
";

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<MachinePoolController>(&layers::<World>(
        BASE, overrides,
    )));
}

#[test]
fn a_pool_owns_its_parts_and_waits_for_them() {
    check(
        &[],
        &expect![[r#"
            patch KubeadmConfig acme/pool {"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello"},"ownerReferences":[{"apiVersion":"cluster.x-k8s.io/v1beta2","blockOwnerDeletion":true,"controller":true,"kind":"MachinePool","name":"pool","uid":"p1"}],"resourceVersion":null}}
            patch LocalMachinePool acme/pool {"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello"},"ownerReferences":[{"apiVersion":"cluster.x-k8s.io/v1beta2","blockOwnerDeletion":true,"controller":true,"kind":"MachinePool","name":"pool","uid":"p1"}],"resourceVersion":null}}
            Available=False NotAvailable * InfrastructureReady: LocalMachinePool status.initialization.provisioned is false
                * 0 available replicas, at least 2 required
            BootstrapConfigReady=False NotReady KubeadmConfig status.initialization.dataSecretCreated is false
            InfrastructureReady=False NotReady LocalMachinePool status.initialization.provisioned is false
            MachinesReady=True NoReplicas
            MachinesUpToDate=True NoReplicas
            RollingOut=False NotRollingOut
            ScalingUp=True ScalingUp Scaling up from 0 to 2 replicas is blocked because:
                * LocalMachinePool status.initialization.provisioned is false
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            phase: Pending
            replicas: 0
        "#]],
    );
}

#[test]
fn parts_that_are_missing_are_named() {
    check(
        &["{bootstrap: null, infrastructure: null}"],
        &expect![[r#"
            Available=False NotAvailable * InfrastructureReady: LocalMachinePool pool does not exist
                * 0 available replicas, at least 2 required
            BootstrapConfigReady=False ObjectDoesNotExist KubeadmConfig pool does not exist
            InfrastructureReady=False ObjectDoesNotExist LocalMachinePool pool does not exist
            MachinesReady=True NoReplicas
            MachinesUpToDate=True NoReplicas
            RollingOut=False NotRollingOut
            ScalingUp=True ScalingUp Scaling up from 0 to 2 replicas is blocked because:
                * LocalMachinePool pool does not exist
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            phase: Pending
            replicas: 0
        "#]],
    );
    check(
        &[
            OWNED,
            "{infrastructure: null, pool: {status: {initialization: {infrastructureProvisioned: true}}}}",
        ],
        &expect![[r#"
            Available=False NotAvailable * InfrastructureReady: LocalMachinePool pool has been deleted while the MachinePool still exists
                * 0 available replicas, at least 2 required
            BootstrapConfigReady=False NotReady KubeadmConfig status.initialization.dataSecretCreated is false
            InfrastructureReady=False ObjectDeleted LocalMachinePool pool has been deleted while the MachinePool still exists
            MachinesReady=True NoReplicas
            MachinesUpToDate=True NoReplicas
            RollingOut=False NotRollingOut
            ScalingUp=True ScalingUp Scaling up from 0 to 2 replicas is blocked because:
                * LocalMachinePool pool has been deleted while the MachinePool still exists
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            initialization:
              infrastructureProvisioned: true
            phase: Pending
            replicas: 0
        "#]],
    );
}

#[test]
fn without_machines_the_pool_says_on_nodes_whose_they_are() {
    check(
        &[OWNED, PROVISIONED],
        &expect![[r#"
            patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"]}}
            act patch Node pool-1 {"metadata":{"annotations":{"cluster.x-k8s.io/cluster-name":"hello","cluster.x-k8s.io/cluster-namespace":"acme","cluster.x-k8s.io/owner-kind":"MachinePool","cluster.x-k8s.io/owner-name":"pool"},"resourceVersion":"7"},"spec":{"taints":[{"effect":"NoSchedule","key":"own"}]}}
            again in 20s
            Available=False NotAvailable * 0 available replicas, at least 2 required
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            MachinesReady=False NotReady 1 of 2 nodes are ready
            MachinesUpToDate=False NotUpToDate 1 of 2 nodes are up-to-date
            RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            availableReplicas: 0
            initialization:
              bootstrapDataSecretCreated: true
              infrastructureProvisioned: true
            nodeRefs:
            - apiVersion: v1
              kind: Node
              name: pool-1
              uid: n1
            phase: ScalingUp
            readyReplicas: 1
            replicas: 2
            upToDateReplicas: 1
            versions:
            - replicas: 1
              version: v1.35.0
        "#]],
    );
}

#[test]
fn machines_stand_for_what_the_infrastructure_has() {
    check(
        &[OWNED, PROVISIONED, INSTANCES, MACHINE],
        &expect![[r#"
            patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"]}}
            apply Machine acme/pool-1
            apply Machine acme/pool-2
            note SuccessfulCreate: Created machine pool-2
            Available=False NotAvailable * 1 available replicas, at least 2 required
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            MachinesReady=True Ready
            MachinesUpToDate=False NotUpToDate * Machine pool-1:
                  * Version v1.35.0, v1.36.0 required
            RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
                * Version v1.35.0, v1.36.0 required
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            availableReplicas: 1
            initialization:
              bootstrapDataSecretCreated: true
              infrastructureProvisioned: true
            nodeRefs:
            - apiVersion: v1
              kind: Node
              name: pool-1
              uid: n1
            phase: ScalingUp
            readyReplicas: 1
            replicas: 2
            upToDateReplicas: 0
            versions:
            - replicas: 1
              version: v1.35.0
        "#]],
    );
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    check(
        &[OWNED, PROVISIONED, INSTANCES, MACHINE, "{taken: [pool-2]}"],
        &expect![[r#"
            patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"]}}
            apply Machine acme/pool-1
            wait NameTaken: Machine pool-2 exists and does not belong to this pool: LocalMachine pool-2 gets no Machine until it is gone
            Available=False NotAvailable * 1 available replicas, at least 2 required
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            MachinesReady=True Ready
            MachinesUpToDate=False NotUpToDate * Machine pool-1:
                  * Version v1.35.0, v1.36.0 required
            RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
                * Version v1.35.0, v1.36.0 required
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            availableReplicas: 1
            initialization:
              bootstrapDataSecretCreated: true
              infrastructureProvisioned: true
            nodeRefs:
            - apiVersion: v1
              kind: Node
              name: pool-1
              uid: n1
            phase: ScalingUp
            readyReplicas: 1
            replicas: 2
            upToDateReplicas: 0
            versions:
            - replicas: 1
              version: v1.35.0
        "#]],
    );
}

#[test]
fn nodes_of_machines_that_are_gone_are_removed() {
    let gone = "
pool:
  spec: {providerIDList: ['local:///acme/pool-1', 'local:///acme/pool-2'], replicas: 1}
  status: {nodeRefs: [{name: pool-1}, {name: pool-2}]}
infrastructure: {spec: {providerIDList: ['local:///acme/pool-2']}, status: {replicas: 1}}
";
    check(
        &[OWNED, PROVISIONED, gone],
        &expect![[r#"
            patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-2"]}}
            act delete Node pool-1
            Available=False NotAvailable * 0 available replicas, at least 1 required
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            MachinesReady=False NotReady 0 of 1 nodes are ready
            MachinesUpToDate=True UpToDate
            RollingOut=False NotRollingOut
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            availableReplicas: 0
            initialization:
              bootstrapDataSecretCreated: true
              infrastructureProvisioned: true
            nodeRefs: []
            phase: ScalingUp
            readyReplicas: 0
            replicas: 1
            upToDateReplicas: 1
        "#]],
    );
    // The infrastructure has machines, but does not know their names yet.
    let unknown = "infrastructure: {spec: {providerIDList: []}}";
    let world: World = layers(BASE, &[OWNED, PROVISIONED, gone, unknown]);
    let plan = MachinePoolController::plan(&world, now());
    assert!(plan.changes.is_empty(), "{plan}");
}

#[test]
fn whoever_else_scales_has_the_last_word() {
    let elsewhere = "
pool: {metadata: {annotations: {cluster.x-k8s.io/replicas-managed-by: autoscaler}}, spec: {replicas: 5}}
";
    check(
        &[OWNED, PROVISIONED, elsewhere],
        &expect![[r#"
            patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"],"replicas":2}}
            act patch Node pool-1 {"metadata":{"annotations":{"cluster.x-k8s.io/cluster-name":"hello","cluster.x-k8s.io/cluster-namespace":"acme","cluster.x-k8s.io/owner-kind":"MachinePool","cluster.x-k8s.io/owner-name":"pool"},"resourceVersion":"7"},"spec":{"taints":[{"effect":"NoSchedule","key":"own"}]}}
            again in 20s
            Available=False NotAvailable * 0 available replicas, at least 5 required
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            MachinesReady=False NotReady 1 of 2 nodes are ready
            MachinesUpToDate=False NotUpToDate 1 of 2 nodes are up-to-date
            RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
            ScalingUp=True ScalingUp Scaling up from 2 to 5 replicas
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            availableReplicas: 0
            initialization:
              bootstrapDataSecretCreated: true
              infrastructureProvisioned: true
            nodeRefs:
            - apiVersion: v1
              kind: Node
              name: pool-1
              uid: n1
            phase: Scaling
            readyReplicas: 1
            replicas: 2
            upToDateReplicas: 1
            versions:
            - replicas: 1
              version: v1.35.0
        "#]],
    );
}

#[test]
fn a_sick_machine_is_deleted() {
    let sick = "
machines:
- metadata: {name: pool-1, namespace: acme, uid: m1, labels: {cluster.x-k8s.io/pool-name: pool}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachinePool, name: pool, uid: p1, controller: true}]}
  spec: {clusterName: hello, version: v1.36.0, bootstrap: {dataSecretName: ''}, infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachine, name: pool-1}}
  status:
    conditions:
    - {type: HealthCheckSucceeded, status: 'False', reason: UnhealthyNode, message: '', lastTransitionTime: '2026-01-02T03:03:55Z'}
    - {type: OwnerRemediated, status: 'False', reason: WaitingForRemediation, message: '', lastTransitionTime: '2026-01-02T03:03:55Z'}
";
    check(
        &[OWNED, PROVISIONED, INSTANCES, sick],
        &expect![[r#"
            patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"]}}
            apply Machine acme/pool-1
            apply Machine acme/pool-2
            apply status of Machine acme/pool-1 {"conditions":[{"lastTransitionTime":"2026-01-02T03:03:55Z","message":"The machine is being deleted, another one takes its place","reason":"MachineDeleting","status":"False","type":"OwnerRemediated"}]}
            delete Machine acme/pool-1
            note SuccessfulCreate: Created machine pool-2
            note MachineRemediated: Deleted machine pool-1 for its health
            Available=False NotAvailable * 0 available replicas, at least 2 required
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            MachinesReady=Unknown ReadyUnknown * Machine pool-1: Condition Ready not yet reported
            MachinesUpToDate=Unknown UpToDateUnknown * Machine pool-1: Condition UpToDate not yet reported
            RollingOut=False NotRollingOut
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=True Remediating * Machine pool-1:
            Deleting=False NotDeleting
            Paused=False NotPaused
            availableReplicas: 0
            initialization:
              bootstrapDataSecretCreated: true
              infrastructureProvisioned: true
            nodeRefs:
            - apiVersion: v1
              kind: Node
              name: pool-1
              uid: n1
            phase: ScalingUp
            readyReplicas: 0
            replicas: 2
            upToDateReplicas: 0
            versions:
            - replicas: 1
              version: v1.36.0
        "#]],
    );
}

#[test]
fn what_belongs_to_somebody_else_is_left_alone() {
    let world: World = layers(BASE, &[OWNED]);
    let part = || world.infrastructure.clone();
    let mut said = vec![];
    assert!(super::own(&world.pool, part(), &mut said).is_some());
    let mut other = world.pool.clone();
    other.metadata.uid = Some("p2".to_owned());
    assert!(super::own(&other, part(), &mut said).is_none());
    assert_eq!(
        said,
        ["LocalMachinePool pool belongs to MachinePool pool: each pool needs one of its own"]
    );
    let foreign = "{foreign: ['LocalMachinePool pool belongs to MachinePool other: each pool needs one of its own'], infrastructure: null}";
    let world: World = layers(BASE, &[OWNED, foreign]);
    expect![[r#"
        wait OwnedByAnother: LocalMachinePool pool belongs to MachinePool other: each pool needs one of its own
    "#]].assert_eq(&MachinePoolController::plan(&world, now()).to_string());
}

#[test]
fn what_nodes_say_of_themselves_breaks_nothing() {
    let odd = "
nodes:
- metadata: {name: pool-1, uid: n1, resourceVersion: '7'}
  spec: {providerID: 'local:///acme/pool-1'}
  status:
    conditions: [{type: Ready, status: 'True', lastTransitionTime: '9999-12-30T22:00:00Z'}]
    nodeInfo: {architecture: amd64, bootID: '', containerRuntimeVersion: '', kernelVersion: '', kubeProxyVersion: '', kubeletVersion: x, machineID: '', operatingSystem: linux, osImage: '', systemUUID: ''}
";
    let world: World = layers(BASE, &[OWNED, PROVISIONED, odd]);
    let plan = MachinePoolController::plan(&world, now());
    let status = MachinePoolController::status(&world, &plan, &runtime::Outcome::default(), now());
    assert_eq!(status.unwrap()["versions"], serde_json::Value::Null);
}

#[test]
fn a_machine_that_hangs_in_its_deletion_follows_the_pool() {
    let machine = MACHINE.replace(
        "uid: m1,",
        "uid: m1, deletionTimestamp: '2026-01-02T03:04:00Z',",
    );
    let limit = "pool: {spec: {template: {spec: {deletion: {nodeDrainTimeoutSeconds: 60}}}}}";
    let world: World = layers(
        BASE,
        &[
            OWNED,
            PROVISIONED,
            INSTANCES,
            &machine,
            limit,
            "{taken: [pool-2]}",
        ],
    );
    expect![[r#"
        patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"]}}
        patch Machine acme/pool-1 {"spec":{"deletion":{"nodeDrainTimeoutSeconds":60},"minReadySeconds":30}}
        wait NameTaken: Machine pool-2 exists and does not belong to this pool: LocalMachine pool-2 gets no Machine until it is gone
    "#]].assert_eq(&MachinePoolController::plan(&world, now()).to_string());
}

#[test]
fn a_machine_whose_object_is_gone_goes_too() {
    let world: World = layers(
        BASE,
        &[OWNED, PROVISIONED, INSTANCES, MACHINE, "instances: []"],
    );
    expect![[r#"
        patch MachinePool acme/pool {"metadata":{"resourceVersion":"5"},"spec":{"providerIDList":["local:///acme/pool-1","local:///acme/pool-2"]}}
        delete Machine acme/pool-1
        note SuccessfulDelete: Deleted machine pool-1: its LocalMachine is gone
    "#]].assert_eq(&MachinePoolController::plan(&world, now()).to_string());
}

#[test]
fn a_pool_is_deleted_step_by_step() {
    let deleting = "
pool:
  metadata: {deletionTimestamp: '2026-01-02T03:04:00Z'}
  status: {nodeRefs: [{name: pool-1}]}
";
    let step = |more: &str| {
        let world: World = layers(BASE, &[OWNED, PROVISIONED, deleting, more]);
        MachinePoolController::plan(&world, now()).to_string()
    };
    let steps = [
        step("{}"),
        step(&format!("{MACHINE}\ninfrastructure: null")),
        step("infrastructure: null"),
        step("{infrastructure: null, cluster: null}"),
        step("{infrastructure: null, nodes: []}"),
        step("{infrastructure: null, nodes: [], bootstrap: null}"),
    ];
    expect![[r#"
        delete LocalMachinePool acme/pool
        wait WaitingForInfrastructureDeletion: Waiting for LocalMachinePool pool to be deleted
        ---
        delete Machine acme/pool-1
        wait WaitingForMachinesDeletion: Waiting for Machine pool-1 to be deleted
        ---
        act delete Node pool-1
        wait DeletingNodes: Waiting for Node pool-1 to be deleted
        again in 15s
        ---
        delete KubeadmConfig acme/pool
        wait WaitingForBootstrapDeletion: Waiting for KubeadmConfig pool to be deleted
        ---
        delete KubeadmConfig acme/pool
        wait WaitingForBootstrapDeletion: Waiting for KubeadmConfig pool to be deleted
        ---
        note Deleted: The pool is deleted
        finished
    "#]]
    .assert_eq(&steps.join("---\n"));
}
