//! What health checks and owners of machines say to each other, by conditions of the Machine. Pure.
//!
//! A check says `HealthCheckSucceeded` false, and `OwnerRemediated` false if something may be done. The owner answers in the latter what it
//! does: each applies what it says, and takes it back when the machine is healthy again.

use api::cluster::Machine;
use api::cluster::machine::conditions;
use api::cluster::machine_health_check::reasons;
use api::meta::{Condition, find};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use runtime::Change;
use serde_json::{Value, json};

use crate::condition::{self, Truth};
use crate::object;

fn is_false(machine: &Machine, type_: &str) -> bool {
    find(machine.conditions(), type_).is_some_and(|c| c.status == "False")
}

/// Whether the owner of the machine is asked to replace it.
#[must_use]
pub(crate) fn is_wanted(machine: &Machine) -> bool {
    is_false(machine, conditions::HEALTH_CHECK_SUCCEEDED)
        && is_false(machine, conditions::OWNER_REMEDIATED)
        && !is_elsewhere(machine)
}

/// Whether somebody else is asked to heal the machine.
fn is_elsewhere(machine: &Machine) -> bool {
    find(machine.conditions(), conditions::EXTERNALLY_REMEDIATED).is_some()
}

/// The answer of the owner.
#[must_use]
pub(crate) fn answer<A>(
    machine: &Machine,
    reason: &'static str,
    message: &str,
    now: Timestamp,
) -> Change<A> {
    let condition = condition(
        machine.conditions(),
        (conditions::OWNER_REMEDIATED, "False"),
        (reason, message),
        now,
    );
    say(machine, &[condition])
}

/// Takes back what an owner has said of a machine that is healthy again, or that somebody else heals now.
#[must_use]
pub(crate) fn take_back<A>(machine: &Machine) -> Option<Change<A>> {
    let is_said = find(machine.conditions(), conditions::OWNER_REMEDIATED).is_some();
    let is_sick = is_false(machine, conditions::HEALTH_CHECK_SUCCEEDED);
    (is_said && (!is_sick || is_elsewhere(machine))).then(|| say(machine, &[]))
}

/// A condition, since when it has been so.
#[must_use]
pub(crate) fn condition(
    known: &[Condition],
    (type_, status): (&str, &str),
    (reason, message): (&str, &str),
    now: Timestamp,
) -> Value {
    let before = find(known, type_).filter(|c| c.status == status);
    let since = before.map_or(now, |c| c.last_transition_time.0);
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": runtime::rfc3339(since),
    })
}

/// Says these conditions of a machine, and no others any more.
#[must_use]
pub(crate) fn say<A>(machine: &Machine, conditions: &[Value]) -> Change<A> {
    let metadata = ObjectMeta {
        name: machine.metadata.name.clone(),
        namespace: machine.metadata.namespace.clone(),
        uid: machine.metadata.uid.clone(),
        ..ObjectMeta::default()
    };
    let status = if conditions.is_empty() {
        json!({})
    } else {
        json!({"conditions": conditions})
    };
    let (version, kind) = (Machine::api_version(&()), Machine::kind(&()));
    let object = object::build(&version, &kind, metadata, json!({"status": status}));
    Change::ApplyStatus(Box::new(object))
}

/// The condition of an owner that says whether it replaces machines; `type_` is its name there. Machines that are not being
/// replaced, and what is said of those that are.
#[must_use]
pub(crate) fn remediating<M: AsRef<Machine>>(
    type_: &'static str,
    machines: &[M],
) -> condition::Condition {
    let mut lines: Vec<String> = machines
        .iter()
        .map(AsRef::as_ref)
        .filter(|machine| is_wanted(machine))
        .map(|machine| {
            let said = find(machine.conditions(), conditions::OWNER_REMEDIATED);
            let said = said.map(|c| c.message.as_str()).unwrap_or_default();
            format!("* Machine {}: {said}", machine.name_any())
        })
        .collect();
    if lines.is_empty() {
        return condition::Condition::no(type_, "NotRemediating", "");
    }
    lines.sort();
    condition::Condition::new(type_, Truth::True, type_, lines.join("\n"))
}

/// What an owner says of a machine that it deletes for its health.
pub(crate) const DELETING: (&str, &str) = (
    reasons::MACHINE_DELETING,
    "The machine is being deleted, another one takes its place",
);
