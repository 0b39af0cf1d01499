//! From a derived kind to the CustomResourceDefinition that is installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::schema;

/// A printer column: name, type, JSON path. Columns whose name ends with `~` are shown by `-o wide` only.
pub type Column = (&'static str, &'static str, &'static str);

/// The path of a condition's status, for a [`Column`].
#[macro_export]
macro_rules! condition_path {
    ($type:literal) => {
        concat!(".status.conditions[?(@.type==\"", $type, "\")].status")
    };
}

/// The path of the label that names an object's cluster, for a [`Column`].
pub const CLUSTER_NAME_PATH: &str = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']";
/// The path of an object's creation time, for a [`Column`].
pub const AGE_PATH: &str = ".metadata.creationTimestamp";

/// Finishes a derived CustomResourceDefinition.
pub trait CrdExt {
    /// The definition as JSON with printer `columns`, category `cluster-api` and the contract label.
    fn cluster_api(self, columns: &[Column]) -> Value;

    /// The definition as JSON with printer `columns` and the categories of the platform's kinds.
    fn platform(self, columns: &[Column]) -> Value;
}

impl CrdExt for CustomResourceDefinition {
    fn cluster_api(self, columns: &[Column]) -> Value {
        let mut crd = finish(self, columns);
        crd["metadata"]["labels"] = json!({
            "cluster.x-k8s.io/v1beta2": "v1beta2",
            "clusterctl.cluster.x-k8s.io": "",
        });
        crd["spec"]["names"]["categories"] = json!(["cluster-api"]);
        crd
    }

    fn platform(self, columns: &[Column]) -> Value {
        let mut crd = finish(self, columns);
        crd["spec"]["names"]["categories"] = json!(["common", "giantswarm"]);
        crd
    }
}

/// Says that objects of a kind need no spec.
pub trait OptionalSpec {
    /// The definition without the rule that there must be a spec.
    #[must_use]
    fn spec_may_be_missing(self) -> Self;
}

impl OptionalSpec for Value {
    fn spec_may_be_missing(mut self) -> Self {
        for version in self["spec"]["versions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(openapi) = version["schema"]["openAPIV3Schema"].as_object_mut() {
                openapi.remove("required");
            }
        }
        self
    }
}

/// The definition as JSON, with a tidy schema and printer `columns`.
#[must_use]
pub fn finish(crd: CustomResourceDefinition, columns: &[Column]) -> Value {
    let list_kind = format!("{}List", crd.spec.names.kind);
    let mut crd = serde_json::to_value(crd).unwrap_or_default();
    crd["spec"]["names"]["listKind"] = json!(list_kind);
    if crd.get("status").is_some() {
        crd.as_object_mut().map(|o| o.remove("status"));
    }
    if let Some(versions) = crd["spec"]["versions"].as_array_mut() {
        for version in versions {
            let mut openapi = version["schema"]["openAPIV3Schema"].take();
            schema::tidy(&mut openapi);
            with_object_fields(&mut openapi);
            version["schema"]["openAPIV3Schema"] = openapi;
            version["additionalPrinterColumns"] = columns.iter().map(column).collect();
        }
    }
    drop_empty(&mut crd);
    crd
}

/// What every Kubernetes object has besides spec and status.
fn with_object_fields(openapi: &mut Value) {
    // The derive only says that it derived it.
    openapi["description"] = openapi["properties"]["spec"]["description"].clone();
    openapi["properties"]["apiVersion"] =
        json!({"type": "string", "description": "The group and version of this object's schema."});
    openapi["properties"]["kind"] =
        json!({"type": "string", "description": "The kind of this object."});
    openapi["properties"]["metadata"] = json!({"type": "object"});
}

fn column(&(name, type_, path): &Column) -> Value {
    let mut column = json!({"name": name.trim_end_matches('~'), "type": type_, "jsonPath": path});
    if name.ends_with('~') {
        column["priority"] = json!(10);
    }
    column
}

fn drop_empty(crd: &mut Value) {
    let is_empty = |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty);
    if let Some(names) = crd["spec"]["names"].as_object_mut() {
        names.retain(|_, v| !is_empty(v));
    }
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        if let Some(version) = version.as_object_mut() {
            let is_bare = version
                .get("subresources")
                .is_some_and(|s| s.as_object().is_some_and(Map::is_empty));
            version.retain(|k, v| !(is_empty(v) || k == "subresources" && is_bare));
        }
    }
}
