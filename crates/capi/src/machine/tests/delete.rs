//! Worlds of a Machine that is deleted: what happens in what order, and what is waited for.

use super::*;

#[test]
fn deletion_waits_for_hooks_first() {
    check_plan(
        &[
            BOOTSTRAP,
            INFRASTRUCTURE,
            NODE,
            SYNCED,
            DELETED,
            "machine: {metadata: {annotations: {pre-drain.delete.hook.machine.cluster.x-k8s.io/x: ''}}}",
        ],
        &expect![[r#"
            wait WaitingForPreDrainHook: Waiting for annotation pre-drain.delete.hook.machine.cluster.x-k8s.io/x to be removed
            again in 895s
        "#]],
    );
}

const PODS: &str = "
pods:
- {metadata: {name: web, namespace: default}, spec: {containers: []}}
- {metadata: {name: leaving, namespace: default, deletionTimestamp: '2026-01-02T03:04:00Z'}, spec: {containers: []}}
- {metadata: {name: daemon, namespace: default, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: d, controller: true}]}, spec: {containers: []}}
- {metadata: {name: static, namespace: kube-system, annotations: {kubernetes.io/config.mirror: x}}, spec: {containers: []}}
- {metadata: {name: skipped, namespace: default, labels: {cluster.x-k8s.io/drain: Skip}}, spec: {containers: []}}
- {metadata: {name: job, namespace: default, labels: {cluster.x-k8s.io/drain: wait-completed}}, spec: {containers: []}}
departure: {daemon_sets: [{metadata: {name: d, namespace: default, uid: d}}]}
";

#[test]
fn deletion_drains_the_node() {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, PODS];
    check_plan(
        &layers,
        &expect![[r#"
            act patch Node m {"spec":{"unschedulable":true}}
            act evict [("default", "web")]
            wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
            * Pods default/leaving, default/web: deletionTimestamp set, but still not removed from the Node
            * Pod default/job: waiting for completion
            again in 20s
        "#]],
    );
    let lost = "nodes: [{metadata: {name: m}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'Unknown'}]}}]";
    check_plan(
        &[&layers[..], &[lost]].concat(),
        &expect![[r#"
            act evict [("default", "web")] in 1s
            wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
            * Pod default/web: deletionTimestamp set, but still not removed from the Node
            * Pod default/job: waiting for completion
            again in 20s
        "#]],
    );
}

#[test]
fn draining_ends_when_told_or_after_its_time() {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, PODS];
    let excluded =
        "machine: {metadata: {annotations: {machine.cluster.x-k8s.io/exclude-node-draining: ''}}}";
    check_plan(
        &[&layers[..], &[excluded]].concat(),
        &expect![[r#"
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
    let over = "machine: {spec: {deletion: {nodeDrainTimeoutSeconds: 30}}, status: {deletion: {nodeDrainStartTime: '2026-01-02T03:03:00Z'}}}";
    check_plan(
        &[&layers[..], &[over]].concat(),
        &expect![[r#"
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
}

#[test]
fn deletion_waits_for_volumes_then_hooks_then_parts_then_the_node() {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED];
    let with = |more: &'static [&'static str]| [&layers[..], more].concat();
    const ATTACHED: &str = "nodes: [{metadata: {name: m}, spec: {unschedulable: true}, status: {volumesAttached: [{name: disk, devicePath: ''}]}}]";
    check_plan(
        &with(&[ATTACHED]),
        &expect![[r#"
        wait WaitingForVolumeDetach: Waiting for volumes to be detached: Volume disk
        again in 20s
    "#]],
    );
    check_plan(
        &with(&[
            "machine: {metadata: {annotations: {pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup: ''}}}",
        ]),
        &expect![[r#"
            act patch Node m {"spec":{"unschedulable":true}}
            wait WaitingForPreTerminateHook: Waiting for annotation pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup to be removed
            again in 895s
        "#]],
    );
    check_plan(
        &with(&[]),
        &expect![[r#"
            act patch Node m {"spec":{"unschedulable":true}}
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
    check_plan(
        &with(&["infrastructure: null"]),
        &expect![[r#"
            delete KubeadmConfig acme/m
            wait WaitingForBootstrapDeletion: Waiting for KubeadmConfig m to be deleted
            again in 895s
        "#]],
    );
    check_plan(
        &with(&["{infrastructure: null, bootstrap: null}"]),
        &expect![[r#"
            act delete Node m
            wait DeletingNode: Waiting for Node m to be deleted
            again in 895s
        "#]],
    );
    check_plan(
        &with(&["{infrastructure: null, bootstrap: null, nodes: []}"]),
        &expect![[r#"
        note Deleted: Machine m is deleted
        finished
    "#]],
    );
}

#[test]
fn the_node_is_left_alone_when_all_of_the_cluster_goes() {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, PODS];
    check_plan(
        &[
            &layers[..],
            &["cluster: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}"],
        ]
        .concat(),
        &expect![[r#"
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
    check_plan(
        &[&layers[..], &["control_plane_size: 0"]].concat(),
        &expect![[r#"
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
}

#[test]
fn an_unreachable_cluster_does_not_block_deletion_for_ever() {
    let gone = "{infrastructure: null, bootstrap: null, nodes: [], link: {Down: {since: '2026-01-02T03:00:00Z', message: refused}}}";
    check_plan(
        &[NODE, SYNCED, DELETED, gone],
        &expect![[r#"
            act delete Node m
            wait DeletingNode: Waiting for Node m to be deleted
            again in 895s
        "#]],
    );
    check_plan(
        &[
            NODE,
            SYNCED,
            gone,
            "machine: {metadata: {deletionTimestamp: '2026-01-02T03:03:00Z'}}",
        ],
        &expect![[r#"
        note Deleted: Machine m is deleted
        finished
    "#]],
    );
}

#[test]
fn deletion_is_shown_step_by_step() {
    check(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, PODS],
        &expect![[r#"
            act patch Node m {"spec":{"unschedulable":true}}
            act evict [("default", "web")]
            wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
            * Pods default/leaving, default/web: deletionTimestamp set, but still not removed from the Node
            * Pod default/job: waiting for completion
            again in 20s
            Available=False NotReady
            Ready=False NotReady * Deleting: Drain not completed yet (started at 2026-01-02T03:04:05Z):
                  * Pods default/leaving, default/web: deletionTimestamp set, but still not removed from the Node
                  * Pod default/job: waiting for completion
            BootstrapConfigReady=True Ready
            InfrastructureReady=True Ready
            NodeReady=True NodeReady
            NodeHealthy=True NodeHealthy
            UpToDate=True UpToDate
            Deleting=True DrainingNode Drain not completed yet (started at 2026-01-02T03:04:05Z):
                * Pods default/leaving, default/web: deletionTimestamp set, but still not removed from the Node
                * Pod default/job: waiting for completion
            Paused=False NotPaused
            addresses:
            - address: "10.64.0.1"
              type: InternalIP
            deletion:
              nodeDrainStartTime: "2026-01-02T03:04:05Z"
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
            phase: Deleting
        "#]],
    );
}

/// What draining plans for pods that rules are about.
fn check_drain(overrides: &[&str], expect: &Expect) {
    let cordoned = "nodes: [{metadata: {name: m}, spec: {unschedulable: true}}]";
    let all = [
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, cordoned][..],
        overrides,
    ]
    .concat();
    check_plan(&all, expect);
}

const RULED: &str = "
pods:
- {metadata: {name: web, namespace: shop, labels: {app: web}}}
- {metadata: {name: db, namespace: shop, labels: {app: db}}}
- {metadata: {name: batch, namespace: jobs, labels: {app: batch}}}
- {metadata: {name: done, namespace: jobs, labels: {app: batch}}, status: {phase: Succeeded}}
- {metadata: {name: log, namespace: ops, labels: {app: log}}}
departure:
  namespaces:
  - {metadata: {name: shop, labels: {team: shop}}}
  - {metadata: {name: ops, labels: {team: ops}}}
  - {metadata: {name: jobs}}
  rules:
  - {metadata: {name: c-all}, spec: {drain: {behavior: Drain, order: 10}}}
  - {metadata: {name: a-db}, spec: {drain: {behavior: Drain, order: 20}, pods: [{selector: {matchLabels: {app: db}}, namespaceSelector: {matchLabels: {team: shop}}}]}}
  - {metadata: {name: b-jobs}, spec: {drain: {behavior: WaitCompleted}, pods: [{selector: {matchLabels: {app: other}}}, {selector: {matchLabels: {app: batch}}}]}}
  - {metadata: {name: a-log}, spec: {drain: {behavior: Skip}, pods: [{namespaceSelector: {matchLabels: {team: ops}}}]}}
";

#[test]
fn rules_say_what_leaves_and_in_what_order() {
    check_drain(
        &[RULED],
        &expect![[r#"
        wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
        * Pod jobs/batch: waiting for completion
        After above Pods have been removed from the Node, the following will be evicted: Pods shop/db, shop/web
        again in 20s
    "#]],
    );
    let job_over = "pods: [{metadata: {name: web, namespace: shop, labels: {app: web}}}, {metadata: {name: db, namespace: shop, labels: {app: db}}}]";
    check_drain(
        &[RULED, job_over],
        &expect![[r#"
        act evict [("shop", "web")]
        wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
        * Pod shop/web: deletionTimestamp set, but still not removed from the Node
        After above Pods have been removed from the Node, the following will be evicted: Pod shop/db
        again in 20s
    "#]],
    );
    let web_leaves = "pods: [{metadata: {name: web, namespace: shop, labels: {app: web}, deletionTimestamp: '2026-01-02T03:04:00Z'}}, {metadata: {name: db, namespace: shop, labels: {app: db}}}]";
    check_drain(
        &[RULED, web_leaves],
        &expect![[r#"
        wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
        * Pod shop/web: deletionTimestamp set, but still not removed from the Node
        After above Pods have been removed from the Node, the following will be evicted: Pod shop/db
        again in 20s
    "#]],
    );
    // What the pod says itself counts more than a rule.
    let labelled = "pods: [{metadata: {name: db, namespace: shop, labels: {app: db, cluster.x-k8s.io/drain: skip}}}]";
    check_drain(
        &[RULED, labelled],
        &expect![[r#"
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
}

#[test]
fn rules_are_about_certain_machines() {
    let pods = "pods: [{metadata: {name: web, namespace: shop}}]";
    let rule = |machines: &str| {
        format!(
            "departure: {{rules: [{{metadata: {{name: r}}, spec: {{drain: {{behavior: Skip}}, machines: {machines}}}}}]}}"
        )
    };
    let skips = |machines: &str| {
        let rule = rule(machines);
        let layers = layers::<World>(
            BASE,
            &[
                BOOTSTRAP,
                INFRASTRUCTURE,
                NODE,
                SYNCED,
                DELETED,
                pods,
                &rule,
            ],
        );
        !plan::plan(&layers, now()).to_string().contains("evict")
    };
    for (machines, is_about) in [
        ("[{selector: {matchLabels: {other: b}}}]", true),
        ("[{selector: {matchLabels: {other: c}}}]", false),
        (
            "[{clusterSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]",
            true,
        ),
        ("[{clusterSelector: {matchLabels: {tier: prod}}}]", false),
        // Both must select.
        (
            "[{selector: {matchLabels: {other: b}}, clusterSelector: {matchLabels: {tier: prod}}}]",
            false,
        ),
        // Either may select.
        (
            "[{selector: {matchLabels: {other: c}}}, {selector: {}}]",
            true,
        ),
    ] {
        assert_eq!(skips(machines), is_about, "{machines}");
    }
}

#[test]
fn pods_of_a_daemon_set_that_is_gone_are_evicted() {
    check_drain(
        &[
            PODS,
            "{pods: [{metadata: {name: daemon, namespace: default, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: older, controller: true}]}}]}",
        ],
        &expect![[r#"
            act evict [("default", "daemon")]
            wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
            * Pod default/daemon: deletionTimestamp set, but still not removed from the Node
            again in 20s
        "#]],
    );
}

const VOLUMES: &str = "
nodes:
- metadata: {name: m}
  spec: {unschedulable: true}
  status:
    volumesAttached:
    - {name: kubernetes.io/csi/disks.example.com^handle-1, devicePath: ''}
    - {name: kubernetes.io/csi/disks.example.com^handle-2, devicePath: ''}
    - {name: kubernetes.io/csi/disks.example.com^unknown, devicePath: ''}
pods:
- metadata: {name: daemon, namespace: default, labels: {cluster.x-k8s.io/drain: skip}}
  spec:
    containers: []
    volumes:
    - {name: data, persistentVolumeClaim: {claimName: kept}}
    - {name: scratch, ephemeral: {}}
departure:
  attachments:
  - {metadata: {name: a1}, spec: {attacher: disks.example.com, nodeName: m, source: {persistentVolumeName: pv-1}}, status: {attached: true}}
  - {metadata: {name: a3}, spec: {attacher: disks.example.com, nodeName: m, source: {persistentVolumeName: pv-3}}, status: {attached: true}}
  - {metadata: {name: a4}, spec: {attacher: disks.example.com, nodeName: m, source: {persistentVolumeName: pv-4}}, status: {attached: false}}
  - {metadata: {name: a5}, spec: {attacher: disks.example.com, nodeName: other, source: {persistentVolumeName: pv-5}}, status: {attached: true}}
  volumes:
  - {metadata: {name: pv-1}, spec: {csi: {driver: disks.example.com, volumeHandle: handle-1}, claimRef: {namespace: default, name: gone}}}
  - {metadata: {name: pv-2}, spec: {csi: {driver: disks.example.com, volumeHandle: handle-2}, claimRef: {namespace: default, name: kept}}}
  - {metadata: {name: pv-3}, spec: {csi: {driver: disks.example.com, volumeHandle: handle-3}, claimRef: {namespace: default, name: daemon-scratch}}}
";

#[test]
fn volumes_of_pods_that_stay_are_not_waited_for() {
    check_drain(
        &[VOLUMES],
        &expect![[r#"
        wait WaitingForVolumeDetach: Waiting for volumes to be detached: Volumes kubernetes.io/csi/disks.example.com^unknown, pv-1
        again in 20s
    "#]],
    );
    let excluded = "machine: {metadata: {annotations: {machine.cluster.x-k8s.io/exclude-wait-for-node-volume-detach: ''}}}";
    let over = "machine: {spec: {deletion: {nodeVolumeDetachTimeoutSeconds: 30}}, status: {deletion: {waitForNodeVolumeDetachStartTime: '2026-01-02T03:03:00Z'}}}";
    for end in [excluded, over] {
        check_drain(
            &[VOLUMES, end],
            &expect![[r#"
                delete LocalMachine acme/m
                wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
                again in 895s
            "#]],
        );
    }
}

#[test]
fn of_nodes_that_cannot_be_told_apart_the_known_one_goes() {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, PODS, TWIN];
    check_plan(
        &layers,
        &expect![[r#"
            act patch Node m {"spec":{"unschedulable":true}}
            act evict [("default", "web")]
            wait DrainingNode: Drain not completed yet (started at 2026-01-02T03:04:05Z):
            * Pods default/leaving, default/web: deletionTimestamp set, but still not removed from the Node
            * Pod default/job: waiting for completion
            again in 20s
        "#]],
    );
    check_plan(
        &[
            BOOTSTRAP,
            INFRASTRUCTURE,
            NODE,
            SYNCED,
            DELETED,
            TWIN,
            "{infrastructure: null, bootstrap: null}",
        ],
        &expect![[r#"
            act delete Node m
            wait DeletingNode: Waiting for Node m to be deleted
            again in 895s
        "#]],
    );
}

#[test]
fn a_deletion_that_takes_long_says_so() {
    let layers = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, PODS];
    let ready = |deleted: &str| {
        let deleted = format!("machine: {{metadata: {{deletionTimestamp: '{deleted}'}}}}");
        lines(&[&layers[..], &[&deleted]].concat(), &["Ready="])
    };
    expect![[r#"
        Ready=False NotReady * Deleting: Drain not completed yet (started at 2026-01-02T03:04:05Z):
        Ready=False NotReady * Deleting: Machine deletion in progress since more than 15m, stage: DrainingNode, delay likely due to Pods not terminating, Pods not completed yet
    "#]]
    .assert_eq(&(ready("2026-01-02T02:50:00Z") + &ready("2026-01-02T02:49:00Z")));
}

#[test]
fn a_node_is_drained_once() {
    let base = [BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, PODS];
    let begins = |more: &[&str]| {
        let plan = plan::plan(&layers::<World>(BASE, &[&base[..], more].concat()), now());
        let text = plan.to_string();
        format!("{}\n", text.lines().next().unwrap_or_default())
    };
    let past =
        "machine: {status: {deletion: {waitForPreTerminateHookStartTime: '2026-01-02T03:04:00Z'}}}";
    let hook = "machine: {metadata: {annotations: {pre-terminate.delete.hook.machine.cluster.x-k8s.io/x: ''}}}";
    let going = "control_plane: {apiVersion: c/v1, kind: K, metadata: {name: hello, deletionTimestamp: '2026-01-02T03:04:00Z'}}";
    let nameless = "{machine: {status: {nodeRef: null}}, nodes: []}";
    let hooked = "machine: {metadata: {annotations: {pre-drain.delete.hook.machine.cluster.x-k8s.io/x: ''}}}";
    let table = [
        ("drained before", begins(&[past])),
        (
            "last hook, with the cluster",
            begins(&[hook, "control_plane_size: 0"]),
        ),
        ("with the control plane", begins(&[going])),
        ("no node", begins(&[nameless])),
        (
            "first hook, with the control plane",
            begins(&[hooked, going]),
        ),
    ];
    let table: String = table
        .iter()
        .map(|(what, line)| format!("{what}: {line}"))
        .collect();
    expect![[r#"
        drained before: delete LocalMachine acme/m
        last hook, with the cluster: wait WaitingForPreTerminateHook: Waiting for annotation pre-terminate.delete.hook.machine.cluster.x-k8s.io/x to be removed
        with the control plane: delete LocalMachine acme/m
        no node: delete LocalMachine acme/m
        first hook, with the control plane: delete LocalMachine acme/m
    "#]]
    .assert_eq(&table);
    // Nobody says what is attached to a node that is silent.
    let silent = "nodes: [{metadata: {name: m}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'Unknown'}], volumesAttached: [{name: disk, devicePath: ''}]}}]";
    check_plan(
        &[BOOTSTRAP, INFRASTRUCTURE, NODE, SYNCED, DELETED, silent],
        &expect![[r#"
            delete LocalMachine acme/m
            wait WaitingForInfrastructureDeletion: Waiting for LocalMachine m to be deleted
            again in 895s
        "#]],
    );
}
