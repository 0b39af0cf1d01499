//! A Helm release on this cluster: which chart with which values, and what became of it. Written by the platform for each
//! App, always in namespace `giantswarm`.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shapes::{self, Install, NamespaceConfig, Operation};
use crate::meta::crd::Column;
use crate::meta::{Condition, CrdExt, schema};

/// Which chart with which values.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "application.giantswarm.io",
    version = "v1alpha1",
    kind = "Chart",
    status = "ChartStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct ChartSpec {
    /// Name of the Helm release.
    pub name: String,
    /// Namespace of the Helm release.
    pub namespace: String,
    /// Where the packed chart is.
    #[serde(rename = "tarballURL")]
    pub tarball_url: String,
    /// Version of the chart.
    pub version: String,
    /// Values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ChartConfig>,
    /// How the chart is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// How the release is upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Operation>,
    /// How the release is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Operation>,
    /// How the release is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninstall: Option<Operation>,
    /// Metadata of the release's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_config: Option<NamespaceConfig>,
}

/// Where the values are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartConfig {
    /// Values in a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<VersionedKey>,
    /// Values in a Secret; they win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<VersionedKey>,
}

/// An object in one of its versions: a change of what is in it is a change of this reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionedKey {
    /// The object's name.
    pub name: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's resource version.
    pub resource_version: String,
}

/// What became of the release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartStatus {
    /// Version of what the chart installed.
    #[serde(default)]
    pub app_version: String,
    /// Why the release is in its state, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The Helm release.
    #[serde(default)]
    pub release: ChartRelease,
    /// Version of the chart that is installed.
    #[serde(default)]
    pub version: String,
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A Helm release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartRelease {
    /// When the last revision was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_deployed: Option<String>,
    /// Number of the last revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Helm's state of the release, or the platform's own; see [`super::app::statuses`].
    #[serde(default)]
    pub status: String,
}

/// Conditions of a Chart.
pub mod conditions {
    /// The release is deployed with the wanted version and values. Reasons are those of the App.
    pub const READY: &str = "Ready";
}

const COLUMNS: &[Column] = &[
    ("Version", "string", ".spec.version"),
    ("Last Deployed", "date", ".status.release.lastDeployed"),
    ("Status", "string", ".status.release.status"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    let mut crd = Chart::crd().platform(COLUMNS);
    let fields = [
        "spec.config",
        "spec.install",
        "spec.upgrade",
        "spec.rollback",
        "spec.uninstall",
        "spec.namespaceConfig",
        "status.release.lastDeployed",
        "status.release.revision",
    ];
    shapes::nullable(&mut crd, &fields);
    crd
}
