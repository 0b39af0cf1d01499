//! What KubeadmConfigs are made from.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kubeadm_config::{KubeadmConfigSpec, check_spec};
use crate::cluster::rules;
use crate::meta::crd::AGE_PATH;
use crate::meta::{CrdExt, FieldError, ObjectMeta, OptionalSpec};

/// What KubeadmConfigs are made from.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "KubeadmConfigTemplate",
    derive = "PartialEq",
    namespaced
)]
pub struct KubeadmConfigTemplateSpec {
    /// The template.
    pub template: KubeadmConfigTemplateResource,
}

/// The template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmConfigTemplateResource {
    /// Labels and annotations of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The spec of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<KubeadmConfigSpec>,
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    (
        "ClusterClass",
        "string",
        ".metadata.ownerReferences[?(@.kind==\"ClusterClass\")].name",
    ),
    (
        "Cluster",
        "string",
        ".metadata.ownerReferences[?(@.kind==\"Cluster\")].name",
    ),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    KubeadmConfigTemplate::crd()
        .cluster_api(COLUMNS)
        .spec_may_be_missing()
}

/// What is wrong with a KubeadmConfigTemplate. There are no defaults, and everything may change.
#[must_use]
pub fn validate(
    new: &KubeadmConfigTemplate,
    _old: Option<&KubeadmConfigTemplate>,
) -> Vec<FieldError> {
    let mut errors = vec![];
    // Machines made from it do not grow in number while the checks fail that are not left out here.
    rules::check_skipped_checks(&new.metadata, &mut errors);
    if let Some(spec) = &new.spec.template.spec {
        check_spec("spec.template.spec", spec, &mut errors);
    }
    errors
}
