//! What to do about a MachineSet. Pure.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::cluster::{Machine, MachineSet, MachineSpec};
use api::meta::{ContractRef, labels};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, ObjectRef, Plan, Reconciler};

use super::order::by_priority;
use super::{MachineSetController, World, preflight, remediation};
use crate::names::{Namer, fresh};
use crate::template::{Particulars, instantiate, object_kind};
use crate::{departing, metadata, object, pause};

/// How often checks before scaling up are repeated, beside on changes.
pub(super) const PREFLIGHT_AGAIN: Duration = Duration::from_secs(15);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.set.metadata.deletion_timestamp.is_some() {
        delete(world, &mut plan);
        return plan;
    }
    let Some(cluster) = world.cluster.as_deref() else {
        plan.wait(
            "ObjectDoesNotExist",
            format!("Cluster {} does not exist", world.set.spec.cluster_name),
        );
        return plan;
    };
    let labels = object::labels([(labels::CLUSTER_NAME, &world.set.spec.cluster_name)]);
    let owner = object::owner_ref(cluster, false);
    if object::controller_of(&world.set.metadata).is_none() {
        plan.changes.extend(object::adopt(
            object::target(&world.set),
            &world.set.metadata,
            &owner,
            &labels,
        ));
    }
    for template in [&world.bootstrap_template, &world.infrastructure_template]
        .into_iter()
        .flatten()
    {
        plan.changes.extend(object::adopt(
            ObjectRef::of(template),
            &template.metadata,
            &owner,
            &labels,
        ));
    }
    sync(world, &mut plan);
    complete(world, &mut plan);
    let gone = remediation::plan(world, now, &mut plan);
    scale(world, &gone, now, &mut plan);
    plan
}

fn delete(world: &World, plan: &mut Plan<Infallible>) {
    let live = world.machines.iter().filter(|m| !m.is_deleting());
    plan.changes.extend(live.map(|m| object::delete(&**m)));
    if world.machines.is_empty() {
        plan.is_finished = true;
    } else {
        let names: Vec<_> = world.machines.iter().map(|m| m.name_any()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        plan.wait(
            "Deleting",
            format!("Deleting {}", crate::condition::named("Machine", &names)),
        );
    }
}

/// What may change about a machine without replacing it goes from the set's template to its machines.
fn sync(world: &World, plan: &mut Plan<Infallible>) {
    for machine in &world.machines {
        let wanted = wanted(world, &machine.name_any(), Some(machine));
        if machine.is_deleting() {
            plan.changes.extend(departing::follow(machine, &wanted));
        } else {
            plan.changes.push(Change::Apply(Box::new(wanted)));
            plan.changes.extend(part_changes(world, machine));
        }
    }
}

/// Labels and annotations go on to the parts of a machine.
fn part_changes(world: &World, machine: &Machine) -> Vec<Change<Infallible>> {
    let Some(parts) = world.parts.get(&machine.name_any()) else {
        return vec![];
    };
    let annotations = template_annotations(&world.set);
    [
        (&parts.bootstrap, &world.bootstrap_template),
        (&parts.infrastructure, &world.infrastructure_template),
    ]
    .into_iter()
    .filter_map(|(part, template)| {
        let wanted = metadata::Wanted {
            labels: machine.labels(),
            annotations: &annotations,
            template: template.as_deref(),
            controller: MachineSetController::NAME,
        };
        metadata::follow(part.as_ref()?, &wanted)
    })
    .collect()
}

/// What machines of the set and their parts have.
pub(super) fn template_annotations(set: &MachineSet) -> BTreeMap<String, String> {
    let template = set.spec.template.metadata.as_ref();
    template
        .and_then(|m| m.annotations.clone())
        .unwrap_or_default()
}

/// The machine as the set wants it. What only a new machine can have comes from the machine itself, if there is one.
fn wanted(world: &World, name: &str, existing: Option<&Machine>) -> DynamicObject {
    let set = &world.set;
    let template = &set.spec.template;
    let mut labels = template
        .metadata
        .as_ref()
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
    labels.insert(
        labels::CLUSTER_NAME.to_owned(),
        set.spec.cluster_name.clone(),
    );
    labels.insert(
        labels::SET_NAME.to_owned(),
        labels::name_value(&set.name_any()),
    );
    if let Some(deployment) = object::label(&set.metadata, labels::DEPLOYMENT_NAME) {
        labels.insert(labels::DEPLOYMENT_NAME.to_owned(), deployment.to_owned());
    }
    let named = |reference: &ContractRef| ContractRef {
        kind: object_kind(&reference.kind).to_owned(),
        name: name.to_owned(),
        ..reference.clone()
    };
    let fixed = existing.map_or(&template.spec, |m| &m.spec);
    let mut bootstrap = fixed.bootstrap.clone();
    let mut infrastructure_ref = fixed.infrastructure_ref.clone();
    if existing.is_none() {
        bootstrap.config_ref = bootstrap.config_ref.as_ref().map(named);
        infrastructure_ref = named(&infrastructure_ref);
    } else if bootstrap.config_ref.is_some() {
        // The machine's own controller wrote it.
        bootstrap.data_secret_name = None;
    }
    let machine = Machine {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: template
                .metadata
                .as_ref()
                .and_then(|m| m.annotations.clone()),
            owner_references: Some(vec![object::owner_ref(set, true)]),
            ..ObjectMeta::default()
        },
        spec: MachineSpec {
            cluster_name: set.spec.cluster_name.clone(),
            bootstrap,
            infrastructure_ref,
            version: fixed.version.clone(),
            provider_id: None,
            failure_domain: fixed.failure_domain.clone(),
            min_ready_seconds: template.spec.min_ready_seconds,
            readiness_gates: template.spec.readiness_gates.clone(),
            deletion: template.spec.deletion.clone(),
            taints: template.spec.taints.clone(),
        },
        status: None,
    };
    object::dynamic(&machine)
}

/// Makes the parts that machines refer to and that aren't there yet.
fn complete(world: &World, plan: &mut Plan<Infallible>) {
    for machine in world.machines.iter().filter(|m| !m.is_deleting()) {
        let initialization = machine
            .status
            .as_ref()
            .and_then(|s| s.initialization.as_ref());
        let was_there = initialization.is_some_and(|i| i.infrastructure_provisioned == Some(true));
        let parts = world
            .parts
            .get(&machine.name_any())
            .cloned()
            .unwrap_or_default();
        let wants_bootstrap =
            machine.spec.bootstrap.config_ref.is_some() && parts.bootstrap.is_none();
        // A part that was there once and is gone was taken away by somebody: making it anew would make another machine.
        if was_there {
            continue;
        }
        if wants_bootstrap && let Some(template) = &world.bootstrap_template {
            plan.changes
                .push(Change::Create(Box::new(part(world, machine, template))));
        }
        if parts.infrastructure.is_none()
            && let Some(template) = &world.infrastructure_template
        {
            plan.changes
                .push(Change::Create(Box::new(part(world, machine, template))));
        }
    }
}

fn part(world: &World, machine: &Machine, template: &DynamicObject) -> DynamicObject {
    let particulars = Particulars {
        name: &machine.name_any(),
        cluster: &world.set.spec.cluster_name,
        owner: object::owner_ref(machine, true),
        labels: machine.metadata.labels.clone().unwrap_or_default(),
        annotations: template_annotations(&world.set),
    };
    instantiate(template, particulars)
}

impl World {
    /// Templates that are referred to and aren't there.
    pub(super) fn missing_templates(&self) -> Vec<String> {
        let spec = &self.set.spec.template.spec;
        let bootstrap = spec
            .bootstrap
            .config_ref
            .as_ref()
            .filter(|_| self.bootstrap_template.is_none());
        let infrastructure =
            Some(&spec.infrastructure_ref).filter(|_| self.infrastructure_template.is_none());
        [bootstrap, infrastructure]
            .into_iter()
            .flatten()
            .map(|r| format!("{} {}", r.kind, r.name))
            .collect()
    }
}

/// `gone` are machines that this very pass deletes for another reason: of those that are too many they are the first.
fn scale(world: &World, gone: &[String], now: Timestamp, plan: &mut Plan<Infallible>) {
    let wanted_count = usize::try_from(world.set.replicas()).unwrap_or_default();
    let have = world.machines.len();
    if have < wanted_count {
        scale_up(world, wanted_count - have, now, plan);
    } else {
        let order = world
            .set
            .spec
            .deletion
            .as_ref()
            .and_then(|d| d.order.as_deref())
            .unwrap_or_default();
        let mut leaving = by_priority(&world.machines, order, now);
        leaving.sort_by_key(|m| !m.is_deleting() && !gone.contains(&m.name_any()));
        for machine in leaving
            .into_iter()
            .take(have - wanted_count)
            .filter(|m| !m.is_deleting() && !gone.contains(&m.name_any()))
        {
            plan.changes.push(object::delete(machine));
            plan.note(
                "SuccessfulDelete",
                format!("Deleted machine {}", machine.name_any()),
            );
        }
    }
}

fn scale_up(world: &World, missing: usize, now: Timestamp, plan: &mut Plan<Infallible>) {
    if object::annotation(&world.set.metadata, labels::DISABLE_MACHINE_CREATE) == Some("true") {
        return;
    }
    let templates = world.missing_templates();
    if !templates.is_empty() {
        plan.wait("ScalingUp", crate::template::missing(&templates));
        return;
    }
    let problems = preflight::problems(world);
    if !problems.is_empty() {
        plan.wait("ScalingUp", problems.join("; "));
        plan.again_in = Some(PREFLIGHT_AGAIN);
        return;
    }
    let set_name = world.set.name_any();
    let namer = Namer {
        template: world
            .set
            .spec
            .machine_naming
            .as_ref()
            .and_then(|n| n.template.as_deref()),
        owner_variable: "machineSet",
        owner: &set_name,
        owner_uid: world.set.metadata.uid.as_deref().unwrap_or_default(),
        cluster: &world.set.spec.cluster_name,
    };
    let mut taken: Vec<String> = world
        .machines
        .iter()
        .map(|m: &Arc<Machine>| m.name_any())
        .collect();
    for _ in 0..missing {
        let names: Vec<_> = taken.iter().map(String::as_str).collect();
        let name = fresh(&namer, &names, now);
        plan.changes
            .push(Change::Create(Box::new(wanted(world, &name, None))));
        plan.note("SuccessfulCreate", format!("Created machine {name}"));
        taken.push(name);
    }
}
