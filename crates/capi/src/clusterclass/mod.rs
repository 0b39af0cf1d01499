//! ClusterClasses: says which variables a class has, and whether its templates are there.
//!
//! Reads the ClusterClass and the templates that it names, and asks extensions that define variables for it. Writes the class's status, and makes the class an owner of its templates, so
//! that they go with it.

mod discover;
mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::ClusterClass;
use api::meta::{ContractRef, TemplateRef};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

use crate::hook::Caller;
use crate::{contract, pause};

pub use discover::Discovered;

/// The controller.
#[derive(Debug)]
pub struct ClusterClassController {
    pub caller: Arc<Caller>,
}

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub class: ClusterClass,
    /// The templates that the class names, each once, as far as they are there.
    #[cfg_attr(test, serde(default))]
    pub templates: Vec<Arc<DynamicObject>>,
    /// Variables that extensions define, by patch.
    #[cfg_attr(test, serde(skip))]
    pub discovered: BTreeMap<String, Discovered>,
}

impl World {
    /// The template that a reference names, whatever its version.
    fn template(&self, reference: &TemplateRef) -> Option<&DynamicObject> {
        let group = |api_version: &str| {
            let group = api_version.split_once('/');
            group.map(|(group, _)| group.to_owned())
        };
        let is_it = |template: &&Arc<DynamicObject>| {
            let types = template.types.clone().unwrap_or_default();
            types.kind == reference.kind
                && group(&types.api_version) == group(&reference.api_version)
                && template.name_any() == reference.name
        };
        self.templates.iter().find(is_it).map(|t| &**t)
    }
}

impl Reconciler for ClusterClassController {
    const NAME: &'static str = "clusterclass";
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = ClusterClass;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, class: &ClusterClass) -> Result<World, GatherError> {
        let namespace = class.namespace().unwrap_or_default();
        let mut world = World {
            class: class.clone(),
            templates: vec![],
            discovered: BTreeMap::new(),
        };
        for (_, reference) in class.template_refs() {
            if world.template(reference).is_some() {
                continue;
            }
            let (group, _) = reference.api_version.split_once('/').unwrap_or_default();
            let wanted = ContractRef {
                api_group: group.to_owned(),
                kind: reference.kind.clone(),
                name: reference.name.clone(),
            };
            let found = contract::get(cx, &namespace, Some(&wanted)).await?;
            world.templates.extend(found);
        }
        let is_deleting = class.metadata.deletion_timestamp.is_some();
        if !is_deleting && !pause::is_paused(None, &class.metadata) {
            world.discovered = discover::discover(&self.caller, cx, class).await?;
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(
        world: &World,
        _plan: &Plan<Infallible>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, outcome))
    }
}
