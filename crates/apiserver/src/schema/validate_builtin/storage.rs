//! Volumes, claims and classes.

use cel::Quantity;
use serde_json::Value;

use super::{Report, items, text};

pub(super) fn claim(spec: &Value, old: Option<&Value>, report: &mut Report) {
    if items(&spec["accessModes"]).next().is_none() {
        report.required("spec.accessModes", "at least 1 access mode is required");
    }
    match spec["resources"]["requests"]["storage"].as_str() {
        None => report.required("spec.resources[storage]", ""),
        Some(size) => {
            let is_positive = Quantity::parse(size).is_some_and(|size| size.milli() > 0);
            if !is_positive {
                report.invalid(
                    "spec.resources[storage]",
                    &size.into(),
                    "must be greater than zero",
                );
            }
        }
    }
    if !spec["selector"].is_null() {
        super::selector(&spec["selector"], "spec.selector", report);
    }
    let Some(old) = old else { return };
    let before = &old["spec"];
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(members) = spec.as_object_mut() {
            members.remove("resources");
            members.remove("volumeAttributesClassName");
            // Binding gives a claim its volume, once.
            if text(before, "volumeName").is_empty() {
                members.remove("volumeName");
            }
            if before["storageClassName"].is_null() {
                members.remove("storageClassName");
            }
        }
        spec
    };
    if fixed(spec) != fixed(before) {
        let what = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        report.forbidden("spec", what);
    }
    let size = |spec: &Value| {
        spec["resources"]["requests"]["storage"]
            .as_str()
            .and_then(Quantity::parse)
    };
    if let (Some(new), Some(old_size)) = (size(spec), size(before))
        && new < old_size
        && new.milli() < status_size(old)
    {
        let what = "field can not be less than status.capacity";
        report.forbidden("spec.resources.requests.storage", what);
    }
}

fn status_size(claim: &Value) -> i128 {
    claim["status"]["capacity"]["storage"]
        .as_str()
        .and_then(Quantity::parse)
        .map_or(i128::MAX, |size| size.milli())
}

pub(super) fn volume(spec: &Value, report: &mut Report) {
    if items(&spec["accessModes"]).next().is_none() {
        report.required("spec.accessModes", "");
    }
    if spec["capacity"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        report.required("spec.capacity", "");
    }
    const OTHER: &[&str] = &[
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let sources = spec
        .as_object()
        .into_iter()
        .flat_map(|members| members.keys())
        .filter(|name| !OTHER.contains(&name.as_str()))
        .count();
    match sources {
        0 => report.required("spec", "must specify a volume type"),
        1 => {}
        _ => report.forbidden("spec", "may not specify more than 1 volume type"),
    }
    if spec["local"].is_object() && spec["nodeAffinity"].is_null() {
        report.required("spec.nodeAffinity", "Local volume requires node affinity");
    }
}

pub(super) fn class(class: &Value, old: Option<&Value>, report: &mut Report) {
    if text(class, "provisioner").is_empty() {
        report.required("provisioner", "");
    }
    let Some(old) = old else { return };
    for (name, what) in [
        ("parameters", "updates to parameters are forbidden."),
        ("provisioner", "updates to provisioner are forbidden."),
        ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
    ] {
        if class[name] != old[name] {
            report.forbidden(name, what);
        }
    }
    report.immutable(
        "volumeBindingMode",
        &class["volumeBindingMode"],
        &old["volumeBindingMode"],
    );
}
