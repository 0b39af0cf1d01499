//! The conditions of a namespace that is being deleted, in Kubernetes' own words.

use std::collections::BTreeMap;

use runtime::Outcome;
use serde_json::{Value, json};

use super::World;

pub(super) fn status(world: &World, outcome: &Outcome) -> Option<Value> {
    if !world.is_ours {
        return None;
    }
    let discovery = match &world.discovery_failure {
        Some(why) => (
            "True",
            "DiscoveryFailed",
            format!("Discovery failed for some groups: {why}"),
        ),
        None => (
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
    };
    let parsing = (
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed".to_owned(),
    );
    let deletion = match &outcome.failure {
        Some(failure) => ("True", "ContentDeletionFailed", failure.message.clone()),
        None => (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
    };
    let content = if world.content.is_empty() {
        (
            "False",
            "ContentRemoved",
            "All content successfully removed".to_owned(),
        )
    } else {
        ("True", "SomeResourcesRemain", remaining(world))
    };
    let finalizers = finalizers(world);
    let finalizers = if finalizers.is_empty() {
        (
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    } else {
        (
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {finalizers}"),
        )
    };
    let conditions: Vec<Value> = [
        ("NamespaceDeletionDiscoveryFailure", discovery),
        ("NamespaceDeletionGroupVersionParsingFailure", parsing),
        ("NamespaceDeletionContentFailure", deletion),
        ("NamespaceContentRemaining", content),
        ("NamespaceFinalizersRemaining", finalizers),
    ]
    .into_iter()
    .map(|(kind, (status, reason, message))| {
        json!({"type": kind, "status": status, "reason": reason, "message": message})
    })
    .collect();
    Some(json!({"phase": "Terminating", "conditions": conditions}))
}

/// What is left, by kind.
pub(super) fn remaining(world: &World) -> String {
    let counts: BTreeMap<String, usize> = world
        .content
        .iter()
        .map(|content| {
            (
                format!("{}.{}", content.resource.plural, content.resource.group),
                content.objects.len(),
            )
        })
        .collect();
    let list: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{kind} has {count} resource instances"))
        .collect();
    format!("Some resources are remaining: {}", list.join(", "))
}

fn finalizers(world: &World) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let objects = world.content.iter().flat_map(|content| &content.objects);
    for finalizer in objects.flat_map(|object| &object.finalizers) {
        *counts.entry(finalizer).or_default() += 1;
    }
    let list: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} in {count} resource instances"))
        .collect();
    list.join(", ")
}
