//! Whether a pod may stay on its node, and for how long.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Toleration;
use runtime::Plan;

use super::World;
use crate::pod;
use crate::scheduler::filter::tolerates;

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let Some(end) = end(world) else { return plan };
    let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
    if !left.is_zero() {
        plan.again_in = Some(left);
        return plan;
    }
    let condition = pod::disrupted(
        &world.pod,
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
        now,
    );
    plan.changes.extend(condition);
    let meta = &world.pod.metadata;
    let name = meta.name.as_deref().unwrap_or_default();
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    plan.change(
        pod::delete(&world.pod),
        "TaintManagerEviction",
        format!("Marking for deletion Pod {namespace}/{name}"),
    );
    plan
}

/// When the pod has to go, if it has to.
fn end(world: &World) -> Option<Timestamp> {
    let spec = world.pod.spec.as_ref();
    let tolerations = spec.and_then(|s| s.tolerations.as_deref());
    let tolerations = tolerations.unwrap_or_default();
    let mut end: Option<Timestamp> = None;
    for (taint, since) in &world.taints {
        // Who came later is tolerated from then on.
        let since = arrived(world).map_or(*since, |arrived| arrived.max(*since));
        let tolerating: Vec<&Toleration> = tolerations
            .iter()
            .filter(|toleration| tolerates(toleration, taint))
            .collect();
        let seconds = tolerating.iter().filter_map(|t| t.toleration_seconds).min();
        let until = match (tolerating.is_empty(), seconds) {
            (true, _) => since,
            (false, None) => continue,
            (false, Some(seconds)) => {
                let pause = jiff::SignedDuration::from_secs(seconds.max(0));
                since.checked_add(pause).unwrap_or(Timestamp::MAX)
            }
        };
        end = Some(end.map_or(until, |end| end.min(until)));
    }
    end
}

/// When the pod came to its node.
fn arrived(world: &World) -> Option<Timestamp> {
    let conditions = world.pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "True")?;
    scheduled.last_transition_time.as_ref().map(|t| t.0)
}
