//! A number of equal machines.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine::MachineSpec;
use super::machine_deployment::WorkerDeletion;
use super::rules;
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, CrdExt, DeprecatedCondition, DeprecatedV1Beta1, FieldError, ObjectMeta,
    VersionCount, labels, schema,
};

/// What a set of machines should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "MachineSet",
    shortname = "ms",
    status = "MachineSetStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct MachineSetSpec {
    /// The cluster that the machines belong to; cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
    /// How many machines. Default: 1, or what the autoscaler's annotations say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Which machines belong to the set; must match the template's labels.
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: LabelSelector,
    /// The machines.
    pub template: MachineTemplateSpec,
    /// How the machines are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_naming: Option<MachineNaming>,
    /// Which machines go first when the set shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<WorkerDeletion>,
}

/// What machines are made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineTemplateSpec {
    /// Labels and annotations of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The machines; the references name templates.
    pub spec: MachineSpec,
}

/// How machines are named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct MachineNaming {
    /// A Go template over `.cluster.name`, the owner's name and `.random`; it must use `{{ .random }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub template: Option<String>,
}

/// What the set is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineSetStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// `spec.selector` as text, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub selector: Option<String>,
    /// How many machines there are.
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
    /// How many machines have all labels of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fully_labeled_replicas: Option<i32>,
    /// How many machines were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many machines were available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
}

/// Conditions of a MachineSet.
pub mod conditions {
    /// The `Ready` conditions of all machines.
    pub const MACHINES_READY: &str = "MachinesReady";
    /// The `UpToDate` conditions of all machines.
    pub const MACHINES_UP_TO_DATE: &str = "MachinesUpToDate";
    /// There are fewer machines than there should be (negative).
    pub const SCALING_UP: &str = "ScalingUp";
    /// There are more machines than there should be (negative).
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// Some machines are being remediated (negative).
    pub const REMEDIATING: &str = "Remediating";
    /// The set is being deleted (negative).
    pub const DELETING: &str = "Deleting";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", ".spec.clusterName"),
    ("Desired", "integer", ".spec.replicas"),
    ("Current", "integer", ".status.replicas"),
    ("Ready", "integer", ".status.readyReplicas"),
    ("Available", "integer", ".status.availableReplicas"),
    ("Up-to-date", "integer", ".status.upToDateReplicas"),
    ("Paused~", "string", condition_path!("Paused")),
    ("Age", "date", AGE_PATH),
    ("Version", "string", ".spec.template.spec.version"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    MachineSet::crd().cluster_api(COLUMNS)
}

impl MachineSet {
    /// How many machines there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
}

/// Fills what was left out: labels, selector, replicas (see [`rules::default_replicas`]) and the version's leading `v`.
pub fn default(set: &mut MachineSet, old: Option<&MachineSet>) {
    let cluster = set.spec.cluster_name.clone();
    rules::default_label(&mut set.metadata, labels::CLUSTER_NAME, &cluster);
    set.spec.replicas = rules::default_replicas(
        set.spec.replicas,
        old.and_then(|o| o.spec.replicas),
        set.metadata.annotations.as_ref(),
    );
    if rules::is_empty_selector(&set.spec.selector) {
        let name = labels::name_value(set.metadata.name.as_deref().unwrap_or_default());
        rules::add_selector(&mut set.spec.selector, labels::SET_NAME, &name);
        rules::add_template_label(&mut set.spec.template.metadata, labels::SET_NAME, &name);
    }
    rules::default_template_version(&mut set.spec.template.spec);
}

/// What is wrong with a MachineSet, also compared to what it was.
#[must_use]
pub fn validate(new: &MachineSet, old: Option<&MachineSet>) -> Vec<FieldError> {
    let mut errors = vec![];
    let spec = &new.spec;
    rules::check_template(
        &spec.cluster_name,
        &spec.selector,
        &spec.template,
        &mut errors,
    );
    rules::check_naming(
        "spec.machineNaming.template",
        spec.machine_naming.as_ref(),
        &mut errors,
    );
    rules::check_skipped_checks(&new.metadata, &mut errors);
    if spec.replicas.is_some_and(|r| r < 0) {
        errors.push(FieldError::invalid("spec.replicas", "must be 0 or more"));
    }
    if let Some(old) = old {
        rules::check_cluster_unchanged(&spec.cluster_name, &old.spec.cluster_name, &mut errors);
    }
    errors
}
