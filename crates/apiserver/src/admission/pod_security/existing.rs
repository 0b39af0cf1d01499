//! The pods that a namespace has when it asks for a tighter level: they stay, and are named.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::checks::{Pod, reasons, violations};
use super::policy::LevelVersion;
use crate::auth::Objects;
use crate::object::Object;

/// Pods looked at; the others are only counted.
const MAX_PODS: usize = 3000;
/// How long the look may take.
const MAX_TIME: Duration = Duration::from_secs(1);
/// Other requests get their turn after this many pods.
const TURN: usize = 64;

/// Warnings about the pods of a namespace that break this level, equal ones together.
pub(super) async fn warnings(
    objects: &dyn Objects,
    namespace: &str,
    enforce: LevelVersion,
) -> Vec<String> {
    let deadline = Instant::now() + MAX_TIME;
    let pods = prioritized(objects.list("pods", Some(namespace)));
    let (total, mut checked) = (pods.len(), 0);
    // By what is wrong: the first pod and how many there are.
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in pods.iter().take(MAX_PODS) {
        let value = pod.value();
        let broken = violations(
            enforce,
            &Pod {
                metadata: &value["metadata"],
                spec: &value["spec"],
            },
        );
        checked += 1;
        if !broken.is_empty() {
            let name = pod.header.name.to_string();
            let (first, count) = found.entry(reasons(&broken)).or_default();
            *count += 1;
            if *count == 1 || name < *first {
                *first = name;
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        if checked % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut warnings = Vec::new();
    if checked < total {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut lines: Vec<String> = found
        .into_iter()
        .map(|(what, (first, count))| match count {
            1 => format!("{first}: {what}"),
            2 => format!("{first} (and 1 other pod): {what}"),
            _ => format!("{first} (and {} other pods): {what}", count - 1),
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

/// One pod of each workload before the others of it: they are alike.
fn prioritized(pods: Vec<Arc<Object>>) -> Vec<Arc<Object>> {
    let mut seen = HashSet::new();
    let (mut first, others): (Vec<_>, Vec<_>) =
        pods.into_iter().partition(|pod| match controller(pod) {
            Some(uid) => seen.insert(uid),
            None => true,
        });
    first.extend(others);
    first
}

/// The uid of the workload that a pod belongs to, read without decoding the rest.
fn controller(pod: &Object) -> Option<String> {
    #[derive(Deserialize)]
    struct Owned {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        #[serde(default)]
        owner_references: Vec<Owner>,
    }
    #[derive(Deserialize)]
    struct Owner {
        uid: String,
        #[serde(default)]
        controller: bool,
    }
    let owned: Owned = serde_json::from_slice(&pod.json).ok()?;
    let mut owners = owned.metadata.owner_references.into_iter();
    owners.find(|owner| owner.controller).map(|owner| owner.uid)
}
