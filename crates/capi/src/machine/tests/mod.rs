//! Worlds of a Machine: what is planned, and what is shown.

use expect_test::{Expect, expect};

use super::{MachineController, World, plan};
use crate::testing::{layers, now, show};

mod delete;

const BASE: &str = "
machine:
  metadata:
    name: m
    namespace: acme
    uid: m1
    resourceVersion: '5'
    labels: {cluster.x-k8s.io/cluster-name: hello, node.cluster.x-k8s.io/pool: a, other: b}
    ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineSet, name: md-0-abcde, uid: s1, controller: true}]
  spec:
    clusterName: hello
    version: v1.36.0
    bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfig, name: m}}
    infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachine, name: m}
cluster:
  metadata: {name: hello, namespace: acme, uid: c1}
  spec: {}
  status: {initialization: {infrastructureProvisioned: true, controlPlaneInitialized: true}}
control_plane_size: 1
link: Up
";

const BOOTSTRAP: &str = "
bootstrap:
  apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
  kind: KubeadmConfig
  metadata: {name: m, namespace: acme, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: m, uid: m1, controller: true, blockOwnerDeletion: true}]}
  status: {initialization: {dataSecretCreated: true}, dataSecretName: m}
";

const INFRASTRUCTURE: &str = "
infrastructure:
  apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
  kind: LocalMachine
  metadata: {name: m, namespace: acme, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: m, uid: m1, controller: true, blockOwnerDeletion: true}]}
  spec: {providerID: 'local:///acme/m'}
  status: {initialization: {provisioned: true}, failureDomain: local-a, addresses: [{type: InternalIP, address: 10.64.0.1}]}
";

const NODE: &str = "
machine:
  spec: {providerID: 'local:///acme/m', bootstrap: {dataSecretName: m}}
  status: {phase: Provisioned, initialization: {infrastructureProvisioned: true, bootstrapDataSecretCreated: true}}
nodes:
- metadata: {name: m, resourceVersion: '9', annotations: {}}
  spec: {providerID: 'local:///acme/m', taints: [{key: node.cluster.x-k8s.io/uninitialized, effect: NoSchedule}]}
  status:
    nodeInfo: {architecture: amd64, bootID: b, containerRuntimeVersion: r, kernelVersion: k, kubeProxyVersion: '', kubeletVersion: v1.36.0, machineID: m, operatingSystem: linux, osImage: simulated, systemUUID: s}
    conditions:
    - {type: Ready, status: 'True'}
    - {type: MemoryPressure, status: 'False'}
    - {type: DiskPressure, status: 'False'}
    - {type: PIDPressure, status: 'False'}
";

/// The Node as the Machine wants it.
const SYNCED: &str = "
machine: {status: {nodeRef: {name: m}, phase: Running}}
nodes:
- metadata:
    name: m
    resourceVersion: '9'
    labels: {node.cluster.x-k8s.io/pool: a}
    annotations:
      cluster.x-k8s.io/cluster-name: hello
      cluster.x-k8s.io/cluster-namespace: acme
      cluster.x-k8s.io/machine: m
      cluster.x-k8s.io/owner-kind: MachineSet
      cluster.x-k8s.io/owner-name: md-0-abcde
      cluster.x-k8s.io/labels-from-machine: node.cluster.x-k8s.io/pool
      cluster.x-k8s.io/taints-from-machine: ''
  spec: {providerID: 'local:///acme/m'}
  status:
    nodeInfo: {architecture: amd64, bootID: b, containerRuntimeVersion: r, kernelVersion: k, kubeProxyVersion: '', kubeletVersion: v1.36.0, machineID: m, operatingSystem: linux, osImage: simulated, systemUUID: s}
    conditions:
    - {type: Ready, status: 'True'}
    - {type: MemoryPressure, status: 'False'}
    - {type: DiskPressure, status: 'False'}
    - {type: PIDPressure, status: 'False'}
";

const DELETED: &str = "machine: {metadata: {deletionTimestamp: '2026-01-02T03:04:00Z'}}";

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<MachineController>(&layers::<World>(
        BASE, overrides,
    )));
}

fn check_plan(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&plan::plan(&layers::<World>(BASE, overrides), now()).to_string());
}

#[test]
fn a_new_machine_waits_for_its_parts() {
    check(
        &[],
        &expect![[r#"
        Available=False NotReady
        Ready=False NotReady * BootstrapConfigReady: KubeadmConfig m does not exist
            * InfrastructureReady: LocalMachine m does not exist
            * NodeHealthy: Waiting for LocalMachine to report spec.providerID
        BootstrapConfigReady=False ObjectDoesNotExist KubeadmConfig m does not exist
        InfrastructureReady=False ObjectDoesNotExist LocalMachine m does not exist
        NodeReady=Unknown InspectionFailed Waiting for LocalMachine to report spec.providerID
        NodeHealthy=Unknown InspectionFailed Waiting for LocalMachine to report spec.providerID
        UpToDate=True UpToDate
        Deleting=False NotDeleting
        Paused=False NotPaused
        lastUpdated: "2026-01-02T03:04:05Z"
        phase: Pending
    "#]],
    );
}

#[test]
fn parts_are_adopted() {
    check_plan(
        &[
            BOOTSTRAP,
            "bootstrap: {metadata: {ownerReferences: [{apiVersion: v1, kind: MachineSet, name: s, uid: s1}]}, status: null}",
        ],
        &expect![[r#"
            patch KubeadmConfig acme/m {"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello"},"ownerReferences":[{"apiVersion":"v1","kind":"MachineSet","name":"s","uid":"s1"},{"apiVersion":"cluster.x-k8s.io/v1beta2","blockOwnerDeletion":true,"controller":true,"kind":"Machine","name":"m","uid":"m1"}],"resourceVersion":null}}
        "#]],
    );
}

#[test]
fn bootstrap_data_is_taken_over() {
    check(
        &[BOOTSTRAP],
        &expect![[r#"
        patch Machine acme/m {"metadata":{"resourceVersion":"5"},"spec":{"bootstrap":{"dataSecretName":"m"}}}
        Available=False NotReady
        Ready=False NotReady * InfrastructureReady: LocalMachine m does not exist
            * NodeHealthy: Waiting for LocalMachine to report spec.providerID
        BootstrapConfigReady=True Ready
        InfrastructureReady=False ObjectDoesNotExist LocalMachine m does not exist
        NodeReady=Unknown InspectionFailed Waiting for LocalMachine to report spec.providerID
        NodeHealthy=Unknown InspectionFailed Waiting for LocalMachine to report spec.providerID
        UpToDate=True UpToDate
        Deleting=False NotDeleting
        Paused=False NotPaused
        initialization:
          bootstrapDataSecretCreated: true
        lastUpdated: "2026-01-02T03:04:05Z"
        phase: Provisioning
    "#]],
    );
}

#[test]
fn the_provider_id_is_taken_over() {
    check(
        &[
            BOOTSTRAP,
            INFRASTRUCTURE,
            "machine: {spec: {bootstrap: {dataSecretName: m}}}",
        ],
        &expect![[r#"
        patch Machine acme/m {"metadata":{"resourceVersion":"5"},"spec":{"providerID":"local:///acme/m"}}
        Available=False NotReady
        Ready=Unknown ReadyUnknown * NodeHealthy: Waiting for LocalMachine to report spec.providerID
        BootstrapConfigReady=True Ready
        InfrastructureReady=True Ready
        NodeReady=Unknown InspectionFailed Waiting for LocalMachine to report spec.providerID
        NodeHealthy=Unknown InspectionFailed Waiting for LocalMachine to report spec.providerID
        UpToDate=True UpToDate
        Deleting=False NotDeleting
        Paused=False NotPaused
        addresses:
        - address: "10.64.0.1"
          type: InternalIP
        failureDomain: local-a
        initialization:
          bootstrapDataSecretCreated: true
          infrastructureProvisioned: true
        lastUpdated: "2026-01-02T03:04:05Z"
        phase: Provisioned
    "#]],
    );
}

#[test]
fn a_node_is_claimed_and_a_machine_runs() {
    check(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE],
        &expect![[r#"
        act patch Node m {"metadata":{"annotations":{"cluster.x-k8s.io/cluster-name":"hello","cluster.x-k8s.io/cluster-namespace":"acme","cluster.x-k8s.io/labels-from-machine":"node.cluster.x-k8s.io/pool","cluster.x-k8s.io/machine":"m","cluster.x-k8s.io/owner-kind":"MachineSet","cluster.x-k8s.io/owner-name":"md-0-abcde","cluster.x-k8s.io/taints-from-machine":""},"labels":{"node.cluster.x-k8s.io/pool":"a"},"resourceVersion":"9"},"spec":{"taints":[]}}
        note SuccessfulSetNodeRef: The node is m
        Available=True Available
        Ready=True Ready
        BootstrapConfigReady=True Ready
        InfrastructureReady=True Ready
        NodeReady=True NodeReady
        NodeHealthy=True NodeHealthy
        UpToDate=True UpToDate
        Deleting=False NotDeleting
        Paused=False NotPaused
        addresses:
        - address: "10.64.0.1"
          type: InternalIP
        failureDomain: local-a
        initialization:
          bootstrapDataSecretCreated: true
          infrastructureProvisioned: true
        lastUpdated: "2026-01-02T03:04:05Z"
        nodeInfo:
          architecture: amd64
          bootID: b
          containerRuntimeVersion: r
          kernelVersion: k
          kubeProxyVersion: ""
          kubeletVersion: v1.36.0
          machineID: m
          operatingSystem: linux
          osImage: simulated
          systemUUID: s
        nodeRef:
          name: m
        phase: Running
    "#]],
    );
    check(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED],
        &expect![[r#"
        Available=True Available
        Ready=True Ready
        BootstrapConfigReady=True Ready
        InfrastructureReady=True Ready
        NodeReady=True NodeReady
        NodeHealthy=True NodeHealthy
        UpToDate=True UpToDate
        Deleting=False NotDeleting
        Paused=False NotPaused
        addresses:
        - address: "10.64.0.1"
          type: InternalIP
        failureDomain: local-a
        initialization:
          bootstrapDataSecretCreated: true
          infrastructureProvisioned: true
        nodeInfo:
          architecture: amd64
          bootID: b
          containerRuntimeVersion: r
          kernelVersion: k
          kubeProxyVersion: ""
          kubeletVersion: v1.36.0
          machineID: m
          operatingSystem: linux
          osImage: simulated
          systemUUID: s
        nodeRef:
          name: m
        phase: Running
    "#]],
    );
}

#[test]
fn labels_and_taints_follow_the_machine() {
    let taints = "machine: {metadata: {labels: {node.cluster.x-k8s.io/pool: null, node-role.kubernetes.io/web: ''}}, spec: {taints: [{key: a, effect: NoSchedule, propagation: Always}, {key: b, effect: NoSchedule, propagation: OnInitialization}]}}";
    check_plan(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, taints],
        &expect![[r#"
        act patch Node m {"metadata":{"annotations":{"cluster.x-k8s.io/labels-from-machine":"node-role.kubernetes.io/web","cluster.x-k8s.io/taints-from-machine":"a:NoSchedule"},"labels":{"node-role.kubernetes.io/web":"","node.cluster.x-k8s.io/pool":null},"resourceVersion":"9"},"spec":{"taints":[{"effect":"NoSchedule","key":"a"}]}}
    "#]],
    );
    check_plan(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, taints],
        &expect![[r#"
        act patch Node m {"metadata":{"annotations":{"cluster.x-k8s.io/cluster-name":"hello","cluster.x-k8s.io/cluster-namespace":"acme","cluster.x-k8s.io/labels-from-machine":"node-role.kubernetes.io/web","cluster.x-k8s.io/machine":"m","cluster.x-k8s.io/owner-kind":"MachineSet","cluster.x-k8s.io/owner-name":"md-0-abcde","cluster.x-k8s.io/taints-from-machine":"a:NoSchedule"},"labels":{"node-role.kubernetes.io/web":""},"resourceVersion":"9"},"spec":{"taints":[{"effect":"NoSchedule","key":"a"},{"effect":"NoSchedule","key":"b"}]}}
        note SuccessfulSetNodeRef: The node is m
    "#]],
    );
}

#[test]
fn taints_that_were_set_once_stay() {
    // The machine has lost both; the node has lost none.
    let tainted = "nodes:
- {metadata: {name: m, resourceVersion: '9', labels: {node.cluster.x-k8s.io/pool: a}, annotations: {cluster.x-k8s.io/cluster-name: hello, cluster.x-k8s.io/cluster-namespace: acme, cluster.x-k8s.io/machine: m, cluster.x-k8s.io/owner-kind: MachineSet, cluster.x-k8s.io/owner-name: md-0-abcde, cluster.x-k8s.io/labels-from-machine: node.cluster.x-k8s.io/pool, cluster.x-k8s.io/taints-from-machine: 'a:NoSchedule'}}, spec: {providerID: 'local:///acme/m', taints: [{key: a, effect: NoSchedule}, {key: b, effect: NoSchedule}]}}
";
    check_plan(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, tainted],
        &expect![[r#"
            act patch Node m {"metadata":{"annotations":{"cluster.x-k8s.io/taints-from-machine":""},"resourceVersion":"9"},"spec":{"taints":[{"effect":"NoSchedule","key":"b"}]}}
        "#]],
    );
}

#[test]
fn annotations_follow_the_machine() {
    let had = "machine: {metadata: {annotations: {node.cluster.x-k8s.io/rack: '7', a.node.cluster.x-k8s.io/b: c, other: d}}}";
    let interruptible = "infrastructure: {status: {interruptible: true}}";
    let synced = &SYNCED.replace(
        "    annotations:\n",
        "    annotations:\n      node.cluster.x-k8s.io/rack: '6'\n      node.cluster.x-k8s.io/gone: x\n      node.cluster.x-k8s.io/own: hers\n      cluster.x-k8s.io/annotations-from-machine: node.cluster.x-k8s.io/gone,node.cluster.x-k8s.io/rack\n",
    );
    check_plan(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, synced, had, interruptible],
        &expect![[r#"
            act patch Node m {"metadata":{"annotations":{"a.node.cluster.x-k8s.io/b":"c","cluster.x-k8s.io/annotations-from-machine":"a.node.cluster.x-k8s.io/b,node.cluster.x-k8s.io/rack","cluster.x-k8s.io/labels-from-machine":"cluster.x-k8s.io/interruptible,node.cluster.x-k8s.io/pool","node.cluster.x-k8s.io/gone":null,"node.cluster.x-k8s.io/rack":"7"},"labels":{"cluster.x-k8s.io/interruptible":""},"resourceVersion":"9"}}
        "#]],
    );
}

#[test]
fn nodes_of_older_revisions_are_avoided() {
    let spec = "{clusterName: hello, selector: {}, template: {spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: x}}}}";
    let owners = format!(
        "{{set: {{metadata: {{annotations: {{machinedeployment.clusters.x-k8s.io/revision: '1'}}}}, spec: {spec}}}, deployment: {{metadata: {{annotations: {{machinedeployment.clusters.x-k8s.io/revision: '2'}}}}, spec: {spec}}}}}"
    );
    check_plan(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, &owners],
        &expect![[r#"
        act patch Node m {"metadata":{"resourceVersion":"9"},"spec":{"taints":[{"effect":"PreferNoSchedule","key":"node.cluster.x-k8s.io/outdated-revision"}]}}
    "#]],
    );
}

#[test]
fn a_machine_is_available_after_a_while() {
    let ready = |since: &str| {
        format!(
            "machine: {{spec: {{minReadySeconds: 60}}, status: {{conditions: [{{type: Ready, status: 'True', reason: Ready, message: '', lastTransitionTime: '{since}'}}]}}}}"
        )
    };
    let show = |since: &str| {
        let text = show::<MachineController>(&layers::<World>(
            BASE,
            &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, &ready(since)],
        ));
        text.lines()
            .filter(|l| l.starts_with("again") || l.starts_with("Available"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    expect![[r#"
        again in 25s
        Available=False WaitingForMinReadySeconds"#]]
    .assert_eq(&show("2026-01-02T03:03:30Z"));
    expect!["Available=True Available"].assert_eq(&show("2026-01-02T03:03:05Z"));
}

/// What a running machine says of its Node.
fn node_conditions(overrides: &str) -> String {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, overrides];
    let text = show::<MachineController>(&crate::testing::layers::<World>(BASE, &layers));
    let is_wanted =
        |l: &&str| l.starts_with("Ready=") || l.starts_with("Node") || l.starts_with("    ");
    let lines = text
        .lines()
        .filter(is_wanted)
        .take_while(|l| !l.starts_with("UpToDate"));
    lines.map(|l| format!("{l}\n")).collect()
}

#[test]
fn an_unhealthy_node_is_told() {
    expect![[r#"
        Ready=False NotReady * NodeHealthy:
              * Node.MemoryPressure: too little
              * Node.Ready: kubelet stopped posting node status
              * Node.DiskPressure: Condition not yet reported
              * Node.PIDPressure: Condition not yet reported
        NodeReady=Unknown NodeReadyUnknown kubelet stopped posting node status
        NodeHealthy=False NodeNotHealthy * Node.MemoryPressure: too little
            * Node.Ready: kubelet stopped posting node status
            * Node.DiskPressure: Condition not yet reported
            * Node.PIDPressure: Condition not yet reported
    "#]].assert_eq(&node_conditions("nodes: [{metadata: {name: m}, spec: {providerID: 'local:///acme/m'}, status: {conditions: [{type: Ready, status: 'Unknown', message: kubelet stopped posting node status}, {type: MemoryPressure, status: 'True', message: too little}]}}]"));
}

#[test]
fn a_lost_connection_is_told() {
    let known = "machine: {status: {conditions: [{type: NodeReady, status: 'True', reason: NodeReady, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}, {type: NodeHealthy, status: 'True', reason: NodeHealthy, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}}";
    let down = |since: &str| {
        format!("{{nodes: [], link: {{Down: {{since: '{since}', message: refused}}}}}}")
    };
    let shown = |layers: &[&str]| {
        let layers = [&[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED][..], layers].concat();
        let text = show::<MachineController>(&crate::testing::layers::<World>(BASE, &layers));
        let lines = text
            .lines()
            .filter(|l| l.contains("Node") || l.starts_with("Ready") || l.starts_with("again"));
        lines.collect::<Vec<_>>().join("\n")
    };
    // For five minutes what was known counts.
    expect![[r#"
        again in 55s
        Ready=True Ready
        NodeReady=True NodeReady
        NodeHealthy=True NodeHealthy"#]]
    .assert_eq(&shown(&[known, &down("2026-01-02T03:00:00Z")]));
    expect![[r#"
        Ready=Unknown ReadyUnknown * NodeHealthy: Connection down since 2026-01-02T02:59:00Z: refused
        NodeReady=Unknown ConnectionDown Connection down since 2026-01-02T02:59:00Z: refused
        NodeHealthy=Unknown ConnectionDown Connection down since 2026-01-02T02:59:00Z: refused"#]].assert_eq(&shown(&[known, &down("2026-01-02T02:59:00Z")]));
    // Without a way to the cluster it does not count.
    let closed = "{nodes: [], link: {Closed: There is no kubeconfig Secret}}";
    expect![[r#"
        Ready=Unknown ReadyUnknown * NodeHealthy: There is no kubeconfig Secret
        NodeReady=Unknown ConnectionDown There is no kubeconfig Secret
        NodeHealthy=Unknown ConnectionDown There is no kubeconfig Secret"#]]
    .assert_eq(&shown(&[known, closed]));
    // Of which nothing was known is unknown at once.
    expect![[r#"
        again in 55s
        Ready=Unknown ReadyUnknown * NodeHealthy: Connection down since 2026-01-02T03:00:00Z: refused
        NodeReady=Unknown ConnectionDown Connection down since 2026-01-02T03:00:00Z: refused
        NodeHealthy=Unknown ConnectionDown Connection down since 2026-01-02T03:00:00Z: refused"#]].assert_eq(&shown(&[&down("2026-01-02T03:00:00Z")]));
}

#[test]
fn a_lost_node_is_told() {
    expect![[r#"
        Ready=False NotReady * NodeHealthy: Node m has been deleted while the Machine still exists
        NodeReady=False NodeDeleted Node m has been deleted while the Machine still exists
        NodeHealthy=False NodeDeleted Node m has been deleted while the Machine still exists
    "#]]
    .assert_eq(&node_conditions("nodes: []"));
}

/// A control plane machine, and pods of its components.
const CONTROL_PLANE: &str = "
machine: {metadata: {labels: {cluster.x-k8s.io/control-plane: ''}, ownerReferences: [{apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlane, name: hello, uid: k1, controller: true}]}}
kubeadm_control_plane: {metadata: {name: hello}, spec: {version: v1.36.0, machineTemplate: {spec: {infrastructureRef: {apiGroup: g, kind: KTemplate, name: t}}}}}
etcd_members: [m]
pods:
- {metadata: {name: kube-apiserver-m}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}
- {metadata: {name: kube-scheduler-m}, status: {phase: Pending}}
- {metadata: {name: etcd-m}, status: {phase: Failed}}
";

#[test]
fn control_plane_machines_show_their_components() {
    let text = show::<MachineController>(&layers::<World>(
        BASE,
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, CONTROL_PLANE],
    ));
    let lines: Vec<_> = text
        .lines()
        .filter(|l| l.contains("Pod") || l.contains("Etcd") || l.contains("Kubeadm"))
        .collect();
    expect![[r#"
        act patch Node m {"metadata":{"annotations":{"cluster.x-k8s.io/owner-kind":"KubeadmControlPlane","cluster.x-k8s.io/owner-name":"hello"},"resourceVersion":"9"}}
        NodeKubeadmLabelsAndTaintsSet=False SomeNodeKubeadmLabelsAndTaintsNotSet * Label node-role.kubernetes.io/control-plane is not set
        APIServerPodHealthy=True Running
        ControllerManagerPodHealthy=False DoesNotExist Pod kube-controller-manager-m does not exist
        SchedulerPodHealthy=False Provisioning Pod kube-scheduler-m is not ready yet
        EtcdPodHealthy=False Failed Pod etcd-m has ended
        EtcdMemberHealthy=True Healthy"#]].assert_eq(&lines.join("\n"));
}

/// Lines of what is shown that begin with one of these words.
fn lines(overrides: &[&str], starts: &[&str]) -> String {
    let shown = show::<MachineController>(&layers::<World>(BASE, overrides));
    let is_wanted = |line: &&str| starts.iter().any(|start| line.starts_with(start));
    let lines = shown.lines().filter(is_wanted);
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_expiry_of_certificates_is_taken_over_from_an_annotation() {
    let shown = |overrides: &[&str]| {
        let base = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED];
        let text = lines(
            &[&base[..], overrides].concat(),
            &["certificatesExpiryDate"],
        );
        if text.is_empty() {
            "-\n".to_owned()
        } else {
            text
        }
    };
    let control_plane = "machine: {metadata: {labels: {cluster.x-k8s.io/control-plane: ''}}}";
    let own = "machine: {metadata: {annotations: {machine.cluster.x-k8s.io/certificates-expiry: '2026-06-01T00:00:00Z'}}}";
    let bootstrap = "bootstrap: {metadata: {annotations: {machine.cluster.x-k8s.io/certificates-expiry: '2026-07-01T00:00:00Z'}}}";
    let known = "machine: {status: {certificatesExpiryDate: '2026-05-01T00:00:00Z'}}";
    let damaged =
        "machine: {metadata: {annotations: {machine.cluster.x-k8s.io/certificates-expiry: soon}}}";
    let mut text = shown(&[control_plane, bootstrap]);
    text += &shown(&[control_plane, bootstrap, own]);
    text += &shown(&[control_plane, known]);
    text += &shown(&[control_plane, bootstrap, damaged]);
    text += &shown(&[bootstrap]);
    expect![[r#"
        certificatesExpiryDate: "2026-07-01T00:00:00Z"
        certificatesExpiryDate: "2026-06-01T00:00:00Z"
        -
        certificatesExpiryDate: "2026-07-01T00:00:00Z"
        -
    "#]]
    .assert_eq(&text);
}

/// A worker of a deployment, with templates that are equal.
const DEPLOYED: &str = "
set: {metadata: {name: md-0-abcde, creationTimestamp: '2026-01-01T00:00:00Z'}, spec: {clusterName: hello, selector: {}, template: {spec: &t {clusterName: hello, bootstrap: {dataSecretName: s}, infrastructureRef: {apiGroup: g, kind: K, name: k}}}}}
deployment: {metadata: {name: md-0}, spec: {clusterName: hello, selector: {}, template: {spec: *t}}}
";

#[test]
fn a_worker_is_out_of_date_when_its_time_has_come() {
    let base = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DEPLOYED];
    let after = |time: &str| format!("deployment: {{spec: {{rollout: {{after: '{time}'}}}}}}");
    let mut text = String::new();
    for time in [
        "2025-12-31T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "2026-01-02T03:05:05Z",
    ] {
        let after = after(time);
        text += &lines(
            &[&base[..], &[&after]].concat(),
            &["UpToDate", "    * MachineDep", "again"],
        );
    }
    expect![[r#"
        UpToDate=True UpToDate
        UpToDate=False NotUpToDate * MachineDeployment spec.rollout.after expired
        again in 60s
        UpToDate=True UpToDate
    "#]]
    .assert_eq(&text);
}

/// A second Node that says it is the same machine.
const TWIN: &str = "
nodes:
- {metadata: {name: m}, spec: {providerID: 'local:///acme/m'}, status: {conditions: [{type: Ready, status: 'True'}]}}
- {metadata: {name: twin}, spec: {providerID: 'local:///acme/m'}}
";

#[test]
fn nodes_that_cannot_be_told_apart_are_an_error() {
    let base = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, TWIN];
    expect![[r#"
        wait InternalError: Nodes m, twin have the same provider id
        NodeReady=Unknown InternalError Nodes m, twin have the same provider id
        NodeHealthy=Unknown InternalError Nodes m, twin have the same provider id
    "#]]
    .assert_eq(&lines(&base, &["wait", "act", "Node"]));
}
