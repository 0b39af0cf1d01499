//! YAML out of JSON values.

use serde_json::Value;

/// The value as YAML.
#[must_use]
pub(crate) fn render(value: &Value) -> String {
    // Values of JSON have no form that YAML lacks; if the emitter disagrees, JSON is YAML too.
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}
