//! Copies of a class's templates, as one part of one cluster has them. Pure.

use api::cluster::WorkersKind;
use api::meta::{ContractRef, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::World;
use super::gather::is_named_by;
use super::group::entry_label;
use super::parts::Texts;
use crate::kcp::rollout::canonical;
use crate::{names, object, template};

/// Annotation of copies: hash of what they were rendered to. A template is made anew when this changes, and not when a server or a
/// newer controller fills in other defaults.
pub(super) const RENDERED: &str = "apiary.io/rendered-hash";
/// What clients leave behind; it says nothing of the copy.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A part of a cluster that is made from a template.
pub(super) struct Part<'a> {
    /// The class's template.
    pub from: &'a DynamicObject,
    /// The same with the class's patches.
    pub rendered: &'a Value,
    /// The entry of the topology that it is for, if it is for workers.
    pub entry: Option<(WorkersKind, &'a str)>,
    /// What the part refers to now.
    pub current: Option<&'a ContractRef>,
}

/// Labels and annotations that an object made from a template has from it, and because a topology made it.
pub(super) fn metadata_of(world: &World, part: &Part<'_>, from: &Value) -> ObjectMeta {
    let own =
        |field: &str| -> Texts { serde_json::from_value(from[field].clone()).unwrap_or_default() };
    let cluster = world.cluster.name_any();
    let mut labels = own("labels");
    labels.extend(object::labels([
        (labels::CLUSTER_NAME, &cluster),
        (labels::TOPOLOGY_OWNED, ""),
    ]));
    if let Some((kind, entry)) = part.entry {
        labels.insert(entry_label(kind).to_owned(), entry.to_owned());
    }
    let mut annotations = own("annotations");
    annotations.remove(LAST_APPLIED);
    annotations.extend(object::labels([
        (labels::CLONED_FROM_NAME, &part.from.name_any()),
        (
            labels::CLONED_FROM_GROUP_KIND,
            &template::group_kind(part.from),
        ),
    ]));
    ObjectMeta {
        namespace: world.cluster.namespace(),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

/// The copy of a template for a part of the cluster.
pub(super) fn copy(world: &World, part: &Part<'_>) -> DynamicObject {
    let types = part.from.types.clone().unwrap_or_default();
    let spec = &part.rendered["spec"];
    let rendered = format!("{:016x}", names::hash(&[&types.kind, &canonical(spec)]));
    let mut metadata = metadata_of(world, part, &part.rendered["metadata"]);
    metadata.name = Some(name(world, part, &rendered));
    metadata.owner_references = Some(vec![object::owner_ref(&world.cluster, false)]);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(RENDERED.to_owned(), rendered);
    object::build(
        &types.api_version,
        &types.kind,
        metadata,
        json!({"spec": spec}),
    )
}

/// The name of a copy: of one that is there if it is the same, otherwise one that depends on what it is rendered to.
fn name(world: &World, part: &Part<'_>, rendered: &str) -> String {
    let kind = part.from.types.as_ref().map_or("", |t| &t.kind);
    let entry = part.entry.map(|(_, entry)| entry);
    let is_of_part = |copy: &&std::sync::Arc<DynamicObject>| {
        copy.types.as_ref().is_some_and(|t| t.kind == kind)
            && object::label(&copy.metadata, labels::TOPOLOGY_DEPLOYMENT_NAME) == entry
    };
    let copies: Vec<_> = world.copies.iter().filter(is_of_part).collect();
    let live = || {
        copies
            .iter()
            .filter(|c| c.metadata.deletion_timestamp.is_none())
    };
    let hash_of = |copy: &DynamicObject| {
        let found = object::annotation(&copy.metadata, RENDERED);
        found.map(str::to_owned)
    };
    let is_current = |copy: &DynamicObject| part.current.is_some_and(|c| is_named_by(copy, c));
    let mut same: Vec<_> = live()
        .filter(|c| hash_of(c).as_deref() == Some(rendered))
        .collect();
    same.sort_by_key(|c| (!is_current(c), c.name_any()));
    if let Some(copy) = same.first() {
        return copy.name_any();
    }
    // One that somebody else made, and that has all that this one would have, is as good.
    let is_as_good = |copy: &&&std::sync::Arc<DynamicObject>| {
        is_current(copy)
            && hash_of(copy).is_none()
            && is_within(&part.rendered["spec"], &copy.data["spec"])
    };
    if let Some(copy) = live().find(is_as_good) {
        return copy.name_any();
    }
    let cluster = world.cluster.name_any();
    let uid = world.cluster.uid().unwrap_or_default();
    let prefix = match entry {
        Some(entry) => format!("{cluster}-{entry}"),
        None => cluster,
    };
    let mut count: u32 = 0;
    loop {
        let number = count.to_string();
        let entry = entry.unwrap_or_default();
        let suffix = names::suffix(&[&uid, kind, entry, rendered, &number]);
        let name = names::cut(format!("{prefix}-{suffix}"), &suffix);
        if !copies.iter().any(|c| c.name_any() == name) {
            return name;
        }
        count += 1;
    }
}

/// Whether all of `config` is in `object`, which may hold more besides.
fn is_within(config: &Value, object: &Value) -> bool {
    match (config, object) {
        (Value::Object(config), Value::Object(object)) => config
            .iter()
            .all(|(key, value)| object.get(key).is_some_and(|o| is_within(value, o))),
        (Value::Array(config), Value::Array(object)) => {
            config.len() == object.len() && config.iter().zip(object).all(|(c, o)| is_within(c, o))
        }
        _ => config == object,
    }
}
