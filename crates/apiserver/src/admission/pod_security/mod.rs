//! PodSecurity: what pods may do on their nodes, by the labels of their namespace (the Pod Security Standards).
//!
//! A pod that breaks the enforced level is refused; what breaks the other two is warned about and noted for the audit
//! log, also in the templates of workloads. Nobody is exempt, and a namespace without labels asks for nothing.

mod baseline;
mod checks;
mod existing;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{Admission, Operation, Request, edit};
use crate::status::{Cause, Status};
use checks::{Pod, details, violations};
use policy::{Level, LevelVersion, Policy};

/// Subresources of pods through which nothing of the spec comes.
const OTHER_DOORS: &[&str] = &[
    "exec",
    "attach",
    "binding",
    "eviction",
    "log",
    "portforward",
    "proxy",
    "status",
];

pub(super) struct PodSecurity;

#[async_trait::async_trait]
impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        if !matches!(request.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        match (&*request.resource.group, &*request.resource.plural) {
            ("", "namespaces") => namespace(request, object).await,
            ("", "pods") => pod(request, object),
            _ => {
                workload(request, object);
                Ok(())
            }
        }
    }
}

/// Labels must be readable; pods that a tighter level would refuse are named.
async fn namespace(request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
    if !request.subresource.is_empty() {
        return Ok(());
    }
    let (new, causes) = Policy::of(&object["metadata"]["labels"]);
    let old = request
        .old
        .map(|old| Policy::of(&old["metadata"]["labels"]));
    let (old, old_causes) = match old {
        Some((policy, causes)) => (Some(policy), causes),
        None => (None, Vec::new()),
    };
    if !causes.is_empty() && causes != old_causes {
        let resource = request.resource;
        return Err(Status::invalid(
            &resource.group,
            &resource.kind,
            request.name,
            causes,
        ));
    }
    if old.is_some_and(|old| new.tightens(&old)) {
        let warnings = existing::warnings(request.objects, request.name, new.enforce).await;
        request.warnings.extend(warnings);
    }
    Ok(())
}

fn pod(request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
    if OTHER_DOORS.contains(&request.subresource) {
        return Ok(());
    }
    let (policy, unreadable) = policy_of(request);
    if policy.is_open() && unreadable.is_empty() {
        note(request, "enforce-policy", policy.enforce.to_string());
        return Ok(());
    }
    if request
        .old
        .is_some_and(|old| !is_significant(&object["spec"], &old["spec"]))
    {
        return Ok(());
    }
    let pod = Pod {
        metadata: &object["metadata"],
        spec: &object["spec"],
    };
    evaluate(request, pod, true)
}

/// A workload is stored in any case: its pods are what may be refused.
fn workload(request: &mut Request<'_>, object: &Value) {
    let template = match (&*request.resource.group, &*request.resource.plural) {
        ("", "podtemplates") => &object["template"],
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &object["spec"]["template"],
        ("batch", "cronjobs") => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return,
    };
    if !request.subresource.is_empty() || !template.is_object() {
        return;
    }
    let pod = Pod {
        metadata: &template["metadata"],
        spec: &template["spec"],
    };
    // Nothing is enforced here, so nothing is refused.
    _ = evaluate(request, pod, false);
}

/// What the request's namespace asks for, and what of that cannot be read. A namespace that is gone asks for nothing: what
/// is left in it may only go.
fn policy_of(request: &Request<'_>) -> (Policy, Vec<Cause>) {
    let namespace = request
        .objects
        .get("namespaces", "", request.namespace)
        .map(|namespace| namespace.value())
        .unwrap_or_default();
    Policy::of(&namespace["metadata"]["labels"])
}

/// Adds an annotation to the request in the audit log.
fn note(request: &mut Request<'_>, key: &str, text: String) {
    request
        .audit
        .insert(format!("{}{key}", policy::PREFIX), text);
}

fn evaluate(request: &mut Request<'_>, pod: Pod<'_>, enforces: bool) -> Result<(), Status> {
    let (policy, unreadable) = policy_of(request);
    let said = |level: LevelVersion| {
        if level.level == Level::Privileged {
            return None;
        }
        let all = violations(level, &pod);
        (!all.is_empty()).then(|| format!("PodSecurity \"{level}\": {}", details(&all)))
    };
    if !unreadable.is_empty() {
        let all: Vec<String> = unreadable
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let all = match all.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        note(request, "error", format!("Failed to parse policy: {all}"));
    }
    if let Some(broken) = said(policy.audit) {
        note(
            request,
            "audit-violations",
            format!("would violate {broken}"),
        );
    }
    if enforces {
        note(request, "enforce-policy", policy.enforce.to_string());
        if let Some(broken) = said(policy.enforce) {
            return Err(request.forbidden(&format!("violates {broken}")));
        }
    }
    if let Some(broken) = said(policy.warn) {
        request.warnings.push(format!("would violate {broken}"));
    }
    Ok(())
}

/// Whether an update changes anything that the checks may look at: of what may change at all, that is images and new
/// containers.
fn is_significant(new: &Value, old: &Value) -> bool {
    let count = |spec: &Value, list: &str| edit::items(spec, list).count();
    let has_new_image = ["containers", "initContainers"].iter().any(|list| {
        count(new, list) != count(old, list)
            || edit::items(new, list)
                .zip(edit::items(old, list))
                .any(|(new, old)| new["image"] != old["image"])
    });
    has_new_image
        || edit::items(new, "ephemeralContainers").any(|new| {
            let mut all = edit::items(old, "ephemeralContainers");
            all.find(|old| old["name"] == new["name"])
                .is_none_or(|old| new["image"] != old["image"])
        })
}
