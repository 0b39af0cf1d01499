//! What a DaemonSet shows of its nodes and pods.

use jiff::Timestamp;
use runtime::{Change, Note, Outcome, Plan};
use serde_json::{Value, json};

use super::look::Look;
use super::node::Fit;
use super::{Act, World};
use crate::claim::failure;
use crate::pod;

/// How many nodes…
#[derive(Default)]
struct Counts {
    /// …are to have a pod.
    desired: usize,
    /// …have one that they are to have.
    current: usize,
    /// …have one that they are not to have.
    misscheduled: usize,
    ready: usize,
    updated: usize,
    available: usize,
}

pub(super) fn status(world: &World, now: Timestamp) -> Option<Value> {
    let look = Look::of(world, now)?;
    let counts = count(&look);
    let mut status = json!({
        "observedGeneration": world.daemon_set.metadata.generation,
        "desiredNumberScheduled": counts.desired,
        "currentNumberScheduled": counts.current,
        "numberMisscheduled": counts.misscheduled,
        "numberReady": counts.ready,
        "updatedNumberScheduled": counts.updated,
        "numberAvailable": counts.available,
        "numberUnavailable": counts.desired - counts.available,
        "collisionCount": world.history.collisions,
    });
    // Zero counts are absent, as Kubernetes writes them, but for these.
    const ALWAYS: [&str; 4] = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberMisscheduled",
        "numberReady",
    ];
    if let Some(map) = status.as_object_mut() {
        map.retain(|key, value| ALWAYS.contains(&key.as_str()) || *value != json!(0));
    }
    Some(status)
}

fn count(look: &Look<'_>) -> Counts {
    let mut counts = Counts::default();
    for (name, node) in &look.world.nodes {
        let pods = look.on(name);
        if look.fit(node) != Fit::Runs {
            counts.misscheduled += usize::from(!pods.is_empty());
            continue;
        }
        counts.desired += 1;
        let Some(oldest) = pods.first() else { continue };
        counts.current += 1;
        counts.updated += usize::from(look.is_updated(oldest));
        if pod::is_ready(oldest) {
            counts.ready += 1;
            counts.available += usize::from(look.is_available(oldest));
        }
    }
    counts
}

/// The event about something that the server refused.
pub(super) fn refusal(plan: &Plan<Act>, outcome: &Outcome) -> Note {
    let (reason, message) = match failure(plan, outcome) {
        Some((Change::Delete { .. }, why)) => ("FailedDelete", format!("Error deleting: {why}")),
        Some((_, why)) => ("FailedCreate", format!("Error creating: {why}")),
        None => ("FailedCreate", String::new()),
    };
    Note {
        about: None,
        warning: true,
        reason,
        message,
        after: None,
    }
}
