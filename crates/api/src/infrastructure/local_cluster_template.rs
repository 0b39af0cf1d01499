//! What LocalClusters are made from.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::local_cluster::LocalClusterSpec;
use crate::meta::crd::AGE_PATH;
use crate::meta::{CrdExt, FieldError, ObjectMeta};

/// What LocalClusters are made from.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "LocalClusterTemplate",
    derive = "PartialEq",
    namespaced
)]
pub struct LocalClusterTemplateSpec {
    /// The template.
    pub template: LocalClusterTemplateResource,
}

/// The template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalClusterTemplateResource {
    /// Labels and annotations of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The spec of the objects; cannot be changed.
    pub spec: LocalClusterSpec,
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    (
        "ClusterClass",
        "string",
        ".metadata.ownerReferences[?(@.kind==\"ClusterClass\")].name",
    ),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    LocalClusterTemplate::crd().cluster_api(COLUMNS)
}

/// What is wrong with a LocalClusterTemplate, compared to what it was. There are no defaults.
#[must_use]
pub fn validate(new: &LocalClusterTemplate, old: Option<&LocalClusterTemplate>) -> Vec<FieldError> {
    if old.is_some_and(|o| o.spec.template.spec != new.spec.template.spec) {
        return vec![FieldError::forbidden(
            "spec.template.spec",
            "cannot be changed; make a template with another name and refer to that",
        )];
    }
    vec![]
}
