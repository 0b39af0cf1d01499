//! What a Machine wants of its Node: annotations, labels and taints. Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::meta::labels;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::ResourceExt;
use runtime::Plan;
use serde_json::{Value, json};

use super::{Act, World};
use crate::contract::Contract;
use crate::object;

/// Domain of labels and annotations that Machines pass on to their Nodes.
const NODE_DOMAIN: &str = "node.cluster.x-k8s.io";

/// Patches the Node if it differs from what the Machine wants.
pub(super) fn sync(world: &World, plan: &mut Plan<Act>) {
    if let Some(ambiguity) = world.ambiguity() {
        plan.wait("InternalError", ambiguity);
    }
    let Some(node) = world.node() else { return };
    let mut patch = json!({});
    let annotations = annotations(world, node);
    let labels = changed_labels(world, node);
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = json!(annotations);
    }
    if !labels.is_empty() {
        patch["metadata"]["labels"] = json!(labels);
    }
    if let Some(taints) = taints(world, node) {
        patch["spec"] = json!({"taints": taints});
    }
    if patch != json!({}) {
        // Lists are replaced as a whole: not over somebody else's change.
        patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
        plan.changes.push(runtime::Change::Act(Act::PatchNode {
            name: node.name_any(),
            patch,
        }));
    }
}

/// Whether a label of the Machine is for its Node.
fn is_for_nodes(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return false;
    };
    let is_in = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    domain == "node-role.kubernetes.io"
        || is_in("node-restriction.kubernetes.io")
        || is_in(NODE_DOMAIN)
}

fn wanted_labels(world: &World) -> BTreeMap<String, String> {
    let all = world.machine.metadata.labels.iter().flatten();
    let mut wanted: BTreeMap<_, _> = all
        .filter(|(key, _)| is_for_nodes(key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let infrastructure = world.infrastructure.as_deref().map(Contract);
    if infrastructure.is_some_and(|i| i.is_interruptible()) {
        wanted.insert(labels::INTERRUPTIBLE.to_owned(), String::new());
    }
    wanted
}

/// Annotations of the Machine that are for its Node.
fn wanted_annotations(world: &World) -> BTreeMap<String, String> {
    let all = world.machine.metadata.annotations.iter().flatten();
    let is_for_nodes = |key: &str| {
        let domain = key.split_once('/').map(|(domain, _)| domain);
        domain.is_some_and(|d| d == NODE_DOMAIN || d.ends_with(&format!(".{NODE_DOMAIN}")))
    };
    all.filter(|(key, _)| is_for_nodes(key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Keys of a comma-separated list in an annotation of the Node.
fn tracked(node: &Node, annotation: &str) -> BTreeSet<String> {
    let list = object::annotation(&node.metadata, annotation).unwrap_or_default();
    list.split(',')
        .filter(|k| !k.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Labels to set, and with null those that the Machine had once.
fn changed_labels(world: &World, node: &Node) -> BTreeMap<String, Value> {
    let wanted = wanted_labels(world);
    let have = node.labels();
    let set = wanted
        .iter()
        .filter(|(k, v)| have.get(*k) != Some(v))
        .map(|(k, v)| (k.clone(), json!(v)));
    let gone = tracked(node, labels::LABELS_FROM_MACHINE);
    let gone = gone
        .into_iter()
        .filter(|k| !wanted.contains_key(k) && have.contains_key(k));
    set.chain(gone.map(|k| (k, Value::Null))).collect()
}

/// Annotations to set, and with null those that the Machine had once.
fn annotations(world: &World, node: &Node) -> BTreeMap<String, Value> {
    let machine = &world.machine;
    let passed_on = wanted_annotations(world);
    let list = |keys: Vec<&String>| {
        let keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
        keys.join(",")
    };
    let always = machine.spec.taints.iter().flatten();
    let always = always.filter(|t| t.propagation == "Always");
    let taints: BTreeSet<_> = always.map(|t| format!("{}:{}", t.key, t.effect)).collect();
    let mut wanted = passed_on.clone();
    let mut set = |key: &str, value: String| wanted.insert(key.to_owned(), value);
    set(labels::CLUSTER_NAME, machine.spec.cluster_name.clone());
    set(
        labels::CLUSTER_NAMESPACE,
        machine.namespace().unwrap_or_default(),
    );
    set(labels::MACHINE, machine.name_any());
    if let Some(owner) = object::controller_of(&machine.metadata) {
        set(labels::OWNER_KIND, owner.kind.clone());
        set(labels::OWNER_NAME, owner.name.clone());
    }
    let from_labels = wanted_labels(world);
    set(
        labels::LABELS_FROM_MACHINE,
        list(from_labels.keys().collect()),
    );
    set(labels::TAINTS_FROM_MACHINE, list(taints.iter().collect()));
    let gone = tracked(node, labels::ANNOTATIONS_FROM_MACHINE);
    // A Node that never had any needs no list of them.
    if !passed_on.is_empty() || !gone.is_empty() {
        set(
            labels::ANNOTATIONS_FROM_MACHINE,
            list(passed_on.keys().collect()),
        );
    }
    let have = node.annotations();
    let gone = gone
        .into_iter()
        .filter(|key| !passed_on.contains_key(key) && have.contains_key(key));
    let gone = gone.map(|key| (key, Value::Null));
    let set = wanted
        .into_iter()
        .filter(|(key, value)| have.get(key) != Some(value))
        .map(|(key, value)| (key, json!(value)));
    gone.chain(set).collect()
}

/// The Node's taints as they should be, if they aren't.
fn taints(world: &World, node: &Node) -> Option<Vec<Taint>> {
    let have = node
        .spec
        .as_ref()
        .and_then(|s| s.taints.clone())
        .unwrap_or_default();
    // The annotation is there from the first sync on.
    let is_first = object::annotation(&node.metadata, labels::TAINTS_FROM_MACHINE).is_none();
    let mut want = have.clone();
    want.retain(|t| t.key != labels::UNINITIALIZED_TAINT);
    let machine_taints = world.machine.spec.taints.as_deref().unwrap_or_default();
    let names: BTreeSet<_> = machine_taints
        .iter()
        .map(|t| format!("{}:{}", t.key, t.effect))
        .collect();
    let gone = tracked(node, labels::TAINTS_FROM_MACHINE);
    want.retain(|t| {
        let name = format!("{}:{}", t.key, t.effect);
        names.contains(&name) || !gone.contains(&name)
    });
    for taint in machine_taints
        .iter()
        .filter(|t| t.propagation == "Always" || is_first)
    {
        let wanted = taint.to_core();
        match want
            .iter_mut()
            .find(|t| t.key == wanted.key && t.effect == wanted.effect)
        {
            Some(existing) => existing.value = wanted.value,
            None => want.push(wanted),
        }
    }
    let outdated = |t: &Taint| t.key == labels::OUTDATED_REVISION_TAINT;
    if !is_outdated(world) {
        want.retain(|t| !outdated(t));
    } else if !want.iter().any(outdated) {
        want.push(Taint {
            key: labels::OUTDATED_REVISION_TAINT.to_owned(),
            effect: "PreferNoSchedule".to_owned(),
            ..Taint::default()
        });
    }
    (want != have).then_some(want)
}

/// Whether the Machine's set has an older revision than its MachineDeployment.
fn is_outdated(world: &World) -> bool {
    let revision = |m: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        object::annotation(m, labels::REVISION)?.parse::<u64>().ok()
    };
    let set = world.set.as_ref().and_then(|s| revision(&s.metadata));
    let deployment = world
        .deployment
        .as_ref()
        .and_then(|d| revision(&d.metadata));
    set.is_some() && deployment.is_some() && set < deployment
}
