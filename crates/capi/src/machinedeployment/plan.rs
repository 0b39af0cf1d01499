//! What to do about a MachineDeployment. Pure.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::machine_set::{MachineSetSpec, MachineTemplateSpec};
use api::cluster::{Machine, MachineDeployment, MachineSet, MachineSpec};
use api::meta::{ObjectMeta as TemplateMeta, labels};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, Plan};
use serde_json::json;

use super::World;
use super::rollout::{Bounds, Set, on_delete, proportional, rolling_update};
use crate::{names, object, pause};

/// Annotations of the deployment that its sets don't get.
const OWN_ANNOTATIONS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    labels::REVISION,
    labels::REVISION_HISTORY,
    labels::DESIRED_REPLICAS,
    labels::MAX_REPLICAS,
    labels::PAUSED,
];

/// In what a machine made from `wanted` would differ from one made from `have`, so that it has to be replaced. Everything else is changed in
/// place.
#[must_use]
pub fn differences(wanted: &MachineSpec, have: &MachineSpec) -> Vec<String> {
    let mut found = vec![];
    let version = |spec: &MachineSpec| spec.version.clone().unwrap_or_else(|| "none".to_owned());
    if wanted.version != have.version {
        found.push(format!(
            "Version {}, {} required",
            version(have),
            version(wanted)
        ));
    }
    let is_bootstrap_equal = match (&wanted.bootstrap.config_ref, &have.bootstrap.config_ref) {
        (Some(wanted), Some(have)) => wanted == have,
        (None, None) => wanted.bootstrap.data_secret_name == have.bootstrap.data_secret_name,
        _ => false,
    };
    if !is_bootstrap_equal {
        found.push("Bootstrap config is not up-to-date".to_owned());
    }
    if wanted.infrastructure_ref != have.infrastructure_ref {
        let kind = &wanted.infrastructure_ref.kind;
        found.push(format!("{kind} is not up-to-date"));
    }
    if wanted.failure_domain != have.failure_domain {
        let domain = |spec: &MachineSpec| {
            spec.failure_domain
                .clone()
                .unwrap_or_else(|| "none".to_owned())
        };
        found.push(format!(
            "Failure domain {}, {} required",
            domain(have),
            domain(wanted)
        ));
    }
    found
}

/// In what the machines of a set differ from those that are wanted now, so that they are replaced.
#[must_use]
pub fn outdated(deployment: &MachineDeployment, set: &MachineSet, now: Timestamp) -> Vec<String> {
    let mut found = differences(&deployment.spec.template.spec, &set.spec.template.spec);
    let created = set.metadata.creation_timestamp.as_ref().map(|t| t.0);
    if rollout_after(deployment)
        .filter(|after| *after <= now)
        .is_some_and(|after| created.is_none_or(|created| created < after))
    {
        found.push("MachineDeployment spec.rollout.after expired".to_owned());
    }
    found
}

/// Why machines are replaced: what has changed since the newest set was made. `None` if there was none.
fn rollout_reason(world: &World) -> Option<String> {
    let sets = world.by_age();
    let last = sets.last()?;
    let (wanted, have) = (
        &world.deployment.spec.template.spec,
        &last.spec.template.spec,
    );
    let mut changes = vec![];
    let mut compare = |what: &str, have: Option<&str>, wanted: Option<&str>| {
        if have != wanted {
            let name = |value: Option<&str>| value.unwrap_or("none").to_owned();
            changes.push(format!(
                "{what} changed from {} to {}",
                name(have),
                name(wanted)
            ));
        }
    };
    compare(
        "version",
        have.version.as_deref(),
        wanted.version.as_deref(),
    );
    let config = |spec: &MachineSpec| {
        let reference = spec.bootstrap.config_ref.as_ref();
        let reference = reference.map(|r| format!("{} {}", r.kind, r.name));
        reference.or_else(|| {
            spec.bootstrap
                .data_secret_name
                .as_ref()
                .map(|s| format!("Secret {s}"))
        })
    };
    compare(
        "bootstrap data",
        config(have).as_deref(),
        config(wanted).as_deref(),
    );
    let infrastructure = |spec: &MachineSpec| {
        format!(
            "{} {}",
            spec.infrastructure_ref.kind, spec.infrastructure_ref.name
        )
    };
    compare(
        "infrastructure",
        Some(&infrastructure(have)),
        Some(&infrastructure(wanted)),
    );
    compare(
        "failure domain",
        have.failure_domain.as_deref(),
        wanted.failure_domain.as_deref(),
    );
    if changes.is_empty() {
        let after = rollout_after(&world.deployment)?;
        changes.push(format!(
            "spec.rollout.after {} has passed",
            runtime::rfc3339(after)
        ));
    }
    Some(changes.join(", "))
}

impl World {
    /// Sets from the oldest to the newest.
    fn by_age(&self) -> Vec<&MachineSet> {
        let mut sets: Vec<_> = self.sets.iter().map(|s| &**s).collect();
        sets.sort_by_key(|s| {
            (
                s.metadata.creation_timestamp.clone().map(|t| t.0),
                s.name_any(),
            )
        });
        sets
    }

    /// The set with the wanted template: of several the largest, then the oldest.
    pub(super) fn new_set(&self, now: Timestamp) -> Option<&MachineSet> {
        let live = |s: &&MachineSet| s.metadata.deletion_timestamp.is_none();
        let mut candidates: Vec<_> = self
            .by_age()
            .into_iter()
            .filter(live)
            .filter(|s| outdated(&self.deployment, s, now).is_empty())
            .collect();
        candidates.sort_by_key(|s| std::cmp::Reverse(s.replicas()));
        candidates.into_iter().next()
    }
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    let deployment = &world.deployment;
    if deployment.metadata.deletion_timestamp.is_some() {
        delete(world, &mut plan);
        return plan;
    }
    let Some(cluster) = world.cluster.as_deref() else {
        plan.wait(
            "ObjectDoesNotExist",
            format!("Cluster {} does not exist", deployment.spec.cluster_name),
        );
        return plan;
    };
    let owner = object::owner_ref(cluster, false);
    let labels = object::labels([(labels::CLUSTER_NAME, &deployment.spec.cluster_name)]);
    plan.changes.extend(object::adopt(
        object::target(deployment),
        &deployment.metadata,
        &owner,
        &labels,
    ));
    follow(world, now, &mut plan);
    if let Some(after) = rollout_after(deployment) {
        plan.again_at(after, now);
    }
    plan
}

/// From when on machines from before are replaced.
pub(crate) fn rollout_after(deployment: &MachineDeployment) -> Option<Timestamp> {
    Some(deployment.spec.rollout.as_ref()?.after.as_ref()?.0)
}

/// Brings the sets to the sizes and settings that are wanted now.
fn follow(world: &World, now: Timestamp, plan: &mut Plan<Infallible>) {
    let deployment = &world.deployment;
    let new = world.new_set(now);
    let revision = revision(world, new);
    // A paused deployment starts nothing new.
    let is_held = new.is_none() && deployment.spec.paused == Some(true) && !world.sets.is_empty();
    if !is_held && object::annotation(&deployment.metadata, labels::REVISION) != Some(&revision) {
        plan.changes.push(Change::Patch {
            target: object::target(deployment),
            subresource: "",
            patch: json!({"metadata": {"annotations": {labels::REVISION: revision}}}),
        });
    }
    let (sizes, new_name) = sizes(world, new, now);
    for set in world
        .by_age()
        .into_iter()
        .filter(|s| s.metadata.deletion_timestamp.is_none())
    {
        let is_new = set.name_any() == new_name;
        let size = sizes.get(&set.name_any()).copied().unwrap_or_default();
        if !is_new
            && size == 0
            && set.replicas() == 0
            && status_replicas(set) == 0
            && is_complete(world, new)
        {
            plan.changes.push(object::delete(set));
            continue;
        }
        let revision = if is_new {
            Some(revision.as_str())
        } else {
            None
        };
        plan.changes.push(Change::Apply(Box::new(wanted(
            world,
            &set.name_any(),
            Some(set),
            size,
            revision,
        ))));
    }
    if new.is_none() && !is_held {
        let blocked = &world.missing_templates;
        if blocked.is_empty() {
            let size = sizes.get(&new_name).copied().unwrap_or_default();
            plan.changes.push(Change::Create(Box::new(wanted(
                world,
                &new_name,
                None,
                size,
                Some(&revision),
            ))));
            plan.note(
                "SuccessfulCreate",
                format!("Created MachineSet {new_name} with {size} replicas"),
            );
            if let Some(reason) = rollout_reason(world) {
                plan.note("RolloutStarted", format!("Machines are replaced: {reason}"));
            }
        } else {
            plan.wait("ScalingUp", crate::template::missing(blocked));
        }
    }
}

fn delete(world: &World, plan: &mut Plan<Infallible>) {
    let live = world
        .sets
        .iter()
        .filter(|s| s.metadata.deletion_timestamp.is_none());
    plan.changes.extend(live.map(|s| object::delete(&**s)));
    if world.sets.is_empty() {
        plan.is_finished = true;
    } else {
        let names: Vec<_> = world.sets.iter().map(|s| s.name_any()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        plan.wait(
            "Deleting",
            format!("Deleting {}", crate::condition::named("MachineSet", &names)),
        );
    }
}

fn status_replicas(set: &MachineSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|s| s.replicas)
        .unwrap_or_default()
}

/// Machines that a set has. One that has not answered to its last change may have as many as it was told to.
fn machines_of(world: &World, set: &MachineSet) -> i32 {
    let status = set.status.as_ref();
    let observed = status.and_then(|s| s.observed_generation);
    let is_current = status.is_some() && observed >= set.metadata.generation;
    let is_owned = |m: &&Arc<Machine>| object::is_controlled_by(&m.metadata, set.uid().as_deref());
    let there = world.machines.iter().filter(is_owned).count();
    let there = i32::try_from(there).unwrap_or(i32::MAX);
    let known = status_replicas(set).max(there);
    if is_current {
        known
    } else {
        known.max(set.replicas())
    }
}

/// Whether all machines are what is wanted, and work.
fn is_complete(world: &World, new: Option<&MachineSet>) -> bool {
    let Some(status) = new.and_then(|s| s.status.as_ref()) else {
        return false;
    };
    let wanted = Some(world.deployment.replicas());
    status.replicas.or(Some(0)) == wanted && status.available_replicas.or(Some(0)) == wanted
}

/// The revision of the new set: its own if it has the highest, else one more than the highest.
fn revision(world: &World, new: Option<&MachineSet>) -> String {
    let of = |s: &MachineSet| {
        object::annotation(&s.metadata, labels::REVISION)
            .and_then(|r| r.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let others = world
        .sets
        .iter()
        .filter(|s| new.is_none_or(|n| n.name_any() != s.name_any()));
    let highest = others.map(|s| of(s)).max().unwrap_or(0);
    let own = new.map_or(0, of);
    if own > highest {
        own.to_string()
    } else {
        (highest + 1).to_string()
    }
}

/// How many machines each set should have, and the name of the new one.
fn sizes(
    world: &World,
    new: Option<&MachineSet>,
    now: Timestamp,
) -> (BTreeMap<String, i32>, String) {
    let deployment = &world.deployment;
    let new_name = new.map_or_else(|| new_name(world, now), ResourceExt::name_any);
    let mut sets: Vec<Set> = world
        .by_age()
        .into_iter()
        .map(|s| Set {
            name: s.name_any(),
            is_new: s.name_any() == new_name,
            wanted: s.replicas(),
            replicas: if deployment.is_on_delete() {
                machines_of(world, s)
            } else {
                status_replicas(s)
            },
            available: s
                .status
                .as_ref()
                .and_then(|s| s.available_replicas)
                .unwrap_or_default(),
        })
        .collect();
    let is_paused = deployment.spec.paused == Some(true);
    if new.is_none() && (!is_paused || sets.is_empty()) {
        sets.push(Set {
            name: new_name.clone(),
            is_new: true,
            wanted: 0,
            replicas: 0,
            available: 0,
        });
    }
    let (max_surge, max_unavailable) = deployment.surge_and_unavailable();
    let bounds = Bounds {
        replicas: deployment.replicas(),
        max_surge,
        max_unavailable,
    };
    let sizes = if is_paused {
        proportional(&sets, bounds)
    } else if deployment.is_on_delete() {
        on_delete(&sets, bounds.replicas)
    } else {
        rolling_update(&sets, bounds)
    };
    (sizes, new_name)
}

fn new_name(world: &World, now: Timestamp) -> String {
    let name = world.deployment.name_any();
    let namer = names::Namer {
        template: None,
        owner_variable: "machineDeployment",
        owner: &name,
        owner_uid: world.deployment.metadata.uid.as_deref().unwrap_or_default(),
        cluster: &world.deployment.spec.cluster_name,
    };
    let taken: Vec<_> = world
        .sets
        .iter()
        .map(|s: &Arc<MachineSet>| s.name_any())
        .collect();
    let taken: Vec<_> = taken.iter().map(String::as_str).collect();
    names::fresh(&namer, &taken, now)
}

/// The set as the deployment wants it. What only new machines can have comes from the set itself, if there is one.
fn wanted(
    world: &World,
    name: &str,
    existing: Option<&MachineSet>,
    size: i32,
    revision: Option<&str>,
) -> DynamicObject {
    let deployment = &world.deployment;
    let spec = &deployment.spec;
    let hash = existing
        .and_then(|s| object::label(&s.metadata, labels::TEMPLATE_HASH).map(str::to_owned))
        .unwrap_or_else(|| template_hash(&spec.template.spec, name));
    let mut template_labels = spec
        .template
        .metadata
        .as_ref()
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    template_labels.insert(labels::CLUSTER_NAME.to_owned(), spec.cluster_name.clone());
    template_labels.insert(labels::DEPLOYMENT_NAME.to_owned(), deployment.name_any());
    template_labels.insert(labels::TEMPLATE_HASH.to_owned(), hash.clone());
    let mut selector = spec.selector.clone();
    api::cluster::rules::add_selector(&mut selector, labels::TEMPLATE_HASH, &hash);
    let mut annotations = annotations(deployment, existing, revision);
    let reason = match existing {
        Some(set) => object::annotation(&set.metadata, labels::ROLLOUT_REASON).map(str::to_owned),
        None => rollout_reason(world),
    };
    annotations.extend(reason.map(|reason| (labels::ROLLOUT_REASON.to_owned(), reason)));
    let fixed = existing.map_or(&spec.template.spec, |s| &s.spec.template.spec);
    let set = MachineSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(template_labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(vec![object::owner_ref(deployment, true)]),
            ..ObjectMeta::default()
        },
        spec: MachineSetSpec {
            cluster_name: spec.cluster_name.clone(),
            replicas: Some(size),
            selector: existing.map_or(selector, |s| s.spec.selector.clone()),
            template: MachineTemplateSpec {
                metadata: Some(TemplateMeta {
                    labels: Some(template_labels),
                    annotations: spec
                        .template
                        .metadata
                        .as_ref()
                        .and_then(|m| m.annotations.clone()),
                }),
                spec: MachineSpec {
                    cluster_name: spec.cluster_name.clone(),
                    version: fixed.version.clone(),
                    bootstrap: fixed.bootstrap.clone(),
                    infrastructure_ref: fixed.infrastructure_ref.clone(),
                    failure_domain: fixed.failure_domain.clone(),
                    provider_id: None,
                    min_ready_seconds: spec.template.spec.min_ready_seconds,
                    readiness_gates: spec.template.spec.readiness_gates.clone(),
                    deletion: spec.template.spec.deletion.clone(),
                    taints: spec.template.spec.taints.clone(),
                },
            },
            machine_naming: spec.machine_naming.clone(),
            deletion: spec.deletion.clone(),
        },
        status: None,
    };
    object::dynamic(&set)
}

/// Revisions that a set had before `revision`.
fn history(existing: Option<&MachineSet>, revision: Option<&str>) -> Option<String> {
    let annotation = |key| object::annotation(&existing?.metadata, key);
    let before = annotation(labels::REVISION_HISTORY);
    match (annotation(labels::REVISION), revision) {
        (Some(old), Some(new)) if old != new => {
            Some(before.map_or_else(|| old.to_owned(), |before| format!("{before},{old}")))
        }
        _ => before.map(str::to_owned),
    }
}

/// Annotations of a set: those of the deployment, and what the deployment notes there for itself.
fn annotations(
    deployment: &MachineDeployment,
    existing: Option<&MachineSet>,
    revision: Option<&str>,
) -> BTreeMap<String, String> {
    let mut annotations: BTreeMap<_, _> = deployment
        .annotations()
        .iter()
        .filter(|(key, _)| !OWN_ANNOTATIONS.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let old_revision = existing.and_then(|s| object::annotation(&s.metadata, labels::REVISION));
    annotations.insert(
        labels::REVISION.to_owned(),
        revision.or(old_revision).unwrap_or("1").to_owned(),
    );
    if let Some(history) = history(existing, revision) {
        annotations.insert(labels::REVISION_HISTORY.to_owned(), history);
    }
    let (surge, _) = deployment.surge_and_unavailable();
    annotations.insert(
        labels::DESIRED_REPLICAS.to_owned(),
        deployment.replicas().to_string(),
    );
    annotations.insert(
        labels::MAX_REPLICAS.to_owned(),
        (deployment.replicas() + surge).to_string(),
    );
    if deployment.is_on_delete() && revision.is_none() {
        annotations.insert(labels::DISABLE_MACHINE_CREATE.to_owned(), "true".to_owned());
    }
    annotations
}

/// A label value that tells sets of one deployment apart.
fn template_hash(template: &MachineSpec, set_name: &str) -> String {
    let text = serde_json::to_string(template).unwrap_or_default();
    let suffix = set_name.rsplit('-').next().unwrap_or_default();
    format!("{}-{suffix}", names::hash(&[&text]) & 0xffff_ffff)
}
