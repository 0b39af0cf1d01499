//! References, metadata and small values that occur in several kinds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Names an object of a provider in the same namespace. It has no version: that follows from the contract labels of the kind's
/// CustomResourceDefinition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContractRef {
    /// The API group of the object.
    #[schemars(regex(pattern = schema::SUBDOMAIN), length(min = 1, max = 253))]
    pub api_group: String,
    /// The kind of the object.
    #[schemars(regex(pattern = schema::KIND), length(min = 1, max = 63))]
    pub kind: String,
    /// The name of the object.
    #[schemars(regex(pattern = schema::SUBDOMAIN), length(min = 1, max = 253))]
    pub name: String,
}

/// Names a template of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// The group and version of the template.
    #[schemars(
        regex(
            pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[a-z]([-a-z0-9]*[a-z0-9])?$"
        ),
        length(min = 1, max = 317)
    )]
    pub api_version: String,
    /// The kind of the template.
    #[schemars(regex(pattern = schema::KIND), length(min = 1, max = 63))]
    pub kind: String,
    /// The name of the template.
    #[schemars(regex(pattern = schema::SUBDOMAIN), length(min = 1, max = 253))]
    pub name: String,
}

/// Labels and annotations that objects made from a template get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ObjectMeta {
    /// Labels of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Where the API server of a cluster answers. An empty host or port 0 means that it isn't known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Endpoint {
    /// Host name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub host: Option<String>,
    /// TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

impl Endpoint {
    /// Host and port, if both are known.
    #[must_use]
    pub fn known(&self) -> Option<(&str, i32)> {
        match (self.host.as_deref(), self.port) {
            (Some(host), Some(port)) if !host.is_empty() && port > 0 => Some((host, port)),
            _ => None,
        }
    }
}

/// A part of the infrastructure that may fail on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDomain {
    /// The name of the failure domain.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Whether control plane machines may be placed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
    /// What the provider says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
}

/// Limits on how long deleting a machine waits for its node; 0 means without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct DeletionTimeouts {
    /// Seconds that draining the node may take. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub node_drain_timeout_seconds: Option<i32>,
    /// Seconds that detaching volumes from the node may take. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub node_volume_detach_timeout_seconds: Option<i32>,
    /// Seconds that deleting the Node object may take. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub node_deletion_timeout_seconds: Option<i32>,
}

/// A further condition that counts for an object's readiness or availability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// The type of the condition.
    #[schemars(regex(pattern = schema::CONDITION_TYPE), length(min = 1, max = 316))]
    pub condition_type: String,
    /// Positive (the default): True is good. Negative: False is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Positive", "Negative"]))]
    pub polarity: Option<String>,
}

/// A taint that a machine's node gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineTaint {
    /// The taint key.
    #[schemars(
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"
        ),
        length(min = 1, max = 317)
    )]
    pub key: String,
    /// The taint value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::LABEL_VALUE), length(min = 1, max = 63))]
    pub value: Option<String>,
    /// What the taint does to pods.
    #[schemars(extend("enum" = ["NoSchedule", "PreferNoSchedule", "NoExecute"]))]
    pub effect: String,
    /// Always: kept on the node. OnInitialization: set once, when the node appears.
    #[schemars(extend("enum" = ["Always", "OnInitialization"]))]
    pub propagation: String,
}

impl MachineTaint {
    /// The taint as nodes have it.
    #[must_use]
    pub fn to_core(&self) -> Taint {
        Taint {
            key: self.key.clone(),
            value: self.value.clone(),
            effect: self.effect.clone(),
            time_added: None,
        }
    }
}

/// An address of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineAddress {
    /// What kind of address it is.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["Hostname", "ExternalIP", "InternalIP", "ExternalDNS", "InternalDNS"]))]
    pub type_: String,
    /// The address.
    #[schemars(length(min = 1, max = 256))]
    pub address: String,
}

/// How many machines have a Kubernetes version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionCount {
    /// The version, with leading v.
    #[schemars(length(min = 1, max = 256))]
    pub version: String,
    /// The number of machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub replicas: Option<i32>,
}

/// The number of replicas in the states that users ask about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaCount {
    pub desired: i32,
    pub current: i32,
    pub ready: i32,
    pub available: i32,
    pub up_to_date: i32,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
}
