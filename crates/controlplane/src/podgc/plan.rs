//! Whether a pod has to go.

use std::time::Duration;

use jiff::Timestamp;
use runtime::{Change, Plan};
use serde_json::json;

use super::{Act, Place, World};
use crate::pod;

/// A node may be away for so long: it may only register anew.
const QUARANTINE: Duration = Duration::from_secs(40);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    let mut plan = Plan::default();
    let is_going = world.pod.metadata.deletion_timestamp.is_some();
    let is_lost = match world.place {
        Place::None | Place::OutOfService => is_going,
        Place::There => false,
        Place::Missing(since) => {
            let been = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            let left = QUARANTINE.saturating_sub(been);
            plan.again_in = (!left.is_zero()).then_some(left);
            left.is_zero()
        }
    };
    if !is_lost && !world.is_surplus {
        return plan;
    }
    if !pod::is_over(&world.pod) {
        let mut status = json!({
            "phase": "Failed", "observedGeneration": world.pod.metadata.generation,
        });
        if matches!(world.place, Place::Missing(_)) {
            let message = "PodGC: node no longer exists";
            let conditions = pod::with_disruption(&world.pod, "DeletionByPodGC", message, now);
            status["conditions"] = json!(conditions);
        }
        plan.changes.push(Change::Patch {
            target: pod::reference(&world.pod),
            subresource: "status",
            patch: json!({"metadata": pod::known_as(&world.pod), "status": status}),
        });
    }
    plan.changes.push(Change::Act(Act::Delete));
    plan
}
