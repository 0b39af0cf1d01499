//! Worlds of a LocalMachine: what is planned, and what is shown.

use expect_test::{Expect, expect};

use super::{LocalMachineController, World};
use crate::testing::{layers, show};

const BASE: &str = "
local:
  metadata: {name: m, namespace: acme, uid: l1, resourceVersion: '4', creationTimestamp: '2026-01-02T03:04:00Z', labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: m, uid: m1, controller: true}]}
  spec: {}
machine:
  metadata: {name: m, namespace: acme}
  spec: {clusterName: hello, version: v1.36.0, bootstrap: {dataSecretName: m}, infrastructureRef: {apiGroup: g, kind: LocalMachine, name: m}}
cluster:
  metadata: {name: hello, namespace: acme}
  spec: {}
  status: {initialization: {infrastructureProvisioned: true}}
infrastructure: {metadata: {name: hello}, spec: {}, status: {tlsServerName: hello.acme.test, failureDomains: [{name: local-a}]}}
data_name: m
bootstrap: {document: '#cloud-config'}
";

const BOOTED: &str = "
local: {spec: {providerID: 'local:///acme/m'}}
disk: {nodeName: m, server: s, caCert: c, kubeletCert: k, kubeletKey: k, controlPlane: null, kubernetesVersion: v1.36.0, console: boot finished}
";

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<LocalMachineController>(&layers::<World>(
        BASE, overrides,
    )));
}

#[test]
fn a_machine_boots_when_all_is_there() {
    check(
        &[],
        &expect![[r#"
            patch LocalMachine acme/m {"metadata":{"resourceVersion":"4"},"spec":{"providerID":"local:///acme/m"}}
            act Boot
            Ready=True Ready
            MachineProvisioned=True Provisioned
            BootstrapExecSucceeded=True BootstrapSucceeded
            Paused=False NotPaused
            addresses:
            - address: m
              type: Hostname
            - address: "10.95.127.227"
              type: InternalIP
            failureDomain: local-a
            initialization:
              provisioned: true
        "#]],
    );
}

#[test]
fn a_machine_waits_for_what_it_needs() {
    check(
        &["machine: null"],
        &expect![[r#"
        wait WaitingForOwner: Waiting for a Machine to own this object
        Ready=False NotReady * MachineProvisioned: Waiting for a Machine to own this object
        MachineProvisioned=False WaitingForOwner Waiting for a Machine to own this object
        BootstrapExecSucceeded=False Booting
        Paused=False NotPaused
    "#]],
    );
    check(
        &["infrastructure: null"],
        &expect![[r#"
        wait WaitingForClusterInfrastructureReady: Waiting for the Cluster's infrastructure to be a LocalCluster with status.tlsServerName
        Ready=False NotReady * MachineProvisioned: Waiting for the Cluster's infrastructure to be a LocalCluster with status.tlsServerName
        MachineProvisioned=False WaitingForClusterInfrastructureReady Waiting for the Cluster's infrastructure to be a LocalCluster with status.tlsServerName
        BootstrapExecSucceeded=False Booting
        Paused=False NotPaused
    "#]],
    );
    check(
        &["bootstrap: null"],
        &expect![[r#"
        wait WaitingForBootstrapData: Waiting for Secret m with key value
        Ready=False NotReady * MachineProvisioned: Waiting for Secret m with key value
        MachineProvisioned=False WaitingForBootstrapData Waiting for Secret m with key value
        BootstrapExecSucceeded=False Booting
        Paused=False NotPaused
    "#]],
    );
    check(
        &["local: {spec: {startDelaySeconds: 60}}"],
        &expect![[r#"
        wait WaitingForStartDelay: The machine starts at 2026-01-02T03:05:00Z
        again in 55s
        Ready=False NotReady * MachineProvisioned: The machine starts at 2026-01-02T03:05:00Z
        MachineProvisioned=False WaitingForStartDelay The machine starts at 2026-01-02T03:05:00Z
        BootstrapExecSucceeded=False Booting
        Paused=False NotPaused
    "#]],
    );
    check(
        &["local: {spec: {faults: {provisioning: no room on this host}}}"],
        &expect![[r#"
        wait ProvisioningFault: no room on this host
        Ready=False NotReady * MachineProvisioned: no room on this host
        MachineProvisioned=False ProvisioningFault no room on this host
        BootstrapExecSucceeded=False Booting
        Paused=False NotPaused
    "#]],
    );
}

#[test]
fn a_machine_that_has_booted_runs() {
    check(
        &[BOOTED, "running: All"],
        &expect![[r#"
            Ready=True Ready
            MachineProvisioned=True Provisioned
            BootstrapExecSucceeded=True BootstrapSucceeded
            Paused=False NotPaused
            addresses:
            - address: m
              type: Hostname
            - address: "10.95.127.227"
              type: InternalIP
            console: boot finished
            failureDomain: local-a
            initialization:
              provisioned: true
        "#]],
    );
}

#[test]
fn a_machine_goes_on_after_a_restart_of_the_host() {
    let plan = |overrides: &[&str]| {
        super::plan(&layers::<World>(BASE, overrides), crate::testing::now()).to_string()
    };
    expect![[r#"
        act Resume
    "#]]
    .assert_eq(&plan(&[BOOTED]));
    expect![[r#"
        act Hang
    "#]]
    .assert_eq(&plan(&[
        BOOTED,
        "{running: All, local: {spec: {faults: {kubeletStopped: true}}}}",
    ]));
    expect![[r#"
        act ResumeHanging
    "#]]
    .assert_eq(&plan(&[
        BOOTED,
        "local: {spec: {faults: {kubeletStopped: true}}}",
    ]));
    expect![[""]].assert_eq(&plan(&[
        BOOTED,
        "{running: AllButKubelet, local: {spec: {faults: {kubeletStopped: true}}}}",
    ]));
    expect![[r#"
        act Resume
    "#]]
    .assert_eq(&plan(&[BOOTED, "running: AllButKubelet"]));
}

#[test]
fn deletion_pulls_the_plug() {
    let plan = |overrides: &[&str]| {
        super::plan(&layers::<World>(BASE, overrides), crate::testing::now()).to_string()
    };
    let deleted = "local: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}";
    let control_plane = "local: {metadata: {labels: {cluster.x-k8s.io/control-plane: ''}}}";
    expect![[r#"
        act PullPlug { is_last_of_control_plane: false }
        finished
    "#]]
    .assert_eq(&plan(&[BOOTED, deleted]));
    expect![[r#"
        act PullPlug { is_last_of_control_plane: true }
        finished
    "#]]
    .assert_eq(&plan(&[BOOTED, deleted, control_plane]));
    expect![[r#"
        act PullPlug { is_last_of_control_plane: false }
        finished
    "#]]
    .assert_eq(&plan(&[
        BOOTED,
        deleted,
        control_plane,
        "control_plane_peers: 1",
    ]));
}

#[test]
fn a_failed_boot_is_shown_with_the_console() {
    let world = layers::<World>(BASE, &[]);
    let failure = super::guest::Failure {
        message: "no such file".to_owned(),
        console: "one\ntwo\n".to_owned(),
    };
    let outcome = runtime::Outcome {
        done: 1,
        failure: Some(runtime::Wait {
            reason: "BootFailed",
            message: failure.to_string(),
        }),
    };
    let plan = super::plan(&world, crate::testing::now());
    let status = super::status(&world, &plan, &outcome, crate::testing::now());
    expect![[r#"
        Ready=False NotReady * BootstrapExecSucceeded: no such file
              Console:
              one
              two
        MachineProvisioned=True Provisioned
        BootstrapExecSucceeded=False BootFailed no such file
            Console:
            one
            two
        Paused=False NotPaused
        addresses:
        - address: m
          type: Hostname
        - address: "10.95.127.227"
          type: InternalIP
        failureDomain: local-a
        initialization:
          provisioned: true
    "#]]
    .assert_eq(&crate::testing::show_status(&status));
}

#[test]
fn the_console_is_cut_at_the_end_of_a_line() {
    let long = "line\n".repeat(2000);
    let tail = super::tail(&long);
    assert!(
        tail.len() <= super::CONSOLE_MAX && tail.starts_with("line\n"),
        "{}",
        tail.len()
    );
    assert_eq!(super::tail("short"), "short");
}

#[test]
fn a_boot_that_goes_on_says_where_it_is() {
    check(
        &["boot: {phase: Discovery, console: 'looking'}"],
        &expect![[r#"
            patch LocalMachine acme/m {"metadata":{"resourceVersion":"4"},"spec":{"providerID":"local:///acme/m"}}
            wait Booting: The guest is in phase Discovery
            again in 2s
            Ready=False NotReady * BootstrapExecSucceeded: The guest is in phase Discovery
            MachineProvisioned=True Provisioned
            BootstrapExecSucceeded=False Booting The guest is in phase Discovery
            Paused=False NotPaused
            addresses:
            - address: m
              type: Hostname
            - address: "10.95.127.227"
              type: InternalIP
            console: looking
            failureDomain: local-a
            initialization:
              provisioned: true
        "#]],
    );
    check(
        &["boot: {phase: Discovery, console: 'looking', trouble: 'kubeadm join: nobody answers'}"],
        &expect![[r#"
            patch LocalMachine acme/m {"metadata":{"resourceVersion":"4"},"spec":{"providerID":"local:///acme/m"}}
            wait BootFailed: kubeadm join: nobody answers
            again in 2s
            Ready=False NotReady * BootstrapExecSucceeded: kubeadm join: nobody answers
            MachineProvisioned=True Provisioned
            BootstrapExecSucceeded=False BootFailed kubeadm join: nobody answers
            Paused=False NotPaused
            addresses:
            - address: m
              type: Hostname
            - address: "10.95.127.227"
              type: InternalIP
            console: looking
            failureDomain: local-a
            initialization:
              provisioned: true
        "#]],
    );
    check(
        &["boot: {phase: Etcd, is_over: true}"],
        &expect![[r#"
            patch LocalMachine acme/m {"metadata":{"resourceVersion":"4"},"spec":{"providerID":"local:///acme/m"}}
            act Boot
            Ready=True Ready
            MachineProvisioned=True Provisioned
            BootstrapExecSucceeded=True BootstrapSucceeded
            Paused=False NotPaused
            addresses:
            - address: m
              type: Hostname
            - address: "10.95.127.227"
              type: InternalIP
            console: ""
            failureDomain: local-a
            initialization:
              provisioned: true
        "#]],
    );
}

#[test]
fn a_bastion_runs_when_it_exists() {
    check(
        &[
            "{machine: null, bootstrap: null, local: {metadata: {labels: {infrastructure.cluster.x-k8s.io/bastion: ''}}, spec: {providerID: 'local:///acme/m'}}}",
        ],
        &expect![[r#"
            Ready=True Ready
            MachineProvisioned=True Provisioned
            BootstrapExecSucceeded=True NothingToBoot
            Paused=False NotPaused
            addresses:
            - address: m
              type: Hostname
            - address: "10.95.127.227"
              type: InternalIP
            failureDomain: local-a
            initialization:
              provisioned: true
        "#]],
    );
}
