//! What KubeadmControlPlanes are made from.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kubeadm_control_plane::{
    DNS_IMAGE_TAG, Remediation, Rollout, check_tag, check_validity, dns_image_tag,
};
use crate::bootstrap::KubeadmConfigSpec;
use crate::bootstrap::kubeadm_config::{check_spec, check_timeouts};
use crate::cluster::machine_set::MachineNaming;
use crate::cluster::rules;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    CrdExt, DeletionTimeouts, FieldError, MachineTaint, ObjectMeta, OptionalSpec, schema,
};

/// What KubeadmControlPlanes are made from.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "KubeadmControlPlaneTemplate",
    derive = "PartialEq",
    namespaced
)]
pub struct KubeadmControlPlaneTemplateSpec {
    /// The template.
    pub template: KubeadmControlPlaneTemplateResource,
}

/// The template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmControlPlaneTemplateResource {
    /// Labels and annotations of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The spec of the objects, without what differs from cluster to cluster; cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<KubeadmControlPlaneTemplateResourceSpec>,
}

/// A control plane without what differs from cluster to cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmControlPlaneTemplateResourceSpec {
    /// The machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_template: Option<MachineTemplate>,
    /// How the machines boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeadm_config_spec: Option<KubeadmConfigSpec>,
    /// When and how machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How unhealthy machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Remediation>,
    /// How the machines are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_naming: Option<MachineNaming>,
}

/// What the machines are made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct MachineTemplate {
    /// Labels and annotations of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<MachineTemplateSpec>,
}

/// What the machines should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct MachineTemplateSpec {
    /// Limits on deleting machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionTimeouts>,
    /// Taints of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::machine_taints")]
    pub taints: Option<Vec<MachineTaint>>,
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
    KubeadmControlPlaneTemplate::crd()
        .cluster_api(COLUMNS)
        .spec_may_be_missing()
}

/// What is wrong with a KubeadmControlPlaneTemplate, also compared to what it was. There are no defaults.
#[must_use]
pub fn validate(
    new: &KubeadmControlPlaneTemplate,
    old: Option<&KubeadmControlPlaneTemplate>,
) -> Vec<FieldError> {
    let mut errors = vec![];
    let path = "spec.template.spec";
    if old.is_some_and(|o| o.spec.template.spec != new.spec.template.spec) {
        errors.push(FieldError::forbidden(
            path,
            "cannot be changed; make a template with another name and refer to that",
        ));
    }
    let Some(spec) = &new.spec.template.spec else {
        return errors;
    };
    rules::check_naming(
        &format!("{path}.machineNaming.template"),
        spec.machine_naming.as_ref(),
        &mut errors,
    );
    let machines = spec.machine_template.as_ref().and_then(|m| m.spec.as_ref());
    let metadata = spec
        .machine_template
        .as_ref()
        .and_then(|m| m.metadata.as_ref());
    rules::check_metadata(
        &format!("{path}.machineTemplate.metadata"),
        metadata,
        &mut errors,
    );
    rules::check_taints(
        &format!("{path}.machineTemplate.spec.taints"),
        machines.and_then(|m| m.taints.as_deref()),
        true,
        &mut errors,
    );
    if let Some(config) = &spec.kubeadm_config_spec {
        let below = format!("{path}.kubeadmConfigSpec");
        if old.is_none()
            && let Some(tag) = dns_image_tag(config)
        {
            check_tag(&format!("{below}.{DNS_IMAGE_TAG}"), tag, &mut errors);
        }
        check_spec(&below, config, &mut errors);
        check_timeouts(&below, config, &mut errors);
        check_validity(path, spec.rollout.as_ref(), config, &mut errors);
    }
    errors
}
