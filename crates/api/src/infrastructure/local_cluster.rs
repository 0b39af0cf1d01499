//! The infrastructure of a cluster on this host: an endpoint, a TLS server name and failure domains.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition_path;
use crate::meta::crd::{AGE_PATH, CLUSTER_NAME_PATH};
use crate::meta::{Condition, CrdExt, Endpoint, FailureDomain, FieldError, schema};

/// What a cluster's infrastructure should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "LocalCluster",
    status = "LocalClusterStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct LocalClusterSpec {
    /// Where the cluster's API server answers. Default: this host's port for all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<Endpoint>,
    /// Failure domains to offer. Default: one, `local-a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::failure_domains")]
    pub failure_domains: Option<Vec<FailureDomain>>,
    /// A machine beside those of the cluster, from which people would reach them. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bastion: Option<Bastion>,
}

/// A machine from which people would reach those of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bastion {
    /// Whether there is one. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The bastion that is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BastionStatus {
    /// Its LocalMachine.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ip: Option<String>,
    /// Whether it runs.
    pub ready: bool,
}

/// What the infrastructure is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalClusterStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far provisioning has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<LocalClusterInitialization>,
    /// Failure domains for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::failure_domains")]
    pub failure_domains: Option<Vec<FailureDomain>>,
    /// The bastion, if one is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bastion: Option<BastionStatus>,
    /// The name by which clients ask for this cluster on the port that all clusters share; goes into `tls-server-name` of kubeconfigs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
}

/// How far provisioning has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct LocalClusterInitialization {
    /// Endpoint and failure domains are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// Annotation of LocalClusters: the management cluster in whose process the control plane runs, by the uid of its Namespace `kube-system`.
/// Who moves a Cluster to another management cluster moves this with it.
pub const HOST: &str = "infrastructure.cluster.x-k8s.io/host";

/// Conditions of a LocalCluster.
pub mod conditions {
    /// Endpoint and failure domains are known.
    pub const READY: &str = "Ready";
    /// The control plane runs in this process; shown only while it is false.
    pub const HOSTED: &str = "Hosted";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a LocalCluster.
pub mod reasons {
    /// No Cluster owns the object yet.
    pub const WAITING_FOR_OWNER: &str = "WaitingForOwner";
    /// A cluster of this name was moved to another management cluster, and its control plane still runs here.
    pub const NAME_IN_USE: &str = "NameInUse";
    /// The Cluster was moved here, and its control plane goes on running where it was made.
    pub const HOSTED_ELSEWHERE: &str = "HostedElsewhere";
    /// Deleting: LocalMachines of the cluster still exist.
    pub const WAITING_FOR_MACHINE_DELETION: &str = "WaitingForMachineDeletion";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", CLUSTER_NAME_PATH),
    ("Ready", "string", condition_path!("Ready")),
    ("Endpoint", "string", ".spec.controlPlaneEndpoint.host"),
    ("Port", "integer", ".spec.controlPlaneEndpoint.port"),
    ("Server name~", "string", ".status.tlsServerName"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    LocalCluster::crd().cluster_api(COLUMNS)
}

/// The LocalMachine of a LocalCluster's bastion.
#[must_use]
pub fn bastion_name(local_cluster: &str) -> String {
    format!("{local_cluster}-bastion")
}

/// What is wrong with a LocalCluster, also compared to what it was. There are no defaults.
#[must_use]
pub fn validate(new: &LocalCluster, old: Option<&LocalCluster>) -> Vec<FieldError> {
    let known = |c: &LocalCluster| {
        let endpoint = c.spec.control_plane_endpoint.as_ref()?.known()?;
        Some((endpoint.0.to_owned(), endpoint.1))
    };
    let before = old.and_then(known);
    if before.is_some() && before != known(new) {
        return vec![FieldError::forbidden(
            "spec.controlPlaneEndpoint",
            "cannot be changed once it is known: machines and kubeconfigs have it",
        )];
    }
    vec![]
}
