//! What a cluster has got from ClusterResourceSets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster_resource_set::{ResourceKind, ResourceRef};
use crate::meta::crd::AGE_PATH;
use crate::meta::{CrdExt, FieldError};

/// Annotation: why a cluster has not got everything yet, one line for each ConfigMap or Secret.
pub const NOT_APPLIED: &str = "apiary.io/not-applied";

/// What one cluster has got; the binding is called like the cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "addons.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "ClusterResourceSetBinding",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterResourceSetBindingSpec {
    /// By each ClusterResourceSet, what the cluster has got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub bindings: Option<Vec<SetBinding>>,
    /// The cluster; cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
}

/// What a cluster has got from one ClusterResourceSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetBinding {
    /// The ClusterResourceSet.
    #[schemars(length(min = 1, max = 253))]
    pub cluster_resource_set_name: String,
    /// Its ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub resources: Option<Vec<ResourceBinding>>,
}

/// Whether a cluster has got what is written in a ConfigMap or Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceBinding {
    /// ConfigMap or Secret.
    pub kind: ResourceKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Whether all its objects were applied.
    pub applied: bool,
    /// What was written when that was last tried: `sha256:` and the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub hash: Option<String>,
    /// When that was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_time: Option<Time>,
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", ".spec.clusterName"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    ClusterResourceSetBinding::crd().cluster_api(COLUMNS)
}

impl ClusterResourceSetBinding {
    /// What is known of one ConfigMap or Secret of a set.
    #[must_use]
    pub fn find(&self, set: &str, resource: &ResourceRef) -> Option<&ResourceBinding> {
        let mut sets = self.spec.bindings.iter().flatten();
        let set = sets.find(|b| b.cluster_resource_set_name == set)?;
        let mut resources = set.resources.iter().flatten();
        resources.find(|r| r.kind == resource.kind && r.name == resource.name)
    }
}

/// What is wrong with a change of a ClusterResourceSetBinding.
#[must_use]
pub fn validate(
    new: &ClusterResourceSetBinding,
    old: Option<&ClusterResourceSetBinding>,
) -> Vec<FieldError> {
    let mut errors = vec![];
    if let Some(old) = old
        && old.spec.cluster_name != new.spec.cluster_name
    {
        errors.push(FieldError::invalid("spec.clusterName", "cannot be changed"));
    }
    errors
}
