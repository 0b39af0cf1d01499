//! A pool of simulated machines on this host: what a group of instances is in a cloud.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::local_machine_template::LocalMachineTemplateResource;
use crate::cluster::machine_pool::provider_ids;
use crate::cluster::rules;
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{Condition, CrdExt, FieldError, schema};

/// What a pool of simulated machines should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "LocalMachinePool",
    status = "LocalMachinePoolStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct LocalMachinePoolSpec {
    /// The LocalMachines. Those made from an older template are replaced.
    pub template: LocalMachineTemplateResource,
    /// How machines are replaced when the template, the Kubernetes version or the bootstrap config changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<PoolRollout>,
    /// The provider ids of the machines that are there; filled by the pool's controller.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "providerIDList"
    )]
    #[schemars(schema_with = "provider_ids")]
    pub provider_id_list: Option<Vec<String>>,
}

/// How machines of a pool are replaced: numbers, or percentages of the replicas. Not both may be 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct PoolRollout {
    /// How many machines there may be too many. Default: 1. Percentages are rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_surge: Option<IntOrString>,
    /// How many machines there may be too few that are available. Default: 0. Percentages are rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<IntOrString>,
}

/// What the pool is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct LocalMachinePoolStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far provisioning has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<LocalMachinePoolInitialization>,
    /// How many machines there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The kind of the machines: `LocalMachine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub infrastructure_machine_kind: Option<String>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
}

/// How far provisioning has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct LocalMachinePoolInitialization {
    /// As many machines as wanted have been made once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// Annotation of LocalMachines of a pool: what they were made from.
pub const REVISION: &str = "infrastructure.cluster.x-k8s.io/pool-revision";

/// Conditions of a LocalMachinePool.
pub mod conditions {
    /// As many machines as wanted are ready; fewer by `spec.rollout.maxUnavailable` are enough.
    pub const READY: &str = "Ready";
    /// Machines that are not made from what is wanted now are being replaced (negative).
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a LocalMachinePool.
pub mod reasons {
    /// The cluster's infrastructure is not there yet.
    pub const WAITING_FOR_CLUSTER_INFRASTRUCTURE: &str = "WaitingForClusterInfrastructureReady";
    /// No MachinePool owns the object yet.
    pub const WAITING_FOR_OWNER: &str = "WaitingForOwner";
    /// The bootstrap data is not there yet.
    pub const WAITING_FOR_BOOTSTRAP_DATA: &str = "WaitingForBootstrapData";
    /// There are fewer machines than wanted.
    pub const SCALING_UP: &str = "ScalingUp";
    /// Machines of an older revision are being replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The pool is being deleted.
    pub const DELETING: &str = "Deleting";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", crate::meta::crd::CLUSTER_NAME_PATH),
    ("Replicas", "integer", ".status.replicas"),
    ("Ready", "string", condition_path!("Ready")),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    LocalMachinePool::crd().cluster_api(COLUMNS)
}

impl LocalMachinePool {
    /// How many machines there may be too many, and how many too few, of `replicas`.
    #[must_use]
    pub fn bounds(&self, replicas: i32) -> (i32, i32) {
        let rollout = self.spec.rollout.as_ref();
        let scaled = |value: Option<&IntOrString>, is_up| {
            value.and_then(|v| rules::scaled(v, replicas, is_up))
        };
        let surge = scaled(rollout.and_then(|r| r.max_surge.as_ref()), true).unwrap_or(1);
        let unavailable = scaled(rollout.and_then(|r| r.max_unavailable.as_ref()), false);
        match (surge, unavailable.unwrap_or(0)) {
            // Percentages of few machines may become 0 both.
            (0, 0) => (0, 1),
            bounds => bounds,
        }
    }
}

/// What is wrong with a LocalMachinePool. There are no defaults.
#[must_use]
pub fn validate(new: &LocalMachinePool) -> Vec<FieldError> {
    let mut errors = vec![];
    check_rollout("spec.rollout", new.spec.rollout.as_ref(), &mut errors);
    errors
}

/// What is wrong with how machines of a pool are replaced, said at `path`.
pub(super) fn check_rollout(
    path: &str,
    rollout: Option<&PoolRollout>,
    errors: &mut Vec<FieldError>,
) {
    let Some(rollout) = rollout else { return };
    let (surge, missing) = (rollout.max_surge.as_ref(), rollout.max_unavailable.as_ref());
    rules::check_scaled(&format!("{path}.maxSurge"), surge, errors);
    rules::check_scaled(&format!("{path}.maxUnavailable"), missing, errors);
    let is_zero = |v: &IntOrString| matches!(v, IntOrString::Int(0));
    let surges = !surge.is_some_and(is_zero);
    let leaves = missing.is_some_and(|v| !is_zero(v));
    if !surges && !leaves {
        errors.push(FieldError::invalid(
            format!("{path}.maxUnavailable"),
            format!("must not be 0 if {path}.maxSurge is 0: no machine could be replaced"),
        ));
    }
}
