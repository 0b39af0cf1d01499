//! The bootstrap config and the infrastructure object of a Machine or a MachinePool, which belong to it and go with it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, ObjectRef, Plan};

use crate::contract::Contract;
use crate::object;

/// What it takes that the part belongs to `owner`: see [`object::adopt`].
#[must_use]
pub(crate) fn adopt<A>(
    part: &DynamicObject,
    owner: &OwnerReference,
    labels: &BTreeMap<String, String>,
) -> Option<Change<A>> {
    object::adopt(ObjectRef::of(part), &part.metadata, owner, labels)
}

/// Deletes the part, and waits for that with `reason`.
pub(crate) fn remove<A>(part: &DynamicObject, reason: &'static str, plan: &mut Plan<A>) {
    if part.metadata.deletion_timestamp.is_none() {
        plan.changes.push(object::delete_dynamic(part));
    }
    let what = format!("{} {}", Contract(part).kind(), part.name_any());
    plan.wait(reason, format!("Waiting for {what} to be deleted"));
}
