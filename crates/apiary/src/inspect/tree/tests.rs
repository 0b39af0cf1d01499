//! Clusters as text in, trees as text out.

use expect_test::{Expect, expect};

use super::{Options, text, tree};
use crate::inspect::testing::{NOW, ui, world};

/// A cluster of one control plane machine and two workers, all of which are well.
const HELLO: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: hello, namespace: org-acme}
spec:
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalCluster, name: hello}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: hello}
status:
  controlPlane: {replicas: 1, desiredReplicas: 1, readyReplicas: 1, availableReplicas: 1, upToDateReplicas: 1}
  workers: {replicas: 2, desiredReplicas: 2, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 2}
  conditions:
  - {type: Available, status: 'True', reason: Available, message: '', lastTransitionTime: '2026-01-02T03:03:05Z'}
  - {type: Deleting, status: 'False', reason: NotDeleting, message: '', lastTransitionTime: '2026-01-02T03:03:05Z'}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LocalCluster
metadata: {name: hello, namespace: org-acme}
status: {initialization: {provisioned: true}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlane
metadata: {name: hello, namespace: org-acme}
spec: {replicas: 1}
status: {replicas: 1, readyReplicas: 1, availableReplicas: 1, upToDateReplicas: 1, conditions: [{type: Available, status: 'True', reason: Available, lastTransitionTime: '2026-01-02T03:03:05Z'}]}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: hello-cp, namespace: org-acme, labels: {cluster.x-k8s.io/control-plane: ''}}
spec: {clusterName: hello}
status: {conditions: &fine [{type: Available, status: 'True', reason: Available, lastTransitionTime: '2026-01-02T03:03:05Z'}, {type: Ready, status: 'True', reason: Ready}, {type: UpToDate, status: 'True', reason: UpToDate}]}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: hello-workers, namespace: org-acme}
spec: {clusterName: hello, replicas: 2}
status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 2, conditions: [{type: Available, status: 'True', reason: Available, lastTransitionTime: '2026-01-02T03:03:35Z'}]}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineSet
metadata: {name: hello-workers-x, namespace: org-acme, ownerReferences: [{kind: MachineDeployment, name: hello-workers, controller: true}]}
spec: {clusterName: hello, replicas: 2}
status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 2, conditions: [{type: MachinesReady, status: 'True', reason: Ready, lastTransitionTime: '2026-01-02T03:03:35Z'}]}
";

/// A machine of the set of [`HELLO`].
fn worker(name: &str, ready: &str, since: &str) -> String {
    format!(
        "
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {{name: {name}, namespace: org-acme, labels: {{cluster.x-k8s.io/set-name: hello-workers-x, cluster.x-k8s.io/deployment-name: hello-workers}}, ownerReferences: [{{kind: MachineSet, name: hello-workers-x, controller: true}}]}}
spec:
  clusterName: hello
  infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachine, name: {name}}}
  bootstrap: {{configRef: {{apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfig, name: {name}}}}}
status: {{conditions: [{{type: Available, status: '{ready}', reason: Whatever, lastTransitionTime: '{since}'}}, {{type: Ready, status: '{ready}', reason: Whatever, message: {message}, lastTransitionTime: '{since}'}}, {{type: UpToDate, status: 'True', reason: UpToDate}}]}}
",
        message = if ready == "True" {
            "''".to_owned()
        } else {
            format!("\"* InfrastructureReady: boot of {name} failed:\\n  no room\"")
        },
    )
}

fn check(yaml: &str, options: &Options, expect: &Expect) {
    let tree = tree(&world(yaml, &["FarCluster"]), options);
    expect.assert_eq(&text(&tree, NOW.parse().unwrap(), &ui()));
}

const EARLIER: &str = "2026-01-02T03:03:35Z";
const LATER: &str = "2026-01-02T03:03:55Z";

#[test]
fn machines_in_the_same_state_share_a_line() {
    let well = [
        HELLO,
        &worker("w-a", "True", EARLIER),
        &worker("w-b", "True", LATER),
    ]
    .concat();
    check(
        &well,
        &Options::default(),
        &expect![[r#"
        NAME                                        REPLICAS  AVAILABLE  READY  UP TO DATE  STATUS               REASON     SINCE  MESSAGE
        Cluster/hello                               3/3       3          3      3           Available: True      Available  60s
        ├─infrastructure: LocalCluster/hello                                                provisioned: True
        ├─control plane: KubeadmControlPlane/hello  1/1       1          1      1           Available: True      Available  60s
        │ └─Machine/hello-cp                        1         1          1      1           Available: True      Available  60s
        └─Workers
          └─MachineDeployment/hello-workers         2/2       2          2      2           Available: True      Available  30s
            └─MachineSet/hello-workers-x            2/2       2          2      2           MachinesReady: True  Ready      30s
              └─2 Machines                          2         2          2      2           Available: True      Whatever   10s    w-a, w-b"#]],
    );
    let each = Options {
        each: true,
        ..Options::default()
    };
    check(
        &well,
        &each,
        &expect![[r#"
        NAME                                        REPLICAS  AVAILABLE  READY  UP TO DATE  STATUS               REASON     SINCE
        Cluster/hello                               3/3       3          3      3           Available: True      Available  60s
        ├─infrastructure: LocalCluster/hello                                                provisioned: True
        ├─control plane: KubeadmControlPlane/hello  1/1       1          1      1           Available: True      Available  60s
        │ └─Machine/hello-cp                        1         1          1      1           Available: True      Available  60s
        └─Workers
          └─MachineDeployment/hello-workers         2/2       2          2      2           Available: True      Available  30s
            └─MachineSet/hello-workers-x            2/2       2          2      2           MachinesReady: True  Ready      30s
              ├─Machine/w-a                         1         1          1      1           Available: True      Whatever   30s
              └─Machine/w-b                         1         1          1      1           Available: True      Whatever   10s"#]],
    );
}

#[test]
fn machines_that_are_not_ready_show_their_parts() {
    let infrastructure = "
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LocalMachine
metadata: {name: w-b, namespace: org-acme}
status: {conditions: [{type: Ready, status: 'False', reason: BootFailed, message: \"no room\\nat all\", lastTransitionTime: '2026-01-02T03:03:55Z'}]}
";
    let one = [
        HELLO,
        &worker("w-a", "True", EARLIER),
        &worker("w-b", "False", LATER),
        infrastructure,
    ]
    .concat();
    check(
        &one,
        &Options::default(),
        &expect![[r#"
        NAME                                        REPLICAS  AVAILABLE  READY  UP TO DATE  STATUS               REASON      SINCE  MESSAGE
        Cluster/hello                               3/3       3          3      3           Available: True      Available   60s
        ├─infrastructure: LocalCluster/hello                                                provisioned: True
        ├─control plane: KubeadmControlPlane/hello  1/1       1          1      1           Available: True      Available   60s
        │ └─Machine/hello-cp                        1         1          1      1           Available: True      Available   60s
        └─Workers
          └─MachineDeployment/hello-workers         2/2       2          2      2           Available: True      Available   30s
            └─MachineSet/hello-workers-x            2/2       2          2      2           MachinesReady: True  Ready       30s
              ├─Machine/w-a                         1         1          1      1           Available: True      Whatever    30s
              └─Machine/w-b                         1         0          0      1           Ready: False         Whatever    10s    * InfrastructureReady: boot of w-b failed:
                │                                                                                                                     no room
                ├─infrastructure: LocalMachine/w-b                                          Ready: False         BootFailed  10s    no room
                │                                                                                                                   at all
                └─bootstrap: KubeadmConfig/w-b                                              Exists: False        NotFound           spec.bootstrap.configRef names it, and it does not exist"#]],
    );
    let more = [
        &*one,
        &worker("w-c", "False", EARLIER),
        &worker("w-d", "False", LATER),
        &worker("w-e", "False", LATER),
    ]
    .concat();
    check(
        &more,
        &Options::default(),
        &expect![[r#"
        NAME                                        REPLICAS  AVAILABLE  READY  UP TO DATE  STATUS               REASON     SINCE  MESSAGE
        Cluster/hello                               3/3       3          3      3           Available: True      Available  60s
        ├─infrastructure: LocalCluster/hello                                                provisioned: True
        ├─control plane: KubeadmControlPlane/hello  1/1       1          1      1           Available: True      Available  60s
        │ └─Machine/hello-cp                        1         1          1      1           Available: True      Available  60s
        └─Workers
          └─MachineDeployment/hello-workers         2/2       2          2      2           Available: True      Available  30s
            └─MachineSet/hello-workers-x            2/2       2          2      2           MachinesReady: True  Ready      30s
              ├─Machine/w-a                         1         1          1      1           Available: True      Whatever   30s
              └─4 Machines                          4         0          0      4           Ready: False         Whatever   10s    w-b, w-c, w-d and 1 more
                                                                                                                                   * InfrastructureReady: boot of w-b failed:
                                                                                                                                     no room"#]],
    );
}

#[test]
fn conditions_are_shown_one_by_one() {
    let options = Options {
        conditions: vec!["machineset".to_owned(), "Cluster/hello".to_owned()],
        ..Options::default()
    };
    let alone = [HELLO, &worker("w-a", "True", EARLIER)].concat();
    check(
        &alone,
        &options,
        &expect![[r#"
        NAME                                        REPLICAS  AVAILABLE  READY  UP TO DATE  STATUS               REASON       SINCE
        Cluster/hello                               3/3       3          3      3           Available: True      Available    60s
        │                                                                                   Available: True      Available    60s
        │                                                                                   Deleting: False      NotDeleting  60s
        ├─infrastructure: LocalCluster/hello                                                provisioned: True
        ├─control plane: KubeadmControlPlane/hello  1/1       1          1      1           Available: True      Available    60s
        │ └─Machine/hello-cp                        1         1          1      1           Available: True      Available    60s
        └─Workers
          └─MachineDeployment/hello-workers         2/2       2          2      2           Available: True      Available    30s
            └─MachineSet/hello-workers-x            2/2       2          2      2           MachinesReady: True  Ready        30s
              │                                                                             MachinesReady: True  Ready        30s
              └─Machine/w-a                         1         1          1      1           Available: True      Whatever     30s"#]],
    );
}

#[test]
fn what_is_missing_is_shown_where_it_should_be() {
    check(
        "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: hello, namespace: org-acme, deletionTimestamp: '2026-01-02T03:03:35Z'}
spec:
  infrastructureRef: {apiGroup: far.example.com, kind: FarCluster, name: hello}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: hello}
status:
  conditions: [{type: Deleting, status: 'True', reason: WaitingForWorkersDeletion, message: '* Machine w', lastTransitionTime: '2026-01-02T03:03:35Z'}]
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: w, namespace: org-acme}
spec: {clusterName: hello}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineHealthCheck
metadata: {name: check, namespace: org-acme}
spec: {clusterName: hello}
status: {currentHealthy: 0, expectedMachines: 1, conditions: [{type: RemediationAllowed, status: 'True', reason: RemediationAllowed}]}
",
        &Options::default(),
        &expect![[r#"
            NAME                                        REPLICAS  AVAILABLE  READY  UP TO DATE  STATUS                    REASON                     SINCE  MESSAGE
            Cluster/hello                               0/0       0          0      0           Deleting: True            WaitingForWorkersDeletion  30s    * Machine w
            ├─infrastructure: FarCluster/hello                                                  Exists: False             NotFound                          spec.infrastructureRef names it, and its kind is not served
            ├─control plane: KubeadmControlPlane/hello                                          Exists: False             NotFound                          spec.controlPlaneRef names it, and it does not exist
            ├─Workers
            │ └─Machine/w                               1         0          0      0           Ready: Unknown            NotReconciledYet
            └─MachineHealthCheck/check                                                          RemediationAllowed: True  RemediationAllowed                0 of 1 machines healthy"#]],
    );
}
