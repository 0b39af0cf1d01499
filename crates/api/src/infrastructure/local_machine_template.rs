//! What LocalMachines are made from.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::local_machine::LocalMachineSpec;
use crate::meta::crd::AGE_PATH;
use crate::meta::{CrdExt, FieldError, ObjectMeta};

/// What LocalMachines are made from.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "LocalMachineTemplate",
    status = "LocalMachineTemplateStatus",
    derive = "PartialEq",
    namespaced
)]
pub struct LocalMachineTemplateSpec {
    /// The template; cannot be changed: a rollout needs a template of another name.
    pub template: LocalMachineTemplateResource,
}

/// The template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalMachineTemplateResource {
    /// Labels and annotations of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The spec of the objects.
    pub spec: LocalMachineSpec,
}

/// What machines made from the template would have, for the cluster autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalMachineTemplateStatus {
    /// Resources of the Nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<BTreeMap<String, Quantity>>,
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("CPUs", "integer", ".spec.template.spec.cpus"),
    ("Memory MiB", "integer", ".spec.template.spec.memoryMiB"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    LocalMachineTemplate::crd().cluster_api(COLUMNS)
}

/// What is wrong with a LocalMachineTemplate, compared to what it was. There are no defaults.
#[must_use]
pub fn validate(new: &LocalMachineTemplate, old: Option<&LocalMachineTemplate>) -> Vec<FieldError> {
    if old.is_some_and(|o| o.spec.template.spec != new.spec.template.spec) {
        return vec![FieldError::forbidden(
            "spec.template.spec",
            "cannot be changed; make a template with another name and refer to that",
        )];
    }
    vec![]
}
