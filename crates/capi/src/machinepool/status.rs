//! What a MachinePool shows. Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::cluster::machine;
use api::cluster::machine_pool::{conditions, reasons};
use api::meta::find;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::plan::{kubelet_version, pool_nodes, readiness};
use super::{Act, World};
use crate::condition::{self, Condition, Truth, mirror};
use crate::contract::Contract;
use crate::{object, remediation, replicas};

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Value {
    let old = object::status_of(world.pool.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(old);
    }
    let mut status = json!({});
    let template = &world.pool.spec.template.spec;
    let bootstrap = world.bootstrap.as_deref().map(Contract);
    let flags = [
        (
            "bootstrapDataSecretCreated",
            template.bootstrap.data_secret_name.is_some()
                || bootstrap.is_some_and(|b| b.is_data_secret_created()),
        ),
        (
            "infrastructureProvisioned",
            world.contract().is_some_and(|i| i.is_provisioned()),
        ),
    ];
    for (flag, is_set) in flags {
        if is_set || old["initialization"][flag] == true {
            status["initialization"][flag] = json!(true);
        }
    }
    if world.link.is_up() {
        let nodes = pool_nodes(world);
        let refs = nodes.iter().map(
            |n| json!({"apiVersion": "v1", "kind": "Node", "name": n.name_any(), "uid": n.uid()}),
        );
        status["nodeRefs"] = refs.collect();
    } else if !old["nodeRefs"].is_null() {
        status["nodeRefs"] = old["nodeRefs"].clone();
    }
    count(world, &old, &mut status, now);
    status["phase"] = json!(phase(world, &status));
    let all = all_conditions(world, &status, plan, outcome);
    status["conditions"] = condition::to_json(&all);
    status
}

/// Counters: of Machines, or of Nodes where the infrastructure has no objects for single machines.
fn count(world: &World, old: &Value, status: &mut Value, now: Timestamp) {
    let replicas = world
        .contract()
        .and_then(|i| i.replicas("status", "replicas"));
    let counted = if world.has_machines() {
        replicas::count(&world.machines)
    } else if world.link.is_up() {
        count_nodes(world, replicas.unwrap_or_default(), now)
    } else {
        old.clone()
    };
    for field in [
        "readyReplicas",
        "availableReplicas",
        "upToDateReplicas",
        "versions",
    ] {
        if !counted[field].is_null() {
            status[field] = counted[field].clone();
        }
    }
    status["replicas"] = match replicas {
        Some(replicas) => json!(replicas),
        // The infrastructure is gone: what is left of the machines counts.
        None if world.has_machines() => counted["replicas"].clone(),
        None => json!(0),
    };
}

fn count_nodes(world: &World, replicas: i32, now: Timestamp) -> Value {
    let (mut ready, mut available) = (0, 0);
    let mut versions = BTreeMap::<&str, i32>::new();
    for node in pool_nodes(world) {
        let (is_ready, is_available) = readiness(world, node, now);
        ready += i32::from(is_ready);
        available += i32::from(is_available);
        if let Some(version) = kubelet_version(node) {
            *versions.entry(version).or_default() += 1;
        }
    }
    let wanted = world.pool.spec.template.spec.version.as_deref();
    let outdated: i32 = versions
        .iter()
        .filter(|(version, _)| wanted.is_some_and(|wanted| wanted != **version))
        .map(|(_, count)| count)
        .sum();
    let mut counted = json!({
        "readyReplicas": ready,
        "availableReplicas": available,
        "upToDateReplicas": (replicas - outdated).max(0),
    });
    if !versions.is_empty() {
        let list = versions
            .iter()
            .map(|(v, n)| json!({"version": v, "replicas": n}));
        counted["versions"] = list.collect();
    }
    counted
}

fn phase(world: &World, status: &Value) -> &'static str {
    let is_set = |flag: &str| status["initialization"][flag] == true;
    if world.is_deleting() {
        return "Deleting";
    }
    let wanted = i64::from(world.pool.replicas());
    let ready = status["readyReplicas"].as_i64().unwrap_or_default();
    let is_scaled_elsewhere = world.pool.is_externally_scaled();
    match ready.cmp(&wanted) {
        _ if !is_set("bootstrapDataSecretCreated") => "Pending",
        _ if !is_set("infrastructureProvisioned") => "Provisioning",
        std::cmp::Ordering::Equal => "Running",
        _ if is_scaled_elsewhere => "Scaling",
        std::cmp::Ordering::Less => "ScalingUp",
        std::cmp::Ordering::Greater => "ScalingDown",
    }
}

fn all_conditions(
    world: &World,
    status: &Value,
    plan: &Plan<Act>,
    outcome: &Outcome,
) -> Vec<Condition> {
    let infrastructure = infrastructure_ready(world, status);
    let count = |field: &str| i32::try_from(status[field].as_i64().unwrap_or_default());
    let count = |field: &str| count(field).unwrap_or(i32::MAX);
    let mut blocked: Vec<String> = plan.waits.iter().map(|w| w.message.clone()).collect();
    blocked.extend(outcome.failure.iter().map(|f| f.message.clone()));
    if infrastructure.truth == Truth::False && !infrastructure.message.is_empty() {
        blocked.push(infrastructure.message.clone());
    }
    let (ready, up_to_date) = if world.has_machines() {
        (
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
        )
    } else {
        let of = |type_, good: &str, word: &str, have: i32| {
            let all = count("replicas");
            if all == 0 {
                Condition::yes(type_, "NoReplicas")
            } else if have >= all {
                Condition::yes(type_, good.to_owned())
            } else {
                let message = format!("{have} of {all} nodes are {word}");
                Condition::no(type_, format!("Not{good}"), message)
            }
        };
        let updated = count("upToDateReplicas");
        (
            of(
                conditions::MACHINES_READY,
                "Ready",
                "ready",
                count("readyReplicas"),
            ),
            of(
                conditions::MACHINES_UP_TO_DATE,
                "UpToDate",
                "up-to-date",
                updated,
            ),
        )
    };
    let mut all = vec![
        available(world, &infrastructure, count("availableReplicas")),
        bootstrap_ready(world),
        infrastructure,
        ready,
        up_to_date,
    ];
    all.push(rolling_out(
        world,
        count("replicas") - count("upToDateReplicas"),
    ));
    all.extend(replicas::scaling(
        count("replicas"),
        world.pool.replicas(),
        world.is_deleting(),
        &blocked,
    ));
    all.push(remediation::remediating(
        conditions::REMEDIATING,
        &world.machines,
    ));
    all.push(deleting(world, plan));
    all.push(condition::paused(false));
    all
}

/// Whether there are machines that have something else than is wanted, and what. The infrastructure knows more of what its machines are
/// made from.
fn rolling_out(world: &World, outdated_nodes: i32) -> Condition {
    let type_ = conditions::ROLLING_OUT;
    let machines = world.machines.iter();
    let outdated: Vec<_> = machines
        .filter_map(|m| find(m.conditions(), machine::conditions::UP_TO_DATE))
        .filter(|c| c.status == "False")
        .collect();
    let count = if world.has_machines() {
        outdated.len()
    } else {
        usize::try_from(outdated_nodes).unwrap_or_default()
    };
    let infrastructure = world.infrastructure.as_deref();
    let other = infrastructure
        .and_then(|i| condition::of(i, type_))
        .filter(Condition::is_true);
    if count == 0 && other.is_none() {
        return Condition::no(type_, "NotRollingOut", "");
    }
    let mut message = match count {
        0 => "Rolling out".to_owned(),
        count => format!("Rolling out {count} not up-to-date replicas"),
    };
    let lines: BTreeSet<&str> = outdated.iter().flat_map(|c| c.message.lines()).collect();
    for line in lines {
        message.push('\n');
        message.push_str(line);
    }
    if let (Some(other), Some(infrastructure)) = (other, world.contract()) {
        message.push_str("\n* ");
        message.push_str(infrastructure.kind());
        message.push_str(": ");
        message.push_str(&other.message.replace('\n', "\n  "));
    }
    Condition::new(type_, Truth::True, type_, message)
}

fn available(world: &World, infrastructure: &Condition, available: i32) -> Condition {
    let type_ = conditions::AVAILABLE;
    let wanted = world.pool.replicas();
    let mut problems = vec![];
    if world.is_deleting() {
        problems.push("* Deletion in progress".to_owned());
    }
    if !infrastructure.is_true() {
        let message = infrastructure.message.replace('\n', "\n  ");
        problems.push(format!("* InfrastructureReady: {message}"));
    }
    if available < wanted {
        problems.push(format!(
            "* {available} available replicas, at least {wanted} required"
        ));
    }
    if problems.is_empty() {
        Condition::yes(type_, reasons::AVAILABLE)
    } else {
        Condition::no(type_, reasons::NOT_AVAILABLE, problems.join("\n"))
    }
}

fn bootstrap_ready(world: &World) -> Condition {
    let type_ = conditions::BOOTSTRAP_CONFIG_READY;
    let reference = world.pool.spec.template.spec.bootstrap.config_ref.as_ref();
    match (&world.bootstrap, reference) {
        (Some(bootstrap), _) => of_part(
            type_,
            bootstrap,
            Contract(bootstrap).is_data_secret_created(),
            "status.initialization.dataSecretCreated",
        ),
        (None, None) => Condition::yes(type_, reasons::DATA_SECRET_PROVIDED),
        (None, Some(reference)) => missing(world, type_, (&reference.kind, &reference.name), false),
    }
}

fn infrastructure_ready(world: &World, status: &Value) -> Condition {
    let type_ = conditions::INFRASTRUCTURE_READY;
    let reference = &world.pool.spec.template.spec.infrastructure_ref;
    match &world.infrastructure {
        Some(infrastructure) => of_part(
            type_,
            infrastructure,
            Contract(infrastructure).is_provisioned(),
            "status.initialization.provisioned",
        ),
        None if !world.foreign.is_empty() => {
            Condition::no(type_, reasons::OWNED_BY_ANOTHER, world.foreign.join("; "))
        }
        None => {
            let was_there = status["initialization"]["infrastructureProvisioned"] == true;
            missing(world, type_, (&reference.kind, &reference.name), was_there)
        }
    }
}

fn of_part(type_: &'static str, part: &DynamicObject, is_good: bool, flag: &str) -> Condition {
    mirror(type_, part, "Ready", (is_good, flag))
}

fn missing(
    world: &World,
    type_: &'static str,
    (kind, name): (&str, &str),
    was_there: bool,
) -> Condition {
    let (reason, what) = match (world.is_deleting(), was_there) {
        (true, _) => ("ObjectDeleted", "has been deleted"),
        (false, true) => (
            "ObjectDeleted",
            "has been deleted while the MachinePool still exists",
        ),
        (false, false) => ("ObjectDoesNotExist", "does not exist"),
    };
    Condition::no(type_, reason, format!("{kind} {name} {what}"))
}

fn deleting(world: &World, plan: &Plan<Act>) -> Condition {
    let type_ = conditions::DELETING;
    match plan.waits.first() {
        _ if !world.is_deleting() => Condition::no(type_, "NotDeleting", ""),
        Some(wait) => Condition::new(type_, Truth::True, wait.reason, wait.message.clone()),
        None => Condition::new(
            type_,
            Truth::True,
            "DeletionCompleted",
            "Deletion completed",
        ),
    }
}
