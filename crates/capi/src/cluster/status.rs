//! What a Cluster shows. Pure.

use std::collections::BTreeMap;

use api::cluster::Machine;
use api::cluster::cluster::{conditions, reasons};
use api::cluster::machine;
use api::meta::is_true;
use kube::ResourceExt;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::plan::{is_alone, is_unmanaged};
use super::{Act, World};
use crate::condition::{self, Condition, Part, Truth, aggregate, mirror, summary};
use crate::contract::Contract;
use crate::object;

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome) -> Value {
    let old = object::status_of(world.cluster.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(old);
    }
    let mut conditions = conditions_of(world, plan);
    if let Some(failure) = &outcome.failure {
        conditions.retain(|c| c.type_ != conditions::AVAILABLE);
        conditions.insert(
            0,
            Condition::unknown(conditions::AVAILABLE, failure.reason, &failure.message),
        );
    }
    let mut initialization = json!({});
    for (flag, is_set) in [
        ("infrastructureProvisioned", world.is_provisioned()),
        ("controlPlaneInitialized", world.is_initialized()),
    ] {
        if is_set {
            initialization[flag] = json!(true);
        }
    }
    let mut status = json!({
        "phase": phase(world),
        "conditions": condition::to_json(&conditions),
    });
    if initialization != json!({}) {
        status["initialization"] = initialization;
    }
    match &world.infrastructure {
        Some(infrastructure) => {
            let domains = Contract(infrastructure).failure_domains();
            if !domains.is_empty() && world.is_provisioned() {
                status["failureDomains"] = json!(domains);
            }
        }
        // What is gone takes nothing back: machines made meanwhile would have no domain.
        None if !old["failureDomains"].is_null() => {
            status["failureDomains"] = old["failureDomains"].clone();
        }
        None => {}
    }
    for (field, counters) in [
        ("controlPlane", control_plane_counters(world)),
        ("workers", worker_counters(world)),
    ] {
        if counters != json!({}) {
            status[field] = counters;
        }
    }
    status
}

fn phase(world: &World) -> &'static str {
    let spec = &world.cluster.spec;
    if world.cluster.metadata.deletion_timestamp.is_some() {
        "Deleting"
    } else if world.is_provisioned() && world.cluster.endpoint().is_some() {
        "Provisioned"
    } else if spec.infrastructure_ref.is_some() || spec.control_plane_ref.is_some() {
        "Provisioning"
    } else {
        "Pending"
    }
}

/// Counters of a status that may be missing, added up; what nobody reports stays missing.
#[derive(Default)]
struct Counters {
    fields: BTreeMap<&'static str, i32>,
    versions: BTreeMap<String, i32>,
}

impl Counters {
    fn add(&mut self, field: &'static str, count: Option<i32>) {
        if let Some(count) = count {
            *self.fields.entry(field).or_default() += count;
        }
    }

    fn add_versions(&mut self, versions: &[api::meta::VersionCount]) {
        for count in versions {
            *self.versions.entry(count.version.clone()).or_default() +=
                count.replicas.unwrap_or_default();
        }
    }

    fn add_machine(&mut self, machine: &Machine) {
        let has = |type_| Some(i32::from(is_true(machine.conditions(), type_)));
        self.add("desiredReplicas", Some(1));
        self.add("replicas", Some(1));
        self.add("readyReplicas", has(machine::conditions::READY));
        self.add("availableReplicas", has(machine::conditions::AVAILABLE));
        self.add("upToDateReplicas", has(machine::conditions::UP_TO_DATE));
        if let Some(version) = &machine.spec.version {
            *self.versions.entry(version.clone()).or_default() += 1;
        }
    }

    fn to_json(&self) -> Value {
        let mut json = json!(self.fields);
        if !self.versions.is_empty() {
            json["versions"] = self
                .versions
                .iter()
                .map(|(v, n)| json!({"version": v, "replicas": n}))
                .collect();
        }
        json
    }
}

const STATUS_COUNTERS: [&str; 4] = [
    "replicas",
    "readyReplicas",
    "availableReplicas",
    "upToDateReplicas",
];

fn control_plane_counters(world: &World) -> Value {
    let mut counters = Counters::default();
    match &world.control_plane {
        Some(control_plane) => {
            let contract = Contract(control_plane);
            counters.add("desiredReplicas", contract.replicas("spec", "replicas"));
            for field in STATUS_COUNTERS {
                counters.add(field, contract.replicas("status", field));
            }
            counters.add_versions(&contract.versions());
        }
        None => world
            .machines
            .iter()
            .filter(|m| m.is_control_plane())
            .for_each(|m| counters.add_machine(m)),
    }
    counters.to_json()
}

/// The counters of a status, in the order of [`STATUS_COUNTERS`], and its versions. The kinds have no type in common.
macro_rules! counts {
    ($status:expr) => {
        $status.as_ref().map(|s| {
            let counts = [
                s.replicas,
                s.ready_replicas,
                s.available_replicas,
                s.up_to_date_replicas,
            ];
            (counts, s.versions.as_deref().unwrap_or_default())
        })
    };
}

fn worker_counters(world: &World) -> Value {
    let mut counters = Counters::default();
    let deployments = world.deployments.iter();
    let deployments = deployments.map(|d| (d.replicas(), counts!(d.status)));
    let pools = world.pools.iter();
    let pools = pools.map(|p| (p.replicas(), counts!(p.status)));
    let sets = world.sets.iter().filter(|s| is_alone(s));
    let sets = sets.map(|s| (s.replicas(), counts!(s.status)));
    for (desired, reported) in deployments.chain(pools).chain(sets) {
        counters.add("desiredReplicas", Some(desired));
        if let Some((counts, versions)) = reported {
            for (field, count) in STATUS_COUNTERS.into_iter().zip(counts) {
                counters.add(field, count);
            }
            counters.add_versions(versions);
        }
    }
    let alone = world
        .machines
        .iter()
        .filter(|m| !m.is_control_plane() && is_unmanaged(m));
    alone.for_each(|m| counters.add_machine(m));
    counters.to_json()
}

fn conditions_of(world: &World, plan: &Plan<Act>) -> Vec<Condition> {
    let is_deleting = world.cluster.metadata.deletion_timestamp.is_some();
    let (control, workers): (Vec<_>, Vec<_>) =
        world.machines.iter().partition(|m| m.is_control_plane());
    let machines = |type_, of, machines: &[&std::sync::Arc<Machine>]| {
        let found: Vec<_> = machines
            .iter()
            .map(|m| {
                (
                    m.name_any(),
                    api::meta::find(m.conditions(), of).map(Condition::from),
                )
            })
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(name, c)| (name.as_str(), c.clone()))
            .collect();
        aggregate(type_, of, "Machine", &found)
    };
    let mut all = vec![
        infrastructure_ready(world),
        control_plane_available(world),
        if world.is_initialized() {
            Condition::yes(conditions::CONTROL_PLANE_INITIALIZED, reasons::INITIALIZED)
        } else {
            Condition::no(
                conditions::CONTROL_PLANE_INITIALIZED,
                reasons::NOT_INITIALIZED,
                "Control plane not yet initialized",
            )
        },
        workers_available(world),
        machines(
            conditions::CONTROL_PLANE_MACHINES_READY,
            machine::conditions::READY,
            &control,
        ),
        machines(
            conditions::WORKER_MACHINES_READY,
            machine::conditions::READY,
            &workers,
        ),
        machines(
            conditions::CONTROL_PLANE_MACHINES_UP_TO_DATE,
            machine::conditions::UP_TO_DATE,
            &control,
        ),
        machines(
            conditions::WORKER_MACHINES_UP_TO_DATE,
            machine::conditions::UP_TO_DATE,
            &workers,
        ),
        if world.link.is_up() {
            Condition::yes(
                conditions::REMOTE_CONNECTION_PROBE,
                reasons::PROBE_SUCCEEDED,
            )
        } else {
            Condition::no(
                conditions::REMOTE_CONNECTION_PROBE,
                reasons::PROBE_FAILED,
                world.link.message(),
            )
        },
        any_of(world, conditions::ROLLING_OUT),
        any_of(world, conditions::SCALING_UP),
        any_of(world, conditions::SCALING_DOWN),
        any_of(world, conditions::REMEDIATING),
        deleting(is_deleting, plan),
        condition::paused(false),
    ];
    let available = available(world, &all);
    all.insert(0, available);
    all
}

fn infrastructure_ready(world: &World) -> Condition {
    let type_ = conditions::INFRASTRUCTURE_READY;
    match (
        &world.infrastructure,
        &world.cluster.spec.infrastructure_ref,
    ) {
        (Some(infrastructure), _) => {
            let is_provisioned = Contract(infrastructure).is_provisioned();
            mirror(
                type_,
                infrastructure,
                "Ready",
                (is_provisioned, "status.initialization.provisioned"),
            )
        }
        (None, None) => Condition::yes(type_, "Ready"),
        (None, Some(reference)) => missing(world, type_, &reference.kind, world.is_provisioned()),
    }
}

fn control_plane_available(world: &World) -> Condition {
    let type_ = conditions::CONTROL_PLANE_AVAILABLE;
    match (&world.control_plane, &world.cluster.spec.control_plane_ref) {
        (Some(control_plane), _) => {
            let is_initialized = Contract(control_plane).is_control_plane_initialized();
            mirror(
                type_,
                control_plane,
                "Available",
                (
                    is_initialized,
                    "status.initialization.controlPlaneInitialized",
                ),
            )
        }
        (None, Some(reference)) => missing(world, type_, &reference.kind, world.is_initialized()),
        (None, None) if world.is_initialized() => Condition::yes(type_, "Available"),
        (None, None) => Condition::no(type_, "NotAvailable", "Control plane not yet initialized"),
    }
}

fn missing(world: &World, type_: &'static str, kind: &str, was_there: bool) -> Condition {
    if world.cluster.metadata.deletion_timestamp.is_some() {
        Condition::no(type_, "ObjectDeleted", format!("{kind} has been deleted"))
    } else if was_there {
        Condition::no(
            type_,
            "ObjectDeleted",
            format!("{kind} has been deleted while the cluster still exists"),
        )
    } else {
        Condition::no(
            type_,
            "ObjectDoesNotExist",
            format!("{kind} does not exist"),
        )
    }
}

/// The conditions of MachineDeployments and MachinePools, by kind and name.
fn workers(world: &World) -> Vec<(&'static str, String, &[api::meta::Condition])> {
    let deployments = world.deployments.iter().map(|d| {
        let conditions = d.status.as_ref().and_then(|s| s.conditions.as_deref());
        (
            "MachineDeployment",
            d.name_any(),
            conditions.unwrap_or_default(),
        )
    });
    let pools = world.pools.iter();
    let pools = pools.map(|p| ("MachinePool", p.name_any(), p.conditions()));
    deployments.chain(pools).collect()
}

fn workers_available(world: &World) -> Condition {
    let type_ = conditions::WORKERS_AVAILABLE;
    let workers = workers(world);
    if workers.is_empty() {
        return Condition::yes(type_, reasons::NO_WORKERS);
    }
    let of = |wanted: &str| {
        let found: Vec<_> = workers
            .iter()
            .filter(|(kind, ..)| *kind == wanted)
            .map(|(_, name, conditions)| {
                let found = api::meta::find(conditions, "Available").map(Condition::from);
                (name.as_str(), found)
            })
            .collect();
        (!found.is_empty()).then(|| aggregate(type_, "Available", wanted, &found))
    };
    let all: Vec<_> = ["MachineDeployment", "MachinePool"]
        .into_iter()
        .filter_map(of)
        .collect();
    // What is false counts more than what is unknown.
    let worst = [Truth::False, Truth::Unknown, Truth::True];
    let worst = worst
        .into_iter()
        .find_map(|truth| all.iter().find(|c| c.truth == truth));
    let messages: Vec<_> = all
        .iter()
        .map(|c| c.message.as_str())
        .filter(|m| !m.is_empty())
        .collect();
    worst.map_or_else(
        || Condition::yes(type_, reasons::NO_WORKERS),
        |worst| Condition {
            message: messages.join("\n"),
            ..worst.clone()
        },
    )
}

/// A negative condition that is true if it is true of the control plane, of any MachineDeployment or of any MachinePool.
fn any_of(world: &World, type_: &'static str) -> Condition {
    let mut messages = vec![];
    if let Some(control_plane) = &world.control_plane
        && let Some(found) = condition::of(control_plane, type_).filter(Condition::is_true)
    {
        let name = control_plane.name_any();
        messages.push(format!(
            "* {} {name}: {}",
            Contract(control_plane).kind(),
            found.message.replace('\n', "\n  ")
        ));
    }
    for (kind, name, conditions) in workers(world) {
        if let Some(found) = api::meta::find(conditions, type_).filter(|c| c.status == "True") {
            messages.push(format!(
                "* {kind} {name}: {}",
                found.message.replace('\n', "\n  ")
            ));
        }
    }
    if messages.is_empty() {
        Condition::no(type_, format!("Not{type_}"), "")
    } else {
        Condition::new(type_, Truth::True, type_, messages.join("\n"))
    }
}

fn deleting(is_deleting: bool, plan: &Plan<Act>) -> Condition {
    let type_ = conditions::DELETING;
    match plan.waits.first() {
        _ if !is_deleting => Condition::no(type_, "NotDeleting", ""),
        Some(wait) => Condition::new(type_, Truth::True, wait.reason, wait.message.clone()),
        None => Condition::new(
            type_,
            Truth::True,
            "DeletionCompleted",
            "Deletion completed",
        ),
    }
}

fn available(world: &World, all: &[Condition]) -> Condition {
    let find = |type_: &str| all.iter().find(|c| c.type_ == type_);
    let own = [
        (conditions::DELETING, true),
        (conditions::REMOTE_CONNECTION_PROBE, false),
        (conditions::INFRASTRUCTURE_READY, false),
        (conditions::CONTROL_PLANE_AVAILABLE, false),
        (conditions::WORKERS_AVAILABLE, false),
    ];
    let mut parts: Vec<_> = own
        .into_iter()
        .map(|(type_, is_negative)| Part {
            type_,
            condition: find(type_),
            is_negative,
            is_optional: false,
        })
        .collect();
    // Conditions that somebody else writes are only in the object as it is.
    let wire = world.cluster.conditions();
    let topology = api::meta::find(wire, conditions::TOPOLOGY_RECONCILED).map(Condition::from);
    if world.cluster.spec.topology.is_some() {
        parts.push(Part {
            type_: conditions::TOPOLOGY_RECONCILED,
            condition: topology.as_ref().filter(|c| is_issue_of_topology(c)),
            is_negative: false,
            is_optional: topology.is_some(),
        });
    }
    let gates = world.availability_gates();
    let others: Vec<_> = gates
        .iter()
        .map(|g| api::meta::find(wire, &g.condition_type).map(Condition::from))
        .collect();
    for (gate, other) in gates.iter().zip(&others) {
        parts.push(Part {
            type_: &gate.condition_type,
            condition: find(&gate.condition_type).or(other.as_ref()),
            is_negative: gate.polarity.as_deref() == Some("Negative"),
            is_optional: false,
        });
    }
    summary(conditions::AVAILABLE, &parts)
}

/// Whether what is said of the topology counts for `Available`: an upgrade on its way does not.
fn is_issue_of_topology(condition: &Condition) -> bool {
    let issues = [
        reasons::TOPOLOGY_RECONCILE_FAILED,
        reasons::TOPOLOGY_CLASS_NOT_RECONCILED,
    ];
    condition.is_true() || issues.contains(&&*condition.reason)
}
