//! The parameters of a binding.

use serde_json::Value;

use super::definitions::{Binding, Policy};
use crate::admission::Request;

/// The objects that the policy is evaluated with, one after the other; one null when it has no parameters.
///
/// # Errors
/// In words, when they cannot be had, or there are none and the binding does not allow that.
pub(super) async fn collect(
    policy: &Policy,
    binding: &Binding,
    request: &Request<'_>,
) -> Result<Vec<Value>, String> {
    let (Some((api_version, kind)), Some(reference)) = (&policy.param_kind, &binding.param_ref)
    else {
        return Ok(vec![Value::Null]);
    };
    let Some(resource) = request.kinds.of_kind(api_version, kind) else {
        return Err(format!(
            "failed to configure policy: failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"
        ));
    };
    let configuring = |why: &str| format!("failed to configure binding: {why}");
    let namespace = match (resource.namespaced, reference.namespace.as_str()) {
        (false, "") => "",
        (false, _) => {
            let why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
            return Err(configuring(why));
        }
        (true, "") if request.namespace.is_empty() => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(configuring(why));
        }
        (true, "") => request.namespace,
        (true, namespace) => namespace,
    };
    let found = if reference.name.is_empty() {
        let within = resource.namespaced.then_some(namespace);
        let mut all = request.objects.list(&resource.storage, within);
        if let Some(selector) = &reference.selector {
            all.retain(|object| selector.matches(&object.header));
        }
        all
    } else {
        let found = request
            .objects
            .get(&resource.storage, namespace, &reference.name);
        found.into_iter().collect()
    };
    if found.is_empty() && reference.denies_absent {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return Err(configuring(why));
    }
    let mut params = vec![];
    for object in found {
        let value = object.value();
        let stored = value["apiVersion"].as_str().unwrap_or_default();
        let from = (request.kinds)
            .of_kind(stored, kind)
            .filter(|from| from.version != resource.version);
        params.push(match from {
            Some(from) => (request.kinds.convert(value, &from, &resource).await)
                .map_err(|status| configuring(&status.message))?,
            None => value,
        });
    }
    Ok(params)
}
