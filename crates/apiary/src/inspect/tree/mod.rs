//! A cluster as a tree of its objects: what `apiary describe cluster` shows. Pure.

mod text;

#[cfg(test)]
mod tests;

pub use text::text;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::world::{Missing, World, is_controlled_by};
use crate::object::{self, Condition, condition, conditions, count, is_deleting, kind, name};

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Every machine on a line of its own, also where several are in the same state.
    pub each: bool,
    /// Infrastructure and bootstrap configuration also of machines that are ready.
    pub all: bool,
    /// Whose conditions are shown one by one: kinds, `Kind/name`, or `all`; letter case does not count.
    pub conditions: Vec<String>,
}

impl Options {
    fn shows_conditions(&self, object: &Value) -> bool {
        let full = format!("{}/{}", kind(object), name(object));
        self.conditions.iter().any(|wanted| {
            let is = |what: &str| wanted.eq_ignore_ascii_case(what);
            is("all") || is(kind(object)) || is(&full)
        })
    }
}

/// Counters of replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub replicas: i64,
    /// How many there should be; `None` of what is no set of machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<i64>,
    pub available: i64,
    pub ready: i64,
    pub up_to_date: i64,
}

/// A condition as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    #[serde(rename = "type")]
    pub ty: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub since: Option<Timestamp>,
    /// Whether all is as one would like it.
    #[serde(skip)]
    pub is_good: bool,
}

impl From<Condition<'_>> for Shown {
    fn from(condition: Condition<'_>) -> Self {
        Self {
            ty: condition.ty.to_owned(),
            status: condition.status.to_owned(),
            reason: condition.reason.to_owned(),
            message: condition.message.to_owned(),
            since: condition.since,
            is_good: condition.is_good(),
        }
    }
}

/// One object of the tree, several machines in the same state, or a heading (which has no name).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it is to the object above, where the kind does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// The condition that sums it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Shown>,
    /// All its conditions, if they are to be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Shown>,
    /// Names of machines that are in the same state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// The tree of a cluster.
#[must_use]
pub fn tree(world: &World, options: &Options) -> Node {
    let build = Build { world, options };
    let cluster = &world.cluster;
    let status = &cluster["status"];
    let sum = |field: &str| {
        let parts = ["controlPlane", "workers"];
        let counts = parts.iter().map(|part| count(&status[*part][field]));
        counts.sum::<i64>()
    };
    let mut root = build.node(cluster, "Available");
    root.counts = Some(Counts {
        replicas: sum("replicas"),
        desired: Some(sum("desiredReplicas")),
        available: sum("availableReplicas"),
        ready: sum("readyReplicas"),
        up_to_date: sum("upToDateReplicas"),
    });
    root.children.extend(build.infrastructure());
    root.children.extend(build.control_plane());
    root.children.extend(build.workers());
    root.children.extend(build.health_checks());
    root
}

/// What the parts of a tree are made from.
struct Build<'a> {
    world: &'a World,
    options: &'a Options,
}

impl<'a> Build<'a> {
    /// An object whose state is this condition, or its deletion.
    fn node(&self, object: &Value, ty: &str) -> Node {
        let deleting = condition(object, "Deleting").filter(|_| is_deleting(object));
        let found = deleting.or_else(|| condition(object, ty)).map(Shown::from);
        let shown = if self.options.shows_conditions(object) {
            conditions(object).into_iter().map(Shown::from).collect()
        } else {
            vec![]
        };
        Node {
            kind: kind(object).to_owned(),
            name: name(object).to_owned(),
            condition: found.or_else(|| without_condition(object)),
            conditions: shown,
            ..Node::default()
        }
    }

    fn replicated(&self, object: &Value, ty: &str) -> Node {
        let status = &object["status"];
        Node {
            counts: Some(Counts {
                replicas: count(&status["replicas"]),
                desired: object["spec"]["replicas"].as_i64(),
                available: count(&status["availableReplicas"]),
                ready: count(&status["readyReplicas"]),
                up_to_date: count(&status["upToDateReplicas"]),
            }),
            ..self.node(object, ty)
        }
    }

    /// What a reference leads to, or that it leads to nothing.
    fn referred(&self, from: &Value, field: &str, ty: &str) -> Option<Node> {
        if let Some(object) = self.world.referred(from, field) {
            return Some(self.node(object, ty));
        }
        let dangling = self.world.dangling(from);
        let (reference, missing) = dangling.into_iter().find(|(r, _)| r.field == field)?;
        let message = match missing {
            Missing::Object => format!("{field} names it, and it does not exist"),
            Missing::Kind => format!("{field} names it, and its kind is not served"),
        };
        Some(Node {
            kind: reference.to.kind,
            name: reference.to.name,
            condition: Some(Shown {
                ty: "Exists".to_owned(),
                status: "False".to_owned(),
                reason: "NotFound".to_owned(),
                message,
                since: None,
                is_good: false,
            }),
            ..Node::default()
        })
    }

    fn infrastructure(&self) -> Option<Node> {
        let node = self.referred(&self.world.cluster, "spec.infrastructureRef", "Ready")?;
        Some(Node {
            role: Some("infrastructure"),
            ..node
        })
    }

    fn control_plane(&self) -> Option<Node> {
        let machines: Vec<&Value> = self.world.control_plane_machines().collect();
        let node = match self.world.control_plane() {
            Some(object) => Some(self.replicated(object, "Available")),
            None => self.referred(&self.world.cluster, "spec.controlPlaneRef", "Available"),
        };
        let mut node = match node {
            Some(node) => node,
            None if machines.is_empty() => return None,
            None => heading("Machines"),
        };
        node.role = Some("control plane");
        node.children = self.machines(&machines);
        Some(node)
    }

    fn workers(&self) -> Option<Node> {
        let mut children: Vec<Node> = vec![];
        let mut told: Vec<&str> = vec![];
        for deployment in self.world.of_kind("MachineDeployment") {
            let mut node = self.replicated(deployment, "Available");
            for set in self.world.sets_of(deployment) {
                node.children.push(self.set(set, &mut told));
            }
            children.push(node);
        }
        let is_alone = |set: &&Value| object::controller(set).is_none();
        for set in self.world.of_kind("MachineSet").filter(is_alone) {
            children.push(self.set(set, &mut told));
        }
        for pool in self.world.of_kind("MachinePool") {
            let mut node = self.replicated(pool, "Available");
            let machines: Vec<&Value> = self.world.machines_of(pool).collect();
            told.extend(machines.iter().map(|machine| name(machine)));
            node.children = self.machines(&machines);
            children.push(node);
        }
        let others: Vec<&Value> = self
            .world
            .of_kind("Machine")
            .filter(|m| !super::world::is_control_plane(m) && !told.contains(&name(m)))
            .collect();
        children.extend(self.machines(&others));
        (!children.is_empty()).then(|| Node {
            children,
            ..heading("Workers")
        })
    }

    fn set(&self, set: &'a Value, told: &mut Vec<&'a str>) -> Node {
        let machines: Vec<&Value> = self
            .world
            .of_kind("Machine")
            .filter(|machine| is_controlled_by(machine, set))
            .collect();
        told.extend(machines.iter().map(|machine| name(machine)));
        Node {
            children: self.machines(&machines),
            ..self.replicated(set, "MachinesReady")
        }
    }

    fn health_checks(&self) -> Vec<Node> {
        let checks = self.world.of_kind("MachineHealthCheck");
        checks
            .map(|check| {
                let mut node = self.node(check, "RemediationAllowed");
                let status = &check["status"];
                let (healthy, all) = (&status["currentHealthy"], &status["expectedMachines"]);
                if let Some(shown) = node.condition.as_mut().filter(|c| c.message.is_empty()) {
                    shown.message =
                        format!("{} of {} machines healthy", count(healthy), count(all));
                }
                node
            })
            .collect()
    }

    /// Machines, those in the same state together.
    fn machines(&self, machines: &[&Value]) -> Vec<Node> {
        let mut nodes: Vec<(Option<String>, Node)> = vec![];
        for machine in machines {
            let node = self.machine(machine);
            let is_alone = self.options.each || !node.conditions.is_empty();
            let state = (!is_alone).then(|| state(machine));
            let same = nodes
                .iter_mut()
                .find(|(of, _)| of.is_some() && *of == state);
            match same {
                Some((_, group)) => join(group, node),
                None => nodes.push((state, node)),
            }
        }
        nodes.into_iter().map(|(_, node)| node).collect()
    }

    fn machine(&self, machine: &Value) -> Node {
        let is = |ty: &str| i64::from(object::is_true(machine, ty));
        let is_ready = object::is_true(machine, "Ready");
        // Why a machine is not ready says more than that it is therefore not available.
        let mut node = self.node(machine, if is_ready { "Available" } else { "Ready" });
        node.counts = Some(Counts {
            replicas: 1,
            desired: None,
            available: is("Available"),
            ready: is("Ready"),
            up_to_date: is("UpToDate"),
        });
        if !is_ready || self.options.all || is_deleting(machine) {
            for (field, role) in [
                ("spec.infrastructureRef", "infrastructure"),
                ("spec.bootstrap.configRef", "bootstrap"),
            ] {
                let part = self.referred(machine, field, "Ready");
                node.children.extend(part.map(|part| Node {
                    role: Some(role),
                    ..part
                }));
            }
        }
        node
    }
}

fn heading(kind: &str) -> Node {
    Node {
        kind: kind.to_owned(),
        ..Node::default()
    }
}

/// What machines that are shown together have in common: status, reason and message, save their own names.
fn state(machine: &Value) -> String {
    let told = ["Available", "Ready", "UpToDate", "Deleting"];
    let parts = told.iter().filter_map(|ty| {
        let Condition {
            status,
            reason,
            message,
            ..
        } = condition(machine, ty)?;
        Some(format!("{ty}={status} {reason} {message}"))
    });
    let all: Vec<String> = parts.collect();
    format!("{}\n{}", is_deleting(machine), all.join("\n")).replace(name(machine), "*")
}

/// Adds a machine to others in the same state. All of them have been so since the last of them is.
fn join(group: &mut Node, machine: Node) {
    if group.members.is_empty() {
        group.members.push(std::mem::take(&mut group.name));
        group.children.clear();
    }
    group.members.push(machine.name);
    if let (Some(all), Some(one)) = (&mut group.counts, machine.counts) {
        all.replicas += one.replicas;
        all.available += one.available;
        all.ready += one.ready;
        all.up_to_date += one.up_to_date;
    }
    if let (Some(all), Some(one)) = (&mut group.condition, machine.condition) {
        all.since = all.since.max(one.since);
    }
}

/// What is shown of objects without the condition: what the contract has instead, or that nobody has looked at it.
fn without_condition(object: &Value) -> Option<Shown> {
    let flags = [
        "/status/initialization/provisioned",
        "/status/initialization/dataSecretCreated",
        "/status/initialization/controlPlaneInitialized",
        "/status/ready",
    ];
    let flag = flags.iter().find_map(|flag| {
        let is_set = object.pointer(flag)?.as_bool()?;
        Some((flag.rsplit('/').next()?, is_set))
    });
    let (ty, status, reason) = match flag {
        Some((ty, true)) => (ty, "True", ""),
        Some((ty, false)) => (ty, "False", ""),
        None if conditions(object).is_empty() => ("Ready", "Unknown", "NotReconciledYet"),
        None => return None,
    };
    Some(Shown {
        ty: ty.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        since: None,
        is_good: status == "True",
    })
}
