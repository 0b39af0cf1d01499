//! Doors and generations: which part of an object each endpoint may write, and when that counts as a new generation.

use serde_json::{Value, json};

use super::{Target, metadata};
use crate::resource::Generation;
use crate::schema;

/// Gives a new object its first generation, if its kind has one.
pub(super) fn generation_of_new(target: &Target, value: &mut Value) {
    if target.resource.strategy.generation != Generation::Never {
        metadata::of(value).insert("generation".into(), json!(1));
    }
}

/// Gives each half of an object to its own door: `/status` changes the status, the main door everything else. Labels,
/// annotations and the like may be changed by either, but for some kinds.
pub(super) fn for_update(target: &Target, old: &Value, new: &mut Value) {
    let strategy = &target.resource.strategy;
    match target.subresource.as_str() {
        "status" => {
            let status = new.get("status").cloned();
            keep_for_status(target, old, new);
            put(new, "status", status);
            if &*target.resource.storage == "certificatesigningrequests.certificates.k8s.io" {
                // Certificate from the signer; approval has a door of its own.
                restore_approval(old, new);
            }
        }
        "approval" => {
            let conditions = new["status"].get("conditions").cloned();
            keep_for_status(target, old, new);
            put(new, "status", old.get("status").cloned());
            if let Some(conditions) = conditions {
                new["status"]["conditions"] = conditions;
            }
        }
        "finalize" => {
            let finalizers = new["spec"].get("finalizers").cloned();
            let managed = new["metadata"]["managedFields"].take();
            *new = old.clone();
            new["metadata"]["managedFields"] = managed;
            put(&mut new["spec"], "finalizers", finalizers);
        }
        "ephemeralcontainers" => {
            let containers = new["spec"].get("ephemeralContainers").cloned();
            keep_all_but_status(old, new);
            put(&mut new["spec"], "ephemeralContainers", containers);
        }
        "resize" => resize(old, new),
        // The spec and the status at once.
        "binding" => {}
        _ if strategy.has_status => put(new, "status", old.get("status").cloned()),
        _ => {}
    }
    if target.subresource.is_empty() {
        if &*target.resource.storage == "namespaces" {
            put(
                &mut new["spec"],
                "finalizers",
                old["spec"].get("finalizers").cloned(),
            );
        }
        schema::prepare(&target.resource, new, Some(old));
    }
}

/// Raises the generation if what it counts has changed.
pub(super) fn generation_of_changed(target: &Target, old: &Value, new: &mut Value) {
    // A pod that gets its node is no other pod.
    if matches!(
        target.subresource.as_str(),
        "status" | "approval" | "binding"
    ) {
        return;
    }
    let counts_annotations = match target.resource.strategy.generation {
        Generation::Never => return,
        Generation::Spec => false,
        Generation::SpecAndAnnotations => true,
    };
    let has_changed = without(old, target) != without(new, target)
        || (counts_annotations && old["metadata"]["annotations"] != new["metadata"]["annotations"]);
    if has_changed {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        metadata::of(new).insert("generation".into(), json!(generation));
    }
}

/// The members of an object that its generation counts.
fn without<'a>(value: &'a Value, target: &Target) -> Vec<(&'a String, &'a Value)> {
    let ignored = |key: &str| {
        matches!(key, "metadata" | "apiVersion" | "kind")
            || (key == "status" && target.resource.strategy.has_status)
    };
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !ignored(key))
        .collect()
}

/// Takes over what containers may use, and nothing else.
fn resize(old: &Value, new: &mut Value) {
    let wanted = new["spec"].take();
    keep_all_but_status(old, new);
    for list in ["containers", "initContainers"] {
        for container in new["spec"][list].as_array_mut().into_iter().flatten() {
            let same = wanted[list].as_array().into_iter().flatten();
            let Some(same) = same.into_iter().find(|c| c["name"] == container["name"]) else {
                continue;
            };
            for member in ["resources", "resizePolicy"] {
                put(container, member, same.get(member).cloned());
            }
        }
    }
}

/// Kinds whose `/status` changes nothing but the status.
const STRICT_STATUS: &[&str] = &[
    "apiservices.apiregistration.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "resourceclaims.resource.k8s.io",
    "servicecidrs.networking.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "volumeattachments.storage.k8s.io",
];

/// Puts everything back as it was that the door of the status does not change; the status is the caller's.
fn keep_for_status(target: &Target, old: &Value, new: &mut Value) {
    let storage = &*target.resource.storage;
    if target.resource.custom.is_some() || STRICT_STATUS.contains(&storage) {
        return keep_all_but_status(old, new);
    }
    let mut metadata = new["metadata"].take();
    let kept = match storage {
        "deployments.apps" => "labels",
        "pods" => "ownerReferences",
        _ => "",
    };
    if !kept.is_empty() {
        put(&mut metadata, kept, old["metadata"].get(kept).cloned());
    }
    if storage == "daemonsets.apps" {
        let name = schema::TEMPLATE_GENERATION;
        let kept = old["metadata"]["annotations"].get(name).cloned();
        put(&mut metadata["annotations"], name, kept);
    }
    *new = old.clone();
    put(new, "metadata", Some(metadata));
}

fn keep_all_but_status(old: &Value, new: &mut Value) {
    let managed = new["metadata"].get("managedFields").cloned();
    *new = old.clone();
    put(&mut new["metadata"], "managedFields", managed);
}

fn restore_approval(old: &Value, new: &mut Value) {
    let kept =
        |condition: &&Value| matches!(condition["type"].as_str(), Some("Approved" | "Denied"));
    let of_old: Vec<Value> = old["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(kept)
        .cloned()
        .collect();
    let mut conditions: Vec<Value> = new["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| !kept(c))
        .cloned()
        .collect();
    conditions.splice(0..0, of_old);
    if !conditions.is_empty() {
        new["status"]["conditions"] = conditions.into();
    }
}

fn put(value: &mut Value, field: &str, member: Option<Value>) {
    match (member, value.as_object_mut()) {
        (Some(member), Some(_)) => value[field] = member,
        (None, Some(map)) => {
            map.remove(field);
        }
        (Some(member), None) => *value = json!({ field: member }),
        (None, None) => {}
    }
}
