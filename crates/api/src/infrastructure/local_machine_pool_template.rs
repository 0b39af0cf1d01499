//! What LocalMachinePools are made from.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::local_machine_pool::{self, LocalMachinePoolSpec};
use crate::meta::crd::AGE_PATH;
use crate::meta::{CrdExt, FieldError, ObjectMeta};

/// What LocalMachinePools are made from.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "LocalMachinePoolTemplate",
    derive = "PartialEq",
    namespaced
)]
pub struct LocalMachinePoolTemplateSpec {
    /// The template.
    pub template: LocalMachinePoolTemplateResource,
}

/// The template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalMachinePoolTemplateResource {
    /// Labels and annotations of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The spec of the objects, without providerIDList; cannot be changed.
    pub spec: LocalMachinePoolSpec,
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
    LocalMachinePoolTemplate::crd().cluster_api(COLUMNS)
}

/// What is wrong with a LocalMachinePoolTemplate, also compared to what it was. There are no defaults.
#[must_use]
pub fn validate(
    new: &LocalMachinePoolTemplate,
    old: Option<&LocalMachinePoolTemplate>,
) -> Vec<FieldError> {
    let path = "spec.template.spec";
    let spec = &new.spec.template.spec;
    let mut errors = vec![];
    if old.is_some_and(|o| o.spec.template.spec != *spec) {
        errors.push(FieldError::forbidden(
            path,
            "cannot be changed; make a template with another name and refer to that",
        ));
    }
    if spec.provider_id_list.is_some() {
        errors.push(FieldError::forbidden(
            format!("{path}.providerIDList"),
            "cannot be in a template: every pool has machines of its own",
        ));
    }
    local_machine_pool::check_rollout(
        &format!("{path}.rollout"),
        spec.rollout.as_ref(),
        &mut errors,
    );
    errors
}
