//! A simulated machine on this host. It boots from its real bootstrap data.

use std::fmt;

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{Condition, CrdExt, FieldError, MachineAddress, schema};

/// What a simulated machine should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "LocalMachine",
    status = "LocalMachineStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct LocalMachineSpec {
    /// `local:///<namespace>/<name>`; filled when the machine exists.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "providerID"
    )]
    #[schemars(length(min = 1, max = 512))]
    pub provider_id: Option<String>,
    /// Processors that the Node reports. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub cpus: Option<i32>,
    /// Memory that the Node reports, in MiB. Default: 8192.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "memoryMiB")]
    #[schemars(range(min = 64, max = 16_777_216))]
    pub memory_mib: Option<i32>,
    /// The failure domain to place the machine in. Default: that of its Machine, or the first that the cluster has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
    /// The Kubernetes version of the image that the machine boots from. Default: that of its Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub kubernetes_version: Option<String>,
    /// Seconds between creation and boot. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub start_delay_seconds: Option<i32>,
    /// What goes wrong on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
}

/// What goes wrong with a simulated machine, on purpose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Faults {
    /// The machine never comes into being, with this message, as if the host had no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub provisioning: Option<String>,
    /// The boot fails before kubeadm runs, with this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub boot: Option<String>,
    /// The kubelet stops, as if the machine hung: its Node goes NotReady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet_stopped: Option<bool>,
    /// What goes wrong in phases of the boot. What is changed here holds for a boot that goes on, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["phase"]))]
    pub phases: Option<Vec<PhaseFault>>,
}

/// What goes wrong in one phase of a boot: first it takes longer, then it hangs, then it fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseFault {
    /// The phase.
    #[schemars(with = "String", extend("enum" = ["PowerOn", "CloudInit", "Discovery", "ControlPlane", "TLSBootstrap", "Kubelet", "Etcd"]))]
    pub phase: BootPhase,
    /// Seconds that it takes longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub delay_seconds: Option<i32>,
    /// It goes on only when this is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangs: Option<bool>,
    /// It fails with this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub failure: Option<String>,
    /// How often it fails in one boot. Default: each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: Option<i32>,
    /// So many of a hundred of its requests get no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub loss_percent: Option<i32>,
}

/// The phases of a boot, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BootPhase {
    /// Before anything runs.
    #[default]
    PowerOn,
    /// cloud-init reads the bootstrap data and writes its files.
    CloudInit,
    /// `kubeadm join` looks for the cluster.
    Discovery,
    /// The machine's part of the control plane starts.
    ControlPlane,
    /// `kubeadm join` asks for the kubelet's certificate.
    TLSBootstrap,
    /// The kubelet starts, and registers its Node.
    Kubelet,
    /// The machine becomes a member of etcd.
    Etcd,
}

impl fmt::Display for BootPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the machine is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalMachineStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far provisioning has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<LocalMachineInitialization>,
    /// The machine's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub addresses: Option<Vec<MachineAddress>>,
    /// Where the machine was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
    /// The last lines that the guest wrote to its console while it booted, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub console: Option<String>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
}

/// How far provisioning has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct LocalMachineInitialization {
    /// The machine exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// Label of the LocalMachine that is a cluster's bastion: it has no Machine, no bootstrap data and no Node.
pub const BASTION: &str = "infrastructure.cluster.x-k8s.io/bastion";

/// Conditions of a LocalMachine.
pub mod conditions {
    /// Summary of MachineProvisioned and BootstrapExecSucceeded.
    pub const READY: &str = "Ready";
    /// The machine exists.
    pub const MACHINE_PROVISIONED: &str = "MachineProvisioned";
    /// The guest has worked through its bootstrap data.
    pub const BOOTSTRAP_EXEC_SUCCEEDED: &str = "BootstrapExecSucceeded";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a LocalMachine.
pub mod reasons {
    /// The cluster's infrastructure is not there yet.
    pub const WAITING_FOR_CLUSTER_INFRASTRUCTURE: &str = "WaitingForClusterInfrastructureReady";
    /// No Machine owns the object yet.
    pub const WAITING_FOR_OWNER: &str = "WaitingForOwner";
    /// The bootstrap data is not there yet.
    pub const WAITING_FOR_BOOTSTRAP_DATA: &str = "WaitingForBootstrapData";
    /// `spec.startDelaySeconds` has not passed yet.
    pub const WAITING_FOR_START_DELAY: &str = "WaitingForStartDelay";
    /// `spec.faults.provisioning` is set.
    pub const PROVISIONING_FAULT: &str = "ProvisioningFault";
    /// The machine exists.
    pub const PROVISIONED: &str = "Provisioned";
    /// The guest has not finished yet; the message says where it is.
    pub const BOOTING: &str = "Booting";
    /// The guest could not work through its bootstrap data; the message has the end of its console. It is tried again.
    pub const BOOT_FAILED: &str = "BootFailed";
    /// A bastion has no bootstrap data.
    pub const NOTHING_TO_BOOT: &str = "NothingToBoot";
    /// The guest has worked through its bootstrap data.
    pub const BOOTSTRAP_SUCCEEDED: &str = "BootstrapSucceeded";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", crate::meta::crd::CLUSTER_NAME_PATH),
    (
        "Machine",
        "string",
        ".metadata.ownerReferences[?(@.kind==\"Machine\")].name",
    ),
    ("Ready", "string", condition_path!("Ready")),
    ("Provider ID~", "string", ".spec.providerID"),
    ("Failure domain~", "string", ".status.failureDomain"),
    (
        "IP~",
        "string",
        ".status.addresses[?(@.type==\"InternalIP\")].address",
    ),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    LocalMachine::crd().cluster_api(COLUMNS)
}

/// The provider id of a LocalMachine.
#[must_use]
pub fn provider_id(namespace: &str, name: &str) -> String {
    format!("local:///{namespace}/{name}")
}

/// What is wrong with a LocalMachine, also compared to what it was. There are no defaults.
#[must_use]
pub fn validate(new: &LocalMachine, old: Option<&LocalMachine>) -> Vec<FieldError> {
    let before = old.and_then(|o| o.spec.provider_id.as_ref());
    if before.is_some() && before != new.spec.provider_id.as_ref() {
        return vec![FieldError::forbidden(
            "spec.providerID",
            "cannot be changed once the machine exists",
        )];
    }
    vec![]
}
