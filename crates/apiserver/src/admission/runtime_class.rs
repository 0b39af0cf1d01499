//! RuntimeClass: what a pod's runtime adds to it.

use serde_json::Value;

use super::{Admission, Operation, Request, edit};
use crate::status::Status;

pub(super) struct RuntimeClass;

#[async_trait::async_trait]
impl Admission for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    async fn admit(&self, request: &mut Request<'_>, pod: &mut Value) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is_for("", "pods", "") {
            return Ok(());
        }
        let name = edit::text(&pod["spec"], "runtimeClassName");
        if name.is_empty() {
            return Ok(());
        }
        let class = request
            .objects
            .get("runtimeclasses.node.k8s.io", "", name)
            .ok_or_else(|| {
                request.forbidden(&format!("pod rejected: RuntimeClass {name:?} not found"))
            })?
            .value();
        let overhead = &class["overhead"]["podFixed"];
        let spec = &mut pod["spec"];
        if overhead.is_object() {
            if !spec["overhead"].is_null() && spec["overhead"] != *overhead {
                return Err(request.forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
                ));
            }
            edit::set(spec, "overhead", overhead.clone());
        }
        schedule(request, spec, &class["scheduling"])
    }
}

fn schedule(request: &Request<'_>, spec: &mut Value, scheduling: &Value) -> Result<(), Status> {
    let wanted = scheduling["nodeSelector"].as_object().into_iter().flatten();
    for (key, value) in wanted {
        let Some(selector) = edit::map(spec, "nodeSelector") else {
            return Ok(());
        };
        let old = selector.insert(key.clone(), value.clone());
        if old.is_some_and(|old| old != *value) {
            return Err(request.forbidden(&format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}, the pod has another value")));
        }
    }
    for toleration in edit::items(scheduling, "tolerations") {
        if let Some(tolerations) = edit::list(spec, "tolerations")
            && !tolerations.contains(toleration)
        {
            tolerations.push(toleration.clone());
        }
    }
    Ok(())
}
