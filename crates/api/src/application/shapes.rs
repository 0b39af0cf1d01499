//! Pieces that several kinds of the app platform share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::meta::FieldError;

/// How long an operation may take: milliseconds, seconds and minutes, such as `1m30s`.
pub(super) const TIMEOUT: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$";

/// Names an object in any namespace. Both empty means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectKey {
    /// The object's name.
    #[serde(default)]
    pub name: String,
    /// The object's namespace.
    #[serde(default)]
    pub namespace: String,
}

/// Values for a chart: YAML under the only key of a ConfigMap, of a Secret, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configs {
    /// Values in a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ObjectKey>,
    /// Values in a Secret; they win over all ConfigMaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectKey>,
}

/// Metadata of the namespace that a chart is installed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceConfig {
    /// Annotations of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// How a chart is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// Leaves out the definitions under the chart's `crds/`.
    #[serde(
        rename = "skipCRDs",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub skip_crds: bool,
    /// The longest an installation may take. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TIMEOUT))]
    pub timeout: Option<String>,
}

/// How long an operation may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// The longest it may take. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TIMEOUT))]
    pub timeout: Option<String>,
}

impl ObjectKey {
    /// The key itself, or `None` where an empty one stands for none.
    #[must_use]
    pub fn named(key: Option<&Self>) -> Option<&Self> {
        key.filter(|key| !key.name.is_empty())
    }
}

/// Half a reference is a mistake.
pub(super) fn check_key(
    path: &str,
    what: &str,
    key: Option<&ObjectKey>,
    errors: &mut Vec<FieldError>,
) {
    let Some(key) = key else { return };
    if !key.name.is_empty() && key.namespace.is_empty() {
        let name = &key.name;
        errors.push(FieldError::required(
            format!("{path}.namespace"),
            format!("namespace is not specified for {what} `{name}`"),
        ));
    }
    if key.name.is_empty() && !key.namespace.is_empty() {
        let namespace = &key.namespace;
        errors.push(FieldError::required(
            format!("{path}.name"),
            format!("name is not specified for {what} in namespace `{namespace}`"),
        ));
    }
}

pub(super) fn check_configs(path: &str, configs: Option<&Configs>, errors: &mut Vec<FieldError>) {
    let Some(Configs { config_map, secret }) = configs else {
        return;
    };
    check_key(
        &format!("{path}.configMap"),
        "configmap",
        config_map.as_ref(),
        errors,
    );
    check_key(&format!("{path}.secret"), "secret", secret.as_ref(), errors);
}

/// Says that fields (`spec.install`) may also be null, as manifests in the field write them.
pub(super) fn nullable(crd: &mut Value, paths: &[&str]) {
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        for path in paths {
            let pointer = path.replace('.', "/properties/");
            let pointer = format!("/schema/openAPIV3Schema/properties/{pointer}");
            if let Some(field) = version.pointer_mut(&pointer) {
                field["nullable"] = json!(true);
            }
        }
    }
}
