//! What an autoscaler shows. Pure.

use jiff::Timestamp;
use runtime::{Outcome, Plan, rfc3339};
use serde_json::{Value, json};

use super::decide::decide;
use super::{Act, World};

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Value {
    let decision = decide(world, now);
    let old = world.autoscaler.status.as_ref();
    let wants = plan
        .changes
        .iter()
        .any(|change| matches!(change, runtime::Change::Act(Act::Scale { .. })));
    let is_done = wants && outcome.failure.is_none();
    let mut conditions: Vec<Value> = vec![];
    // What a look says nothing of stays as it was.
    let known = old
        .and_then(|s| s.conditions.as_ref())
        .into_iter()
        .flatten();
    for condition in known {
        if !decision
            .conditions
            .iter()
            .any(|(ty, ..)| *ty == condition.type_)
        {
            conditions.push(json!(condition));
        }
    }
    for (ty, status, reason, message) in &decision.conditions {
        let mut said = (*status, *reason, message.clone());
        if *ty == "AbleToScale"
            && let Some(failure) = outcome.failure.as_ref().filter(|_| wants)
        {
            let message = format!(
                "the HPA controller was unable to update the target scale: {}",
                failure.message
            );
            said = (false, "FailedUpdateScale", message);
        }
        let status = if said.0 { "True" } else { "False" };
        conditions.push(json!({"type": ty, "status": status, "reason": said.1, "message": said.2}));
    }
    conditions.sort_by_key(|condition| condition["type"].as_str().map(str::to_owned));
    let scaled = old.and_then(|s| s.last_scale_time.as_ref()).map(|t| t.0);
    let scaled = if is_done { Some(now) } else { scaled };
    let current = world
        .scale
        .as_ref()
        .map_or(decision.current, |scale| scale.current);
    let desired = if wants && !is_done {
        decision.current
    } else {
        decision.desired
    };
    json!({
        "observedGeneration": world.autoscaler.metadata.generation,
        "lastScaleTime": scaled.map(rfc3339),
        "currentReplicas": current,
        "desiredReplicas": desired,
        "currentMetrics": decision.measured,
        "conditions": conditions,
    })
}
