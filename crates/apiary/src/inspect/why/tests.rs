//! Situations as objects in, answers as sentences out.

use expect_test::{Expect, expect};
use serde_json::json;

use super::{text, why};
use crate::inspect::testing::{NOW, ui, world};
use crate::object::{kind, name};

/// Conditions in short: `Type=Status Reason message`, the newest of them a minute old.
fn conditions(lines: &[&str]) -> String {
    let all = lines.iter().map(|line| {
        let (ty, rest) = line.split_once('=').unwrap();
        let mut words = rest.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        json!({"type": ty, "status": next(), "reason": next(), "message": next(), "lastTransitionTime": "2026-01-02T03:01:05Z"})
    });
    serde_json::Value::Array(all.collect()).to_string()
}

fn cluster(more: &str, status: &[&str]) -> String {
    format!(
        "
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {{name: hello, namespace: org-acme, generation: 1{more}}}
spec:
  infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalCluster, name: hello}}
  controlPlaneRef: {{apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: hello}}
status: {{conditions: {}}}
",
        conditions(status)
    )
}

fn part(api: &str, kind: &str, name: &str, metadata: &str, spec: &str, status: &[&str]) -> String {
    format!(
        "
---
apiVersion: {api}/v1beta2
kind: {kind}
metadata: {{name: {name}, namespace: org-acme{metadata}}}
spec: {{clusterName: hello{spec}}}
status: {{observedGeneration: 1, conditions: {}}}
",
        conditions(status)
    )
}

const CORE: &str = "cluster.x-k8s.io";
const CONTROL: &str = "controlplane.cluster.x-k8s.io";
const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";

fn local_cluster(status: &[&str]) -> String {
    part(INFRASTRUCTURE, "LocalCluster", "hello", "", "", status)
}

fn control_plane(status: &[&str]) -> String {
    part(CONTROL, "KubeadmControlPlane", "hello", "", "", status)
}

/// A machine with its infrastructure and bootstrap configuration.
fn machine(name: &str, metadata: &str, status: &[&str]) -> String {
    let spec = format!(
        ", infrastructureRef: {{apiGroup: {INFRASTRUCTURE}, kind: LocalMachine, name: {name}}}, bootstrap: {{configRef: {{apiGroup: {BOOTSTRAP}, kind: KubeadmConfig, name: {name}}}}}"
    );
    part(CORE, "Machine", name, metadata, &spec, status)
}

fn config(name: &str, status: &[&str]) -> String {
    part(BOOTSTRAP, "KubeadmConfig", name, "", "", status)
}

fn local_machine(name: &str, spec: &str, status: &[&str]) -> String {
    let owner = format!(", ownerReferences: [{{kind: Machine, name: {name}, controller: true}}]");
    part(INFRASTRUCTURE, "LocalMachine", name, &owner, spec, status)
}

fn deployment(spec: &str, status: &[&str]) -> String {
    part(CORE, "MachineDeployment", "hello-workers", "", spec, status)
}

const OF_CONTROL_PLANE: &str = ", labels: {cluster.x-k8s.io/control-plane: ''}, ownerReferences: [{kind: KubeadmControlPlane, name: hello, controller: true}]";
const OF_WORKERS: &str = ", labels: {cluster.x-k8s.io/deployment-name: hello-workers}, ownerReferences: [{kind: MachineSet, name: hello-workers-x, controller: true}]";

const FINE: &[&str] = &["Available=True Available", "Ready=True Ready"];
const READY: &[&str] = &["Ready=True Ready"];
const NOT_AVAILABLE: &[&str] = &["Available=False NotAvailable"];

/// A machine that is well, with its parts.
fn well(name: &str, metadata: &str) -> String {
    [
        machine(name, metadata, FINE),
        config(name, READY),
        local_machine(name, "", READY),
    ]
    .concat()
}

fn check(of: &str, objects: &[String], expect: &Expect) {
    let world = world(&objects.concat(), &["FarCluster"]);
    let (wanted, called) = of.split_once(' ').unwrap();
    let all = world.objects.values().chain([&world.cluster]);
    let mut found = all.filter(|o| kind(o) == wanted && name(o) == called);
    let answer = why(&world, found.next().unwrap());
    expect.assert_eq(&text(&answer, &[], NOW.parse().unwrap(), &ui()));
}

#[test]
fn nothing_is_wrong() {
    let all = [
        cluster("", FINE),
        local_cluster(READY),
        control_plane(FINE),
        well("cp", OF_CONTROL_PLANE),
        deployment("", FINE),
        well("w", OF_WORKERS),
    ];
    check(
        "Cluster hello",
        &all,
        &expect!["Cluster hello is fine: available (for 3m)."],
    );
    check(
        "Machine w",
        &all,
        &expect!["Machine w is fine: ready (for 3m)."],
    );
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect!["MachineDeployment hello-workers is fine: available (for 3m)."],
    );
}

/// A control plane whose machine, with this in the spec of its infrastructure, cannot boot; a worker waits for it.
fn unbootable(spec: &str) -> Vec<String> {
    let failed = [
        "Ready=False NotReady * BootstrapExecSucceeded: kubeadm init: no such host",
        "MachineProvisioned=True Provisioned",
        "BootstrapExecSucceeded=False BootFailed kubeadm init: no such host\nConsole:\none\ntwo",
    ];
    let sick = [
        "Available=False NotReady",
        "Ready=False NotReady * InfrastructureReady: kubeadm init: no such host",
        "BootstrapConfigReady=True Ready",
        "InfrastructureReady=False NotReady kubeadm init: no such host",
    ];
    vec![
        cluster(
            "",
            &[
                "Available=False NotAvailable * ControlPlaneAvailable: x",
                "RemoteConnectionProbe=False ProbeFailed Remote connection not established yet",
            ],
        ),
        local_cluster(READY),
        control_plane(NOT_AVAILABLE),
        machine("hello-x", OF_CONTROL_PLANE, &sick),
        config("hello-x", READY),
        local_machine("hello-x", spec, &failed),
        // It waits for the control plane, which is not its own fault.
        deployment("", NOT_AVAILABLE),
        machine(
            "w",
            OF_WORKERS,
            &[
                "Available=False NotReady",
                "Ready=False NotReady",
                "BootstrapConfigReady=False NotReady",
            ],
        ),
        config(
            "w",
            &[
                "Ready=False NotReady",
                "DataSecretAvailable=False WaitingForControlPlaneInitialized Waiting for Cluster control plane to be initialized",
            ],
        ),
        local_machine(
            "w",
            "",
            &[
                "Ready=False NotReady",
                "MachineProvisioned=False WaitingForBootstrapData Waiting for Secret w with key value",
            ],
        ),
    ]
}

#[test]
fn a_boot_that_fails_is_found_below_the_control_plane() {
    let all = unbootable("");
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is not available (for 3m): it waits for control plane hello, which waits for machine hello-x, whose LocalMachine says: BootFailed: kubeadm init: no such host (for 3m).
            Console:
            one
            two
        What to do: it is tried again by itself. If its bootstrap configuration is wrong, correct the template that it is made from, and have the machine replaced: kubectl -n org-acme delete machine hello-x"#]],
    );
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect![[r#"
        MachineDeployment hello-workers is not available (for 3m): it waits for machine w, which waits for KubeadmConfig w, which waits for control plane hello, which waits for machine hello-x, whose LocalMachine says: BootFailed: kubeadm init: no such host (for 3m).
            Console:
            one
            two
        What to do: it is tried again by itself. If its bootstrap configuration is wrong, correct the template that it is made from, and have the machine replaced: kubectl -n org-acme delete machine hello-x"#]],
    );
    check(
        "Machine hello-x",
        &all,
        &expect![[r#"
        Machine hello-x is not ready (for 3m): its LocalMachine says: BootFailed: kubeadm init: no such host (for 3m).
            Console:
            one
            two
        What to do: it is tried again by itself. If its bootstrap configuration is wrong, correct the template that it is made from, and have the machine replaced: kubectl -n org-acme delete machine hello-x"#]],
    );
    let all = unbootable(", faults: {boot: broken}");
    check(
        "Machine hello-x",
        &all,
        &expect![[r#"
        Machine hello-x is not ready (for 3m): its LocalMachine says: BootFailed: kubeadm init: no such host (for 3m).
            Console:
            one
            two
        What to do: the fault is there on purpose (spec.faults.boot); take it away: kubectl -n org-acme patch localmachine hello-x --type merge -p '{"spec":{"faults":null}}'"#]],
    );
}

#[test]
fn several_workers_with_one_trouble_are_told_together() {
    let sick = |name: &str, message: &str| {
        [
            machine(
                name,
                OF_WORKERS,
                &[
                    "Available=False NotReady",
                    "Ready=False NotReady",
                    &format!("InfrastructureReady=False NotReady {message}"),
                ],
            ),
            config(name, READY),
            local_machine(
                name,
                "",
                &[
                    "Ready=False NotReady",
                    &format!("MachineProvisioned=False ProvisioningFault {message}"),
                ],
            ),
        ]
        .concat()
    };
    let waiting = [
        machine(
            "w-d",
            OF_WORKERS,
            &[
                "Available=False NotReady",
                "Ready=False NotReady",
                "InfrastructureReady=False NotReady",
            ],
        ),
        config("w-d", READY),
        local_machine(
            "w-d",
            "",
            &[
                "Ready=False NotReady",
                "MachineProvisioned=False WaitingForStartDelay The machine starts at 2026-01-02T03:05:00Z",
            ],
        ),
    ];
    let all = [
        cluster("", NOT_AVAILABLE),
        local_cluster(READY),
        control_plane(FINE),
        well("cp", OF_CONTROL_PLANE),
        deployment(
            "",
            &["Available=False NotAvailable 0 available replicas, at least 4 required"],
        ),
        waiting.concat(),
        sick("w-a", "no room for w-a"),
        sick("w-b", "no room for w-b"),
        sick("w-c", "another trouble"),
    ];
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is not available (for 3m): it waits for MachineDeployment hello-workers, which waits for machine w-a, whose LocalMachine says: ProvisioningFault: no room for w-a (for 3m).
        The same is true of w-b.
        Also: machine w-c: ProvisioningFault: another trouble
        Also: machine w-d: WaitingForStartDelay: The machine starts at 2026-01-02T03:05:00Z
        What to do: the fault is there on purpose (spec.faults.provisioning); take it away: kubectl -n org-acme patch localmachine w-a --type merge -p '{"spec":{"faults":null}}'"#]],
    );
}

#[test]
fn what_is_deleted_says_what_keeps_it() {
    let gone = ", deletionTimestamp: '2026-01-02T03:00:05Z', finalizers: [a.example.com/keep]";
    let draining = "Deleting=True DrainingNode Drain not completed yet:\n* Pod default/web: cannot be evicted, a PodDisruptionBudget keeps it";
    let all = [
        cluster(
            gone,
            &[
                "Available=False NotAvailable",
                "Deleting=True WaitingForWorkersDeletion * Machine w",
            ],
        ),
        local_cluster(READY),
        control_plane(FINE),
        part(
            CORE,
            "MachineDeployment",
            "hello-workers",
            gone,
            "",
            &[
                "Available=True Available",
                "Deleting=True WaitingForMachineDeletion Waiting for the deletion of Machine w",
            ],
        ),
        machine(
            "w",
            &format!("{OF_WORKERS}{gone}"),
            &["Available=True Available", "Ready=False NotReady", draining],
        ),
        config("w", READY),
        local_machine("w", "", READY),
        part("elsewhere.example.com", "Thing", "silent", gone, "", &[]),
        part(
            "elsewhere.example.com",
            "Thing",
            "unseen",
            &gone.replace("a.example.com/keep", "thing.cluster.x-k8s.io"),
            "",
            &["Deleting=False NotDeleting"],
        ),
        part(
            "elsewhere.example.com",
            "Thing",
            "left",
            gone,
            "",
            &["Deleting=False NotDeleting"],
        ),
    ];
    check(
        "Thing left",
        &all,
        &expect![
            "Thing left is being deleted (for 4m): its finalizers a.example.com/keep are still there: who set them has not let go of it."
        ],
    );
    check(
        "Thing unseen",
        &all,
        &expect![
            "Thing unseen is being deleted (for 4m): its status is of the time before: its controller has not looked at it since."
        ],
    );
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is being deleted (for 4m): it waits for machine w, which says: DrainingNode: Drain not completed yet: Pod default/web: cannot be evicted, a PodDisruptionBudget keeps it (for 3m).
        What to do: see to the pods that are named (a PodDisruptionBudget may keep them), or do without draining: kubectl -n org-acme annotate machine w machine.cluster.x-k8s.io/exclude-node-draining="#]],
    );
    check(
        "Thing silent",
        &all,
        &expect![
            "Thing silent is being deleted (for 4m): its finalizers a.example.com/keep are still there: who set them has not let go of it."
        ],
    );
}

#[test]
fn a_pause_explains_everything() {
    let mut all = vec![
        cluster("", NOT_AVAILABLE).replace("spec:\n", "spec:\n  paused: true\n"),
        local_cluster(READY),
        control_plane(FINE),
        deployment("", NOT_AVAILABLE),
    ];
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is not available (for 3m): its spec.paused is true, so its controllers leave it alone.
        What to do: when it may go on: kubectl -n org-acme patch cluster hello --type merge -p '{"spec":{"paused":false}}'"#]],
    );
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect![[r#"
        MachineDeployment hello-workers is not available (for 3m): its cluster hello has spec.paused, so its controllers leave it alone.
        What to do: when it may go on: kubectl -n org-acme patch cluster hello --type merge -p '{"spec":{"paused":false}}'"#]],
    );
    all[0] = cluster(", annotations: {cluster.x-k8s.io/paused: ''}", FINE);
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
            Cluster hello is available, but not all of it is well (for 3m): it waits for MachineDeployment hello-workers, which says: NotAvailable, and no condition says why (for 3m).
            It is paused: its annotation cluster.x-k8s.io/paused is set, so nothing is done about it.
            Looked at: cluster hello (Available=True Available), MachineDeployment hello-workers (Available=False NotAvailable), control plane hello (Available=True Available), LocalCluster hello (Ready=True Ready)."#]],
    );
}

#[test]
fn references_to_nothing_name_the_field() {
    let all = [
        cluster("", NOT_AVAILABLE).replace("LocalCluster", "FarCluster"),
        control_plane(NOT_AVAILABLE).replace(
            "clusterName: hello",
            "machineTemplate: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachineTemplate, name: small}}}",
        ),
        deployment(
            ", template: {spec: {bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: hello-workers}}}}",
            FINE,
        ),
    ];
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is not available (for 3m): its spec.infrastructureRef names FarCluster "hello", a kind of infrastructure.cluster.x-k8s.io that the management cluster does not serve.
        What to do: install the provider that serves this kind, or correct the field"#]],
    );
    check(
        "KubeadmControlPlane hello",
        &all,
        &expect![[r#"
        Control plane hello is not available (for 3m): its spec.machineTemplate.spec.infrastructureRef names LocalMachineTemplate "small", which does not exist.
        What to do: create what is named, or correct the field; it goes on by itself then"#]],
    );
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect![[r#"
        MachineDeployment hello-workers is fine: available (for 3m).
        Its spec.template.spec.bootstrap.configRef names KubeadmConfigTemplate "hello-workers", which does not exist: the next machine will need it."#]],
    );
    let new = machine("w", OF_WORKERS, &["Ready=False NotReady waiting"]);
    let all = [
        cluster("", NOT_AVAILABLE),
        local_cluster(READY),
        control_plane(FINE),
        new,
    ];
    check(
        "Machine w",
        &all,
        &expect![[
            r#"Machine w is not ready (for 3m): its spec.infrastructureRef names LocalMachine "w", which MachineSet hello-workers-x has not made yet."#
        ]],
    );
    let classy = cluster("", NOT_AVAILABLE).replace(
        "spec:\n",
        "spec:\n  topology: {classRef: {name: standard}}\n",
    );
    let all = [classy, local_cluster(READY), control_plane(FINE)];
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is not available (for 3m): its spec.topology.classRef names ClusterClass "standard", which does not exist.
        What to do: create what is named, or correct the field; it goes on by itself then"#]],
    );
}

#[test]
fn a_roll_out_says_what_changes_and_what_it_waits_for() {
    let rolling = "RollingOut=True RollingOut Rolling out 1 not up-to-date replicas\n* Version v1.36.0, v1.36.1 required";
    let mut all = vec![
        cluster("", &["Available=True Available", rolling]),
        local_cluster(READY),
        control_plane(&["Available=True Available", rolling]),
        well("cp", OF_CONTROL_PLANE),
    ];
    check(
        "KubeadmControlPlane hello",
        &all,
        &expect![[r#"
        Control plane hello is available, and at work: Rolling out 1 not up-to-date replicas (for 3m).
        What changes: Version v1.36.0, v1.36.1 required."#]],
    );
    all.extend([
        machine(
            "cp-new",
            OF_CONTROL_PLANE,
            &[
                "Available=False NotReady",
                "Ready=False NotReady",
                "InfrastructureReady=False NotReady x",
            ],
        ),
        config("cp-new", READY),
        local_machine(
            "cp-new",
            "",
            &[
                "Ready=False NotReady",
                "MachineProvisioned=False ProvisioningFault no room",
            ],
        ),
    ]);
    check(
        "KubeadmControlPlane hello",
        &all,
        &expect![[r#"
        Control plane hello is available, and at work: Rolling out 1 not up-to-date replicas (for 3m): it waits for machine cp-new, whose LocalMachine says: ProvisioningFault: no room (for 3m).
        What changes: Version v1.36.0, v1.36.1 required.
        What to do: the fault is there on purpose (spec.faults.provisioning); take it away: kubectl -n org-acme patch localmachine cp-new --type merge -p '{"spec":{"faults":null}}'"#]],
    );
}

#[test]
fn workers_wait_for_the_control_plane_or_its_version() {
    let blocked = |why: &str| {
        deployment(
            "",
            &[
                "Available=False NotAvailable 0 available replicas, at least 1 required",
                &format!(
                    "ScalingUp=True ScalingUp Scaling up from 0 to 1 replicas is blocked because:\n* {why}"
                ),
            ],
        )
    };
    let rolling = "RollingOut=True RollingOut Rolling out 1 not up-to-date replicas\n* Version v1.36.0, v1.36.1 required";
    let mut all = vec![
        cluster("", FINE),
        local_cluster(READY),
        control_plane(&["Available=True Available", rolling]),
        well("cp", OF_CONTROL_PLANE),
        blocked(
            "KubeadmControlPlane is upgrading (\"ControlPlaneIsStable\" preflight check failed)",
        ),
    ];
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect![[r#"
        MachineDeployment hello-workers is not available (for 3m): it waits for control plane hello, which says: Rolling out 1 not up-to-date replicas (for 3m).
            * Version v1.36.0, v1.36.1 required"#]],
    );
    all[2] = control_plane(FINE);
    all[4] = blocked(
        "MachineSet version (v1.37.0) must not be newer than the control plane version (v1.36.0) (\"KubernetesVersionSkew\" preflight check failed)",
    );
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect![[r#"
        MachineDeployment hello-workers is not available (for 3m): Scaling up from 0 to 1 replicas is blocked because: MachineSet version (v1.37.0) must not be newer than the control plane version (v1.36.0) ("KubernetesVersionSkew" preflight check failed).
        What to do: bring the version of the node pool into line with its control plane: `apiary cluster upgrade`"#]],
    );
}

#[test]
fn what_cannot_be_reached_is_unknown() {
    let all = [
        cluster(
            "",
            &[
                "Available=False NotAvailable",
                "RemoteConnectionProbe=False ProbeFailed Remote connection probe failed, last success at 2026-01-02T03:00:00Z",
            ],
        ),
        local_cluster(READY),
        control_plane(FINE),
        well("cp", OF_CONTROL_PLANE),
    ];
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is not available (for 3m): ProbeFailed: Remote connection probe failed, last success at 2026-01-02T03:00:00Z.
        What to do: see whether the API server of the cluster answers at its endpoint; its machines go on without the management cluster"#]],
    );
    let lost = [
        "Available=False NotReady",
        "Ready=Unknown ReadyUnknown * NodeHealthy: x",
        "BootstrapConfigReady=True Ready",
        "InfrastructureReady=True Ready",
        "NodeHealthy=Unknown NodeHealthUnknown * Node.Ready: Kubelet stopped posting node status.",
    ];
    let all = [
        cluster("", FINE),
        local_cluster(READY),
        control_plane(FINE),
        deployment("", NOT_AVAILABLE),
        machine("w", OF_WORKERS, &lost),
        config("w", READY),
        local_machine("w", "", READY),
    ];
    check(
        "MachineDeployment hello-workers",
        &all,
        &expect![[r#"
        MachineDeployment hello-workers is not available (for 3m): it waits for machine w, which says: NodeHealthUnknown: Node.Ready: Kubelet stopped posting node status (for 3m).
        What to do: no MachineHealthCheck looks at the machine. To have it replaced: kubectl -n org-acme delete machine w"#]],
    );
}

#[test]
fn machines_that_are_not_replaced_say_why() {
    let sick = [
        "Available=False NotReady",
        "Ready=False NotReady * HealthCheckSucceeded: x",
        "NodeHealthy=True NodeHealthy",
        "HealthCheckSucceeded=False UnhealthyNode Condition Ready on Node is reporting status Unknown for more than 5m0s",
        "OwnerRemediated=False WaitingForRemediation Waiting for remediation",
    ];
    let all = [
        cluster("", FINE),
        local_cluster(READY),
        control_plane(FINE),
        deployment("", FINE),
        machine("w", OF_WORKERS, &sick),
        config("w", READY),
        local_machine("w", "", READY),
        part(
            CORE,
            "MachineHealthCheck",
            "workers",
            "",
            ", selector: {matchLabels: {cluster.x-k8s.io/deployment-name: hello-workers}}",
            &[
                "RemediationAllowed=False TooManyUnhealthy Remediation is not allowed, 1 of 1 machines are unhealthy",
            ],
        ),
    ];
    check(
        "MachineHealthCheck workers",
        &all,
        &expect![[r#"
        MachineHealthCheck workers has no machines replaced (for 3m): TooManyUnhealthy: Remediation is not allowed, 1 of 1 machines are unhealthy.
            machine w: UnhealthyNode: Condition Ready on Node is reporting status Unknown for more than 5m0s
        What to do: heal machines by hand (annotation cluster.x-k8s.io/remediate-machine has one replaced), or allow more in spec.remediation.triggerIf"#]],
    );
    check(
        "Machine w",
        &all,
        &expect![[r#"
        Machine w is not ready (for 3m): UnhealthyNode: Condition Ready on Node is reporting status Unknown for more than 5m0s.
            It is not replaced yet: WaitingForRemediation: Waiting for remediation
            MachineHealthCheck workers does not have it replaced: TooManyUnhealthy: Remediation is not allowed, 1 of 1 machines are unhealthy"#]],
    );
    // The deployment could do without it; the cluster says that not all is well.
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
        Cluster hello is available, but not all of it is well (for 3m): it waits for machine w, which says: UnhealthyNode: Condition Ready on Node is reporting status Unknown for more than 5m0s (for 3m).
            It is not replaced yet: WaitingForRemediation: Waiting for remediation
            MachineHealthCheck workers does not have it replaced: TooManyUnhealthy: Remediation is not allowed, 1 of 1 machines are unhealthy"#]],
    );
}

#[test]
fn where_no_condition_explains_that_is_said() {
    let all = [
        cluster("", &[]).replace("status: {conditions: []}", "status: {phase: Provisioned}"),
        local_cluster(READY),
        control_plane(FINE),
    ];
    check(
        "Cluster hello",
        &all,
        &expect![[r#"
            Cluster hello is not available, and no condition says why.
            Looked at: cluster hello (no condition sums it up), control plane hello (Available=True Available), LocalCluster hello (Ready=True Ready)."#]],
    );
    let untouched = cluster("", &[]).replace("status: {conditions: []}", "status: {}");
    check(
        "Cluster hello",
        &[untouched, local_cluster(READY), control_plane(FINE)],
        &expect![
            "Cluster hello is not available: its status is empty: its controller has not looked at it yet, or does not run."
        ],
    );
    let behind =
        deployment("", FINE).replace("namespace: org-acme", "namespace: org-acme, generation: 2");
    check(
        "MachineDeployment hello-workers",
        &[cluster("", FINE), behind],
        &expect![
            "MachineDeployment hello-workers has been changed, and nobody has looked at it since: its status is of generation 1, and it is at 2: its controller has not looked at the last change yet."
        ],
    );
}

#[test]
fn apps_wait_for_their_cluster_or_say_it_themselves() {
    let app = |condition: &str| {
        part(
            "application.giantswarm.io",
            "App",
            "web",
            "",
            ", catalog: stable",
            &[condition],
        )
    };
    let all = [
        cluster("", NOT_AVAILABLE),
        local_cluster(&["Ready=False NotReady", "Room=False NoRoom there is none"]),
        control_plane(NOT_AVAILABLE),
        app("Ready=False ClusterUnreachable cluster hello does not answer"),
    ];
    check(
        "App web",
        &all,
        &expect![
            "App web is not deployed as it should be (for 3m): it waits for cluster hello, whose LocalCluster says: NoRoom: there is none (for 3m)."
        ],
    );
    let all = [
        cluster("", FINE),
        local_cluster(READY),
        control_plane(FINE),
        app("Ready=False ValuesInvalid values.yaml: replicas: want a number"),
    ];
    check(
        "App web",
        &all,
        &expect![
            "App web is not deployed as it should be (for 3m): ValuesInvalid: values.yaml: replicas: want a number."
        ],
    );
}

#[test]
fn warnings_are_told_with_their_age() {
    let world = world(
        &[
            cluster("", NOT_AVAILABLE),
            local_cluster(READY),
            control_plane(FINE),
        ]
        .concat(),
        &[],
    );
    let answer = why(&world, &world.cluster);
    let events = [
        json!({"reason": "Boom", "message": "one\ntwo", "count": 3, "lastTimestamp": "2026-01-02T03:03:55Z"}),
    ];
    expect![[r#"
        Cluster hello is not available (for 3m): NotAvailable, and no condition says why.
        Looked at: cluster hello (Available=False NotAvailable), control plane hello (Available=True Available), LocalCluster hello (Ready=True Ready).
        Newest warnings about cluster hello:
            10s ago, 3 times  Boom: one
                two"#]]
    .assert_eq(&text(&answer, &events, NOW.parse().unwrap(), &ui()));
}
