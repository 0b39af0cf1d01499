//! Templates in the version that a class names: its patches are written for that one, whatever is served first. Pure.

use api::cluster::ClusterClass;
use api::conversion;
use serde_json::Value;

use super::patches::{Role, is_meant};

/// A template in another version of its kind.
///
/// # Errors
/// When the kind is not known in both versions, or what the template says cannot be said there.
pub(super) fn convert(template: Value, api_version: &str) -> Result<Value, String> {
    conversion::convert(template, api_version).map_err(|error| error.to_string())
}

/// Whether kinds of this group have a conversion here.
pub(super) fn is_known(template: &Value) -> bool {
    let api_version = template["apiVersion"].as_str().unwrap_or_default();
    let (group, _) = api_version.split_once('/').unwrap_or_default();
    conversion::find(group, template["kind"].as_str().unwrap_or_default()).is_some()
}

/// Whether some patch of the class would change a template.
pub(super) fn is_patched(class: &ClusterClass, role: Role<'_>, template: &Value) -> bool {
    class.patches().any(|patch| match &patch.external {
        Some(external) => external.generate_patches_extension.is_some(),
        None => {
            let mut definitions = patch.definitions.iter().flatten();
            definitions.any(|d| is_meant(&d.selector, role, template))
        }
    })
}
