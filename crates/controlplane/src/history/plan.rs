//! Which revisions to create, number, adopt, release and delete. Pure.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::{History, Owner, REVISION_LABEL};
use crate::claim::{controller, target};

/// A name has 253 characters at most, thirty of them for the hash.
const PREFIX_MAX: usize = 223;
/// The letters of Kubernetes' safe encoding, which makes no words.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The revision of the present template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) name: String,
    /// Its hash, as its label says.
    pub(crate) hash: String,
    pub(crate) number: i64,
}

/// The revision that the present template has or is about to get.
pub(crate) fn current(history: &History, owner: &Owner<'_>) -> Current {
    let equal = equal(history, owner);
    let newest = history.revisions.last().map_or(0, |last| last.revision);
    if let Some(latest) = equal.last() {
        let is_newest = history
            .revisions
            .last()
            .is_some_and(|last| last.metadata.uid == latest.metadata.uid);
        return Current {
            name: name_of(latest),
            hash: hash_of(latest, owner),
            number: if is_newest {
                latest.revision
            } else {
                newest.saturating_add(1)
            },
        };
    }
    if let Some(there) = &history.elsewhere {
        return Current {
            name: name_of(there),
            hash: hash_of(there, owner),
            number: there.revision,
        };
    }
    Current {
        name: name(owner, history.collisions),
        hash: hash(owner, history.collisions),
        number: newest.saturating_add(1),
    }
}

/// Its revisions that hold the present template, the oldest first.
pub(crate) fn equal<'a>(
    history: &'a History,
    owner: &Owner<'_>,
) -> Vec<&'a Arc<ControllerRevision>> {
    let revisions = history.revisions.iter();
    revisions
        .filter(|revision| template_of(revision).as_ref() == Some(owner.template))
        .collect()
}

/// Adopts and releases revisions, and sees to it that the present template has one with the highest number.
pub(crate) fn keep<A>(history: &History, owner: &Owner<'_>, plan: &mut Plan<A>) {
    let orphans = history
        .revisions
        .iter()
        .filter(|revision| controller(&revision.metadata).is_none());
    plan.changes
        .extend(orphans.map(|revision| owner.keeper.adopt(&**revision)));
    let strays = history.strays.iter();
    plan.changes
        .extend(strays.map(|revision| owner.keeper.release(&**revision)));
    if owner.hash_label == REVISION_LABEL {
        let has_hash = |revision: &ControllerRevision| {
            let labels = revision.metadata.labels.as_ref();
            labels.is_some_and(|labels| labels.contains_key(REVISION_LABEL))
        };
        for revision in history.revisions.iter().filter(|r| !has_hash(r)) {
            let label = json!({REVISION_LABEL: name_of(revision)});
            plan.changes
                .push(patch(revision, json!({"metadata": {"labels": label}})));
        }
    }
    let current = current(history, owner);
    match equal(history, owner).last() {
        Some(latest) if latest.revision != current.number => {
            plan.changes
                .push(patch(latest, json!({"revision": current.number})));
        }
        Some(_) => {}
        None if history.elsewhere.is_some() => {}
        None => plan
            .changes
            .push(Change::Create(Box::new(new(owner, &current)))),
    }
}

/// Old revisions beyond the limit, the oldest first; those that are live stay. With `counts_live` they take up room.
pub(crate) fn surplus<'a>(
    history: &'a History,
    owner: &Owner<'_>,
    limit: Option<i32>,
    counts_live: bool,
    is_live: impl Fn(&ControllerRevision) -> bool,
) -> Vec<&'a Arc<ControllerRevision>> {
    /// Old revisions that are kept when the spec does not say.
    const LIMIT: i32 = 10;
    let Ok(limit) = usize::try_from(limit.unwrap_or(LIMIT)) else {
        return vec![];
    };
    let current = current(history, owner).name;
    let is_old = |revision: &&Arc<ControllerRevision>| name_of(revision) != current;
    let (live, dead): (Vec<_>, Vec<_>) = history
        .revisions
        .iter()
        .filter(is_old)
        .partition(|revision| is_live(revision));
    let counted = dead.len() + if counts_live { live.len() } else { 0 };
    let count = counted.saturating_sub(limit);
    dead.into_iter().take(count).collect()
}

/// The template that a revision holds; `None` if it holds something else.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0["spec"]["template"].clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// The name of the present template's revision after so many that were taken.
pub(super) fn name(owner: &Owner<'_>, collisions: i32) -> String {
    let prefix = owner.keeper.name();
    let mut end = prefix.len().min(PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &prefix[..end], hash(owner, collisions))
}

/// FNV-1 over the data and the collisions.
fn hash(owner: &Owner<'_>, collisions: i32) -> String {
    let text = format!("{}{collisions}", data(owner.template));
    let fnv = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        hash.wrapping_mul(0x0100_0193) ^ u32::from(byte)
    });
    let digits = fnv.to_string();
    let letters = digits
        .bytes()
        .map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()]));
    letters.collect()
}

/// A strategic merge patch that brings the template back.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = json!(template);
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

fn new(owner: &Owner<'_>, current: &Current) -> DynamicObject {
    let resource = ApiResource::erase::<ControllerRevision>(&());
    let mut object = DynamicObject::new(&current.name, &resource).within(owner.keeper.namespace());
    let labels = owner.template.metadata.as_ref();
    let mut labels = labels.and_then(|m| m.labels.clone()).unwrap_or_default();
    labels.insert(owner.hash_label.to_owned(), current.hash.clone());
    object.metadata.labels = Some(labels);
    // `kubectl rollout history` shows the cause of a change, which is one of them.
    object.metadata.annotations = owner.keeper.meta.annotations.clone();
    object.metadata.owner_references =
        serde_json::from_value(json!([owner.keeper.reference()])).ok();
    object.data = json!({"data": data(owner.template), "revision": current.number});
    object
}

fn name_of(revision: &ControllerRevision) -> String {
    revision.metadata.name.clone().unwrap_or_default()
}

fn hash_of(revision: &ControllerRevision, owner: &Owner<'_>) -> String {
    let labels = revision.metadata.labels.as_ref();
    let hash = labels.and_then(|labels| labels.get(owner.hash_label));
    hash.cloned().unwrap_or_else(|| name_of(revision))
}

fn patch<A>(revision: &ControllerRevision, mut patch: Value) -> Change<A> {
    patch["metadata"]["uid"] = json!(revision.metadata.uid);
    Change::Patch {
        target: target(revision),
        subresource: "",
        patch,
    }
}
