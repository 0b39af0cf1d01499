//! Building and relating objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::{DynamicObject, TypeMeta};
use kube::{Resource, ResourceExt};
use runtime::{Change, ObjectRef};
use serde::Serialize;
use serde_json::{Value, json};

/// The object as it goes over the wire, for a plan.
#[must_use]
pub fn dynamic<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> DynamicObject {
    let mut data = serde_json::to_value(object).unwrap_or_default();
    if let Value::Object(members) = &mut data {
        for member in ["apiVersion", "kind", "metadata", "status"] {
            members.remove(member);
        }
        // What is empty is left out: kinds of Cluster API refuse empty objects where they may be missing.
        members.retain(|_, v| v.as_object().is_none_or(|m| !m.is_empty()));
    }
    DynamicObject {
        types: Some(TypeMeta {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
        }),
        metadata: ObjectMeta {
            // The server's own fields are no wish.
            managed_fields: None,
            resource_version: None,
            creation_timestamp: None,
            generation: None,
            ..object.meta().clone()
        },
        data,
    }
}

/// An object of any kind.
#[must_use]
pub fn build(api_version: &str, kind: &str, metadata: ObjectMeta, data: Value) -> DynamicObject {
    DynamicObject {
        types: Some(TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        }),
        metadata,
        data,
    }
}

/// Names a typed object, for patches and deletions.
#[must_use]
pub fn target<K: Resource<DynamicType = ()>>(object: &K) -> ObjectRef {
    ObjectRef {
        group: K::group(&()).into_owned(),
        version: K::version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// Deletes exactly this object.
#[must_use]
pub fn delete<A, K: Resource<DynamicType = ()>>(object: &K) -> Change<A> {
    Change::Delete {
        target: target(object),
        uid: object.uid(),
    }
}

/// Deletes exactly this object.
#[must_use]
pub fn delete_dynamic<A>(object: &DynamicObject) -> Change<A> {
    Change::Delete {
        target: ObjectRef::of(object),
        uid: object.metadata.uid.clone(),
    }
}

/// Changes the spec of an object that its user owns, but only if nobody else changed it since.
#[must_use]
pub fn patch_spec<A, K: Resource<DynamicType = ()>>(object: &K, spec: &Value) -> Change<A> {
    Change::Patch {
        target: target(object),
        subresource: "",
        patch: json!({
            "metadata": {"resourceVersion": object.resource_version()},
            "spec": spec,
        }),
    }
}

/// An owner reference, by `controller` of the one owner that manages the object.
#[must_use]
pub fn owner_ref<K: Resource<DynamicType = ()>>(owner: &K, is_controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        controller: is_controller.then_some(true),
        block_owner_deletion: is_controller.then_some(true),
    }
}

/// The owner that manages the object.
#[must_use]
pub fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|o| o.controller == Some(true))
}

/// Whether the object with this uid manages the other.
#[must_use]
pub fn is_controlled_by(metadata: &ObjectMeta, uid: Option<&str>) -> bool {
    uid.is_some() && controller_of(metadata).map(|o| o.uid.as_str()) == uid
}

/// What adopting an object takes: nothing if `owner` and `labels` are there already. An object that somebody else controls is only
/// labelled.
#[must_use]
pub fn adopt<A>(
    what: ObjectRef,
    metadata: &ObjectMeta,
    owner: &OwnerReference,
    labels: &BTreeMap<String, String>,
) -> Option<Change<A>> {
    let mut owners = metadata.owner_references.clone().unwrap_or_default();
    let is_foreign = owner.controller == Some(true)
        && controller_of(metadata).is_some_and(|c| c.uid != owner.uid);
    if !is_foreign {
        match owners.iter_mut().find(|o| o.uid == owner.uid) {
            Some(existing) => existing.clone_from(owner),
            None => owners.push(owner.clone()),
        }
    }
    let have = metadata.labels.clone().unwrap_or_default();
    let is_labelled = labels.iter().all(|(k, v)| have.get(k) == Some(v));
    if is_labelled && Some(&owners) == metadata.owner_references.as_ref() {
        return None;
    }
    Some(Change::Patch {
        target: what,
        subresource: "",
        patch: json!({"metadata": {
            "labels": labels,
            "ownerReferences": owners,
            "resourceVersion": metadata.resource_version,
        }}),
    })
}

/// The value of an annotation.
#[must_use]
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    Some(metadata.annotations.as_ref()?.get(key)?.as_str())
}

/// The value of a label.
#[must_use]
pub fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    Some(metadata.labels.as_ref()?.get(key)?.as_str())
}

/// Labels from pairs.
#[must_use]
pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// A status as it is, for a pass that must not change it.
#[must_use]
pub fn status_of<S: Serialize>(status: Option<&S>) -> Value {
    status
        .and_then(|s| serde_json::to_value(s).ok())
        .unwrap_or_else(|| json!({}))
}
