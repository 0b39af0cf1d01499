//! What a ClusterResourceSet has done. Pure.

use std::collections::BTreeMap;
use std::convert::Infallible;

use api::addons::cluster_resource_set::reasons;
use kube::ResourceExt;
use runtime::Plan;

use super::{World, is_paused};
use crate::object;

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.set.metadata.deletion_timestamp.is_some() || is_paused(&world.set) {
        return plan;
    }
    let namespace = world.set.namespace().unwrap_or_default();
    // Moves with the set to another management cluster.
    let owner = object::owner_ref(&world.set, false);
    // What is of the wrong type is somebody else's, and would go with the set.
    let ours = world.resources.iter().flatten();
    for resource in ours.filter(|r| r.wrong_type().is_none()) {
        let target = resource.target(&namespace);
        plan.changes.extend(object::adopt(
            target,
            &resource.metadata,
            &owner,
            &BTreeMap::new(),
        ));
    }
    if let Some((reason, message)) = missing(world) {
        plan.wait(reason, message);
    }
    plan
}

/// What the set names and clusters cannot get, and the reason.
pub(super) fn missing(world: &World) -> Option<(&'static str, String)> {
    let mut wrong = world
        .resources
        .iter()
        .flatten()
        .filter_map(|r| r.wrong_type());
    if let Some(why) = wrong.next() {
        return Some((reasons::WRONG_SECRET_TYPE, why));
    }
    let named = world.set.spec.resources.iter().zip(&world.resources);
    let gone: Vec<String> = named
        .filter(|(_, resource)| resource.is_none())
        .map(|(reference, _)| format!("* {reference} does not exist"))
        .collect();
    (!gone.is_empty()).then(|| (reasons::NOT_APPLIED, gone.join("\n")))
}
