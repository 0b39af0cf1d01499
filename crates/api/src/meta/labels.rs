//! Labels, annotations, finalizers and secret names of Cluster API, and rules for their values.

/// Label: the Cluster that an object belongs to.
pub const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// Label (empty value): a Machine of the control plane.
pub const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// Label: the control plane object that owns a Machine.
pub const CONTROL_PLANE_NAME: &str = "cluster.x-k8s.io/control-plane-name";
/// Label: the MachineDeployment that owns a MachineSet or Machine.
pub const DEPLOYMENT_NAME: &str = "cluster.x-k8s.io/deployment-name";
/// Label: the MachineSet that owns a Machine.
pub const SET_NAME: &str = "cluster.x-k8s.io/set-name";
/// Label: the MachinePool that owns a Machine.
pub const POOL_NAME: &str = "cluster.x-k8s.io/pool-name";
/// Label: distinguishes the MachineSets of one MachineDeployment.
pub const TEMPLATE_HASH: &str = "machine-template-hash";

/// Annotation: this object is not reconciled.
pub const PAUSED: &str = "cluster.x-k8s.io/paused";
/// Annotation: this infrastructure object is reconciled by somebody else.
pub const MANAGED_BY: &str = "cluster.x-k8s.io/managed-by";
/// Annotation: this Machine goes first when its owner scales down.
pub const DELETE_MACHINE: &str = "cluster.x-k8s.io/delete-machine";
/// Annotation of a Machine: it is to be replaced as an unhealthy one is.
pub const REMEDIATE_MACHINE: &str = "cluster.x-k8s.io/remediate-machine";
/// Annotation of a Machine: its health is not checked.
pub const SKIP_REMEDIATION: &str = "cluster.x-k8s.io/skip-remediation";
/// Annotation of a KubeadmControlPlane: the machine that is being replaced because it is unhealthy, as JSON.
pub const REMEDIATION_IN_PROGRESS: &str = "controlplane.cluster.x-k8s.io/remediation-in-progress";
/// Annotation of a Machine: the machine whose place it took, as JSON.
pub const REMEDIATION_FOR: &str = "controlplane.cluster.x-k8s.io/remediation-for";
/// Annotation of MachineSets, and of Machines of a control plane, that take the place of others: what has changed.
pub const ROLLOUT_REASON: &str = "apiary.io/rollout-reason";
/// Annotation: this MachineSet makes no new Machines.
pub const DISABLE_MACHINE_CREATE: &str = "cluster.x-k8s.io/disable-machine-create";
/// Annotation: name of the template that an object was made from.
pub const CLONED_FROM_NAME: &str = "cluster.x-k8s.io/cloned-from-name";
/// Annotation: `Kind.group` of the template that an object was made from.
pub const CLONED_FROM_GROUP_KIND: &str = "cluster.x-k8s.io/cloned-from-groupkind";
/// Annotation of nodes: namespace of the Cluster.
pub const CLUSTER_NAMESPACE: &str = "cluster.x-k8s.io/cluster-namespace";
/// Annotation of nodes: name of the Machine.
pub const MACHINE: &str = "cluster.x-k8s.io/machine";
/// Annotation of nodes: kind of the Machine's owner.
pub const OWNER_KIND: &str = "cluster.x-k8s.io/owner-kind";
/// Annotation of nodes: name of the Machine's owner.
pub const OWNER_NAME: &str = "cluster.x-k8s.io/owner-name";
/// Annotation of nodes: the labels that came from the Machine.
pub const LABELS_FROM_MACHINE: &str = "cluster.x-k8s.io/labels-from-machine";
/// Annotation of nodes: the annotations that came from the Machine.
pub const ANNOTATIONS_FROM_MACHINE: &str = "cluster.x-k8s.io/annotations-from-machine";
/// Label of nodes: the machine may be taken away at any time.
pub const INTERRUPTIBLE: &str = "cluster.x-k8s.io/interruptible";
/// Annotation of nodes: the taints that came from the Machine.
pub const TAINTS_FROM_MACHINE: &str = "cluster.x-k8s.io/taints-from-machine";
/// Annotation of Machines: the node is not drained.
pub const EXCLUDE_NODE_DRAINING: &str = "machine.cluster.x-k8s.io/exclude-node-draining";
/// Annotation of Machines: volumes of the node need not be detached.
pub const EXCLUDE_VOLUME_DETACH: &str =
    "machine.cluster.x-k8s.io/exclude-wait-for-node-volume-detach";
/// Annotation of Machines and bootstrap configs: when the certificates of a control plane machine end, as RFC 3339 has it.
pub const CERTIFICATES_EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
/// Label of pods: how they are treated when a node is drained, `skip` or `wait-completed`.
pub const DRAIN: &str = "cluster.x-k8s.io/drain";
/// Annotation of MachineSets and MachineDeployments (the group is plural): number of the rollout.
pub const REVISION: &str = "machinedeployment.clusters.x-k8s.io/revision";
/// Annotation of MachineSets: replicas that the MachineDeployment wants in all.
pub const DESIRED_REPLICAS: &str = "machinedeployment.clusters.x-k8s.io/desired-replicas";
/// Annotation of MachineSets: replicas that the MachineDeployment allows in all.
pub const MAX_REPLICAS: &str = "machinedeployment.clusters.x-k8s.io/max-replicas";
/// Annotation of MachineSets: revisions that they had before the one they have, oldest first.
pub const REVISION_HISTORY: &str = "machinedeployment.clusters.x-k8s.io/revision-history";
/// Annotation of MachineSets: checks before scaling up that are left out.
pub const SKIP_PREFLIGHT_CHECKS: &str = "machineset.cluster.x-k8s.io/skip-preflight-checks";
/// Annotation prefix of Machines: deletion waits before draining while one is there.
pub const PRE_DRAIN_HOOK: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io";
/// Annotation prefix of Machines: deletion waits before the infrastructure goes while one is there.
pub const PRE_TERMINATE_HOOK: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io";
/// The hook that KubeadmControlPlane sets, to take the etcd member out of the cluster.
pub const KCP_CLEANUP_HOOK: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup";
/// Annotation: the kube-proxy of this control plane is somebody else's.
pub const SKIP_KUBE_PROXY: &str = "controlplane.cluster.x-k8s.io/skip-kube-proxy";
/// Annotation: the CoreDNS of this control plane is somebody else's.
pub const SKIP_COREDNS: &str = "controlplane.cluster.x-k8s.io/skip-coredns";
/// Annotation of MachineSets and MachineDeployments: smallest size that the cluster autoscaler chooses.
pub const AUTOSCALER_MIN_SIZE: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size";
/// Annotation of MachineSets and MachineDeployments: largest size that the cluster autoscaler chooses.
pub const AUTOSCALER_MAX_SIZE: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size";
/// Annotation of MachinePools: who else decides how many machines there are; any value but `false`.
pub const REPLICAS_MANAGED_BY: &str = "cluster.x-k8s.io/replicas-managed-by";

/// Label (empty value): made for the topology of a Cluster.
pub const TOPOLOGY_OWNED: &str = "topology.cluster.x-k8s.io/owned";
/// Label: the entry of `spec.topology.workers.machineDeployments` that something was made for.
pub const TOPOLOGY_DEPLOYMENT_NAME: &str = "topology.cluster.x-k8s.io/deployment-name";
/// Label of what was made for a MachinePool of a topology: the name of its entry.
pub const TOPOLOGY_POOL_NAME: &str = "topology.cluster.x-k8s.io/pool-name";
/// Beginning of annotations of a Cluster with a topology: its upgrade is not begun while one is there.
pub const BEFORE_UPGRADE_HOOK: &str = "before-upgrade.hook.cluster.cluster.x-k8s.io";
/// Annotation of an entry of a topology: its group of workers is not upgraded while it is there.
pub const TOPOLOGY_DEFER_UPGRADE: &str = "topology.cluster.x-k8s.io/defer-upgrade";
/// Annotation of an entry of a topology: its group of workers and those of its kind after it are not upgraded while it is there.
pub const TOPOLOGY_HOLD_UPGRADE_SEQUENCE: &str = "topology.cluster.x-k8s.io/hold-upgrade-sequence";
/// Annotation of Clusters: how many MachineDeployments are upgraded at once. Default: 1.
pub const TOPOLOGY_UPGRADE_CONCURRENCY: &str = "topology.cluster.x-k8s.io/upgrade-concurrency";
/// Annotation of Clusters: the version that an upgrade in progress has come to.
pub const TOPOLOGY_UPGRADE_STEP: &str = "topology.internal.cluster.x-k8s.io/upgrade-step";
/// Annotation of Clusters: the version of the topology may be changed to any.
pub const TOPOLOGY_UNSAFE_VERSION: &str =
    "unsafe.topology.cluster.x-k8s.io/disable-update-version-check";
/// Annotation of Clusters: a topology may be added to a Cluster that is there.
pub const TOPOLOGY_UNSAFE_CLASS: &str =
    "unsafe.topology.cluster.x-k8s.io/disable-update-class-name-check";
/// Annotation of Clusters: hooks that runtime extensions are still to be asked, separated by commas.
pub const PENDING_HOOKS: &str = "runtime.cluster.x-k8s.io/pending-hooks";
/// Annotation of Clusters that are deleted: runtime extensions have nothing against it.
pub const OK_TO_DELETE: &str = "runtime.cluster.x-k8s.io/ok-to-delete";
/// Taint of nodes that no Machine has claimed yet.
pub const UNINITIALIZED_TAINT: &str = "node.cluster.x-k8s.io/uninitialized";
/// Taint of nodes whose Machine belongs to an older revision of its MachineDeployment.
pub const OUTDATED_REVISION_TAINT: &str = "node.cluster.x-k8s.io/outdated-revision";

/// The type of the secrets of Cluster API.
pub const SECRET_TYPE: &str = "cluster.x-k8s.io/secret";
/// What a guest writes when its bootstrap succeeded.
pub const SENTINEL_FILE: &str = "/run/cluster-api/bootstrap-success.complete";

/// The value of a label that names an object: the name, or a stable hash where the name is no label value.
#[must_use]
pub fn name_value(name: &str) -> String {
    if name.len() <= 63 {
        return name.to_owned();
    }
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("hash_{}_z", base64url(&hash.to_be_bytes()))
}

/// Base64 with the URL alphabet, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0usize, |word, byte| word << 8 | usize::from(*byte));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[word >> (18 - 6 * i) & 63]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_become_hashes_that_are_label_values() {
        assert_eq!(name_value("md-0"), "md-0");
        let value = name_value(&"a".repeat(64));
        expect_test::expect!["hash_2W8PhQ_z"].assert_eq(&value);
        assert_ne!(value, name_value(&"a".repeat(65)));
    }
}
