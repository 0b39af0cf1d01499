//! Says how pods leave the nodes of machines that are deleted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rules;
use crate::meta::crd::AGE_PATH;
use crate::meta::{CrdExt, FieldError};

/// What happens to certain pods when the nodes of certain machines are drained. Of several rules for a pod, the first by name counts;
/// what the pod says of itself by its label `cluster.x-k8s.io/drain` counts more.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "MachineDrainRule",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct MachineDrainRuleSpec {
    /// What happens to the pods.
    pub drain: DrainConfig,
    /// The machines whose nodes this is about: those that one of these selects. Default: all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-validations" = [{"rule": "self.all(x, self.exists_one(y, x == y))", "message": "entries in machines must be unique"}])
    )]
    pub machines: Option<Vec<MachineSelector>>,
    /// The pods this is about: those that one of these selects. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-validations" = [{"rule": "self.all(x, self.exists_one(y, x == y))", "message": "entries in pods must be unique"}])
    )]
    pub pods: Option<Vec<PodSelector>>,
}

/// How pods leave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrainConfig {
    /// `Drain` evicts them, `Skip` leaves them on the node, `WaitCompleted` waits until they have come to their end.
    pub behavior: DrainBehavior,
    /// When they are evicted: lower numbers first, and only when those are gone the next. Default: 0. Only with `Drain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
}

/// What draining does with a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DrainBehavior {
    /// Evicts it.
    #[default]
    Drain,
    /// Leaves it on the node.
    Skip,
    /// Waits until it has come to its end.
    WaitCompleted,
}

/// Selects machines. What is left out selects all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineSelector {
    /// By the labels of the Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: Option<LabelSelector>,
    /// By the labels of its Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub cluster_selector: Option<LabelSelector>,
}

/// Selects pods. What is left out selects all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct PodSelector {
    /// By the labels of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: Option<LabelSelector>,
    /// By the labels of its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub namespace_selector: Option<LabelSelector>,
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Behavior", "string", ".spec.drain.behavior"),
    ("Order", "string", ".spec.drain.order"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    let mut crd = MachineDrainRule::crd().cluster_api(COLUMNS);
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["required"] =
        json!(["metadata", "spec"]);
    crd
}

/// What is wrong with a MachineDrainRule.
#[must_use]
pub fn validate(new: &MachineDrainRule) -> Vec<FieldError> {
    let mut errors = vec![];
    let drain = &new.spec.drain;
    if drain.order.is_some() && drain.behavior != DrainBehavior::Drain {
        errors.push(FieldError::invalid(
            "spec.drain.order",
            format!(
                "must not be set if spec.drain.behavior is {:?}: only pods that are evicted have an order",
                drain.behavior
            ),
        ));
    }
    let mut check = |path: String, selector: &Option<LabelSelector>| {
        if let Some(selector) = selector {
            rules::check_selector(&path, selector, &mut errors);
        }
    };
    for (index, one) in new.spec.machines.iter().flatten().enumerate() {
        let path = format!("spec.machines[{index}]");
        check(format!("{path}.selector"), &one.selector);
        check(format!("{path}.clusterSelector"), &one.cluster_selector);
    }
    for (index, one) in new.spec.pods.iter().flatten().enumerate() {
        let path = format!("spec.pods[{index}]");
        check(format!("{path}.selector"), &one.selector);
        check(format!("{path}.namespaceSelector"), &one.namespace_selector);
    }
    errors
}
