//! What to do about a topology. Pure.

use std::convert::Infallible;

use api::cluster::cluster::reasons;
use api::cluster::topology::Topology;
use api::cluster::topology_rules;
use api::cluster::{ClusterClass, WorkersKind};
use api::meta::{FieldError, labels};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::build::{Parts, build};
use super::gather::{contract_ref, is_named_by, reference_to};
use super::group::entry_label;
use super::upgrade::{Upgrade, upgrade};
use super::{SHARED, World, external, hooks, rules, templates};
use crate::hook::Hook;
use crate::{object, pause, template};

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.cluster.spec.topology.is_none() {
        return plan;
    }
    if world.is_paused() {
        return pause::plan();
    }
    if world.cluster.metadata.deletion_timestamp.is_some() {
        delete(world, &mut plan, now);
        return plan;
    }
    let Some(class) = &world.class else {
        let is_own = world.cluster.class().map(|c| c.0) == world.cluster.namespace();
        let mut why = format!("ClusterClass {} does not exist", world.class_name());
        if !is_own {
            why += &format!(
                ", or its owner does not share it with other namespaces by the annotation {SHARED}: \"true\""
            );
        }
        plan.wait(reasons::TOPOLOGY_CLASS_NOT_RECONCILED, why);
        return plan;
    };
    if !world.is_class_reconciled() {
        let why = format!(
            "ClusterClass {} has changed, and its controller has not looked at it yet",
            world.class_name()
        );
        plan.wait(reasons::TOPOLOGY_CLASS_NOT_RECONCILED, why);
        return plan;
    }
    if !class.has_all_variables() {
        let why = format!(
            "ClusterClass {}: an extension has not said yet which variables there are; its condition VariablesReady says why",
            world.class_name()
        );
        plan.wait(reasons::TOPOLOGY_CLASS_NOT_RECONCILED, why);
        return plan;
    }
    let upgrade = upgrade(world, class);
    let parts = match parts(world, class, &upgrade) {
        Ok(parts) => parts,
        Err(why) => {
            for unanswered in world.external.values().filter_map(|e| e.as_ref().err()) {
                plan.again_at(unanswered.until, now);
            }
            plan.wait(reasons::TOPOLOGY_RECONCILE_FAILED, why);
            return plan;
        }
    };
    if let Some(hook) = world.creation_gate() {
        let why = (hook, reasons::TOPOLOGY_CLUSTER_CREATING);
        hooks::wait(world, why, &mut plan, now);
        return plan;
    }
    make(world, parts, &upgrade, &mut plan);
    upgrade.tell(world, &mut plan, now);
    hooks::tell_initialized(world, &mut plan, now);
    plan
}

/// The controller of Clusters deletes nothing until extensions have agreed.
fn delete(world: &World, plan: &mut Plan<Infallible>, now: Timestamp) {
    if world.is_ok_to_delete() {
        return;
    }
    let hook = Hook::BeforeClusterDelete;
    if !world.is_open(hook) {
        hooks::wait(world, (hook, reasons::TOPOLOGY_DELETING), plan, now);
        return;
    }
    plan.changes.push(Change::Patch {
        target: object::target(&world.cluster),
        subresource: "",
        patch: json!({"metadata": {
            "annotations": {labels::OK_TO_DELETE: ""},
            "resourceVersion": world.cluster.resource_version(),
        }}),
    });
}

impl World {
    /// Whether the class has been looked at as it is now.
    pub(super) fn is_class_reconciled(&self) -> bool {
        self.class.as_ref().is_some_and(|class| {
            let observed = class.status.as_ref().and_then(|s| s.observed_generation);
            observed == class.metadata.generation
        })
    }

    pub(super) fn is_paused(&self) -> bool {
        pause::is_paused(Some(&self.cluster), &self.cluster.metadata)
    }
}

fn listed(errors: &[FieldError]) -> Option<String> {
    let lines: Vec<String> = errors.iter().map(|error| format!("* {error}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What the cluster should be made of, or what is wrong.
pub(super) fn parts(
    world: &World,
    class: &ClusterClass,
    upgrade: &Upgrade,
) -> Result<Parts, String> {
    let topology = prepared(world, class)?;
    // What keeps an extension from being asked is the reason, not that it has not been asked.
    external::open(world, class, &topology)?;
    let parts = build(world, class, &topology, upgrade)?;
    external::check(world, class)?;
    Ok(parts)
}

/// The topology with the defaults of its class, or what is wrong with them.
pub(super) fn prepared(world: &World, class: &ClusterClass) -> Result<Topology, String> {
    let missing: Vec<String> = class
        .template_refs()
        .into_iter()
        .map(|(_, reference)| contract_ref(reference))
        .filter(|r| !world.templates.iter().any(|t| is_named_by(t, r)))
        .map(|r| format!("{} {}", r.kind, r.name))
        .collect();
    if !missing.is_empty() {
        let why = template::missing(&missing);
        return Err(format!("ClusterClass {}: {why}", world.class_name()));
    }
    let mut topology = world.cluster.spec.topology.clone().unwrap_or_default();
    topology_rules::default_for_class(&mut topology, class);
    let mut errors = vec![];
    topology_rules::check(&world.cluster, &topology, &mut errors);
    errors.extend(topology_rules::check_for_class(&topology, class));
    if errors.is_empty() {
        errors.extend(rules::check_values(&topology, class));
    }
    if let Some(text) = listed(&errors) {
        return Err(text);
    }
    Ok(topology)
}

/// The changes that make it so. Templates come before what refers to them, and go after it.
fn make(world: &World, parts: Parts, upgrade: &Upgrade, plan: &mut Plan<Infallible>) {
    let used = world.references();
    let is_kept = |copy: &DynamicObject| {
        let is_planned = parts
            .copies
            .iter()
            .any(|c| reference_to(c) == reference_to(copy));
        is_planned || used.iter().any(|reference| is_named_by(copy, reference))
    };
    let unused: Vec<_> = world
        .copies
        .iter()
        .filter(|copy| copy.metadata.deletion_timestamp.is_none() && !is_kept(copy))
        .filter(|copy| is_ours(world, &copy.metadata))
        .filter(|copy| object::annotation(&copy.metadata, templates::RENDERED).is_some())
        .cloned()
        .collect();
    let references = (reference_to(&parts.infrastructure), parts.control_plane_ref);
    let names = |objects: &[DynamicObject]| -> Vec<String> {
        objects.iter().map(DynamicObject::name_any).collect()
    };
    let checks = names(&parts.checks);
    // What is to be asked later is noted before the version is there that it is about.
    let (mut first, mut then) = (refer(world, &references, upgrade), None);
    if !upgrade.picks_up {
        std::mem::swap(&mut first, &mut then);
    }
    plan.changes.extend(first);
    for copy in parts.copies {
        plan.apply(copy);
    }
    plan.apply(parts.infrastructure);
    if let Some(control_plane) = parts.control_plane {
        plan.apply(control_plane);
    }
    plan.changes.extend(then);
    let workers = parts.deployments.into_iter().chain(parts.pools);
    for part in workers.chain(parts.checks) {
        plan.apply(part);
    }
    let gone = |kind: WorkersKind, metadata: &kube::core::ObjectMeta| {
        let message = format!(
            "{} {} is deleted: the topology does not have it any more",
            kind.name(),
            metadata.name.as_deref().unwrap_or_default()
        );
        is_left(world, kind, metadata).then_some(message)
    };
    for deployment in &world.deployments {
        if let Some(message) = gone(WorkersKind::MachineDeployment, &deployment.metadata) {
            plan.change(object::delete(&**deployment), "TopologyDelete", message);
        }
    }
    for pool in &world.pools {
        if let Some(message) = gone(WorkersKind::MachinePool, &pool.metadata) {
            plan.change(object::delete(&**pool), "TopologyDelete", message);
        }
    }
    for check in &world.checks {
        let is_going = check.metadata.deletion_timestamp.is_some();
        if !checks.contains(&check.name_any()) && !is_going && is_ours(world, &check.metadata) {
            plan.changes.push(object::delete(&**check));
        }
    }
    for copy in unused {
        plan.changes.push(object::delete_dynamic(&copy));
    }
}

/// Whether a group of workers that was made for the topology is not wanted any more.
fn is_left(world: &World, kind: WorkersKind, metadata: &kube::core::ObjectMeta) -> bool {
    let entry = object::label(metadata, entry_label(kind));
    let topology = world.cluster.spec.topology.iter();
    let mut entries = topology.flat_map(|t| t.groups());
    let is_wanted = entries.any(|e| e.kind == kind && Some(e.name) == entry);
    !is_wanted && metadata.deletion_timestamp.is_none() && is_ours(world, metadata)
}

/// Whether something was made for this Cluster: labels can be copied with an object, its owner is somebody's decision.
fn is_ours(world: &World, metadata: &kube::core::ObjectMeta) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    let uid = world.cluster.metadata.uid.as_ref();
    owners.into_iter().any(|owner| Some(&owner.uid) == uid)
}

/// The Cluster refers to its parts, and says which version an upgrade has come to.
fn refer(
    world: &World,
    (infrastructure, control_plane): &(api::meta::ContractRef, api::meta::ContractRef),
    upgrade: &Upgrade,
) -> Option<Change<Infallible>> {
    let cluster = &world.cluster;
    let mut patch = json!({});
    for (field, current, wanted) in [
        (
            "infrastructureRef",
            &cluster.spec.infrastructure_ref,
            infrastructure,
        ),
        (
            "controlPlaneRef",
            &cluster.spec.control_plane_ref,
            control_plane,
        ),
    ] {
        if current.as_ref() != Some(wanted) {
            patch["spec"][field] = json!(wanted);
        }
    }
    let name = cluster.name_any();
    for (label, value) in [
        (labels::CLUSTER_NAME, name.as_str()),
        (labels::TOPOLOGY_OWNED, ""),
    ] {
        if object::label(&cluster.metadata, label) != Some(value) {
            patch["metadata"]["labels"][label] = json!(value);
        }
    }
    let is_going = !upgrade.ahead.is_empty() || !upgrade.workers_ahead.is_empty();
    let step = is_going.then_some(upgrade.version.as_str());
    if object::annotation(&cluster.metadata, labels::TOPOLOGY_UPGRADE_STEP) != step {
        patch["metadata"]["annotations"][labels::TOPOLOGY_UPGRADE_STEP] = json!(step);
    }
    if let Some(pending) = hooks::pending(world, upgrade) {
        patch["metadata"]["annotations"][labels::PENDING_HOOKS] = json!(pending);
    }
    if patch == json!({}) {
        return None;
    }
    // Only what this pass saw: a Cluster that is gone is not made again.
    patch["metadata"]["resourceVersion"] = Value::from(cluster.resource_version());
    Some(Change::Patch {
        target: object::target(cluster),
        subresource: "",
        patch,
    })
}
