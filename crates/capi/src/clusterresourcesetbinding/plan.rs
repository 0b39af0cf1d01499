//! What a cluster still has to get, and what its binding says. Pure.

use api::addons::cluster_resource_set::{ResourceRef, Strategy, reasons};
use api::addons::cluster_resource_set_binding::{NOT_APPLIED, ResourceBinding, SetBinding};
use api::addons::{ClusterResourceSet, ClusterResourceSetBinding, ClusterResourceSetBindingSpec};
use api::meta::labels;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use runtime::{Change, Plan};

use super::{Act, Work, World};
use crate::clusterresourceset::resource::Resource;
use crate::object;

pub(super) fn plan(world: &World) -> Plan<Act> {
    let mut plan = Plan::default();
    if world.is_at_rest() {
        return plan;
    }
    let work = due(world);
    if !work.is_empty() && world.link.is_up() {
        plan.changes.push(Change::Act(Act { work }));
        return plan;
    }
    if !work.is_empty() {
        plan.wait(reasons::NOT_APPLIED, world.link.message());
    }
    let failures: Vec<_> = work
        .iter()
        .map(|work| {
            (
                work.set.clone(),
                format!("{}: {}", work.resource, world.link.message()),
            )
        })
        .collect();
    if let Some(binding) = next(world, vec![], failures) {
        plan.changes.push(binding);
    }
    plan
}

/// What is known of one ConfigMap or Secret of a set.
fn known<'a>(
    world: &'a World,
    set: &ClusterResourceSet,
    resource: &ResourceRef,
) -> Option<&'a ResourceBinding> {
    world.binding.as_ref()?.find(&set.name_any(), resource)
}

/// What has to be applied.
pub(super) fn due(world: &World) -> Vec<Work> {
    let mut work = vec![];
    for (set, resources) in &world.sets {
        let strategy = set.spec.strategy.unwrap_or_default();
        for resource in resources.iter().flatten() {
            let hash = resource.hash();
            let known = known(world, set, &resource.reference);
            let is_done = known.is_some_and(|k| {
                k.applied && (strategy == Strategy::ApplyOnce || k.hash.as_deref() == Some(&*hash))
            });
            if !is_done && resource.wrong_type().is_none() {
                work.push(Work {
                    set: set.name_any(),
                    resource: resource.reference.clone(),
                    strategy,
                    hash,
                    objects: resource.objects(),
                });
            }
        }
    }
    work
}

/// The binding with what was `done` since and what failed, by set; `None` if it says so already.
pub(super) fn next(
    world: &World,
    done: Vec<(String, ResourceBinding)>,
    failures: Vec<(String, String)>,
) -> Option<Change<Act>> {
    let old = world.binding.as_deref();
    let mut bindings: Vec<SetBinding> = old
        .iter()
        .flat_map(|b| b.spec.bindings.iter().flatten())
        .cloned()
        .collect();
    bindings.retain(|binding| world.known.contains(&binding.cluster_resource_set_name));
    for (set, resources) in &world.sets {
        let name = set.name_any();
        let index = bindings
            .iter()
            .position(|b| b.cluster_resource_set_name == name);
        let index = index.unwrap_or_else(|| {
            bindings.push(SetBinding {
                cluster_resource_set_name: name.clone(),
                resources: None,
            });
            bindings.len() - 1
        });
        let have = bindings[index].resources.get_or_insert_default();
        have.retain(|h| {
            set.spec
                .resources
                .iter()
                .any(|r| r.kind == h.kind && r.name == h.name)
        });
        for (reference, found) in set.spec.resources.iter().zip(resources) {
            update(
                have,
                reference,
                found.as_ref(),
                set.spec.strategy.unwrap_or_default(),
            );
        }
        for (_, done) in done.iter().filter(|(set, _)| *set == name) {
            match have
                .iter_mut()
                .find(|h| h.kind == done.kind && h.name == done.name)
            {
                Some(have) => done.clone_into(have),
                None => have.push(done.clone()),
            }
        }
    }
    let message: Vec<String> = failures
        .iter()
        .map(|(set, why)| format!("{set}: {}", why.replace('\n', " ")))
        .collect();
    let message = (!message.is_empty()).then(|| message.join("\n"));
    let said = old.and_then(|b| object::annotation(&b.metadata, NOT_APPLIED));
    let is_same = old
        .and_then(|b| b.spec.bindings.as_ref())
        .map_or(&[][..], Vec::as_slice)
        == bindings
        && said == message.as_deref();
    if is_same {
        return None;
    }
    if bindings.is_empty() {
        return old.map(object::delete);
    }
    Some(Change::Apply(Box::new(object::dynamic(&binding(
        world, bindings, message,
    )))))
}

/// What is written changes what a cluster that follows it still has to get.
fn update(
    have: &mut Vec<ResourceBinding>,
    reference: &ResourceRef,
    found: Option<&Resource>,
    strategy: Strategy,
) {
    let is_it = |h: &&mut ResourceBinding| h.kind == reference.kind && h.name == reference.name;
    match have.iter_mut().find(is_it) {
        Some(have) => {
            let hash = found.map(Resource::hash);
            let is_behind = hash.is_some() && have.hash != hash;
            have.applied &= strategy == Strategy::ApplyOnce || !is_behind;
        }
        None => have.push(ResourceBinding {
            kind: reference.kind,
            name: reference.name.clone(),
            ..ResourceBinding::default()
        }),
    }
}

fn binding(
    world: &World,
    bindings: Vec<SetBinding>,
    message: Option<String>,
) -> ClusterResourceSetBinding {
    let name = world.cluster.name_any();
    let mut binding = ClusterResourceSetBinding::new(
        &name,
        ClusterResourceSetBindingSpec {
            bindings: Some(bindings),
            cluster_name: name.clone(),
        },
    );
    binding.metadata = ObjectMeta {
        name: Some(name.clone()),
        namespace: world.cluster.namespace(),
        labels: Some(object::labels([(labels::CLUSTER_NAME, &name)])),
        annotations: message.map(|m| [(NOT_APPLIED.to_owned(), m)].into()),
        owner_references: Some(vec![object::owner_ref(&world.cluster, false)]),
        ..ObjectMeta::default()
    };
    binding
}
