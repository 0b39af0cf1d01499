//! ClusterClasses: says which variables a class has, and whether its templates are there.
//!
//! Reads the ClusterClass and the templates that it names. Writes the class's status, and makes the class an owner of its templates, so
//! that they go with it.

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::ClusterClass;
use api::meta::{ContractRef, TemplateRef};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

use crate::contract;

/// The controller.
#[derive(Debug)]
pub struct ClusterClassController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub class: ClusterClass,
    /// The templates that the class names, each once, as far as they are there.
    #[cfg_attr(test, serde(default))]
    pub templates: Vec<Arc<DynamicObject>>,
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
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
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
