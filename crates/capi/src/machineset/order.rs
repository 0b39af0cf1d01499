//! Which machines go first when there are too many. Pure.

use api::cluster::{Machine, machine};
use api::meta::{find, labels};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::object;

/// Ten days: the age at which "old" begins to matter less.
const AGE_SCALE_SECONDS: f64 = 864_000.0;

/// How much a machine should go: those that go anyway, then those that somebody marked, then the unhealthy, then by age.
fn priority(machine: &Machine, order: &str, now: Timestamp) -> f64 {
    let conditions = machine.conditions();
    let is_false = |type_| find(conditions, type_).is_some_and(|c| c.status == "False");
    if machine.is_deleting() {
        return 100.0;
    }
    if object::annotation(&machine.metadata, labels::DELETE_MACHINE).is_some() {
        return 80.0;
    }
    if machine.node_name().is_none()
        || is_false(machine::conditions::NODE_HEALTHY)
        || is_false(machine::conditions::HEALTH_CHECK_SUCCEEDED)
    {
        return 50.0;
    }
    let created = machine
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |t| t.0);
    let age = now.duration_since(created).as_secs_f64().max(0.0);
    let oldness = 50.0 * (1.0 - (-age / AGE_SCALE_SECONDS).exp());
    match order {
        "Oldest" => oldness,
        "Newest" => 50.0 - oldness,
        _ => 20.0,
    }
}

/// The machines in the order in which they should go; ties by name.
pub(super) fn by_priority<'a, M: AsRef<Machine>>(
    machines: &'a [M],
    order: &str,
    now: Timestamp,
) -> Vec<&'a Machine> {
    let mut ranked: Vec<_> = machines
        .iter()
        .map(|m| (priority(m.as_ref(), order, now), m.as_ref()))
        .collect();
    ranked.sort_by(|(a, m), (b, n)| b.total_cmp(a).then_with(|| m.name_any().cmp(&n.name_any())));
    ranked.into_iter().map(|(_, m)| m).collect()
}
