//! Cells of volumes, claims, quotas and configuration.

use serde_json::Value;

use super::row::{Row, list, scalar, scalar_or};
use super::workload::names;

/// Keys in both maps of a config map.
pub(super) fn config_entries(row: &Row<'_>) -> usize {
    let count = |path| row.at(path).as_object().map_or(0, serde_json::Map::len);
    count("data") + count("binaryData")
}

/// `RWO,RWX`.
pub(super) fn access_modes(modes: &Value) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let present = known
        .iter()
        .filter(|(mode, _)| list(modes).iter().any(|m| m == mode));
    present
        .map(|(_, short)| *short)
        .collect::<Vec<_>>()
        .join(",")
}

pub(super) fn phase(row: &Row<'_>) -> String {
    let phase = if row.is_deleting() {
        "Terminating"
    } else {
        row.text("status.phase")
    };
    phase.to_owned()
}

/// `namespace/name` of the claim to which a volume is bound.
pub(super) fn claim(row: &Row<'_>) -> String {
    let claim = row.at("spec.claimRef");
    if claim.is_null() {
        return String::new();
    }
    format!("{}/{}", scalar(&claim["namespace"]), scalar(&claim["name"]))
}

/// The class, also in its old place among the annotations.
pub(super) fn class(row: &Row<'_>) -> String {
    let annotation = &row.at("metadata.annotations")["volume.beta.kubernetes.io/storage-class"];
    annotation
        .as_str()
        .unwrap_or(row.text("spec.storageClassName"))
        .to_owned()
}

/// A claim's cell that has a meaning only once the claim is bound.
pub(super) fn bound(row: &Row<'_>, cell: impl Fn(&Row<'_>) -> String) -> String {
    if row.text("spec.volumeName").is_empty() {
        String::new()
    } else {
        cell(row)
    }
}

/// `cpu: 1/2, memory: 0/4Gi`: used of what is allowed, for limits or for everything else.
pub(super) fn quota(row: &Row<'_>, is_limit: bool) -> String {
    let used = row.at("status.used");
    let hard = row.at("status.hard").as_object().into_iter().flatten();
    let mut texts: Vec<String> = hard
        .filter(|(resource, _)| resource.starts_with("limits.") == is_limit)
        .map(|(resource, hard)| {
            format!(
                "{resource}: {}/{}",
                scalar_or(&used[resource.as_str()], "0"),
                scalar(hard)
            )
        })
        .collect();
    texts.sort();
    texts.join(", ")
}

pub(super) fn name_of_class(row: &Row<'_>) -> String {
    let annotations = row.at("metadata.annotations");
    let is_default = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
        "volumeattributesclass.alpha.kubernetes.io/is-default-class",
    ]
    .iter()
    .any(|key| annotations[*key] == "true");
    let note = if is_default { " (default)" } else { "" };
    format!("{}{note}", row.name())
}

pub(super) fn token_requests(row: &Row<'_>) -> String {
    if row.at("spec.tokenRequests").is_null() {
        return "<unset>".to_owned();
    }
    names(row.object, "spec.tokenRequests", "audience").join(",")
}

pub(super) fn lifecycle_modes(row: &Row<'_>) -> String {
    let modes: Vec<String> = row
        .list("spec.volumeLifecycleModes")
        .iter()
        .map(scalar)
        .collect();
    if modes.is_empty() {
        "<none>".to_owned()
    } else {
        modes.join(",")
    }
}

/// `pending`, `allocated,reserved`, `deleted,allocated`.
pub(super) fn claim_state(row: &Row<'_>) -> String {
    let is_allocated = !row.at("status.allocation").is_null();
    let is_reserved = is_allocated && !row.list("status.reservedFor").is_empty();
    let states = [
        (row.is_deleting(), "deleted"),
        (!is_allocated && !row.is_deleting(), "pending"),
        (is_allocated, "allocated"),
        (is_reserved, "reserved"),
    ];
    let present = states.iter().filter(|(holds, _)| *holds);
    present.map(|(_, word)| *word).collect::<Vec<_>>().join(",")
}
