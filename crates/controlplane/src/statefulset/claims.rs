//! The claims of a StatefulSet's pods: which to make, and who is to own them. Pure.
//!
//! What is to go with the set has the set as its owner, what is to go with a pod that the set was scaled down by has that
//! pod; then the garbage collector does the rest.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, DynamicObject};
use runtime::Change;
use serde_json::{Value, json};

use super::identity;
use super::look::Look;
use crate::claim::{Keeper, target};

/// What becomes of claims: true for those that go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    when_deleted: bool,
    when_scaled: bool,
}

impl Policy {
    fn of(set: &StatefulSet) -> Self {
        let spec = set.spec.as_ref();
        let policy = spec.and_then(|s| s.persistent_volume_claim_retention_policy.as_ref());
        let goes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
        Self {
            when_deleted: goes(policy.and_then(|p| p.when_deleted.as_ref())),
            when_scaled: goes(policy.and_then(|p| p.when_scaled.as_ref())),
        }
    }
}

/// The claims that the pod of this ordinal lacks.
pub(super) fn missing(look: &Look<'_>, ordinal: i64) -> Vec<DynamicObject> {
    let templates = look.spec.volume_claim_templates.iter().flatten();
    let names = identity::claim_names(look.set, ordinal);
    templates
        .zip(names)
        .filter(|(_, (_, name))| !look.world.claims.contains_key(name))
        .map(|(template, (_, name))| new(look, template, &name))
        .collect()
}

/// A claim of the pod of this ordinal that is being deleted.
pub(super) fn going<'n>(look: &Look<'_>, names: &'n [(String, String)]) -> Option<&'n str> {
    let mut names = names.iter().map(|(_, name)| name.as_str());
    names.find(|name| {
        let claim = look.world.claims.get(*name);
        claim.is_some_and(|claim| claim.metadata.deletion_timestamp.is_some())
    })
}

/// A claim of a pod that is to be made goes with an earlier pod of its name, which is gone already.
pub(super) fn is_stale(look: &Look<'_>, ordinal: i64) -> bool {
    let pod = identity::pod_name(look.set, ordinal);
    let names = identity::claim_names(look.set, ordinal);
    let mut claims = names
        .iter()
        .filter_map(|(_, name)| look.world.claims.get(name));
    Policy::of(look.set).when_scaled
        && claims.any(|claim| owners(claim).iter().any(|owner| is_pod(owner, &pod)))
}

fn new(look: &Look<'_>, template: &PersistentVolumeClaim, name: &str) -> DynamicObject {
    let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    let mut claim = DynamicObject::new(name, &resource).within(look.keeper.namespace());
    let mut labels = template.metadata.labels.clone().unwrap_or_default();
    labels.extend(look.spec.selector.match_labels.clone().unwrap_or_default());
    claim.metadata.labels = Some(labels);
    claim.metadata.annotations = template.metadata.annotations.clone();
    claim.metadata.finalizers = template.metadata.finalizers.clone();
    if Policy::of(look.set).when_deleted {
        let owner = json!([look.keeper.reference()]);
        claim.metadata.owner_references = serde_json::from_value(owner).ok();
    }
    claim.data = json!({"spec": template.spec});
    claim
}

/// A claim whose owners are not as the policy wants them.
pub(super) struct Disowned {
    /// Sets them right.
    pub(super) change: Change<std::convert::Infallible>,
    /// Somebody else controls the claim: the event about that.
    pub(super) conflict: Option<String>,
}

/// The claims of a pod whose owners are wrong.
pub(super) fn disowned(look: &Look<'_>, ordinal: i64, pod: &Pod) -> Vec<Disowned> {
    let names = identity::claim_names(look.set, ordinal);
    let claims = names
        .iter()
        .filter_map(|(_, name)| look.world.claims.get(name));
    let wrong = claims.filter_map(|claim| {
        let present = owners(claim);
        let is_foreign = has_foreign_controller(look, present, pod);
        let wanted = wanted(look, present, ordinal, pod, is_foreign)?;
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        Some(Disowned {
            change: Change::Patch {
                target: target(&**claim),
                subresource: "",
                patch: json!({"metadata": {"ownerReferences": wanted, "uid": claim.metadata.uid}}),
            },
            conflict: is_foreign.then(|| {
                format!(
                    "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging controller, \
                     the retention policy is ignored for this claim"
                )
            }),
        })
    });
    wrong.collect()
}

/// The owners that the claim should have, if it has others.
fn wanted(
    look: &Look<'_>,
    present: &[OwnerReference],
    ordinal: i64,
    pod: &Pod,
    is_foreign: bool,
) -> Option<Value> {
    let (set_uid, pod_uid) = (look.keeper.uid(), pod.metadata.uid.as_deref());
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let is_ours = |owner: &OwnerReference| is_set(owner, look.keeper.name()) || is_pod(owner, name);
    let is_us =
        |owner: &OwnerReference| owner.uid == set_uid || Some(owner.uid.as_str()) == pod_uid;
    // An earlier set or pod of the same name: it is for the garbage collector to say what becomes of the claim.
    if present.iter().any(|owner| is_ours(owner) && !is_us(owner)) {
        return None;
    }
    let others = present.iter().filter(|owner| !is_ours(owner));
    let mut wanted: Vec<Value> = others.map(|owner| json!(owner)).collect();
    if is_foreign {
        return present.iter().any(is_us).then(|| wanted.into());
    }
    let policy = Policy::of(look.set);
    let is_surplus = !look.ordinals.contains(&ordinal);
    let with_set = policy.when_deleted && !(policy.when_scaled && is_surplus);
    let with_pod = policy.when_scaled && is_surplus;
    let has = |uid: Option<&str>| present.iter().any(|owner| Some(owner.uid.as_str()) == uid);
    let is_controlled = present
        .iter()
        .all(|owner| !is_us(owner) || owner.controller == Some(true));
    if has(Some(set_uid)) == with_set && has(pod_uid) == with_pod && is_controlled {
        return None;
    }
    if with_set {
        wanted.push(look.keeper.reference());
    }
    if with_pod {
        let pod = Keeper {
            api_version: "v1",
            kind: "Pod",
            meta: &pod.metadata,
        };
        wanted.push(pod.reference());
    }
    Some(wanted.into())
}

/// Somebody else controls a claim of which the policy decides.
fn has_foreign_controller(look: &Look<'_>, present: &[OwnerReference], pod: &Pod) -> bool {
    let policy = Policy::of(look.set);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let is_ours = |owner: &OwnerReference| is_set(owner, look.keeper.name()) || is_pod(owner, name);
    let mut controllers = present
        .iter()
        .filter(|owner| owner.controller == Some(true));
    (policy.when_deleted || policy.when_scaled) && controllers.any(|owner| !is_ours(owner))
}

fn owners(claim: &PersistentVolumeClaim) -> &[OwnerReference] {
    claim
        .metadata
        .owner_references
        .as_deref()
        .unwrap_or_default()
}

fn is_set(owner: &OwnerReference, name: &str) -> bool {
    owner.api_version == "apps/v1" && owner.kind == "StatefulSet" && owner.name == name
}

fn is_pod(owner: &OwnerReference, name: &str) -> bool {
    owner.api_version == "v1" && owner.kind == "Pod" && owner.name == name
}
