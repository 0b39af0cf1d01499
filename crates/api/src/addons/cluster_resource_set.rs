//! Objects that are applied to every cluster of a selection.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::rules;
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{Condition, CrdExt, DeprecatedConditions, DeprecatedV1Beta1, FieldError, schema};

/// The type of Secrets that hold objects for clusters; others are refused, so that nobody sends away credentials by mistake.
pub const SECRET_TYPE: &str = "addons.cluster.x-k8s.io/resource-set";

/// Which objects clusters get, and which clusters.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "addons.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "ClusterResourceSet",
    status = "ClusterResourceSetStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterResourceSetSpec {
    /// Which clusters of the namespace get the objects; must select by something, and cannot be changed.
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub cluster_selector: LabelSelector,
    /// Where the objects are written: each value of these ConfigMaps and Secrets is YAML or JSON, of one or several objects.
    #[schemars(length(min = 1, max = 100))]
    pub resources: Vec<ResourceRef>,
    /// Whether objects follow what is written. Default: `ApplyOnce`; cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
}

/// Names a ConfigMap or Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRef {
    /// ConfigMap or Secret.
    pub kind: ResourceKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// What objects are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ResourceKind {
    /// Of the type [`SECRET_TYPE`].
    Secret,
    /// Any.
    #[default]
    ConfigMap,
}

/// Whether objects follow what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Strategy {
    /// Each cluster gets them once, where they are not there yet.
    #[default]
    ApplyOnce,
    /// They are applied again whenever what is written changes.
    Reconcile,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterResourceSetStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedConditions>>,
}

/// Conditions of a ClusterResourceSet.
pub mod conditions {
    /// Every cluster that is selected has got everything.
    pub const RESOURCES_APPLIED: &str = "ResourcesApplied";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a ClusterResourceSet.
pub mod reasons {
    /// Every cluster has got everything.
    pub const APPLIED: &str = "Applied";
    /// Some cluster has not got everything yet; the message says which and why.
    pub const NOT_APPLIED: &str = "NotApplied";
    /// A Secret is not of the type [`super::SECRET_TYPE`].
    pub const WRONG_SECRET_TYPE: &str = "WrongSecretType";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Applied", "string", condition_path!("ResourcesApplied")),
    ("Paused~", "string", condition_path!("Paused")),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    ClusterResourceSet::crd().cluster_api(COLUMNS)
}

/// Fills what was left out: the strategy.
pub fn default(set: &mut ClusterResourceSet) {
    set.spec.strategy.get_or_insert_default();
}

/// What is wrong with a ClusterResourceSet, also compared to what it was.
#[must_use]
pub fn validate(new: &ClusterResourceSet, old: Option<&ClusterResourceSet>) -> Vec<FieldError> {
    let mut errors = vec![];
    let selector = &new.spec.cluster_selector;
    if rules::is_empty_selector(selector) {
        errors.push(FieldError::required(
            "spec.clusterSelector",
            "must select by at least one label: an empty selector selects no cluster",
        ));
    }
    rules::check_selector("spec.clusterSelector", selector, &mut errors);
    if let Some(old) = old {
        if *selector != old.spec.cluster_selector {
            errors.push(FieldError::invalid(
                "spec.clusterSelector",
                "cannot be changed; make another ClusterResourceSet",
            ));
        }
        if new.spec.strategy.unwrap_or_default() != old.spec.strategy.unwrap_or_default() {
            errors.push(FieldError::invalid(
                "spec.strategy",
                "cannot be changed; make another ClusterResourceSet",
            ));
        }
    }
    errors
}
