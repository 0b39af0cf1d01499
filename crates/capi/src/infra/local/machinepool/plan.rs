//! What to do about a LocalMachinePool. Pure.

use std::convert::Infallible;

use api::cluster::{Machine, MachinePool, machine};
use api::infrastructure::local_machine_pool::{REVISION, reasons};
use api::infrastructure::{LocalMachine, LocalMachineSpec};
use api::meta::{is_true, labels};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, Plan};
use serde_json::json;

use super::World;
use crate::condition::named;
use crate::names::{self, Namer, fresh};
use crate::{object, pause};

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.is_deleting() {
        delete(world, &mut plan);
        return plan;
    }
    let ids = provider_ids(world);
    if world
        .local
        .spec
        .provider_id_list
        .as_deref()
        .unwrap_or_default()
        != ids
    {
        plan.changes.push(object::patch_spec(
            &world.local,
            &json!({"providerIDList": ids}),
        ));
    }
    let (Some(pool), Some(cluster)) = (world.pool.as_deref(), world.cluster.as_deref()) else {
        plan.wait(
            reasons::WAITING_FOR_OWNER,
            "Waiting for a MachinePool of an existing Cluster to own this object",
        );
        return plan;
    };
    if !cluster.is_infrastructure_provisioned() {
        plan.wait(
            reasons::WAITING_FOR_CLUSTER_INFRASTRUCTURE,
            "Waiting for the cluster's infrastructure",
        );
        return plan;
    }
    let data = pool
        .spec
        .template
        .spec
        .bootstrap
        .data_secret_name
        .as_deref();
    if data.is_none_or(str::is_empty) {
        plan.wait(
            reasons::WAITING_FOR_BOOTSTRAP_DATA,
            format!(
                "Waiting for spec.template.spec.bootstrap.dataSecretName of MachinePool {}",
                pool.name_any()
            ),
        );
        return plan;
    }
    let revision = revision(world, pool);
    let live = candidates(world, &revision);
    remove(world, &live, &mut plan);
    let current = live.iter().filter(|c| c.is_current).count();
    create(world, pool, (&revision, current), now, &mut plan);
    plan
}

/// The provider ids of machines that exist, in the order of their names.
fn provider_ids(world: &World) -> Vec<String> {
    let mut ids: Vec<_> = world
        .instances
        .iter()
        .filter_map(|i| i.spec.provider_id.clone())
        .collect();
    ids.sort();
    ids
}

/// Names what machines are made from now.
pub(super) fn revision(world: &World, pool: &MachinePool) -> String {
    let template = &pool.spec.template.spec;
    let spec = json!(world.local.spec.template.spec).to_string();
    // By what machines boot from, not by the config that writes it: another config counts when its data is there.
    names::suffix(&[
        &spec,
        template.version.as_deref().unwrap_or_default(),
        template
            .bootstrap
            .data_secret_name
            .as_deref()
            .unwrap_or_default(),
    ])
}

/// Whether a machine was made from what is wanted now.
pub(super) fn is_current(instance: &LocalMachine, revision: &str) -> bool {
    object::annotation(&instance.metadata, REVISION) == Some(revision)
}

fn is_live(instance: &LocalMachine, machine: Option<&Machine>) -> bool {
    instance.metadata.deletion_timestamp.is_none() && machine.is_none_or(|m| !m.is_deleting())
}

/// A machine that stays so far.
struct Candidate<'a> {
    instance: &'a LocalMachine,
    machine: Option<&'a Machine>,
    is_current: bool,
    is_available: bool,
}

fn candidates<'a>(world: &'a World, revision: &str) -> Vec<Candidate<'a>> {
    let all = world.instances.iter().map(|instance| {
        let machine = world.machines.get(&instance.name_any()).map(|m| &**m);
        Candidate {
            instance,
            machine,
            is_current: is_current(instance, revision),
            is_available: machine
                .is_some_and(|m| is_true(m.conditions(), machine::conditions::AVAILABLE)),
        }
    });
    let mut live: Vec<_> = all.filter(|c| is_live(c.instance, c.machine)).collect();
    live.sort_by_key(|c| order(c));
    live
}

/// Which machine goes before which other: the outdated, the marked, those that are not available, the oldest; ties by name.
fn order(candidate: &Candidate<'_>) -> (bool, bool, bool, Option<Timestamp>, String) {
    let marked = candidate
        .machine
        .is_some_and(|m| object::annotation(&m.metadata, labels::DELETE_MACHINE).is_some());
    let created = candidate.instance.metadata.creation_timestamp.as_ref();
    (
        candidate.is_current,
        !marked,
        candidate.is_available,
        created.map(|t| t.0),
        candidate.instance.name_any(),
    )
}

/// Removes what is outdated as far as enough machines stay available, and what is too much.
fn remove(world: &World, live: &[Candidate<'_>], plan: &mut Plan<Infallible>) {
    let wanted = world.replicas();
    let least = world.least();
    let mut available = live.iter().filter(|c| c.is_available).count();
    let mut current = live.iter().filter(|c| c.is_current).count();
    for candidate in live {
        // What is outdated and of no use goes at once; the rest, as long as enough stay.
        let may_go = !candidate.is_available || available > least;
        let must_go = !candidate.is_current || current > wanted;
        if !(must_go && may_go) {
            continue;
        }
        current -= usize::from(candidate.is_current);
        available -= usize::from(candidate.is_available);
        let name = candidate.instance.name_any();
        let why = if candidate.is_current {
            "there are too many"
        } else {
            "the pool's template, version or bootstrap config has changed"
        };
        let change = match candidate.machine {
            Some(machine) => object::delete(machine),
            None => object::delete(candidate.instance),
        };
        plan.change(
            change,
            "SuccessfulDelete",
            format!("Deleted machine {name}: {why}"),
        );
    }
}

/// Makes what is missing of the `current` machines of a revision, with as many machines too many as allowed.
fn create(
    world: &World,
    pool: &MachinePool,
    (revision, current): (&str, usize),
    now: Timestamp,
    plan: &mut Plan<Infallible>,
) {
    let wanted = world.replicas();
    let (surge, _) = world.local.bounds(pool.replicas());
    let most = wanted + usize::try_from(surge).unwrap_or_default();
    let missing = wanted
        .saturating_sub(current)
        .min(most.saturating_sub(world.instances.len()));
    let owner = world.local.name_any();
    let namer = Namer {
        template: None,
        owner_variable: "machinePool",
        owner: &owner,
        owner_uid: world.local.metadata.uid.as_deref().unwrap_or_default(),
        cluster: &pool.spec.cluster_name,
    };
    let mut taken: Vec<String> = world.instances.iter().map(|i| i.name_any()).collect();
    let mut domains: Vec<String> = world
        .instances
        .iter()
        .filter_map(|i| i.spec.failure_domain.clone())
        .collect();
    for _ in 0..missing {
        let names: Vec<_> = taken.iter().map(String::as_str).collect();
        let name = fresh(&namer, &names, now);
        let domain = emptiest(pool, &domains);
        let instance = instance(world, pool, &name, revision, domain.clone());
        plan.change(
            Change::Create(Box::new(instance)),
            "SuccessfulCreate",
            format!("Created machine {name}"),
        );
        domains.extend(domain);
        taken.push(name);
    }
}

/// Of the failure domains that the pool may use, the first with the fewest machines.
fn emptiest(pool: &MachinePool, used: &[String]) -> Option<String> {
    let allowed = pool.spec.failure_domains.as_deref().unwrap_or_default();
    let count = |domain: &String| used.iter().filter(|u| *u == domain).count();
    allowed.iter().min_by_key(|domain| count(domain)).cloned()
}

fn instance(
    world: &World,
    pool: &MachinePool,
    name: &str,
    revision: &str,
    failure_domain: Option<String>,
) -> DynamicObject {
    let template = &world.local.spec.template;
    let metadata = template.metadata.clone().unwrap_or_default();
    let inherited = pool.spec.template.metadata.clone().unwrap_or_default();
    let mut labels = inherited.labels.unwrap_or_default();
    labels.extend(metadata.labels.unwrap_or_default());
    labels.extend(object::labels([
        (labels::CLUSTER_NAME, &pool.spec.cluster_name),
        (labels::POOL_NAME, &labels::name_value(&pool.name_any())),
    ]));
    let mut annotations = inherited.annotations.unwrap_or_default();
    annotations.extend(metadata.annotations.unwrap_or_default());
    annotations.insert(REVISION.to_owned(), revision.to_owned());
    let spec = template.spec.clone();
    let local = LocalMachine {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: world.local.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            // Its Machine manages it.
            owner_references: Some(vec![object::owner_ref(&world.local, false)]),
            ..ObjectMeta::default()
        },
        spec: LocalMachineSpec {
            provider_id: None,
            failure_domain: spec.failure_domain.clone().or(failure_domain),
            kubernetes_version: spec
                .kubernetes_version
                .clone()
                .or_else(|| pool.spec.template.spec.version.clone()),
            ..spec
        },
        status: None,
    };
    object::dynamic(&local)
}

fn delete(world: &World, plan: &mut Plan<Infallible>) {
    let mut names = vec![];
    for instance in &world.instances {
        let machine = world.machines.get(&instance.name_any());
        names.push(instance.name_any());
        if !is_live(instance, machine.map(|m| &**m)) {
            continue;
        }
        plan.changes.push(match machine {
            Some(machine) => object::delete(&**machine),
            None => object::delete(&**instance),
        });
    }
    if names.is_empty() {
        plan.is_finished = true;
        return;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    plan.wait(
        reasons::DELETING,
        format!(
            "Waiting for {} to be deleted",
            named("LocalMachine", &names)
        ),
    );
}
