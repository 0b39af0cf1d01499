//! What a MachineHealthCheck shows. Pure.

use api::cluster::machine_health_check::{conditions, reasons};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::World;
use super::plan::Findings;
use crate::condition::{self, Condition};
use crate::object;

pub(super) fn status(world: &World, now: Timestamp) -> Value {
    let old = object::status_of(world.check.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(old);
    }
    let type_ = conditions::REMEDIATION_ALLOWED;
    let paused = condition::paused(false);
    let mut names: Vec<String> = world.machines.iter().map(|m| m.name_any()).collect();
    names.sort();
    if world.cluster.is_none() || world.is_blind() {
        let (reason, message) = match &world.cluster {
            Some(_) => ("ConnectionDown", world.link.message()),
            None => {
                let name = &world.check.spec.cluster_name;
                (
                    "ObjectDoesNotExist",
                    format!("Cluster {name} does not exist"),
                )
            }
        };
        let unknown = Condition::unknown(type_, reason, message);
        let mut status = old;
        status["conditions"] = condition::to_json(&[unknown, paused]);
        if let Some(status) = status.as_object_mut() {
            status.remove("observedGeneration");
        }
        return status;
    }
    let findings = Findings::of(world, now);
    let allowed = if findings.is_allowed() {
        Condition::yes(type_, reasons::REMEDIATION_ALLOWED)
    } else {
        Condition::no(type_, reasons::TOO_MANY_UNHEALTHY, findings.restriction())
    };
    json!({
        "expectedMachines": findings.expected(), "currentHealthy": findings.healthy(),
        "remediationsAllowed": findings.left(), "targets": names,
        "conditions": condition::to_json(&[allowed, paused]),
    })
}
