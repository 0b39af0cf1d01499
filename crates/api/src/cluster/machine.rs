//! One machine of a cluster: ties a bootstrap config, an infrastructure object and a Node together.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules;
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, ContractRef, CrdExt, DeletionTimeouts, DeprecatedV1Beta1, FieldError, Gate,
    MachineAddress, MachineTaint, labels, schema,
};

pub use super::cluster::DeprecatedStatus;

/// What a machine should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "Machine",
    shortname = "ma",
    status = "MachineStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct MachineSpec {
    /// The cluster that the machine belongs to; cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
    /// How the machine boots.
    pub bootstrap: Bootstrap,
    /// The machine in the infrastructure.
    pub infrastructure_ref: ContractRef,
    /// The Kubernetes version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub version: Option<String>,
    /// The infrastructure's name for the machine, as its Node has it; filled from the infrastructure object.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "providerID"
    )]
    #[schemars(length(min = 1, max = 512))]
    pub provider_id: Option<String>,
    /// The failure domain to place the machine in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
    /// Seconds that the machine must be ready to be available. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,
    /// Further conditions that count for `Ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::gates")]
    pub readiness_gates: Option<Vec<Gate>>,
    /// Limits on deleting the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionTimeouts>,
    /// Taints of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::machine_taints")]
    pub taints: Option<Vec<MachineTaint>>,
}

/// How a machine boots: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// The bootstrap provider's object, which writes the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_ref: Option<ContractRef>,
    /// The Secret with the data; filled from the bootstrap object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 0, max = 253))]
    pub data_secret_name: Option<String>,
}

/// What the machine is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far the first provisioning has come; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<MachineInitialization>,
    /// The machine's Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ref: Option<NodeRef>,
    /// What the Node says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_info: Option<NodeInfo>,
    /// When `phase` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<Time>,
    /// The machine's addresses, from the infrastructure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub addresses: Option<Vec<MachineAddress>>,
    /// Where the machine is in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Pending", "Provisioning", "Provisioned", "Running", "Updating", "Deleting", "Deleted", "Failed", "Unknown"]))]
    pub phase: Option<String>,
    /// When the certificates of a control plane machine expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates_expiry_date: Option<Time>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// How far deletion has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<MachineDeletionStatus>,
    /// The failure domain that the machine was placed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedStatus>>,
}

/// How far the first provisioning has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineInitialization {
    /// The infrastructure says that the machine is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_provisioned: Option<bool>,
    /// The bootstrap data is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_data_secret_created: Option<bool>,
}

/// Names a Node of the workload cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeRef {
    /// The name.
    #[schemars(regex(pattern = schema::SUBDOMAIN), length(min = 1, max = 253))]
    pub name: String,
}

/// What a Node says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// The processor architecture.
    pub architecture: String,
    /// Changes with each boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// The container runtime and its version.
    pub container_runtime_version: String,
    /// The kernel version.
    pub kernel_version: String,
    /// The kube-proxy version.
    pub kube_proxy_version: String,
    /// The kubelet version.
    pub kubelet_version: String,
    /// The machine id of the operating system.
    #[serde(rename = "machineID")]
    pub machine_id: String,
    /// The kind of operating system.
    pub operating_system: String,
    /// The operating system and its version.
    pub os_image: String,
    /// The id of the hardware.
    #[serde(rename = "systemUUID")]
    pub system_uuid: String,
    /// Swap space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<NodeSwap>,
}

/// Swap space of a Node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSwap {
    /// Bytes in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
}

/// How far deletion of a machine has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineDeletionStatus {
    /// When draining began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_drain_start_time: Option<Time>,
    /// When waiting for volumes to be detached began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_node_volume_detach_start_time: Option<Time>,
    /// When waiting for pre-drain hooks began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_pre_drain_hook_start_time: Option<Time>,
    /// When waiting for pre-terminate hooks began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_pre_terminate_hook_start_time: Option<Time>,
}

/// Conditions of a Machine.
pub mod conditions {
    /// Ready for at least `spec.minReadySeconds`.
    pub const AVAILABLE: &str = "Available";
    /// Summary of Deleting (negative), BootstrapConfigReady, InfrastructureReady, NodeHealthy and the readiness gates.
    pub const READY: &str = "Ready";
    /// The machine is what its owner wants.
    pub const UP_TO_DATE: &str = "UpToDate";
    /// The `Ready` condition of the bootstrap config.
    pub const BOOTSTRAP_CONFIG_READY: &str = "BootstrapConfigReady";
    /// The `Ready` condition of the infrastructure object.
    pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
    /// The `Ready` condition of the Node.
    pub const NODE_READY: &str = "NodeReady";
    /// The Node is ready and has no pressure on memory, disk or process ids.
    pub const NODE_HEALTHY: &str = "NodeHealthy";
    /// The machine is being deleted (negative).
    pub const DELETING: &str = "Deleting";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
    /// Result of health checks, if any are set up.
    pub const HEALTH_CHECK_SUCCEEDED: &str = "HealthCheckSucceeded";
    /// The owner of an unhealthy machine has replaced it: false until it is gone.
    pub const OWNER_REMEDIATED: &str = "OwnerRemediated";
    /// Somebody else has healed an unhealthy machine: false until it is healthy.
    pub const EXTERNALLY_REMEDIATED: &str = "ExternallyRemediated";
    /// Control plane machines: the kube-apiserver of this machine runs.
    pub const API_SERVER_POD_HEALTHY: &str = "APIServerPodHealthy";
    /// Control plane machines: the kube-controller-manager of this machine runs.
    pub const CONTROLLER_MANAGER_POD_HEALTHY: &str = "ControllerManagerPodHealthy";
    /// Control plane machines: the kube-scheduler of this machine runs.
    pub const SCHEDULER_POD_HEALTHY: &str = "SchedulerPodHealthy";
    /// Control plane machines with stacked etcd: the etcd of this machine runs.
    pub const ETCD_POD_HEALTHY: &str = "EtcdPodHealthy";
    /// Control plane machines with stacked etcd: the etcd member is a voting member.
    pub const ETCD_MEMBER_HEALTHY: &str = "EtcdMemberHealthy";
    /// Control plane machines: the Node has kubeadm's label and taint.
    pub const NODE_KUBEADM_LABELS_AND_TAINTS_SET: &str = "NodeKubeadmLabelsAndTaintsSet";
}

/// Reasons of conditions of a Machine.
pub mod reasons {
    /// NodeHealthy is true.
    pub const NODE_HEALTHY: &str = "NodeHealthy";
    /// NodeHealthy is false: the message names the node's conditions.
    pub const NODE_NOT_HEALTHY: &str = "NodeNotHealthy";
    /// NodeReady is true.
    pub const NODE_READY: &str = "NodeReady";
    /// NodeReady is false.
    pub const NODE_NOT_READY: &str = "NodeNotReady";
    /// No Node has this machine's provider id yet.
    pub const NODE_DOES_NOT_EXIST: &str = "NodeDoesNotExist";
    /// The Node was there once and is gone.
    pub const NODE_DELETED: &str = "NodeDeleted";
    /// The workload cluster's API server does not answer.
    pub const CONNECTION_DOWN: &str = "ConnectionDown";
    /// Available is false: not ready for long enough.
    pub const WAITING_FOR_MIN_READY_SECONDS: &str = "WaitingForMinReadySeconds";
    /// The infrastructure object is not there.
    pub const INFRASTRUCTURE_DOES_NOT_EXIST: &str = "DoesNotExist";
    /// The bootstrap data was given by the user.
    pub const DATA_SECRET_PROVIDED: &str = "DataSecretProvided";
    /// Deleting: an annotation `pre-drain.delete.hook.machine.cluster.x-k8s.io` is there.
    pub const WAITING_FOR_PRE_DRAIN_HOOK: &str = "WaitingForPreDrainHook";
    /// Deleting: pods are being evicted from the node.
    pub const DRAINING_NODE: &str = "DrainingNode";
    /// Deleting: volumes are still attached to the node.
    pub const WAITING_FOR_VOLUME_DETACH: &str = "WaitingForVolumeDetach";
    /// Deleting: an annotation `pre-terminate.delete.hook.machine.cluster.x-k8s.io` is there.
    pub const WAITING_FOR_PRE_TERMINATE_HOOK: &str = "WaitingForPreTerminateHook";
    /// Deleting: the infrastructure object is still there.
    pub const WAITING_FOR_INFRASTRUCTURE_DELETION: &str = "WaitingForInfrastructureDeletion";
    /// Deleting: the bootstrap config is still there.
    pub const WAITING_FOR_BOOTSTRAP_DELETION: &str = "WaitingForBootstrapDeletion";
    /// Deleting: the Node object is being removed.
    pub const DELETING_NODE: &str = "DeletingNode";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", ".spec.clusterName"),
    ("Node Name", "string", ".status.nodeRef.name"),
    ("Provider ID~", "string", ".spec.providerID"),
    ("Failure domain", "string", ".status.failureDomain"),
    ("Ready", "string", condition_path!("Ready")),
    ("Available", "string", condition_path!("Available")),
    ("Up-to-date", "string", condition_path!("UpToDate")),
    (
        "Internal-IP~",
        "string",
        ".status.addresses[?(@.type==\"InternalIP\")].address",
    ),
    (
        "External-IP~",
        "string",
        ".status.addresses[?(@.type==\"ExternalIP\")].address",
    ),
    ("OS-Image~", "string", ".status.nodeInfo.osImage"),
    ("Paused~", "string", condition_path!("Paused")),
    ("Phase", "string", ".status.phase"),
    ("Age", "date", AGE_PATH),
    ("Version", "string", ".spec.version"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    Machine::crd().cluster_api(COLUMNS)
}

impl Machine {
    /// The machine's conditions.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .and_then(|s| s.conditions.as_deref())
            .unwrap_or_default()
    }

    /// The name of the machine's Node, once it is known.
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        Some(&self.status.as_ref()?.node_ref.as_ref()?.name)
    }

    /// Whether the machine belongs to a control plane.
    #[must_use]
    pub fn is_control_plane(&self) -> bool {
        self.metadata
            .labels
            .as_ref()
            .is_some_and(|l| l.contains_key(labels::CONTROL_PLANE))
    }

    /// Whether deletion has been asked for.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// Fills what was left out: the cluster's label, the version's leading `v`, and 10 seconds for deleting the Node.
pub fn default(machine: &mut Machine) {
    let cluster = machine.spec.cluster_name.clone();
    rules::default_label(&mut machine.metadata, labels::CLUSTER_NAME, &cluster);
    rules::default_machine_spec(&mut machine.spec);
}

/// What is wrong with a Machine, also compared to what it was.
#[must_use]
pub fn validate(new: &Machine, old: Option<&Machine>) -> Vec<FieldError> {
    let mut errors = vec![];
    let is_pool_machine = new
        .metadata
        .labels
        .as_ref()
        .is_some_and(|l| l.contains_key(labels::POOL_NAME));
    rules::check_machine_spec("spec", &new.spec, is_pool_machine, &mut errors);
    rules::check_taints(
        "spec.taints",
        new.spec.taints.as_deref(),
        new.is_control_plane(),
        &mut errors,
    );
    if let Some(old) = old {
        rules::check_cluster_unchanged(&new.spec.cluster_name, &old.spec.cluster_name, &mut errors);
    }
    errors
}
