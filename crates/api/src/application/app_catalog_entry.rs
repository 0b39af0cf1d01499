//! One version of one app in a catalog, for people and user interfaces to choose from. Generated; deleting one only makes
//! it come back.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shapes::{self, ObjectKey};
use crate::meta::CrdExt;
use crate::meta::crd::Column;

/// One version of one app.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "application.giantswarm.io",
    version = "v1alpha1",
    kind = "AppCatalogEntry",
    plural = "appcatalogentries",
    shortname = "ace",
    shortname = "aces",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct AppCatalogEntrySpec {
    /// Name of the chart.
    pub app_name: String,
    /// Version of what the chart installs.
    pub app_version: String,
    /// Version of the chart.
    pub version: String,
    /// The catalog that has it.
    pub catalog: ObjectKey,
    /// What the chart says of itself.
    pub chart: ChartInfo,
    /// When this version was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub date_created: Option<String>,
    /// When this version was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub date_updated: Option<String>,
    /// Where the app may be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrictions: Option<Restrictions>,
}

/// What a chart says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartInfo {
    /// Version of the chart format: v1 or v2.
    pub api_version: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// A picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keywords: Option<Vec<String>>,
    /// The version of the chart that this one was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_chart_version: Option<String>,
}

/// Where an app may be installed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restrictions {
    /// Once per cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_singleton: Option<bool>,
    /// Once per namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_singleton: Option<bool>,
    /// Only in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_namespace: Option<String>,
    /// Needs machines with GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_instances: Option<bool>,
    /// Only with these infrastructure providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatible_providers: Option<Vec<String>>,
}

const COLUMNS: &[Column] = &[
    ("Catalog", "string", ".spec.catalog.name"),
    ("App Name", "string", ".spec.appName"),
    ("Version", "string", ".spec.version"),
    ("Upstream Version", "string", ".spec.appVersion"),
    ("Age", "date", ".spec.dateCreated"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    let mut crd = AppCatalogEntry::crd().platform(COLUMNS);
    shapes::nullable(
        &mut crd,
        &["spec.dateCreated", "spec.dateUpdated", "spec.restrictions"],
    );
    crd
}
