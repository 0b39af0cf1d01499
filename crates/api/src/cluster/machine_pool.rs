//! A number of equal machines that the infrastructure keeps, as groups of instances of clouds do.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine::MachineInitialization;
use super::machine_set::MachineTemplateSpec;
use super::rules;
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, CrdExt, DeprecatedCondition, DeprecatedV1Beta1, FieldError, VersionCount, labels,
    schema,
};

/// What a pool of machines should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "MachinePool",
    shortname = "mp",
    status = "MachinePoolStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas"
    ),
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct MachinePoolSpec {
    /// The cluster that the machines belong to; cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
    /// How many machines. Default: 1, or what the autoscaler's annotations say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The machines. The references name the one bootstrap config of all of them, and the pool in the infrastructure.
    pub template: MachineTemplateSpec,
    /// The infrastructure's names for the machines, as their Nodes have them; filled from the infrastructure object.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "providerIDList"
    )]
    #[schemars(schema_with = "provider_ids")]
    pub provider_id_list: Option<Vec<String>>,
    /// The failure domains to place machines in. Default: the infrastructure chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub failure_domains: Option<Vec<String>>,
}

/// A list of the infrastructure's names for machines.
pub(crate) fn provider_ids(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 10000,
        "items": {"type": "string", "minLength": 1, "maxLength": 512},
    })
}

/// A list of references to Nodes.
fn node_refs(_: &mut SchemaGenerator) -> Schema {
    let fields = [
        "apiVersion",
        "fieldPath",
        "kind",
        "name",
        "namespace",
        "resourceVersion",
        "uid",
    ];
    let properties: serde_json::Map<_, _> = fields
        .into_iter()
        .map(|field| (field.to_owned(), serde_json::json!({"type": "string"})))
        .collect();
    json_schema!({
        "type": "array",
        "maxItems": 10000,
        "items": {
            "type": "object",
            "properties": properties,
            "x-kubernetes-map-type": "atomic",
        },
    })
}

/// What the pool is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachinePoolStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far the first provisioning has come; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<MachineInitialization>,
    /// The machines' Nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "node_refs")]
    pub node_refs: Option<Vec<ObjectReference>>,
    /// How many machines there are, as the infrastructure says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many of them are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// How many of them have what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_date_replicas: Option<i32>,
    /// How many of them have which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::versions")]
    pub versions: Option<Vec<VersionCount>>,
    /// Where the pool is in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Pending", "Provisioning", "Provisioned", "Running", "ScalingUp", "ScalingDown", "Scaling", "Deleting", "Failed", "Unknown"]))]
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
    /// How many machines were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many machines were available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// How many machines were not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,
}

/// Conditions of a MachinePool.
pub mod conditions {
    /// The infrastructure is ready and enough machines are available.
    pub const AVAILABLE: &str = "Available";
    /// The `Ready` condition of the bootstrap config.
    pub const BOOTSTRAP_CONFIG_READY: &str = "BootstrapConfigReady";
    /// The `Ready` condition of the infrastructure object.
    pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
    /// The `Ready` conditions of all machines.
    pub const MACHINES_READY: &str = "MachinesReady";
    /// The `UpToDate` conditions of all machines.
    pub const MACHINES_UP_TO_DATE: &str = "MachinesUpToDate";
    /// Machines that are not what is wanted are being replaced (negative).
    pub const ROLLING_OUT: &str = "RollingOut";
    /// There are fewer machines than there should be (negative).
    pub const SCALING_UP: &str = "ScalingUp";
    /// There are more machines than there should be (negative).
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// Some machines are being remediated (negative).
    pub const REMEDIATING: &str = "Remediating";
    /// The pool is being deleted (negative).
    pub const DELETING: &str = "Deleting";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a MachinePool.
pub mod reasons {
    /// Available is true.
    pub const AVAILABLE: &str = "Available";
    /// Available is false: the message says what is missing.
    pub const NOT_AVAILABLE: &str = "NotAvailable";
    /// The bootstrap data was given by the user.
    pub const DATA_SECRET_PROVIDED: &str = "DataSecretProvided";
    /// The bootstrap config or infrastructure object belongs to somebody else.
    pub const OWNED_BY_ANOTHER: &str = "OwnedByAnother";
    /// A Machine of somebody else has the name of one of the pool's machines.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// Deleting: the infrastructure object is still there.
    pub const WAITING_FOR_INFRASTRUCTURE_DELETION: &str = "WaitingForInfrastructureDeletion";
    /// Deleting: Machines are still there.
    pub const WAITING_FOR_MACHINES_DELETION: &str = "WaitingForMachinesDeletion";
    /// Deleting: Nodes are being removed.
    pub const DELETING_NODES: &str = "DeletingNodes";
    /// Deleting: the bootstrap config is still there.
    pub const WAITING_FOR_BOOTSTRAP_DELETION: &str = "WaitingForBootstrapDeletion";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", ".spec.clusterName"),
    ("Desired", "integer", ".spec.replicas"),
    ("Current", "integer", ".status.replicas"),
    ("Ready", "integer", ".status.readyReplicas"),
    ("Available", "integer", ".status.availableReplicas"),
    ("Up-to-date", "integer", ".status.upToDateReplicas"),
    ("Paused~", "string", condition_path!("Paused")),
    ("Phase", "string", ".status.phase"),
    ("Age", "date", AGE_PATH),
    ("Version", "string", ".spec.template.spec.version"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    MachinePool::crd().cluster_api(COLUMNS)
}

impl MachinePool {
    /// How many machines there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// The pool's conditions.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .and_then(|s| s.conditions.as_deref())
            .unwrap_or_default()
    }

    /// Whether somebody else, such as a cloud's own autoscaler, decides how many machines there are.
    #[must_use]
    pub fn is_externally_scaled(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations
            .and_then(|a| a.get(labels::REPLICAS_MANAGED_BY))
            .is_some_and(|v| v != "false")
    }
}

/// Fills what was left out: the cluster's label, replicas (see [`rules::default_replicas`]), the version's leading `v`, and 10 seconds for
/// deleting Nodes.
pub fn default(pool: &mut MachinePool, old: Option<&MachinePool>) {
    let cluster = pool.spec.cluster_name.clone();
    rules::default_label(&mut pool.metadata, labels::CLUSTER_NAME, &cluster);
    pool.spec.replicas = rules::default_replicas(
        pool.spec.replicas,
        old.and_then(|o| o.spec.replicas),
        pool.metadata.annotations.as_ref(),
    );
    rules::default_machine_spec(&mut pool.spec.template.spec);
}

/// What is wrong with a MachinePool, also compared to what it was.
#[must_use]
pub fn validate(new: &MachinePool, old: Option<&MachinePool>) -> Vec<FieldError> {
    let mut errors = vec![];
    let spec = &new.spec;
    let template = &spec.template.spec;
    if template.cluster_name != spec.cluster_name {
        errors.push(FieldError::invalid(
            "spec.template.spec.clusterName",
            format!("must be {:?}, as spec.clusterName", spec.cluster_name),
        ));
    }
    rules::check_machine_spec("spec.template.spec", template, false, &mut errors);
    let metadata = spec.template.metadata.as_ref();
    rules::check_metadata("spec.template.metadata", metadata, &mut errors);
    if template.taints.as_ref().is_some_and(|t| !t.is_empty()) {
        errors.push(FieldError::forbidden(
            "spec.template.spec.taints",
            "machines of a pool get no taints from here; let the bootstrap config register nodes with them",
        ));
    }
    if spec.replicas.is_some_and(|r| r < 0) {
        errors.push(FieldError::invalid("spec.replicas", "must be 0 or more"));
    }
    if let Some(old) = old {
        rules::check_cluster_unchanged(&spec.cluster_name, &old.spec.cluster_name, &mut errors);
    }
    errors
}
