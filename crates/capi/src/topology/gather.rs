//! Reads what a topology needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cluster::{Cluster, ClusterClass};
use api::meta::{ContractRef, TemplateRef, labels};
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Cx, GatherError, Selector};

use super::{SHARED, World};
use super::{external, hooks, route};
use crate::contract;
use crate::hook::{self, Caller};

pub(super) async fn gather(
    caller: &Caller,
    cx: &Cx,
    cluster: &Cluster,
) -> Result<World, GatherError> {
    let mut world = World {
        cluster: cluster.clone(),
        class: None,
        templates: vec![],
        control_plane: None,
        deployments: vec![],
        pools: vec![],
        sets: vec![],
        checks: vec![],
        copies: vec![],
        hooks: BTreeSet::new(),
        answers: BTreeMap::new(),
        external: BTreeMap::new(),
        route: None,
    };
    let Some((class_namespace, _)) = cluster.class() else {
        return Ok(world);
    };
    let namespace = cluster.namespace().unwrap_or_default();
    world.class = class_of(cx, cluster).await?;
    let owned = owned_by(&cluster.name_any());
    let scope = Some(namespace.as_str());
    world.control_plane =
        contract::get(cx, &namespace, cluster.spec.control_plane_ref.as_ref()).await?;
    world.deployments = cx.list(scope, &owned).await?;
    world.pools = cx.list(scope, &owned).await?;
    world.sets = cx.list(scope, &owned).await?;
    world.checks = cx.list(scope, &owned).await?;
    let mut kinds = BTreeSet::new();
    if let Some(class) = world.class.clone() {
        for (_, reference) in class.template_refs() {
            let reference = contract_ref(reference);
            let known = |t: &Arc<DynamicObject>| is_named_by(t, &reference);
            if !world.templates.iter().any(known) {
                let found = contract::get(cx, &class_namespace, Some(&reference)).await?;
                world.templates.extend(found);
            }
            kinds.insert((reference.api_group, reference.kind));
        }
    }
    // Kinds that the class named before it changed.
    for reference in world.references() {
        kinds.insert((reference.api_group, reference.kind));
    }
    for (group, kind) in kinds {
        if let Some(resource) = cx.resolve(&group, &kind).await? {
            let found = cx.list_dynamic(&resource, scope, &owned).await?;
            world.copies.extend(found);
        }
    }
    ask(caller, cx, &mut world).await?;
    Ok(world)
}

/// Asks extensions, one thing after the other as far as they agree.
async fn ask(caller: &Caller, cx: &Cx, world: &mut World) -> Result<(), GatherError> {
    let namespace = world.cluster.namespace().unwrap_or_default();
    let registered = hook::registered(cx, &namespace).await?;
    world.hooks = registered.iter().map(|r| r.hook).collect();
    if let Some(question) = route::question(world) {
        let answer = caller
            .ask_named(cx, &world.cluster.metadata, &question)
            .await?;
        let read = |answer: serde_json::Value| {
            route::read(world, &answer).map_err(|why| question.unanswered(&why, cx.now()))
        };
        world.route = Some(answer.and_then(read));
    }
    loop {
        while let Some((patch, question)) = external::question(world) {
            let answer = caller
                .ask_named(cx, &world.cluster.metadata, &question)
                .await?;
            let answer = answer.and_then(|answer| {
                external::read(&answer).map_err(|why| question.unanswered(&why, cx.now()))
            });
            world.external.insert((question.hook, patch), answer);
        }
        let Some(question) = hooks::question(world) else {
            return Ok(());
        };
        let answer = caller.ask(cx, &world.cluster, &registered, &question).await;
        world.answers.insert(question.hook, answer);
        // With it, templates may be rendered to something else.
        world.external.clear();
    }
}

/// The class of a Cluster with a topology, if it is there. What is not shared is not there for other namespaces.
pub(crate) async fn class_of(
    cx: &Cx,
    cluster: &Cluster,
) -> Result<Option<Arc<ClusterClass>>, GatherError> {
    let Some((namespace, name)) = cluster.class() else {
        return Ok(None);
    };
    let class: Option<Arc<ClusterClass>> = cx.get(&namespace, &name).await?;
    let is_own = cluster.namespace().as_deref() == Some(&namespace);
    Ok(class.filter(|c| is_own || is_shared(c)))
}

/// Selects what was made for the topology of a cluster.
fn owned_by(cluster: &str) -> Selector {
    Selector::label(labels::CLUSTER_NAME, cluster).exists(labels::TOPOLOGY_OWNED)
}

fn is_shared(class: &ClusterClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations.is_some_and(|a| a.get(SHARED).is_some_and(|v| v == "true"))
}

/// The reference without its version: that follows from what is served.
pub(super) fn contract_ref(reference: &TemplateRef) -> ContractRef {
    let group = reference.api_version.split_once('/');
    ContractRef {
        api_group: group.map_or("", |(group, _)| group).to_owned(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
    }
}

/// The reference to an object.
pub(super) fn reference_to(object: &DynamicObject) -> ContractRef {
    let types = object.types.clone().unwrap_or_default();
    let group = types.api_version.split_once('/');
    ContractRef {
        api_group: group.map_or("", |(group, _)| group).to_owned(),
        kind: types.kind,
        name: object.name_any(),
    }
}

/// Whether the reference names the object.
pub(super) fn is_named_by(object: &DynamicObject, reference: &ContractRef) -> bool {
    reference_to(object) == *reference
}

impl World {
    /// The namespace and name of the class, for messages.
    pub(super) fn class_name(&self) -> String {
        let (namespace, name) = self.cluster.class().unwrap_or_default();
        format!("{namespace}/{name}")
    }

    /// References to templates from what was made for the topology, all of them: of what is there now, not of what is planned.
    pub(super) fn references(&self) -> Vec<ContractRef> {
        let control_plane = self.control_plane.as_ref().and_then(|c| {
            let reference = &c.data["spec"]["machineTemplate"]["spec"]["infrastructureRef"];
            serde_json::from_value(reference.clone()).ok()
        });
        let deployments = self.deployments.iter().map(|d| &d.spec.template.spec);
        let sets = self.sets.iter().map(|s| &s.spec.template.spec);
        let machines = deployments.chain(sets).flat_map(|machine| {
            let bootstrap = machine.bootstrap.config_ref.clone();
            bootstrap
                .into_iter()
                .chain([machine.infrastructure_ref.clone()])
        });
        control_plane.into_iter().chain(machines).collect()
    }
}
