//! MachineHealthChecks: say which machines are unhealthy, and have those replaced if not too many are.
//!
//! Reads the MachineHealthCheck, its Machines and their Nodes, and the template of somebody else's remediation if one is named. Writes
//! the conditions `HealthCheckSucceeded` and `OwnerRemediated` or `ExternallyRemediated` of Machines, and requests for remediation
//! made from the template. It deletes no machine: that is the business of the machine's owner. A machine that several checks select is
//! judged by the first of them by name.

mod health;
mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::rules;
use api::cluster::{Cluster, Machine, MachineHealthCheck};
use api::meta::{ContractRef, TemplateRef, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::link::{self, Link};
use crate::template::object_kind;
use crate::{contract, object, pause};

/// The controller.
#[derive(Debug)]
pub struct MachineHealthCheckController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub check: MachineHealthCheck,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    /// The machines that are checked, by name.
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<Arc<Machine>>,
    /// Their nodes that are there, by name.
    #[cfg_attr(test, serde(default))]
    pub nodes: BTreeMap<String, Arc<Node>>,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
    /// What requests are made from, if somebody else is to heal machines and it is there.
    #[cfg_attr(test, serde(default))]
    pub template: Option<Arc<DynamicObject>>,
    /// Objects of the kind of requests that are there, by the name of the machine; see [`World::request`].
    #[cfg_attr(test, serde(default))]
    pub requests: BTreeMap<String, Arc<DynamicObject>>,
}

impl World {
    fn is_paused(&self) -> bool {
        pause::is_paused(self.cluster.as_deref(), &self.check.metadata)
    }

    /// Names what requests are made from, if somebody else is to heal machines.
    fn template_ref(&self) -> Option<&TemplateRef> {
        self.check.spec.remediation.as_ref()?.template_ref.as_ref()
    }

    /// The request for the remediation of a machine: made for it, from the template. Other objects of the kind are nobody's business
    /// here, whatever they are called.
    fn request(&self, machine: &Machine) -> Option<&DynamicObject> {
        let template = self.template_ref()?;
        let request = self.requests.get(&machine.name_any())?;
        let owners = request.metadata.owner_references.iter().flatten();
        let is_for_it = |owner: &OwnerReference| Some(&owner.uid) == machine.metadata.uid.as_ref();
        let from = object::annotation(&request.metadata, labels::CLONED_FROM_NAME);
        let is_made = owners.into_iter().any(is_for_it) && from == Some(&template.name);
        is_made.then_some(&**request)
    }

    /// Whether nothing can be said of nodes although it would have to be.
    fn is_blind(&self) -> bool {
        !self.link.is_up() && self.machines.iter().any(|m| m.node_name().is_some())
    }
}

impl Reconciler for MachineHealthCheckController {
    const NAME: &'static str = "machinehealthcheck";
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = MachineHealthCheck;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, check: &MachineHealthCheck) -> Result<World, GatherError> {
        let namespace = check.namespace().unwrap_or_default();
        let spec = &check.spec;
        let candidates = Selector::label(labels::CLUSTER_NAME, &spec.cluster_name);
        let mut machines: Vec<Arc<Machine>> = cx.list(Some(&namespace), &candidates).await?;
        // Those of other clusters have nothing to do with it: each of them would wake all others.
        let checks: Vec<Arc<MachineHealthCheck>> = cx.list(Some(&namespace), &candidates).await?;
        machines.retain(|machine| is_checked(check, machine) && is_ours(check, &checks, machine));
        let mut world = World {
            check: check.clone(),
            cluster: cx.get(&namespace, &spec.cluster_name).await?,
            machines,
            nodes: BTreeMap::new(),
            link: Link::NotYet,
            template: None,
            requests: BTreeMap::new(),
        };
        read_nodes(cx, &mut world).await?;
        read_requests(cx, &mut world).await?;
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, now: Timestamp) -> Option<Value> {
        Some(status::status(world, now))
    }
}

/// Whether no other check is to judge the machine: two that do would contradict each other for ever.
fn is_ours(check: &MachineHealthCheck, all: &[Arc<MachineHealthCheck>], machine: &Machine) -> bool {
    let is_first = |other: &MachineHealthCheck| {
        other.spec.cluster_name == check.spec.cluster_name && other.name_any() < check.name_any()
    };
    let mut others = all.iter().filter(|other| is_first(other));
    !others.any(|other| is_checked(other, machine))
}

/// Whether the machine is one of those that are checked.
fn is_checked(check: &MachineHealthCheck, machine: &Machine) -> bool {
    let labels = machine.metadata.labels.clone().unwrap_or_default();
    let marks = [labels::PAUSED, labels::SKIP_REMEDIATION];
    rules::selects(&check.spec.selector, &labels)
        && marks
            .iter()
            .all(|mark| object::annotation(&machine.metadata, mark).is_none())
}

async fn read_nodes(cx: &Cx, world: &mut World) -> Result<(), GatherError> {
    let Some(remote) = link::reach(cx, world.cluster.as_deref()).await? else {
        return Ok(());
    };
    world.link = Link::from(&remote);
    let Some(remote) = remote.cx() else {
        return Ok(());
    };
    for name in world.machines.iter().filter_map(|m| m.node_name()) {
        if let Some(node) = remote.get::<Node>("", name).await? {
            world.nodes.insert(name.to_owned(), node);
        }
    }
    Ok(())
}

async fn read_requests(cx: &Cx, world: &mut World) -> Result<(), GatherError> {
    let Some(template) = world.template_ref().cloned() else {
        return Ok(());
    };
    let namespace = world.check.namespace().unwrap_or_default();
    let (group, _) = template.api_version.split_once('/').unwrap_or_default();
    let named = |kind: &str, name: &str| ContractRef {
        api_group: group.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let found = named(&template.kind, &template.name);
    let kind = object_kind(&template.kind).to_owned();
    let template = contract::get(cx, &namespace, Some(&found)).await?;
    for machine in &world.machines {
        let name = machine.name_any();
        let request = contract::get(cx, &namespace, Some(&named(&kind, &name))).await?;
        if let Some(request) = request {
            world.requests.insert(name, request);
        }
    }
    world.template = template;
    Ok(())
}
