//! What to do about a MachinePool. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use api::cluster::machine::Bootstrap;
use api::cluster::machine_pool::reasons;
use api::cluster::rules::Version;
use api::cluster::{Machine, MachineSpec};
use api::meta::{ContractRef, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::{Act, World, node_id};
use crate::condition::named;
use crate::contract::Contract;
use crate::{departing, object, part, pause, remediation};

/// The longest version that a Machine has, in bytes.
const VERSION_MAX: usize = 256;
/// How often deletion is looked at, beside on changes.
const AGAIN: Duration = Duration::from_secs(15);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.is_deleting() {
        delete(world, &mut plan);
        return plan;
    }
    let Some(cluster) = world.cluster.as_deref() else {
        let name = &world.pool.spec.cluster_name;
        plan.wait(
            "ObjectDoesNotExist",
            format!("Cluster {name} does not exist"),
        );
        return plan;
    };
    if !world.foreign.is_empty() {
        plan.wait(reasons::OWNED_BY_ANOTHER, world.foreign.join("; "));
        return plan;
    }
    own(world, &object::owner_ref(cluster, false), &mut plan);
    let spec = spec_changes(world);
    if spec != json!({}) {
        plan.changes.push(object::patch_spec(&world.pool, &spec));
    }
    machines(world, now, &mut plan);
    if world.link.is_up() {
        retire(world, &mut plan);
        if !world.has_machines() {
            mark(world, &mut plan);
            plan.again_in = until_available(world, now);
        }
    }
    plan
}

/// The pool belongs to the Cluster; bootstrap config and infrastructure belong to the pool.
fn own(world: &World, cluster: &OwnerReference, plan: &mut Plan<Act>) {
    let pool = &world.pool;
    let labels = object::labels([(labels::CLUSTER_NAME, &pool.spec.cluster_name)]);
    if object::controller_of(&pool.metadata).is_none() {
        plan.changes.extend(object::adopt(
            object::target(pool),
            &pool.metadata,
            cluster,
            &labels,
        ));
    }
    let owner = object::owner_ref(pool, true);
    let parts = [&world.bootstrap, &world.infrastructure];
    for part in parts.into_iter().flatten() {
        plan.changes.extend(part::adopt(part, &owner, &labels));
    }
}

/// What bootstrap and infrastructure report goes into the pool's spec.
fn spec_changes(world: &World) -> Value {
    let mut spec = json!({});
    let have = &world.pool.spec;
    if let Some(bootstrap) = world.bootstrap.as_deref().map(Contract)
        && bootstrap.is_data_secret_created()
        && let Some(name) = bootstrap.data_secret_name()
        && have.template.spec.bootstrap.data_secret_name.as_deref() != Some(name)
    {
        spec["template"] = json!({"spec": {"bootstrap": {"dataSecretName": name}}});
    }
    let Some(infrastructure) = world.contract().filter(Contract::is_provisioned) else {
        return spec;
    };
    let (ids, replicas) = (
        infrastructure.provider_ids(),
        infrastructure.replicas("status", "replicas"),
    );
    // Machines whose names nobody knows yet: the list isn't up to date.
    let is_listed = !ids.is_empty() || replicas.unwrap_or_default() == 0;
    if is_listed && have.provider_id_list.as_deref().unwrap_or_default() != ids {
        spec["providerIDList"] = json!(ids);
    }
    if world.pool.is_externally_scaled() && replicas.is_some() && have.replicas != replicas {
        spec["replicas"] = json!(replicas);
    }
    spec
}

/// A Machine for each of the infrastructure's objects, and the answer to health checks.
fn machines(world: &World, now: Timestamp, plan: &mut Plan<Act>) {
    for instance in &world.instances {
        let name = instance.name_any();
        let machine = world
            .machines
            .iter()
            .find(|m| m.spec.infrastructure_ref.name == name);
        match machine {
            Some(machine) if machine.is_deleting() => {
                let wanted = wanted(world, instance, Some(machine));
                plan.changes.extend(departing::follow(machine, &wanted));
            }
            Some(machine) => plan.apply(wanted(world, instance, Some(machine))),
            None if instance.metadata.deletion_timestamp.is_some() => {}
            None if world.taken.contains(&name) => plan.wait(
                reasons::NAME_TAKEN,
                format!(
                    "Machine {name} exists and does not belong to this pool: {} {name} gets no Machine until it is gone",
                    Contract(instance).kind()
                ),
            ),
            None => plan.change(
                Change::Apply(Box::new(wanted(world, instance, None))),
                "SuccessfulCreate",
                format!("Created machine {name}"),
            ),
        }
    }
    for machine in world.machines.iter().filter(|m| !m.is_deleting()) {
        if remediation::is_wanted(machine) {
            let (reason, message) = remediation::DELETING;
            plan.changes
                .push(remediation::answer(machine, reason, message, now));
            plan.change(
                object::delete(&**machine),
                "MachineRemediated",
                format!("Deleted machine {} for its health", machine.name_any()),
            );
        } else if is_left_over(world, machine) {
            plan.change(
                object::delete(&**machine),
                "SuccessfulDelete",
                format!(
                    "Deleted machine {}: its {} is gone",
                    machine.name_any(),
                    machine.spec.infrastructure_ref.kind
                ),
            );
        } else {
            plan.changes.extend(remediation::take_back(machine));
        }
    }
}

/// Whether the infrastructure has taken away what the Machine stands for.
fn is_left_over(world: &World, machine: &Machine) -> bool {
    let name = &machine.spec.infrastructure_ref.name;
    world.is_listed && !world.instances.iter().any(|i| i.name_any() == *name)
}

/// The Machine of one of the infrastructure's objects. Its version is what its Node runs: the infrastructure decides what machines
/// are made from.
fn wanted(world: &World, instance: &DynamicObject, existing: Option<&Machine>) -> DynamicObject {
    let pool = &world.pool;
    let template = &pool.spec.template;
    let metadata = template.metadata.as_ref();
    let mut labels = metadata.and_then(|m| m.labels.clone()).unwrap_or_default();
    labels.extend(object::labels([
        (labels::CLUSTER_NAME, &pool.spec.cluster_name),
        (labels::POOL_NAME, &labels::name_value(&pool.name_any())),
    ]));
    let types = instance.types.clone().unwrap_or_default();
    let group = types.api_version.split_once('/').map_or("", |(g, _)| g);
    let node = Contract(instance)
        .provider_id()
        .and_then(|id| world.node(id));
    let version = node.and_then(kubelet_version).map(str::to_owned);
    let machine = Machine {
        metadata: ObjectMeta {
            name: Some(existing.map_or_else(|| instance.name_any(), ResourceExt::name_any)),
            namespace: pool.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: metadata.and_then(|m| m.annotations.clone()),
            owner_references: Some(vec![object::owner_ref(pool, true)]),
            ..ObjectMeta::default()
        },
        spec: MachineSpec {
            cluster_name: pool.spec.cluster_name.clone(),
            // All machines of a pool boot from the pool's data.
            bootstrap: Bootstrap {
                config_ref: None,
                data_secret_name: Some(String::new()),
            },
            infrastructure_ref: ContractRef {
                api_group: group.to_owned(),
                kind: types.kind,
                name: instance.name_any(),
            },
            version: version.or_else(|| existing?.spec.version.clone()),
            min_ready_seconds: template.spec.min_ready_seconds,
            readiness_gates: template.spec.readiness_gates.clone(),
            deletion: template.spec.deletion.clone(),
            ..MachineSpec::default()
        },
        status: None,
    };
    object::dynamic(&machine)
}

/// The version of a Node's kubelet.
pub(super) fn kubelet_version(node: &Node) -> Option<&str> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    // Nodes write this themselves: what no Machine could have is not known.
    let is_version = |version: &&str| {
        version.len() <= VERSION_MAX
            && version.starts_with('v')
            && Version::parse(version).is_some()
    };
    Some(&*info.kubelet_version).filter(is_version)
}

/// Names of the pool's Nodes as they were last known.
fn known_nodes(world: &World) -> BTreeSet<&str> {
    let status = world.pool.status.as_ref();
    let refs = status.and_then(|s| s.node_refs.as_deref());
    let names = refs.unwrap_or_default().iter();
    names.filter_map(|r| r.name.as_deref()).collect()
}

/// Removes Nodes of machines that the infrastructure doesn't have any more.
fn retire(world: &World, plan: &mut Plan<Act>) {
    let Some(infrastructure) = world.contract().filter(Contract::is_provisioned) else {
        return;
    };
    let ids = infrastructure.provider_ids();
    let replicas = infrastructure.replicas("status", "replicas");
    if ids.is_empty() && replicas.unwrap_or_default() != 0 {
        return;
    }
    let known = known_nodes(world);
    for node in &world.nodes {
        let name = node.name_any();
        let is_gone = node_id(node).is_some_and(|id| !ids.iter().any(|i| i == id));
        // A Machine that is there takes its Node with it, after it has drained it.
        let has_machine = world.machines.iter().any(|m| m.node_name() == Some(&*name));
        if known.contains(&*name) && is_gone && !has_machine {
            plan.changes.push(Change::Act(Act::DeleteNode { name }));
        }
    }
}

/// Without Machines, the pool itself says on Nodes whose they are, and lets pods onto them.
fn mark(world: &World, plan: &mut Plan<Act>) {
    let pool = &world.pool;
    let namespace = pool.namespace().unwrap_or_default();
    let name = pool.name_any();
    let wanted = [
        (labels::CLUSTER_NAME, &pool.spec.cluster_name),
        (labels::CLUSTER_NAMESPACE, &namespace),
        (labels::OWNER_KIND, &"MachinePool".to_owned()),
        (labels::OWNER_NAME, &name),
    ];
    for node in pool_nodes(world) {
        let have = node.annotations();
        let missing = wanted
            .iter()
            .filter(|(key, value)| have.get(*key) != Some(*value));
        let annotations: serde_json::Map<String, Value> = missing
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let taints = node.spec.as_ref().and_then(|s| s.taints.as_ref());
        let is_unclaimed =
            taints.is_some_and(|t| t.iter().any(|t| t.key == labels::UNINITIALIZED_TAINT));
        if annotations.is_empty() && !is_unclaimed {
            continue;
        }
        let mut patch = json!({"metadata": {"annotations": annotations}});
        if is_unclaimed {
            let rest: Vec<_> = taints
                .into_iter()
                .flatten()
                .filter(|t| t.key != labels::UNINITIALIZED_TAINT)
                .collect();
            patch["spec"] = json!({"taints": rest});
            // Lists are replaced as a whole: not over somebody else's change.
            patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
        }
        let name = node.name_any();
        plan.changes
            .push(Change::Act(Act::PatchNode { name, patch }));
    }
}

/// The Nodes of the machines that the infrastructure has.
pub(super) fn pool_nodes(world: &World) -> Vec<&Node> {
    let ids = world.contract().map(|i| i.provider_ids());
    let ids = ids.unwrap_or_default();
    ids.iter().filter_map(|id| world.node(id)).collect()
}

/// When a Node became ready, if it is.
fn ready_since(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "True")?;
    Some(
        ready
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
    )
}

fn min_ready(world: &World) -> SignedDuration {
    let seconds = world.pool.spec.template.spec.min_ready_seconds;
    SignedDuration::from_secs(i64::from(seconds.unwrap_or_default()))
}

/// When a Node that is ready since then has been so for long enough. Nodes say it themselves: any time may come.
fn available_at(world: &World, since: Timestamp) -> Timestamp {
    since
        .checked_add(min_ready(world))
        .unwrap_or(Timestamp::MAX)
}

/// Whether a Node is ready, and whether it has been so for long enough.
pub(super) fn readiness(world: &World, node: &Node, now: Timestamp) -> (bool, bool) {
    let since = ready_since(node);
    let is_available = since.is_some_and(|since| now >= available_at(world, since));
    (since.is_some(), is_available)
}

/// When the next Node will have been ready for long enough.
fn until_available(world: &World, now: Timestamp) -> Option<Duration> {
    let nodes = pool_nodes(world);
    let since = nodes.iter().filter_map(|node| ready_since(node));
    let left = since.map(|since| available_at(world, since).duration_since(now));
    let left = left.filter_map(|left| Duration::try_from(left).ok());
    left.filter(|left| !left.is_zero()).min()
}

fn delete(world: &World, plan: &mut Plan<Act>) {
    if let Some(part) = &world.infrastructure {
        part::remove(part, reasons::WAITING_FOR_INFRASTRUCTURE_DELETION, plan);
        return;
    }
    if !world.machines.is_empty() {
        let live = world.machines.iter().filter(|m| !m.is_deleting());
        plan.changes.extend(live.map(|m| object::delete(&**m)));
        let names: Vec<_> = world.machines.iter().map(|m| m.name_any()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        plan.wait(
            reasons::WAITING_FOR_MACHINES_DELETION,
            format!("Waiting for {} to be deleted", named("Machine", &names)),
        );
        return;
    }
    let cluster = world.cluster.as_ref();
    let lives_on = cluster.is_some_and(|c| c.metadata.deletion_timestamp.is_none());
    if lives_on && world.link.is_up() {
        let known = known_nodes(world);
        let nodes = world.nodes.iter().map(|n| n.name_any());
        let left: Vec<_> = nodes.filter(|name| known.contains(&**name)).collect();
        if !left.is_empty() {
            let names: Vec<_> = left.iter().map(String::as_str).collect();
            plan.wait(
                reasons::DELETING_NODES,
                format!("Waiting for {} to be deleted", named("Node", &names)),
            );
            plan.changes.extend(
                left.into_iter()
                    .map(|name| Change::Act(Act::DeleteNode { name })),
            );
            plan.again_in = Some(AGAIN);
            return;
        }
    }
    if let Some(part) = &world.bootstrap {
        part::remove(part, reasons::WAITING_FOR_BOOTSTRAP_DELETION, plan);
        return;
    }
    plan.is_finished = true;
    plan.note("Deleted", "The pool is deleted");
}
