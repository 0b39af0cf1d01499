//! What a KubeadmControlPlane shows. Pure.

use api::cluster::machine;
use api::cluster::rules::Version;
use api::controlplane::kubeadm_control_plane::{conditions, reasons};
use api::meta::labels;
use jiff::Timestamp;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::{Act, World, health, remediation};
use crate::condition::{self, Condition, Truth};
use crate::{object, replicas};

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Value {
    let old = object::status_of(world.control_plane.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(old);
    }
    let mut status = replicas::count(&world.machines);
    status["selector"] = json!(format!(
        "{}={},{}=",
        labels::CLUSTER_NAME,
        world.cluster_name(),
        labels::CONTROL_PLANE
    ));
    let versions = world
        .machines
        .iter()
        .filter_map(|m| m.spec.version.as_deref());
    if let Some(lowest) = versions.min_by_key(|v| Version::parse(v)) {
        status["version"] = json!(lowest);
    }
    if world.is_known_initialized() {
        status["initialization"] = json!({"controlPlaneInitialized": true});
    }
    match remediation::last(world) {
        Some(last) => status["lastRemediation"] = json!(last),
        None if !old["lastRemediation"].is_null() => {
            status["lastRemediation"] = old["lastRemediation"].clone();
        }
        None => {}
    }
    let is_deleting = world.control_plane.metadata.deletion_timestamp.is_some();
    let have = i32::try_from(world.machines.len()).unwrap_or(i32::MAX);
    let mut blocked: Vec<String> = plan.waits.iter().map(|w| w.message.clone()).collect();
    blocked.extend(outcome.failure.iter().map(|f| f.message.clone()));
    let mut all = vec![
        if world.is_known_initialized() {
            Condition::yes(conditions::INITIALIZED, reasons::INITIALIZED)
        } else {
            Condition::no(conditions::INITIALIZED, reasons::NOT_INITIALIZED, "")
        },
        certificates(world, plan),
        health::etcd_healthy(world),
        health::components_healthy(world),
        replicas::of_machines(
            conditions::MACHINES_READY,
            machine::conditions::READY,
            &world.machines,
        ),
        replicas::of_machines(
            conditions::MACHINES_UP_TO_DATE,
            machine::conditions::UP_TO_DATE,
            &world.machines,
        ),
        rolling_out(world, now, &blocked),
    ];
    all.extend(replicas::scaling(
        have,
        world.control_plane.replicas(),
        is_deleting,
        &blocked,
    ));
    all.push(crate::remediation::remediating(
        conditions::REMEDIATING,
        &world.machines,
    ));
    all.push(deleting(plan, is_deleting));
    all.push(condition::paused(false));
    all.insert(0, available(world, &all, is_deleting));
    status["conditions"] = condition::to_json(&all);
    status
}

fn deleting(plan: &Plan<Act>, is_deleting: bool) -> Condition {
    match plan.waits.first() {
        _ if !is_deleting => Condition::no(conditions::DELETING, "NotDeleting", ""),
        Some(wait) => Condition::new(
            conditions::DELETING,
            Truth::True,
            wait.reason,
            wait.message.clone(),
        ),
        None => Condition::new(
            conditions::DELETING,
            Truth::True,
            "DeletionCompleted",
            "Deletion completed",
        ),
    }
}

fn certificates(world: &World, plan: &Plan<Act>) -> Condition {
    let type_ = conditions::CERTIFICATES_AVAILABLE;
    match plan
        .waits
        .iter()
        .find(|w| w.reason == reasons::CERTIFICATES_NOT_AVAILABLE)
    {
        Some(wait) => Condition::no(type_, wait.reason, wait.message.clone()),
        None if world.authorities.missing().len() == crate::pki::Purpose::ALL.len() => {
            Condition::unknown(type_, "NotAvailable", "Certificates are not made yet")
        }
        None => Condition::yes(type_, reasons::CERTIFICATES_AVAILABLE),
    }
}

fn rolling_out(world: &World, now: Timestamp, blocked: &[String]) -> Condition {
    let type_ = conditions::ROLLING_OUT;
    let outdated: Vec<_> = world
        .machines
        .iter()
        .map(|m| world.differences(m, now))
        .filter(|d| !d.is_empty())
        .collect();
    if outdated.is_empty() {
        return Condition::no(type_, "NotRollingOut", "");
    }
    let mut why: Vec<_> = outdated.iter().flatten().collect();
    why.sort_by_key(|w| (!w.starts_with("Version"), (*w).clone()));
    why.dedup();
    let why: String = why.iter().map(|w| format!("\n* {w}")).collect();
    let what = format!("Rolling out {} not up-to-date replicas", outdated.len());
    let held = match blocked {
        [] => String::new(),
        _ => format!("\n{}", replicas::blocked_by("It", blocked)),
    };
    Condition::new(type_, Truth::True, type_, format!("{what}{why}{held}"))
}

fn available(world: &World, all: &[Condition], is_deleting: bool) -> Condition {
    let type_ = conditions::AVAILABLE;
    let find = |type_: &str| all.iter().find(|c| c.type_ == type_);
    let mut problems = vec![];
    if !world.is_initialized() {
        problems.push("* Control plane not yet initialized".to_owned());
    } else {
        let is_stacked = world.is_etcd_stacked();
        if !world
            .machines
            .iter()
            .any(|m| health::is_healthy(m, is_stacked))
        {
            problems.push("* There are no Machines with healthy control plane components, at least 1 required".to_owned());
        }
        if !health::has_quorum(world) {
            problems.push("* etcd has no healthy majority".to_owned());
        }
    }
    if let Some(certificates) = find(conditions::CERTIFICATES_AVAILABLE).filter(|c| !c.is_true()) {
        problems.push(format!(
            "* Control plane certificates are not available: {}",
            certificates.message
        ));
    }
    if is_deleting {
        problems.push("* Control plane metadata.deletionTimestamp is set".to_owned());
    }
    if problems.is_empty() {
        return Condition::yes(type_, type_);
    }
    if world.is_initialized() && !world.link.is_up() && !is_deleting {
        return Condition::unknown(type_, "AvailableUnknown", world.link.message());
    }
    Condition::no(type_, "NotAvailable", problems.join("\n"))
}
