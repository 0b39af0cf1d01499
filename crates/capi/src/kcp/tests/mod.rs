//! Worlds of a KubeadmControlPlane: what is planned, and what is shown.

mod adoption;
mod changes;
mod coredns;
mod encryption;
mod members;
mod remediation;

use expect_test::{Expect, expect};

use super::{KubeadmControlPlaneController, World, plan};
use crate::pki::{Pair, Purpose};
use crate::secret::Authorities;
use crate::testing::{layers, now, show, world};

const BASE: &str = "
control_plane:
  metadata: {name: hello, namespace: acme, uid: k1}
  spec:
    replicas: 1
    version: v1.36.0
    machineTemplate: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachineTemplate, name: cp}}}
    kubeadmConfigSpec: {initConfiguration: {skipPhases: [a]}, joinConfiguration: {skipPhases: [b]}}
cluster:
  metadata: {name: hello, namespace: acme, uid: c1}
  spec: {controlPlaneEndpoint: {host: 127.0.0.1, port: 6443}}
  status: {initialization: {infrastructureProvisioned: true}, failureDomains: [{name: b, controlPlane: true}, {name: a, controlPlane: true}, {name: workers}]}
infrastructure: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalCluster, metadata: {name: hello}, status: {tlsServerName: hello.acme.test}}
template:
  apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
  kind: LocalMachineTemplate
  metadata: {name: cp, namespace: acme, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]}
  spec: {template: {spec: {cpus: 2}}}
kubeconfig: {is_ours: true, expires: '2027-01-02T00:00:00Z', server: 'https://127.0.0.1:6443', tls_server_name: hello.acme.test}
";

/// The cluster is set up.
const INITIALIZED: &str = "{link: Up, workload: {configuration: {apiVersion: kubeadm.k8s.io/v1beta4, kubernetesVersion: v1.36.0}, etcd: {n1: {id: a, peerURL: x}}, kube_proxy_image: 'registry.k8s.io/kube-proxy:v1.36.0'}}";

const GATES: [&str; 6] = [
    "APIServerPodHealthy",
    "ControllerManagerPodHealthy",
    "SchedulerPodHealthy",
    "EtcdPodHealthy",
    "EtcdMemberHealthy",
    "Ready",
];

/// A machine with its node and healthy components.
fn machine(name: &str, more: &str) -> String {
    let conditions: Vec<_> = GATES
        .iter()
        .map(|t| format!("{{type: {t}, status: 'True', reason: Running, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}}"))
        .collect();
    let gates = super::health::gates(true);
    let gates: Vec<_> = gates
        .iter()
        .map(|t| format!("{{conditionType: {t}}}"))
        .collect();
    let gates = gates.join(", ");
    let base = format!(
        "
metadata: {{name: {name}, namespace: acme, uid: u-{name}, creationTimestamp: '2026-01-01T00:00:00Z', annotations: {{pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup: ''}}, labels: {{cluster.x-k8s.io/control-plane: ''}}, ownerReferences: [{{apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlane, name: hello, uid: k1, controller: true}}]}}
spec:
  clusterName: hello
  version: v1.36.0
  failureDomain: a
  bootstrap: {{configRef: {{apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfig, name: {name}}}}}
  infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachine, name: {name}}}
  readinessGates: [{gates}]
status: {{nodeRef: {{name: {name}}}, initialization: {{infrastructureProvisioned: true}}, conditions: [{}]}}
",
        conditions.join(", ")
    );
    let merged: serde_json::Value = world(&base, more);
    merged.to_string()
}

fn machines(list: &[String]) -> String {
    format!("machines: [{}]", list.join(", "))
}

fn etcd(names: &[&str]) -> String {
    let members: Vec<_> = names
        .iter()
        .map(|n| format!("{n}: {{id: a, peerURL: x}}"))
        .collect();
    format!("workload: {{etcd: {{{}}}}}", members.join(", "))
}

fn pair() -> Pair {
    Pair {
        cert: "cert".to_owned(),
        key: "key".to_owned(),
    }
}

fn certified(overrides: &[&str]) -> World {
    let mut world: World = layers(BASE, overrides);
    world.authorities = Authorities::of(Purpose::ALL.map(|p| (p, pair())));
    world
}

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&plan::plan(&certified(overrides), now()).to_string());
}

#[test]
fn certificates_come_first_and_only_once() {
    let bare =
        |overrides: &[&str]| plan::plan(&layers::<World>(BASE, overrides), now()).to_string();
    expect![[r#"
        act GenerateCertificate(Cluster)
        act GenerateCertificate(Etcd)
        act GenerateCertificate(FrontProxy)
        act GenerateCertificate(ServiceAccount)
        wait NotAvailable: Making Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
    "#]]
    .assert_eq(&bare(&[]));
    expect![[r#"
        wait NotAvailable: Secrets hello-ca, hello-etcd, hello-proxy, hello-sa are missing; new ones would not fit the running cluster
    "#]].assert_eq(&bare(&[INITIALIZED]));
    expect![[r#"
        wait WaitingForClusterInfrastructureReady: Waiting for the cluster's infrastructure
    "#]]
    .assert_eq(&bare(&["cluster: {status: {initialization: null}}"]));
    expect![[r#"
        act GenerateCertificate(Cluster)
        act GenerateCertificate(FrontProxy)
        act GenerateCertificate(ServiceAccount)
        wait NotAvailable: Making Secrets hello-ca, hello-proxy, hello-sa
    "#]].assert_eq(&bare(&["control_plane: {spec: {kubeadmConfigSpec: {clusterConfiguration: {etcd: {external: {endpoints: [e], caFile: a, certFile: b, keyFile: c}}}}}}"]));
}

#[test]
fn nothing_happens_without_endpoint_cluster_or_template() {
    check(
        &["cluster: {spec: {controlPlaneEndpoint: null}}"],
        &expect![[r#"
        wait WaitingForControlPlaneEndpoint: Waiting for the cluster's control plane endpoint
    "#]],
    );
    check(
        &["cluster: null"],
        &expect![[r#"
        wait WaitingForOwner: No Cluster refers to this control plane yet
    "#]],
    );
    check(
        &["template: null"],
        &expect![[r#"
        wait ScalingUp: LocalMachineTemplate cp does not exist
    "#]],
    );
}

#[test]
fn the_kubeconfig_is_made_and_renewed() {
    let first = |overrides: &[&str]| {
        let plan = plan::plan(&certified(overrides), now());
        let writes = plan
            .changes
            .iter()
            .any(|c| matches!(c, runtime::Change::Act(super::Act::WriteKubeconfig)));
        format!("{writes}\n")
    };
    let mut text = first(&[]);
    text += &first(&["kubeconfig: null"]);
    text += &first(&["kubeconfig: {expires: '2026-06-01T00:00:00Z'}"]);
    text += &first(&["kubeconfig: {tls_server_name: other}"]);
    text += &first(&["kubeconfig: {is_ours: false, expires: null, server: null}"]);
    expect![[r#"
        false
        true
        true
        true
        false
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_first_machine_initializes_and_others_join() {
    check(
        &[],
        &expect![[r#"
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
    "#]],
    );
    let config = |overrides: &[&str]| {
        let plan = plan::plan(&certified(overrides), now());
        let configs = plan.changes.iter().filter_map(|c| match c {
            runtime::Change::Create(o)
                if o.types.as_ref().is_some_and(|t| t.kind == "KubeadmConfig") =>
            {
                Some(crate::yaml::render(&o.data))
            }
            _ => None,
        });
        configs.collect::<String>()
    };
    let new = |name: &str| machine(name, "status: null");
    expect![[r#"
        spec:
          initConfiguration:
            skipPhases:
            - a
    "#]]
    .assert_eq(&config(&[&machines(&[new("n1")])]));
    expect![[r#"
        spec:
          joinConfiguration:
            controlPlane: {}
            skipPhases:
            - b
    "#]]
    .assert_eq(&config(&[
        INITIALIZED,
        &machines(&[machine("n1", "{}"), new("n2")]),
    ]));
}

#[test]
fn machines_are_like_the_template() {
    let plan = plan::plan(&certified(&[]), now());
    let Some(runtime::Change::Create(machine)) = plan.changes.last() else {
        panic!("{plan}");
    };
    expect![[r#"
        apiVersion: cluster.x-k8s.io/v1beta2
        kind: Machine
        metadata:
          annotations:
            apiary.io/kubeadm-config-hash: 7394e42c48b345ef.2fae3c551951d432
            pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup: ""
          labels:
            cluster.x-k8s.io/cluster-name: hello
            cluster.x-k8s.io/control-plane: ""
            cluster.x-k8s.io/control-plane-name: hello
          name: hello-bcz94
          namespace: acme
          ownerReferences:
          - apiVersion: controlplane.cluster.x-k8s.io/v1beta2
            blockOwnerDeletion: true
            controller: true
            kind: KubeadmControlPlane
            name: hello
            uid: k1
        spec:
          bootstrap:
            configRef:
              apiGroup: bootstrap.cluster.x-k8s.io
              kind: KubeadmConfig
              name: hello-bcz94
          clusterName: hello
          failureDomain: a
          infrastructureRef:
            apiGroup: infrastructure.cluster.x-k8s.io
            kind: LocalMachine
            name: hello-bcz94
          readinessGates:
          - conditionType: NodeKubeadmLabelsAndTaintsSet
          - conditionType: APIServerPodHealthy
          - conditionType: ControllerManagerPodHealthy
          - conditionType: SchedulerPodHealthy
          - conditionType: EtcdPodHealthy
          - conditionType: EtcdMemberHealthy
          version: v1.36.0
    "#]]
    .assert_eq(&serde_saphyr::to_string(machine).unwrap());
}

#[test]
fn machines_are_added_one_by_one_where_there_are_fewest() {
    let three = "control_plane: {spec: {replicas: 3}}";
    check(
        &[three, &machines(&[machine("n1", "status: null")])],
        &expect![[r#"
        apply Machine acme/n1
        create LocalMachine acme/n1
        create KubeadmConfig acme/n1
        wait ControlPlaneUnhealthy: Waiting for the first machine to set up the cluster
        again in 15s
    "#]],
    );
    let one = machines(&[machine("n1", "{}")]);
    check(
        &[three, INITIALIZED, &one],
        &expect![[r#"
        apply Machine acme/n1
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
    "#]],
    );
    let plan = plan::plan(&certified(&[three, INITIALIZED, &one]), now());
    let Some(runtime::Change::Create(machine)) = plan.changes.last() else {
        panic!("{plan}");
    };
    assert_eq!(machine.data["spec"]["failureDomain"], "b");
}

#[test]
fn an_unhealthy_machine_stops_everything() {
    let sick = machine(
        "n2",
        "status: {conditions: [{type: APIServerPodHealthy, status: 'True', reason: R, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
    );
    let two = machines(&[machine("n1", "{}"), sick]);
    check(
        &[
            "control_plane: {spec: {replicas: 3}}",
            INITIALIZED,
            &two,
            &etcd(&["n1", "n2"]),
        ],
        &expect![[r#"
        apply Machine acme/n1
        apply Machine acme/n2
        wait ControlPlaneUnhealthy: * Machine n2: ControllerManagerPodHealthy, SchedulerPodHealthy, EtcdPodHealthy, EtcdMemberHealthy not true
        again in 15s
    "#]],
    );
    let leaving = machines(&[
        machine("n1", "{}"),
        machine(
            "n2",
            "metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}",
        ),
    ]);
    check(
        &[
            "control_plane: {spec: {replicas: 3}}",
            INITIALIZED,
            &leaving,
            &etcd(&["n1", "n2"]),
        ],
        &expect![[r#"
        apply Machine acme/n1
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n2
        again in 15s
    "#]],
    );
}

#[test]
fn a_new_version_replaces_machines_one_by_one() {
    let newer = "control_plane: {spec: {version: v1.36.1}}";
    let old = machine("n1", "{}");
    let new = machine(
        "n2",
        "{spec: {version: v1.36.1}, metadata: {creationTimestamp: '2026-01-02T00:00:00Z'}}",
    );
    check(
        &[newer, INITIALIZED, &machines(std::slice::from_ref(&old))],
        &expect![[r#"
            apply Machine acme/n1
            act WriteClusterConfiguration
            create Machine acme/hello-bcz94
            note SuccessfulCreate: Created machine hello-bcz94
            note RolloutStarted: Machine hello-bcz94 takes the place of another one: Version v1.36.0, v1.36.1 required
        "#]],
    );
    let both = machines(&[old, new.clone()]);
    let followed = "workload: {configuration: {kubernetesVersion: v1.36.1}}";
    check(
        &[newer, INITIALIZED, followed, &both, &etcd(&["n1", "n2"])],
        &expect![[r#"
        apply Machine acme/n1
        apply Machine acme/n2
        delete Machine acme/n1
        note SuccessfulDelete: Deleted machine n1
    "#]],
    );
    check(
        &[
            newer,
            INITIALIZED,
            followed,
            &machines(&[new]),
            "workload: {etcd: {n1: null, n2: {id: b, peerURL: x}}}",
        ],
        &expect![[r#"
        apply Machine acme/n2
        act SetKubeProxyImage("registry.k8s.io/kube-proxy:v1.36.1")
    "#]],
    );
}

#[test]
fn without_surge_a_machine_goes_first() {
    let newer = "control_plane: {spec: {replicas: 3, version: v1.36.1, rollout: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0}}}}}";
    let three = machines(&[
        machine("n1", "{}"),
        machine("n2", "{}"),
        machine("n3", "{}"),
    ]);
    check(
        &[newer, INITIALIZED, &three, &etcd(&["n1", "n2", "n3"])],
        &expect![[r#"
        apply Machine acme/n1
        apply Machine acme/n2
        apply Machine acme/n3
        act WriteClusterConfiguration
        delete Machine acme/n1
        note SuccessfulDelete: Deleted machine n1
    "#]],
    );
}

#[test]
fn the_right_machine_goes_when_there_are_too_many() {
    let extra = |more: &str| {
        machines(&[
            machine("n1", "{}"),
            machine("n2", more),
            machine("n3", "{}"),
        ])
    };
    let members = etcd(&["n1", "n2", "n3"]);
    check(
        &[INITIALIZED, &extra("{spec: {failureDomain: b}}"), &members],
        &expect![[r#"
        apply Machine acme/n1
        apply Machine acme/n2
        apply Machine acme/n3
        delete Machine acme/n1
        note SuccessfulDelete: Deleted machine n1
    "#]],
    );
    check(
        &[
            INITIALIZED,
            &extra("{metadata: {annotations: {cluster.x-k8s.io/delete-machine: ''}}}"),
            &members,
        ],
        &expect![[r#"
        apply Machine acme/n1
        apply Machine acme/n2
        apply Machine acme/n3
        delete Machine acme/n2
        note SuccessfulDelete: Deleted machine n2
    "#]],
    );
    check(
        &[
            INITIALIZED,
            &extra("{spec: {failureDomain: gone}}"),
            &members,
        ],
        &expect![[r#"
        apply Machine acme/n1
        apply Machine acme/n2
        apply Machine acme/n3
        delete Machine acme/n2
        note SuccessfulDelete: Deleted machine n2
    "#]],
    );
}

const AT_HOOK: &str = "{metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}, status: {conditions: [{type: Deleting, status: 'True', reason: WaitingForPreTerminateHook, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}}";

#[test]
fn a_machine_goes_after_its_etcd_member() {
    let leaving = |more: &[String]| machines(&[&[machine("n1", AT_HOOK)], more].concat());
    let two = leaving(&[machine("n2", "{}")]);
    check(
        &[INITIALIZED, &two, &etcd(&["n1", "n2"])],
        &expect![[r#"
        apply Machine acme/n2
        act RemoveEtcdMember("n1")
        wait WaitingForMachineDeletion: Removing etcd member n1
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n1
        again in 15s
    "#]],
    );
    check(
        &[
            INITIALIZED,
            &two,
            "workload: {etcd: {n1: null, n2: {id: b, peerURL: x}}}",
        ],
        &expect![[r#"
        apply Machine acme/n2
        patch Machine acme/n1 {"metadata":{"annotations":{"pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup":null}}}
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n1
        again in 15s
    "#]],
    );
    let sick = machine("n2", "status: {conditions: []}");
    check(
        &[INITIALIZED, &leaving(&[sick]), &etcd(&["n1", "n2"])],
        &expect![[r#"
        apply Machine acme/n2
        wait ControlPlaneUnhealthy: Removing etcd member n1 would leave no healthy majority
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n1
        again in 15s
    "#]],
    );
    check(
        &[INITIALIZED, &leaving(&[])],
        &expect![[r#"
        patch Machine acme/n1 {"metadata":{"annotations":{"pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup":null}}}
    "#]],
    );
    check(
        &[INITIALIZED, &two, "workload: {etcd: null}"],
        &expect![[r#"
        apply Machine acme/n2
        wait ControlPlaneUnhealthy: Waiting for the list of etcd members to be readable
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n1
        again in 15s
    "#]],
    );
}

#[test]
fn kube_proxy_follows_the_version_at_last() {
    let one = machines(&[machine("n1", "{}")]);
    check(
        &[
            INITIALIZED,
            &one,
            "workload: {kube_proxy_image: 'example.org:5000/kube-proxy:v1.35.0'}",
        ],
        &expect![[r#"
        apply Machine acme/n1
        act SetKubeProxyImage("example.org:5000/kube-proxy:v1.36.0")
    "#]],
    );
    let skipped = "control_plane: {metadata: {annotations: {controlplane.cluster.x-k8s.io/skip-kube-proxy: ''}}}";
    check(
        &[
            INITIALIZED,
            &one,
            "workload: {kube_proxy_image: 'kube-proxy:v1.35.0'}",
            skipped,
        ],
        &expect![[r#"
        apply Machine acme/n1
    "#]],
    );
}

#[test]
fn deletion_waits_for_workers_and_takes_all_machines_at_once() {
    let deleted = "control_plane: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}";
    check(
        &[deleted, INITIALIZED, "workers: [w1, w2]"],
        &expect![[r#"
        wait WaitingForWorkersDeletion: Waiting for the deletion of Machines w1, w2
    "#]],
    );
    let two = machines(&[machine("n1", "{}"), machine("n2", AT_HOOK)]);
    check(
        &[deleted, INITIALIZED, &two],
        &expect![[r#"
        delete Machine acme/n1
        patch Machine acme/n2 {"metadata":{"annotations":{"pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup":null}}}
        wait WaitingForMachineDeletion: Deleting Machines n1, n2
    "#]],
    );
    check(
        &[deleted, INITIALIZED],
        &expect![[r#"
        finished
    "#]],
    );
}

#[test]
fn what_holds_up_a_rollout_is_said() {
    let newer = "control_plane: {spec: {version: v1.36.1}}";
    let one = machines(&[machine("n1", "{status: {conditions: []}}")]);
    let text = show::<KubeadmControlPlaneController>(&certified(&[newer, INITIALIZED, &one]));
    let at = text.find("RollingOut").unwrap_or_default();
    let shown: Vec<&str> = text[at..].lines().take(5).collect();
    expect![[r#"
        RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
            * Version v1.36.0, v1.36.1 required
            It is blocked because:
            * Machine n1: APIServerPodHealthy, ControllerManagerPodHealthy, SchedulerPodHealthy, EtcdPodHealthy, EtcdMemberHealthy not true
        ScalingUp=False NotScalingUp"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn the_status_says_how_things_stand() {
    let text = |overrides: &[&str]| show::<KubeadmControlPlaneController>(&certified(overrides));
    expect![[r#"
        wait ScalingUp: LocalMachineTemplate cp does not exist
        Available=False NotAvailable * Control plane not yet initialized
        Initialized=False NotInitialized
        CertificatesAvailable=True Available
        EtcdClusterHealthy=Unknown HealthUnknown Waiting for Cluster control plane to be initialized
        ControlPlaneComponentsHealthy=Unknown HealthUnknown Waiting for Cluster control plane to be initialized
        MachinesReady=True NoReplicas
        MachinesUpToDate=True NoReplicas
        RollingOut=False NotRollingOut
        ScalingUp=True ScalingUp Scaling up from 0 to 1 replicas is blocked because:
            * LocalMachineTemplate cp does not exist
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        availableReplicas: 0
        readyReplicas: 0
        replicas: 0
        selector: cluster.x-k8s.io/cluster-name=hello,cluster.x-k8s.io/control-plane=
        upToDateReplicas: 0
    "#]].assert_eq(&text(&["{machines: [], template: null}"]));
    expect![[r#"
        apply Machine acme/n1
        Available=True Available
        Initialized=True Initialized
        CertificatesAvailable=True Available
        EtcdClusterHealthy=True Healthy
        ControlPlaneComponentsHealthy=True Healthy
        MachinesReady=True Ready
        MachinesUpToDate=Unknown UpToDateUnknown * Machine n1: Condition UpToDate not yet reported
        RollingOut=False NotRollingOut
        ScalingUp=False NotScalingUp
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        availableReplicas: 0
        initialization:
          controlPlaneInitialized: true
        readyReplicas: 1
        replicas: 1
        selector: cluster.x-k8s.io/cluster-name=hello,cluster.x-k8s.io/control-plane=
        upToDateReplicas: 0
        version: v1.36.0
        versions:
        - replicas: 1
          version: v1.36.0
    "#]]
    .assert_eq(&text(&[INITIALIZED, &machines(&[machine("n1", "{}")])]));
}
