//! Worlds of a Cluster: what is planned, and what is shown.

use expect_test::{Expect, expect};

use runtime::Reconciler;

use super::{ClusterController, World};
use crate::testing::{layers, now, show};

const BASE: &str = "
cluster:
  metadata: {name: hello, namespace: acme, uid: c1, resourceVersion: '7'}
  spec:
    infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalCluster, name: hello}
    controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: hello}
";

/// Infrastructure that is there, and belongs to the Cluster.
const INFRASTRUCTURE: &str = "
infrastructure:
  apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
  kind: LocalCluster
  metadata:
    name: hello
    namespace: acme
    labels: {cluster.x-k8s.io/cluster-name: hello}
    ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]
  spec: {controlPlaneEndpoint: {host: 127.0.0.1, port: 6443}}
  status: {initialization: {provisioned: true}, failureDomains: [{name: a, controlPlane: true}]}
";

/// Everything is there and works.
const READY: &str = "
cluster:
  spec: {controlPlaneEndpoint: {host: 127.0.0.1, port: 6443}}
  status: {initialization: {infrastructureProvisioned: true, controlPlaneInitialized: true}}
control_plane:
  apiVersion: controlplane.cluster.x-k8s.io/v1beta2
  kind: KubeadmControlPlane
  metadata:
    name: hello
    namespace: acme
    labels: {cluster.x-k8s.io/cluster-name: hello}
    ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]
  spec: {replicas: 1, version: v1.36.0}
  status:
    initialization: {controlPlaneInitialized: true}
    replicas: 1
    readyReplicas: 1
    availableReplicas: 1
    upToDateReplicas: 1
    versions: [{version: v1.36.0, replicas: 1}]
    conditions: [{type: Available, status: 'True', reason: Available}]
deployments:
- metadata: {name: md-0, namespace: acme}
  spec: {clusterName: hello, replicas: 2, selector: {}, template: {spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: x}}}}
  status:
    replicas: 2
    readyReplicas: 1
    availableReplicas: 1
    upToDateReplicas: 2
    versions: [{version: v1.36.0, replicas: 2}]
    conditions:
    - {type: Available, status: 'False', reason: NotAvailable, message: 1 available replicas, lastTransitionTime: '2026-01-01T00:00:00Z'}
    - {type: ScalingUp, status: 'True', reason: ScalingUp, message: Scaling up from 1 to 2 replicas, lastTransitionTime: '2026-01-01T00:00:00Z'}
link: Up
";

const DELETED: &str = "cluster: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}";

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<ClusterController>(&layers::<World>(
        BASE, overrides,
    )));
}

#[test]
fn a_new_cluster_waits_for_its_infrastructure() {
    check(
        &[],
        &expect![[r#"
        Available=False NotAvailable * RemoteConnectionProbe: Remote connection not established yet
            * InfrastructureReady: LocalCluster does not exist
            * ControlPlaneAvailable: KubeadmControlPlane does not exist
        InfrastructureReady=False ObjectDoesNotExist LocalCluster does not exist
        ControlPlaneAvailable=False ObjectDoesNotExist KubeadmControlPlane does not exist
        ControlPlaneInitialized=False NotInitialized Control plane not yet initialized
        WorkersAvailable=True NoWorkers
        ControlPlaneMachinesReady=True NoReplicas
        WorkerMachinesReady=True NoReplicas
        ControlPlaneMachinesUpToDate=True NoReplicas
        WorkerMachinesUpToDate=True NoReplicas
        RemoteConnectionProbe=False ProbeFailed Remote connection not established yet
        RollingOut=False NotRollingOut
        ScalingUp=False NotScalingUp
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        phase: Provisioning
    "#]],
    );
}

#[test]
fn infrastructure_gives_endpoint_and_failure_domains() {
    check(
        &[INFRASTRUCTURE],
        &expect![[r#"
        patch Cluster acme/hello {"metadata":{"resourceVersion":"7"},"spec":{"controlPlaneEndpoint":{"host":"127.0.0.1","port":6443}}}
        note InfrastructureReady: The infrastructure of the cluster is there
        Available=False NotAvailable * RemoteConnectionProbe: Remote connection not established yet
            * ControlPlaneAvailable: KubeadmControlPlane does not exist
        InfrastructureReady=True Ready
        ControlPlaneAvailable=False ObjectDoesNotExist KubeadmControlPlane does not exist
        ControlPlaneInitialized=False NotInitialized Control plane not yet initialized
        WorkersAvailable=True NoWorkers
        ControlPlaneMachinesReady=True NoReplicas
        WorkerMachinesReady=True NoReplicas
        ControlPlaneMachinesUpToDate=True NoReplicas
        WorkerMachinesUpToDate=True NoReplicas
        RemoteConnectionProbe=False ProbeFailed Remote connection not established yet
        RollingOut=False NotRollingOut
        ScalingUp=False NotScalingUp
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        failureDomains:
        - controlPlane: true
          name: a
        initialization:
          infrastructureProvisioned: true
        phase: Provisioning
    "#]],
    );
}

#[test]
fn parts_are_adopted() {
    check(
        &[
            INFRASTRUCTURE,
            "infrastructure: {metadata: {ownerReferences: null, labels: null, resourceVersion: '3'}, status: null}",
        ],
        &expect![[r#"
            patch LocalCluster acme/hello {"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello"},"ownerReferences":[{"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"Cluster","name":"hello","uid":"c1"}],"resourceVersion":"3"}}
            Available=False NotAvailable * RemoteConnectionProbe: Remote connection not established yet
                * InfrastructureReady: LocalCluster status.initialization.provisioned is false
                * ControlPlaneAvailable: KubeadmControlPlane does not exist
            InfrastructureReady=False NotReady LocalCluster status.initialization.provisioned is false
            ControlPlaneAvailable=False ObjectDoesNotExist KubeadmControlPlane does not exist
            ControlPlaneInitialized=False NotInitialized Control plane not yet initialized
            WorkersAvailable=True NoWorkers
            ControlPlaneMachinesReady=True NoReplicas
            WorkerMachinesReady=True NoReplicas
            ControlPlaneMachinesUpToDate=True NoReplicas
            WorkerMachinesUpToDate=True NoReplicas
            RemoteConnectionProbe=False ProbeFailed Remote connection not established yet
            RollingOut=False NotRollingOut
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            phase: Provisioning
        "#]],
    );
}

#[test]
fn availability_sums_up_what_is_below() {
    check(
        &[INFRASTRUCTURE, READY],
        &expect![[r#"
        Available=False NotAvailable * WorkersAvailable:
              * MachineDeployment md-0: 1 available replicas
        InfrastructureReady=True Ready
        ControlPlaneAvailable=True Available
        ControlPlaneInitialized=True Initialized
        WorkersAvailable=False NotAvailable * MachineDeployment md-0: 1 available replicas
        ControlPlaneMachinesReady=True NoReplicas
        WorkerMachinesReady=True NoReplicas
        ControlPlaneMachinesUpToDate=True NoReplicas
        WorkerMachinesUpToDate=True NoReplicas
        RemoteConnectionProbe=True ProbeSucceeded
        RollingOut=False NotRollingOut
        ScalingUp=True ScalingUp * MachineDeployment md-0: Scaling up from 1 to 2 replicas
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        controlPlane:
          availableReplicas: 1
          desiredReplicas: 1
          readyReplicas: 1
          replicas: 1
          upToDateReplicas: 1
          versions:
          - replicas: 1
            version: v1.36.0
        failureDomains:
        - controlPlane: true
          name: a
        initialization:
          controlPlaneInitialized: true
          infrastructureProvisioned: true
        phase: Provisioned
        workers:
          availableReplicas: 1
          desiredReplicas: 2
          readyReplicas: 1
          replicas: 2
          upToDateReplicas: 2
          versions:
          - replicas: 2
            version: v1.36.0
    "#]],
    );
}

#[test]
fn a_lost_connection_is_told() {
    check(
        &[
            INFRASTRUCTURE,
            READY,
            "{deployments: [], link: {Down: {since: '2026-01-02T03:00:00Z', message: connection refused}}}",
        ],
        &expect![[r#"
            Available=False NotAvailable * RemoteConnectionProbe: Connection down since 2026-01-02T03:00:00Z: connection refused
            InfrastructureReady=True Ready
            ControlPlaneAvailable=True Available
            ControlPlaneInitialized=True Initialized
            WorkersAvailable=True NoWorkers
            ControlPlaneMachinesReady=True NoReplicas
            WorkerMachinesReady=True NoReplicas
            ControlPlaneMachinesUpToDate=True NoReplicas
            WorkerMachinesUpToDate=True NoReplicas
            RemoteConnectionProbe=False ProbeFailed Connection down since 2026-01-02T03:00:00Z: connection refused
            RollingOut=False NotRollingOut
            ScalingUp=False NotScalingUp
            ScalingDown=False NotScalingDown
            Remediating=False NotRemediating
            Deleting=False NotDeleting
            Paused=False NotPaused
            controlPlane:
              availableReplicas: 1
              desiredReplicas: 1
              readyReplicas: 1
              replicas: 1
              upToDateReplicas: 1
              versions:
              - replicas: 1
                version: v1.36.0
            failureDomains:
            - controlPlane: true
              name: a
            initialization:
              controlPlaneInitialized: true
              infrastructureProvisioned: true
            phase: Provisioned
        "#]],
    );
}

#[test]
fn infrastructure_that_vanishes_is_told_but_nothing_goes_back() {
    check(
        &[
            INFRASTRUCTURE,
            READY,
            "{infrastructure: null, deployments: [], cluster: {status: {failureDomains: [{name: a, controlPlane: true}]}}}",
        ],
        &expect![[r#"
        Available=False NotAvailable * InfrastructureReady: LocalCluster has been deleted while the cluster still exists
        InfrastructureReady=False ObjectDeleted LocalCluster has been deleted while the cluster still exists
        ControlPlaneAvailable=True Available
        ControlPlaneInitialized=True Initialized
        WorkersAvailable=True NoWorkers
        ControlPlaneMachinesReady=True NoReplicas
        WorkerMachinesReady=True NoReplicas
        ControlPlaneMachinesUpToDate=True NoReplicas
        WorkerMachinesUpToDate=True NoReplicas
        RemoteConnectionProbe=True ProbeSucceeded
        RollingOut=False NotRollingOut
        ScalingUp=False NotScalingUp
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        controlPlane:
          availableReplicas: 1
          desiredReplicas: 1
          readyReplicas: 1
          replicas: 1
          upToDateReplicas: 1
          versions:
          - replicas: 1
            version: v1.36.0
        failureDomains:
        - controlPlane: true
          name: a
        initialization:
          controlPlaneInitialized: true
          infrastructureProvisioned: true
        phase: Provisioned
    "#]],
    );
}

#[test]
fn nothing_happens_while_paused() {
    check(
        &[INFRASTRUCTURE, "cluster: {spec: {paused: true}}"],
        &expect![[r#"
        wait Paused: Reconciliation is paused
        Paused=True Paused
    "#]],
    );
}

fn check_deletion(overrides: &[&str], expect: &Expect) {
    let overrides = [overrides, &[DELETED]].concat();
    expect.assert_eq(&super::plan::plan(&layers::<World>(BASE, &overrides), now()).to_string());
}

#[test]
fn deletion_goes_from_workers_to_control_plane_to_infrastructure() {
    let machine = "machines: [{metadata: {name: lonely, namespace: acme}, spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: x}}}]";
    check_deletion(
        &[INFRASTRUCTURE, READY, machine],
        &expect![[r#"
        delete MachineDeployment acme/md-0
        delete Machine acme/lonely
        wait WaitingForWorkersDeletion: * MachineDeployment md-0
        * Machine lonely
    "#]],
    );
    check_deletion(
        &[INFRASTRUCTURE, READY, "deployments: []"],
        &expect![[r#"
        delete KubeadmControlPlane acme/hello
        wait WaitingForControlPlaneDeletion: Waiting for KubeadmControlPlane to be deleted
    "#]],
    );
    check_deletion(
        &[
            INFRASTRUCTURE,
            READY,
            "{deployments: [], control_plane: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}}",
        ],
        &expect![[r#"
            wait WaitingForControlPlaneDeletion: Waiting for KubeadmControlPlane to be deleted
        "#]],
    );
    check_deletion(
        &[
            INFRASTRUCTURE,
            READY,
            "{deployments: [], control_plane: null}",
        ],
        &expect![[r#"
        delete LocalCluster acme/hello
        wait WaitingForInfrastructureDeletion: Waiting for LocalCluster to be deleted
    "#]],
    );
    check_deletion(
        &[READY, "{deployments: [], control_plane: null}"],
        &expect![[r#"
        note Deleted: The cluster is deleted
        finished
    "#]],
    );
}

#[test]
fn deletion_waits_while_paused() {
    check_deletion(
        &["cluster: {spec: {paused: true}}"],
        &expect![[r#"
        wait Paused: Reconciliation is paused
    "#]],
    );
}

#[test]
fn without_control_plane_object_the_kubeconfig_is_made_here() {
    let planned = |overrides: &[&str], has_authority: bool| {
        let alone = "cluster: {spec: {controlPlaneRef: null, controlPlaneEndpoint: {host: 127.0.0.1, port: 6443}}, status: {initialization: {infrastructureProvisioned: true}}}";
        let mut world: World = layers(BASE, &[&[INFRASTRUCTURE, alone], overrides].concat());
        world.authority = has_authority.then(|| crate::pki::Pair {
            cert: "cert".to_owned(),
            key: "key".to_owned(),
        });
        format!("{:?}\n", ClusterController::plan(&world, now()).to_string())
    };
    let ours = "kubeconfig: {is_ours: true, expires: '2027-01-02T00:00:00Z', server: 'https://127.0.0.1:6443'}";
    let theirs = "kubeconfig: {is_ours: false, server: 'https://example.com'}";
    let managed = "cluster: {spec: {controlPlaneRef: {apiGroup: g, kind: K, name: hello}}}";
    let text = planned(&[], true)
        + &planned(&[], false)
        + &planned(&[ours], true)
        + &planned(&[ours, "kubeconfig: {server: 'https://old:6443'}"], true)
        + &planned(&[theirs], true)
        + &planned(&[managed], true);
    expect![[r#"
        "act WriteKubeconfig\n"
        ""
        ""
        "act WriteKubeconfig\n"
        ""
        ""
    "#]]
    .assert_eq(&text);
}
