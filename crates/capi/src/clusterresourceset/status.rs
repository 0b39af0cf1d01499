//! What a ClusterResourceSet shows. Pure.

use std::collections::BTreeMap;

use api::addons::ClusterResourceSetBinding;
use api::addons::cluster_resource_set::{conditions, reasons};
use api::addons::cluster_resource_set_binding::NOT_APPLIED;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{World, is_paused, plan};
use crate::condition::{self, Condition, named};
use crate::object;

/// Messages about clusters that are shown; the others are counted.
const SHOWN_MAX: usize = 5;

pub(super) fn status(world: &World) -> Value {
    if is_paused(&world.set) {
        return condition::paused_status(object::status_of(world.set.status.as_ref()));
    }
    let paused = condition::paused(false);
    json!({"conditions": condition::to_json(&[applied(world), paused])})
}

fn applied(world: &World) -> Condition {
    let type_ = conditions::RESOURCES_APPLIED;
    if let Some((reason, message)) = plan::missing(world) {
        return Condition::no(type_, reason, message);
    }
    let bindings: BTreeMap<String, &ClusterResourceSetBinding> = world
        .bindings
        .iter()
        .map(|b| (b.spec.cluster_name.clone(), &**b))
        .collect();
    let mut by_message: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cluster in &world.clusters {
        let name = cluster.name_any();
        if let Some(why) = missing_in(world, bindings.get(&name).copied()) {
            by_message.entry(why).or_default().push(name);
        }
    }
    if by_message.is_empty() {
        return Condition::yes(type_, reasons::APPLIED);
    }
    let mut lines: Vec<String> = by_message
        .iter()
        .take(SHOWN_MAX)
        .map(|(why, clusters)| {
            let clusters: Vec<_> = clusters.iter().map(String::as_str).collect();
            format!("* {}: {why}", named("Cluster", &clusters))
        })
        .collect();
    if by_message.len() > SHOWN_MAX {
        lines.push(format!(
            "* ... ({} more messages)",
            by_message.len() - SHOWN_MAX
        ));
    }
    Condition::no(type_, reasons::NOT_APPLIED, lines.join("\n"))
}

/// Why a cluster has not got everything of the set, if so.
fn missing_in(world: &World, binding: Option<&ClusterResourceSetBinding>) -> Option<String> {
    let set = world.set.name_any();
    let is_missing = world.set.spec.resources.iter().any(|resource| {
        let found = binding.and_then(|b| b.find(&set, resource));
        !found.is_some_and(|f| f.applied)
    });
    let why = binding.and_then(|b| object::annotation(&b.metadata, NOT_APPLIED));
    // Lines about other sets are none of this one's business.
    let ours = format!("{set}: ");
    let lines: Vec<_> = why.iter().flat_map(|w| w.lines()).collect();
    let lines: Vec<_> = lines.iter().filter_map(|l| l.strip_prefix(&ours)).collect();
    match (is_missing, lines.is_empty()) {
        (false, _) => None,
        (true, true) => Some("not applied yet".to_owned()),
        (true, false) => Some(lines.join("; ")),
    }
}
