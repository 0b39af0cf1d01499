//! A workload cluster: its network, its endpoint, and the objects of providers that make it.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::topology::Topology;
use super::{rules, topology_rules};
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, ContractRef, CrdExt, DeprecatedCondition, DeprecatedV1Beta1, Endpoint,
    FailureDomain, FieldError, Gate, VersionCount, schema,
};

/// What a cluster should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "Cluster",
    shortname = "cl",
    status = "ClusterStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterSpec {
    /// Stops all reconciliation of the cluster and everything that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The cluster's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_network: Option<ClusterNetwork>,
    /// Where the cluster's API server answers; filled from the infrastructure or the control plane if not given, and never
    /// changed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<Endpoint>,
    /// The control plane object. Without one, somebody else cares for the control plane machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_ref: Option<ContractRef>,
    /// The infrastructure object. Without one, somebody else cares for the infrastructure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_ref: Option<ContractRef>,
    /// The cluster as an instance of a ClusterClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Further conditions that count for `Available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::gates")]
    pub availability_gates: Option<Vec<Gate>>,
}

/// The cluster's network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterNetwork {
    /// The port of the API servers on the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub api_server_port: Option<i32>,
    /// Address ranges of services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<NetworkRanges>,
    /// Address ranges of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NetworkRanges>,
    /// The DNS domain of services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_domain: Option<String>,
}

/// Address ranges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRanges {
    /// CIDR blocks, at most one of each IP family.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 43)))]
    pub cidr_blocks: Vec<String>,
}

/// What the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far the first provisioning has come; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ClusterInitialization>,
    /// The control plane's machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ReplicasStatus>,
    /// The workers' machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<ReplicasStatus>,
    /// Failure domains, as the infrastructure reports them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::failure_domains")]
    pub failure_domains: Option<Vec<FailureDomain>>,
    /// Where the cluster is in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Pending", "Provisioning", "Provisioned", "Deleting", "Failed", "Unknown"]))]
    pub phase: Option<String>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedStatus>>,
}

/// What the v1beta1 contract showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedStatus {
    /// Conditions of the v1beta1 contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<DeprecatedCondition>>,
    /// A terminal failure, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// A terminal failure, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10240))]
    pub failure_message: Option<String>,
}

/// How far the first provisioning has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterInitialization {
    /// The infrastructure is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_provisioned: Option<bool>,
    /// The control plane has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_initialized: Option<bool>,
}

/// Machines of the control plane or of the workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicasStatus {
    /// How many there should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many of them have what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_date_replicas: Option<i32>,
    /// How many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many of them are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// How many of them have which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub versions: Option<Vec<VersionCount>>,
    /// The versions that an upgrade in progress still goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub upgrade_plan: Option<Vec<UpgradeStep>>,
}

/// A step of an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpgradeStep {
    /// The version.
    #[schemars(length(min = 1, max = 256))]
    pub version: String,
}

/// Conditions of a Cluster.
pub mod conditions {
    /// Summary of Deleting (negative), RemoteConnectionProbe, InfrastructureReady, ControlPlaneAvailable, WorkersAvailable,
    /// TopologyReconciled (of Clusters with a topology; an upgrade on its way is no issue) and the availability gates.
    pub const AVAILABLE: &str = "Available";
    /// The `Ready` condition of the infrastructure object.
    pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
    /// The `Available` condition of the control plane object.
    pub const CONTROL_PLANE_AVAILABLE: &str = "ControlPlaneAvailable";
    /// The control plane has answered at least once; never goes back.
    pub const CONTROL_PLANE_INITIALIZED: &str = "ControlPlaneInitialized";
    /// The `Available` conditions of all MachineDeployments.
    pub const WORKERS_AVAILABLE: &str = "WorkersAvailable";
    /// The `Ready` conditions of all control plane machines.
    pub const CONTROL_PLANE_MACHINES_READY: &str = "ControlPlaneMachinesReady";
    /// The `Ready` conditions of all worker machines.
    pub const WORKER_MACHINES_READY: &str = "WorkerMachinesReady";
    /// The `UpToDate` conditions of all control plane machines.
    pub const CONTROL_PLANE_MACHINES_UP_TO_DATE: &str = "ControlPlaneMachinesUpToDate";
    /// The `UpToDate` conditions of all worker machines.
    pub const WORKER_MACHINES_UP_TO_DATE: &str = "WorkerMachinesUpToDate";
    /// The cluster's API server answers.
    pub const REMOTE_CONNECTION_PROBE: &str = "RemoteConnectionProbe";
    /// Some machines are being replaced by newer ones (negative).
    pub const ROLLING_OUT: &str = "RollingOut";
    /// There are fewer machines than there should be (negative).
    pub const SCALING_UP: &str = "ScalingUp";
    /// There are more machines than there should be (negative).
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// Some machines are being remediated (negative).
    pub const REMEDIATING: &str = "Remediating";
    /// The cluster is being deleted (negative).
    pub const DELETING: &str = "Deleting";
    /// Everything that the topology asks for is as it asks; only for Clusters with one.
    pub const TOPOLOGY_RECONCILED: &str = "TopologyReconciled";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a Cluster.
pub mod reasons {
    /// TopologyReconciled is true.
    pub const TOPOLOGY_RECONCILE_SUCCEEDED: &str = "ReconcileSucceeded";
    /// TopologyReconciled is false: the message says what is wrong with the topology, its class or their templates, or what the
    /// server refused.
    pub const TOPOLOGY_RECONCILE_FAILED: &str = "ReconcileFailed";
    /// TopologyReconciled is false: reconciliation is stopped.
    pub const TOPOLOGY_RECONCILE_PAUSED: &str = "Paused";
    /// TopologyReconciled is false: the ClusterClass is not there, or its controller has not looked at its newest version yet.
    pub const TOPOLOGY_CLASS_NOT_RECONCILED: &str = "ClusterClassNotReconciled";
    /// TopologyReconciled is false: an upgrade is on its way, or something new waits for the control plane.
    pub const TOPOLOGY_CLUSTER_UPGRADING: &str = "ClusterUpgrading";
    /// TopologyReconciled is false: all that is left of an upgrade is what annotations defer.
    pub const TOPOLOGY_UPGRADE_DEFERRED: &str = "MachineDeploymentsUpgradeDeferred";
    /// TopologyReconciled is false: the Cluster is not begun, because a runtime extension holds it back; the message says which.
    pub const TOPOLOGY_CLUSTER_CREATING: &str = "ClusterCreating";
    /// TopologyReconciled is false: all is as the topology asks, but a runtime extension holds back what comes next.
    pub const TOPOLOGY_HOOK_BLOCKING: &str = "LifecycleHookBlocking";
    /// TopologyReconciled is false: the Cluster is being deleted.
    pub const TOPOLOGY_DELETING: &str = "Deleting";
    /// ControlPlaneInitialized is true.
    pub const INITIALIZED: &str = "Initialized";
    /// ControlPlaneInitialized is false: the control plane has not answered yet.
    pub const NOT_INITIALIZED: &str = "NotInitialized";
    /// WorkersAvailable is true because there are none.
    pub const NO_WORKERS: &str = "NoWorkers";
    /// The API server answered the last probe.
    pub const PROBE_SUCCEEDED: &str = "ProbeSucceeded";
    /// The API server did not answer the last probe, or there is none yet.
    pub const PROBE_FAILED: &str = "ProbeFailed";
    /// Deleting: runtime extensions have not agreed yet; TopologyReconciled says which.
    pub const WAITING_FOR_BEFORE_DELETE_HOOK: &str = "WaitingForBeforeDeleteHook";
    /// Deleting: MachineDeployments, MachineSets or worker Machines still exist.
    pub const WAITING_FOR_WORKERS_DELETION: &str = "WaitingForWorkersDeletion";
    /// Deleting: the control plane object still exists.
    pub const WAITING_FOR_CONTROL_PLANE_DELETION: &str = "WaitingForControlPlaneDeletion";
    /// Deleting: the infrastructure object still exists.
    pub const WAITING_FOR_INFRASTRUCTURE_DELETION: &str = "WaitingForInfrastructureDeletion";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("ClusterClass", "string", ".spec.topology.classRef.name"),
    ("Available", "string", condition_path!("Available")),
    (
        "CP Desired",
        "integer",
        ".status.controlPlane.desiredReplicas",
    ),
    ("CP Current~", "integer", ".status.controlPlane.replicas"),
    ("CP Ready~", "integer", ".status.controlPlane.readyReplicas"),
    (
        "CP Available",
        "integer",
        ".status.controlPlane.availableReplicas",
    ),
    (
        "CP Up-to-date",
        "integer",
        ".status.controlPlane.upToDateReplicas",
    ),
    ("W Desired", "integer", ".status.workers.desiredReplicas"),
    ("W Current~", "integer", ".status.workers.replicas"),
    ("W Ready~", "integer", ".status.workers.readyReplicas"),
    (
        "W Available",
        "integer",
        ".status.workers.availableReplicas",
    ),
    (
        "W Up-to-date",
        "integer",
        ".status.workers.upToDateReplicas",
    ),
    ("Paused~", "string", condition_path!("Paused")),
    ("Phase", "string", ".status.phase"),
    ("Age", "date", AGE_PATH),
    ("Version", "string", ".spec.topology.version"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    Cluster::crd().cluster_api(COLUMNS)
}

impl Cluster {
    /// The cluster's conditions.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        let status = self.status.as_ref();
        status
            .and_then(|s| s.conditions.as_deref())
            .unwrap_or_default()
    }

    /// Whether the infrastructure has been there once.
    #[must_use]
    pub fn is_infrastructure_provisioned(&self) -> bool {
        self.initialization()
            .is_some_and(|i| i.infrastructure_provisioned == Some(true))
    }

    /// Whether the control plane has answered once.
    #[must_use]
    pub fn is_control_plane_initialized(&self) -> bool {
        self.initialization()
            .is_some_and(|i| i.control_plane_initialized == Some(true))
    }

    /// Whether runtime extensions are still to be asked this hook.
    #[must_use]
    pub fn is_pending(&self, hook: &str) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        let pending = annotations.and_then(|a| a.get(crate::meta::labels::PENDING_HOOKS));
        pending.is_some_and(|pending| pending.split(',').any(|name| name == hook))
    }

    fn initialization(&self) -> Option<&ClusterInitialization> {
        self.status.as_ref()?.initialization.as_ref()
    }

    /// Host and port of the API server, once they are known.
    #[must_use]
    pub fn endpoint(&self) -> Option<(&str, i32)> {
        self.spec.control_plane_endpoint.as_ref()?.known()
    }

    /// `HOST:PORT` of the API server, once they are known; IPv6 addresses are in brackets.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let (host, port) = self.endpoint()?;
        Some(match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    }

    /// Whether the user stopped reconciliation of the whole cluster.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }
}

/// Fills what was left out. A Cluster has no defaults besides the Kubernetes version's leading `v`.
pub fn default(cluster: &mut Cluster) {
    if let Some(topology) = &mut cluster.spec.topology {
        rules::default_version(&mut topology.version);
    }
}

/// What is wrong with a Cluster, also compared to what it was.
#[must_use]
pub fn validate(new: &Cluster, old: Option<&Cluster>) -> Vec<FieldError> {
    let mut errors = vec![];
    let name = new.metadata.name.as_deref().unwrap_or_default();
    rules::check_cluster_name(name, &mut errors);
    let spec = &new.spec;
    if spec.control_plane_ref.is_none()
        && spec.infrastructure_ref.is_none()
        && spec.topology.is_none()
    {
        errors.push(FieldError::required(
            "spec.infrastructureRef",
            "at least one of spec.infrastructureRef, spec.controlPlaneRef and spec.topology must be set",
        ));
    }
    if let Some(network) = &spec.cluster_network {
        rules::check_ranges(
            "spec.clusterNetwork.pods",
            network.pods.as_ref(),
            &mut errors,
        );
        rules::check_ranges(
            "spec.clusterNetwork.services",
            network.services.as_ref(),
            &mut errors,
        );
    }
    if let Some(topology) = &spec.topology {
        topology_rules::check(new, topology, &mut errors);
    }
    if let Some(old) = old {
        topology_rules::check_change(new, old, &mut errors);
        for (field, before, after) in [
            (
                "spec.infrastructureRef",
                &old.spec.infrastructure_ref,
                &spec.infrastructure_ref,
            ),
            (
                "spec.controlPlaneRef",
                &old.spec.control_plane_ref,
                &spec.control_plane_ref,
            ),
        ] {
            if before.is_some() && after.is_none() {
                errors.push(FieldError::forbidden(
                    field,
                    "cannot be removed; it may be changed to another object",
                ));
            }
        }
    }
    errors
}
