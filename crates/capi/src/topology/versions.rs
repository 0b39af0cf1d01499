//! Templates in the version that a class names: its patches are written for that one, whatever is served first. Pure.

use api::conversion;
use serde_json::{Value, json};

/// A template in the version that the class names. What its patches are below is there, even if the template says nothing.
///
/// # Errors
/// When what the template says cannot be said in that version.
pub(super) fn lower(template: Value, api_version: &str) -> Result<Value, String> {
    let lowered = conversion::convert(template, api_version);
    let mut lowered = lowered.map_err(|error| error.to_string())?;
    for path in ["/spec", "/spec/template", "/spec/template/spec"] {
        let (around, name) = path.rsplit_once('/').unwrap_or_default();
        if let Some(around) = lowered.pointer_mut(around)
            && around[name].is_null()
        {
            around[name] = json!({});
        }
    }
    Ok(lowered)
}

/// A patched template in the version that is served.
///
/// # Errors
/// When what patches have made of it cannot be said there, or is not of the version that the class names.
pub(super) fn raise(template: Value, api_version: &str) -> Result<Value, String> {
    if template["apiVersion"] == *api_version {
        return Ok(template);
    }
    let unknown = conversion::unknown(&template);
    if !unknown.is_empty() {
        let version = template["apiVersion"].as_str().unwrap_or_default();
        return Err(format!("{version} has no {}", unknown.join(", ")));
    }
    conversion::convert(template, api_version).map_err(|error| error.to_string())
}

/// Whether kinds of this group have a conversion here.
pub(super) fn is_known(template: &Value) -> bool {
    let api_version = template["apiVersion"].as_str().unwrap_or_default();
    let (group, _) = api_version.split_once('/').unwrap_or_default();
    conversion::find(group, template["kind"].as_str().unwrap_or_default()).is_some()
}
