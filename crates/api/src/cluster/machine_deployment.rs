//! A number of equal machines that are replaced step by step when their template changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine_set::{MachineNaming, MachineTemplateSpec};
use super::rules;
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, CrdExt, DeprecatedCondition, DeprecatedV1Beta1, FieldError, VersionCount, labels,
    schema,
};

/// What a group of machines should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "MachineDeployment",
    shortname = "md",
    status = "MachineDeploymentStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct MachineDeploymentSpec {
    /// The cluster that the machines belong to; cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
    /// How many machines. Default: 1, or what the autoscaler's annotations say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Which machines belong to the group; must match the template's labels.
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: LabelSelector,
    /// The machines.
    pub template: MachineTemplateSpec,
    /// How the machines are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_naming: Option<MachineNaming>,
    /// How unhealthy machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Remediation>,
    /// Which machines go first when the group shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<WorkerDeletion>,
    /// Stops rollouts; scaling goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// How machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Rollout {
    /// Machines that are older than this are replaced, once it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Time>,
    /// The strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RolloutStrategy>,
}

/// The strategy by which machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct RolloutStrategy {
    /// RollingUpdate replaces machines step by step; OnDelete replaces what the user deletes.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["RollingUpdate", "OnDelete"]))]
    pub type_: String,
    /// Bounds of a rolling update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Bounds of a rolling update. Percentages are of the wanted replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct RollingUpdate {
    /// How many machines may be missing, rounded down. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<IntOrString>,
    /// How many machines there may be in excess, rounded up. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_surge: Option<IntOrString>,
}

/// How unhealthy machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Remediation {
    /// How many at once, as a number or a percentage rounded up. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_in_flight: Option<IntOrString>,
}

/// Which machines go first when there are too many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct WorkerDeletion {
    /// Random (the default), Newest or Oldest, after machines that are marked or unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Random", "Newest", "Oldest"]))]
    pub order: Option<String>,
}

/// What the group is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineDeploymentStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
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
    /// What the group is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["ScalingUp", "ScalingDown", "Running", "Failed", "Unknown"]))]
    pub phase: Option<String>,
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
    /// How many machines had the new template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// How many machines were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many machines were available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// How many machines were missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,
}

/// Conditions of a MachineDeployment.
pub mod conditions {
    /// At least `replicas - maxUnavailable` machines are available.
    pub const AVAILABLE: &str = "Available";
    /// The `Ready` conditions of all machines.
    pub const MACHINES_READY: &str = "MachinesReady";
    /// The `UpToDate` conditions of all machines.
    pub const MACHINES_UP_TO_DATE: &str = "MachinesUpToDate";
    /// Some machines are being replaced by newer ones (negative).
    pub const ROLLING_OUT: &str = "RollingOut";
    /// There are fewer machines than there should be (negative).
    pub const SCALING_UP: &str = "ScalingUp";
    /// There are more machines than there should be (negative).
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// Some machines are being remediated (negative).
    pub const REMEDIATING: &str = "Remediating";
    /// The group is being deleted (negative).
    pub const DELETING: &str = "Deleting";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", ".spec.clusterName"),
    ("Available", "string", condition_path!("Available")),
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
    MachineDeployment::crd().cluster_api(COLUMNS)
}

impl MachineDeployment {
    /// How many machines there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// The strategy, with defaults filled.
    #[must_use]
    pub fn is_on_delete(&self) -> bool {
        self.strategy().is_some_and(|s| s.type_ == "OnDelete")
    }

    /// Machines in excess and missing machines that a rollout may have; never both 0.
    #[must_use]
    pub fn surge_and_unavailable(&self) -> (i32, i32) {
        let bounds = self.strategy().and_then(|s| s.rolling_update.as_ref());
        let surge = bounds.and_then(|b| b.max_surge.as_ref());
        let unavailable = bounds.and_then(|b| b.max_unavailable.as_ref());
        let surge = surge.map_or(Some(1), |v| rules::scaled(v, self.replicas(), true));
        let unavailable = unavailable.map_or(Some(0), |v| rules::scaled(v, self.replicas(), false));
        match (surge.unwrap_or(1), unavailable.unwrap_or(0)) {
            (0, 0) => (0, 1),
            bounds => bounds,
        }
    }

    fn strategy(&self) -> Option<&RolloutStrategy> {
        self.spec.rollout.as_ref()?.strategy.as_ref()
    }
}

/// Fills what was left out: labels, selector, replicas (see [`rules::default_replicas`]), the rolling update with its bounds, and
/// the version's leading `v`.
pub fn default(deployment: &mut MachineDeployment, old: Option<&MachineDeployment>) {
    let cluster = deployment.spec.cluster_name.clone();
    rules::default_label(&mut deployment.metadata, labels::CLUSTER_NAME, &cluster);
    let spec = &mut deployment.spec;
    spec.replicas = rules::default_replicas(
        spec.replicas,
        old.and_then(|o| o.spec.replicas),
        deployment.metadata.annotations.as_ref(),
    );
    if rules::is_empty_selector(&spec.selector) {
        let name = deployment.metadata.name.clone().unwrap_or_default();
        rules::add_selector(&mut spec.selector, labels::DEPLOYMENT_NAME, &name);
        rules::add_template_label(&mut spec.template.metadata, labels::DEPLOYMENT_NAME, &name);
    }
    rules::add_selector(&mut spec.selector, labels::CLUSTER_NAME, &cluster);
    rules::add_template_label(&mut spec.template.metadata, labels::CLUSTER_NAME, &cluster);
    let strategy = spec
        .rollout
        .get_or_insert_default()
        .strategy
        .get_or_insert_default();
    if strategy.type_.is_empty() {
        "RollingUpdate".clone_into(&mut strategy.type_);
    }
    if strategy.type_ == "RollingUpdate" {
        let bounds = strategy.rolling_update.get_or_insert_default();
        bounds.max_surge.get_or_insert(IntOrString::Int(1));
        bounds.max_unavailable.get_or_insert(IntOrString::Int(0));
    }
    rules::default_template_version(&mut spec.template.spec);
}

/// What is wrong with a MachineDeployment, also compared to what it was.
#[must_use]
pub fn validate(new: &MachineDeployment, old: Option<&MachineDeployment>) -> Vec<FieldError> {
    let mut errors = vec![];
    let spec = &new.spec;
    let name = new.metadata.name.as_deref().unwrap_or_default();
    if name.len() > 63 {
        errors.push(FieldError::invalid(
            "metadata.name",
            "must have at most 63 characters: it becomes a label value",
        ));
    }
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
    if let Some(bounds) = new.strategy().and_then(|s| s.rolling_update.as_ref()) {
        let path = "spec.rollout.strategy.rollingUpdate";
        rules::check_scaled(
            &format!("{path}.maxSurge"),
            bounds.max_surge.as_ref(),
            &mut errors,
        );
        rules::check_scaled(
            &format!("{path}.maxUnavailable"),
            bounds.max_unavailable.as_ref(),
            &mut errors,
        );
        let zero = Some(&IntOrString::Int(0));
        if bounds.max_surge.as_ref() == zero && bounds.max_unavailable.as_ref() == zero {
            errors.push(FieldError::invalid(
                format!("{path}.maxUnavailable"),
                "must not be 0 when maxSurge is 0: no machine could ever be replaced",
            ));
        }
    }
    if let Some(remediation) = &spec.remediation {
        rules::check_scaled(
            "spec.remediation.maxInFlight",
            remediation.max_in_flight.as_ref(),
            &mut errors,
        );
    }
    if let Some(old) = old {
        rules::check_cluster_unchanged(&spec.cluster_name, &old.spec.cluster_name, &mut errors);
    }
    errors
}
