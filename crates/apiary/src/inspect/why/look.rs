//! The way from an object to what holds it up: kind by kind, where to look next. Pure.

use std::cell::RefCell;
use std::collections::BTreeMap;

use api::meta::labels;
use serde_json::Value;

use super::advice::advice;
use super::{Cause, Link, Weight, is_behind, is_well, summary};
use crate::inspect::world::{Key, Missing, World, is_control_plane, is_controlled_by};
use crate::object::{
    self, Condition, annotation, condition, conditions, first_reason, is_deleting, kind, name,
};

/// Parts that are looked into at most, of those that are not well.
const PARTS_MAX: usize = 200;
/// Names of others that are told.
const OTHERS_MAX: usize = 5;

/// Ends the claim of a cause that no condition explains.
pub(super) const UNEXPLAINED: &str = "no condition says why";

/// A way through a world that remembers what it has seen.
pub(super) struct Look<'a> {
    world: &'a World,
    /// Objects on the way, so that nothing waits for itself.
    trail: RefCell<Vec<Key>>,
    seen: RefCell<BTreeMap<Key, String>>,
}

impl<'a> Look<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        Self {
            world,
            trail: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// Objects that were looked at, with what sums each up.
    pub(super) fn looked_at(self) -> Vec<String> {
        self.seen.into_inner().into_values().collect()
    }

    /// What holds up an object that is not well.
    pub(super) fn at(&self, object: &'a Value) -> Option<Cause> {
        let key = Key::of(object);
        if self.trail.borrow().contains(&key) {
            return None;
        }
        self.seen.borrow_mut().insert(key.clone(), seen(object));
        self.trail.borrow_mut().push(key);
        let mut cause = self
            .blocked(object)
            .or_else(|| is_deleting(object).then(|| self.deleting(object)))
            .or_else(|| self.below(object))
            .or_else(|| bad_condition(object).map(|found| says(object, found)));
        self.trail.borrow_mut().pop();
        if let Some(cause) = &mut cause {
            cause.chain.insert(0, Link::to(object));
        }
        cause
    }

    /// The worst that is wrong with parts of an object that is well itself.
    pub(super) fn parts(&self, object: &'a Value) -> Option<Cause> {
        let key = Key::of(object);
        self.seen.borrow_mut().insert(key.clone(), seen(object));
        self.trail.borrow_mut().push(key);
        let cause = self.below(object);
        self.trail.borrow_mut().pop();
        cause.map(|mut cause| {
            cause.chain.insert(0, Link::to(object));
            cause
        })
    }

    /// What keeps a controller from doing anything at all: a pause, a reference to nothing, a status that is not of now.
    fn blocked(&self, object: &Value) -> Option<Cause> {
        if let Some(pause) = pause(self.world, object) {
            let claim = format!("{pause}, so its controllers leave it alone");
            return Some(fact(self.world, object, "Paused", claim));
        }
        if is_deleting(object) {
            return None;
        }
        if let Some((reference, missing)) = self.world.dangling(object).into_iter().next() {
            let Key { group, kind, name } = &reference.to;
            let (reason, why) = match missing {
                // Machines are made before their parts.
                Missing::Object if is_being_made(object) => {
                    let (kind, name) = object::controller(object).unwrap_or_default();
                    (
                        "PartNotMadeYet",
                        format!("which {kind} {name} has not made yet"),
                    )
                }
                Missing::Object => ("ReferenceNotFound", "which does not exist".to_owned()),
                Missing::Kind => (
                    "KindNotServed",
                    format!("a kind of {group} that the management cluster does not serve"),
                ),
            };
            let claim = format!("{} names {kind} {name:?}, {why}", reference.field);
            return Some(fact(self.world, object, reason, claim));
        }
        let status = &object["status"];
        if is_behind(object) {
            let (seen, now) = (
                &status["observedGeneration"],
                &object["metadata"]["generation"],
            );
            let claim = format!(
                "status is of generation {seen}, and it is at {now}: its controller has not looked at the last change yet"
            );
            return Some(fact(self.world, object, "NotReconciledYet", claim));
        }
        let is_untouched = status.as_object().is_none_or(serde_json::Map::is_empty);
        is_untouched.then(|| {
            let claim = "status is empty: its controller has not looked at it yet, or does not run";
            fact(self.world, object, "NotReconciledYet", claim.to_owned())
        })
    }

    /// Where to look next, by kind.
    fn below(&self, object: &'a Value) -> Option<Cause> {
        match kind(object) {
            "Cluster" => self.cluster(object),
            "MachineDeployment" | "MachineSet" | "MachinePool" => self.pool(object),
            "Machine" => self.machine(object),
            "MachineHealthCheck" => self.health_check(object),
            "App" => self.app(object),
            _ if object::group(object) == api::meta::CONTROL_PLANE_GROUP => {
                self.control_plane(object)
            }
            _ => self.part(object),
        }
    }

    /// The worst of what holds these up.
    fn worst(&self, objects: impl Iterator<Item = &'a Value>) -> Option<Cause> {
        let looked = objects.inspect(|object| {
            let key = Key::of(object);
            self.seen
                .borrow_mut()
                .entry(key)
                .or_insert_with(|| seen(object));
        });
        let unwell = looked.filter(|object| !is_well(object)).take(PARTS_MAX);
        let causes = unwell.filter_map(|object| Some((object, self.at(object)?)));
        // The same cause is told once.
        let mut groups: Vec<(String, Cause, Vec<String>)> = vec![];
        for (object, cause) in causes {
            let what = format!("{} {}", cause.reason, cause.claim).replace(name(object), "*");
            match groups.iter_mut().find(|(same, ..)| *same == what) {
                Some((_, first, names)) => {
                    names.push(name(object).to_owned());
                    names.extend(cause.same);
                    first.others.extend(cause.others);
                }
                None => groups.push((what, cause, vec![])),
            }
        }
        // Stable: of equals the first.
        groups.sort_by_key(|(_, cause, names)| std::cmp::Reverse((cause.weight, names.len())));
        let mut groups = groups.into_iter();
        let (_, mut worst, names) = groups.next()?;
        worst.same.extend(names);
        for (_, other, names) in groups.take(OTHERS_MAX) {
            let link = other.chain.first().map(super::text::label);
            let more = match names.len() + other.same.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            worst.others.push(format!(
                "{}{more}: {}",
                link.unwrap_or_default(),
                other.claim
            ));
        }
        Some(worst)
    }

    fn cluster(&self, cluster: &'a Value) -> Option<Cause> {
        if let Some(cause) = self.worst(self.world.infrastructure().into_iter()) {
            return Some(cause);
        }
        let control_plane = self.world.control_plane();
        let unmanaged = self.world.control_plane_machines();
        let unmanaged = unmanaged.filter(|_| control_plane.is_none());
        if let Some(cause) = self.worst(control_plane.into_iter().chain(unmanaged)) {
            return Some(cause);
        }
        let probe = condition(cluster, "RemoteConnectionProbe").filter(|c| !c.is_good());
        if let Some(probe) = probe {
            return Some(says(cluster, probe));
        }
        let is_alone =
            |object: &&Value| object::controller(object).is_none() && !is_control_plane(object);
        let sets = self.world.of_kind("MachineSet").filter(is_alone);
        let machines = self.world.of_kind("Machine").filter(is_alone);
        let workers = self.world.pools().chain(sets).chain(machines);
        if let Some(cause) = self.worst(workers) {
            return Some(cause);
        }
        // Machines that are not well, of owners that are well without them.
        self.worst(self.world.of_kind("Machine"))
    }

    fn control_plane(&self, object: &'a Value) -> Option<Cause> {
        let certificates =
            condition(object, "CertificatesAvailable").filter(|c| c.status == "False");
        let machines: Vec<&Value> = self.world.control_plane_machines().collect();
        if machines.is_empty()
            && let Some(cause) = self.worst(self.world.infrastructure().into_iter())
        {
            return Some(cause);
        }
        if let Some(certificates) = certificates {
            return Some(says(object, certificates));
        }
        self.worst(machines.into_iter())
            .or_else(|| self.scaling(object))
    }

    fn pool(&self, object: &'a Value) -> Option<Cause> {
        let sets = self.world.sets_of(object).filter(|set| {
            // A set that is well in numbers but cannot grow says why itself.
            !is_well(set) && self.world.machines_of(set).next().is_none()
        });
        let machines: Vec<&Value> = match kind(object) {
            "MachineSet" => {
                let all = self.world.of_kind("Machine");
                all.filter(|m| is_controlled_by(m, object)).collect()
            }
            _ => self.world.machines_of(object).collect(),
        };
        // A pool's machines come from one bootstrap config and one object of the infrastructure.
        let parts = [
            "spec.template.spec.bootstrap.configRef",
            "spec.template.spec.infrastructureRef",
        ];
        let parts = parts
            .into_iter()
            .filter(|_| kind(object) == "MachinePool")
            .filter_map(|field| self.world.referred(object, field));
        self.worst(machines.into_iter())
            .or_else(|| self.worst(parts))
            .or_else(|| self.scaling(object))
            .or_else(|| self.worst(sets))
    }

    /// Why replicas cannot be made or removed now. If that is because the control plane is at work, how that is.
    fn scaling(&self, object: &'a Value) -> Option<Cause> {
        let blocked = ["ScalingUp", "RollingOut", "ScalingDown"]
            .iter()
            .filter_map(|ty| condition(object, ty))
            .find(|c| c.is_true() && c.message.contains("blocked because"))?;
        let control_plane = self.world.control_plane();
        if blocked.message.contains("ControlPlaneIsStable")
            && let Some(control_plane) = control_plane.filter(|c| !Key::of(c).eq(&Key::of(object)))
        {
            let found = match is_well(control_plane) {
                true => super::activity(control_plane).map(|doing| {
                    let mut cause = says(control_plane, doing);
                    cause.weight = Weight::Waits;
                    cause.chain = vec![Link::to(control_plane)];
                    cause
                }),
                false => self.at(control_plane),
            };
            if found.is_some() {
                return found;
            }
        }
        Some(says(object, blocked))
    }

    fn machine(&self, machine: &'a Value) -> Option<Cause> {
        let is_bad = |ty: &str| condition(machine, ty).filter(|c| !c.is_good());
        for (ty, field) in [
            ("BootstrapConfigReady", "spec.bootstrap.configRef"),
            ("InfrastructureReady", "spec.infrastructureRef"),
        ] {
            let Some(found) = is_bad(ty) else { continue };
            let part = self.world.referred(machine, field);
            let part = part.filter(|part| !is_well(part));
            return part
                .and_then(|part| self.at(part))
                .or_else(|| Some(says(machine, found)));
        }
        let health = is_bad("HealthCheckSucceeded");
        let node = is_bad("NodeHealthy").or_else(|| is_bad("NodeReady"));
        if node.is_some_and(|n| n.message.contains("control plane to be initialized")) {
            let control_plane = self.world.control_plane().filter(|c| !is_well(c));
            if let Some(cause) = control_plane.and_then(|c| self.at(c)) {
                return Some(cause);
            }
        }
        let found = node.or(health).or_else(|| bad_condition(machine))?;
        let mut cause = says(machine, found);
        let remedy = is_bad("OwnerRemediated");
        cause.detail.extend(
            health
                .and(remedy)
                .map(|remedy| format!("It is not replaced yet: {}", told(remedy))),
        );
        if let Some(check) = self.unwilling_check(machine).filter(|_| health.is_some()) {
            cause.detail.push(check);
        }
        let is_checked = conditions(machine)
            .iter()
            .any(|c| c.ty == "HealthCheckSucceeded");
        // A machine that nobody replaces, or that may be all of the control plane, is not lightly deleted.
        let is_replaced = object::controller(machine).is_some() && !is_control_plane(machine);
        if node.is_some() && !is_checked && is_replaced && cause.advice.is_none() {
            cause.advice = Some(super::advice::unchecked(machine));
        }
        Some(cause)
    }

    /// The health check that would have the machine replaced, and may not.
    fn unwilling_check(&self, machine: &Value) -> Option<String> {
        let mut checks = self.world.of_kind("MachineHealthCheck");
        checks.find_map(|check| {
            let allowed = condition(check, "RemediationAllowed").filter(|c| c.status == "False")?;
            let selector = check["spec"]["selector"]["matchLabels"].as_object()?;
            let is_selected = selector
                .iter()
                .all(|(key, value)| object::label(machine, key) == value.as_str());
            is_selected.then(|| {
                format!(
                    "MachineHealthCheck {} does not have it replaced: {}",
                    name(check),
                    told(allowed)
                )
            })
        })
    }

    fn health_check(&self, check: &'a Value) -> Option<Cause> {
        let allowed = condition(check, "RemediationAllowed").filter(|c| c.status == "False");
        let of_cluster = self.world.of_kind("Machine");
        let sick: Vec<&Value> = of_cluster
            .filter(|m| condition(m, "HealthCheckSucceeded").is_some_and(|c| !c.is_true()))
            .collect();
        let Some(allowed) = allowed else {
            return self.worst(sick.into_iter());
        };
        let mut cause = says(check, allowed);
        cause.detail.extend(sick.iter().filter_map(|machine| {
            let found = condition(machine, "HealthCheckSucceeded")?;
            Some(format!("machine {}: {}", name(machine), told(found)))
        }));
        Some(cause)
    }

    /// Apps wait for their cluster or their catalog; all else they say themselves.
    fn app(&self, app: &'a Value) -> Option<Cause> {
        let reason = condition(app, "Ready").map_or("", |c| c.reason);
        let is_about = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if is_about(&["Cluster", "Kubeconfig"]) && !self.world.cluster.is_null() {
            let cluster = &self.world.cluster;
            if let Some(cause) = Some(cluster)
                .filter(|c| !is_well(c))
                .and_then(|c| self.at(c))
            {
                return Some(cause);
            }
        }
        if is_about(&["Catalog"]) {
            let named = app["spec"]["catalog"].as_str().unwrap_or_default();
            let catalogs = self.world.of_kind("Catalog");
            if let Some(cause) = self.worst(catalogs.filter(|c| name(c) == named)) {
                return Some(cause);
            }
        }
        let status = &app["status"]["release"];
        let (Some(state), Some(why)) = (status["status"].as_str(), status["reason"].as_str())
        else {
            return None;
        };
        let is_old = condition(app, "Ready").is_none() && state != "deployed";
        is_old.then(|| {
            let condition = Condition {
                ty: "Ready",
                status: "False",
                reason: state,
                message: why,
                since: None,
            };
            says(app, condition)
        })
    }

    /// Infrastructure, bootstrap configuration and other parts: they wait for each other, the cluster's infrastructure or its
    /// control plane, or say what is wrong.
    fn part(&self, object: &'a Value) -> Option<Cause> {
        let found = bad_condition(object)?;
        let waits_for = match found.reason {
            "WaitingForControlPlaneInitialized" | "WaitingForControlPlaneAvailable" => {
                self.world.control_plane()
            }
            "WaitingForClusterInfrastructureReady" | "WaitingForClusterInfrastructure" => {
                self.world.infrastructure()
            }
            "WaitingForBootstrapData" => {
                let owner = object::controller(object).map(|(_, name)| name);
                let machines = self.world.of_kind("Machine");
                let machine = machines.into_iter().find(|m| Some(name(m)) == owner);
                machine.and_then(|m| self.world.referred(m, "spec.bootstrap.configRef"))
            }
            _ => None,
        };
        waits_for
            .filter(|other| !is_well(other))
            .and_then(|other| self.at(other))
            .or_else(|| Some(says(object, found)))
    }

    /// What the deletion of an object waits for.
    fn deleting(&self, object: &'a Value) -> Cause {
        let found = condition(object, "Deleting").filter(Condition::is_true);
        let reason = found.map_or("", |c| c.reason);
        let is_worker = |machine: &&Value| !is_control_plane(machine);
        let cause = match (kind(object), reason) {
            (_, "WaitingForWorkersDeletion") => {
                let machines = self.world.of_kind("Machine").filter(is_worker);
                let pools = self.world.pools();
                let leaving = machines.filter(|m| is_deleting(m));
                self.worst(leaving)
                    .or_else(|| self.worst(pools.filter(|p| is_deleting(p))))
            }
            (_, "WaitingForControlPlaneDeletion") => {
                self.worst(self.world.control_plane().into_iter())
            }
            ("Cluster", "WaitingForInfrastructureDeletion") => {
                self.worst(self.world.infrastructure().into_iter())
            }
            ("Machine", "WaitingForInfrastructureDeletion") => {
                let part = self.world.referred(object, "spec.infrastructureRef");
                self.worst(part.into_iter())
            }
            ("Machine", "WaitingForBootstrapDeletion") => {
                let part = self.world.referred(object, "spec.bootstrap.configRef");
                self.worst(part.into_iter())
            }
            (_, "WaitingForMachineDeletion") => {
                let mine = self.world.of_kind("Machine");
                self.worst(mine.filter(|m| is_controlled_by(m, object) && is_deleting(m)))
            }
            _ => None,
        };
        cause.unwrap_or_else(|| match found {
            Some(found) => says(object, found),
            None => self.held(object),
        })
    }

    /// An object that is being deleted and says nothing about it.
    fn held(&self, object: &Value) -> Cause {
        let names = object["metadata"]["finalizers"].as_array();
        let names: Vec<&str> = names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        // A controller that has let go has looked, whatever the status says.
        let is_held_by_own = names.iter().any(|name| name.contains("cluster.x-k8s.io"));
        if is_held_by_own && condition(object, "Deleting").is_some() {
            let claim = "status is of the time before: its controller has not looked at it since";
            return fact(self.world, object, "NotReconciledYet", claim.to_owned());
        }
        let claim = format!(
            "finalizers {} are still there: who set them has not let go of it",
            names.join(", ")
        );
        Cause {
            weight: Weight::Waits,
            ..fact(self.world, object, "Finalizers", claim)
        }
    }
}

/// Whether a machine is one whose owner still has to make its parts.
fn is_being_made(object: &Value) -> bool {
    let is_provisioned = object["status"]["initialization"]["infrastructureProvisioned"] == true;
    kind(object) == "Machine" && object::controller(object).is_some() && !is_provisioned
}

/// What pauses an object, as a noun phrase.
pub(super) fn pause(world: &World, object: &Value) -> Option<String> {
    if annotation(object, labels::PAUSED).is_some() {
        return Some(format!("annotation {} is set", labels::PAUSED));
    }
    if object["spec"]["paused"] == true {
        return Some("spec.paused is true".to_owned());
    }
    let of_cluster = world.cluster["spec"]["paused"] == true && kind(object) != "App";
    of_cluster.then(|| format!("cluster {} has spec.paused", name(&world.cluster)))
}

/// One line about an object.
fn seen(object: &Value) -> String {
    let link = super::text::label(&Link::to(object));
    match summary(object) {
        Some(found) if found.reason.is_empty() => format!("{link} ({}={})", found.ty, found.status),
        Some(found) => format!("{link} ({}={} {})", found.ty, found.status, found.reason),
        None => format!("{link} (no condition sums it up)"),
    }
}

/// The condition that says best what is wrong: not the one that sums others up, with words if there are any.
fn bad_condition(object: &Value) -> Option<Condition<'_>> {
    let is_bad = |c: &Condition<'_>| {
        let is_ours = c.ty != "Paused" && c.ty != super::summary_type(object);
        // What is under way holds nothing up, if nothing says so.
        let is_work = c.is_negative() && !c.message.contains("blocked because");
        is_ours && !is_work && !c.is_good() && c.ty != "Available"
    };
    let mut bad: Vec<_> = conditions(object).into_iter().filter(is_bad).collect();
    bad.sort_by_key(|c| (c.message.is_empty(), c.status == "Unknown"));
    let summary = summary(object).filter(|c| !c.is_good());
    let best = bad.first().filter(|c| !c.message.is_empty()).copied();
    best.or_else(|| summary.filter(|c| !c.message.is_empty()))
        .or_else(|| bad.first().copied())
        .or(summary)
        .or_else(|| condition(object, "Available").filter(|c| !c.is_good()))
}

/// Whether the reason says no more than the type and status.
fn is_empty(found: Condition<'_>) -> bool {
    let (reason, ty) = (found.reason, found.ty);
    reason == ty
        || reason.strip_prefix("Not") == Some(ty)
        || reason.strip_suffix("Unknown") == Some(ty)
        || matches!(reason, "" | "NotReady" | "NotAvailable" | "InternalError")
}

/// Reason and message in a line. A reason that repeats the type says nothing.
fn told(found: Condition<'_>) -> String {
    let message = first_reason(found.message);
    match (message.is_empty(), is_empty(found)) {
        (true, _) => found.reason.to_owned(),
        (false, true) => message,
        (false, false) => format!("{}: {message}", found.reason),
    }
}

/// A cause that a condition tells.
fn says(object: &Value, found: Condition<'_>) -> Cause {
    let is_waiting = found.reason.starts_with("Waiting") || found.reason == "Booting";
    let is_silent = found.message.is_empty() && is_empty(found);
    let weight = match found.status {
        _ if is_silent => Weight::Unknown,
        _ if is_waiting => Weight::Waits,
        "Unknown" => Weight::Unknown,
        _ => Weight::Stuck,
    };
    let told_lines = first_reason(found.message);
    // Lines that the claim does not have already.
    let detail = found
        .message
        .lines()
        .skip_while(|line| {
            let line = line.trim_start().trim_start_matches("* ");
            told_lines.contains(line)
        })
        .map(str::to_owned);
    Cause {
        chain: vec![],
        weight,
        claim: if is_silent {
            format!("{}, and {UNEXPLAINED}", found.reason)
        } else {
            told(found)
        },
        detail: detail.collect(),
        reason: found.reason.to_owned(),
        since: found.since,
        advice: advice(object, found.reason, found.message),
        same: vec![],
        others: vec![],
    }
}

/// A cause that is no condition but plain to see; `claim` continues "its …".
fn fact(world: &World, object: &Value, reason: &str, claim: String) -> Cause {
    let advice = match reason {
        "Paused" if annotation(object, labels::PAUSED).is_none() => {
            let paused = if object["spec"]["paused"] == true {
                object
            } else {
                &world.cluster
            };
            advice(paused, reason, &claim)
        }
        _ => advice(object, reason, &claim),
    };
    Cause {
        chain: vec![],
        weight: Weight::Fact,
        claim,
        detail: vec![],
        reason: reason.to_owned(),
        since: None,
        advice,
        same: vec![],
        others: vec![],
    }
}
