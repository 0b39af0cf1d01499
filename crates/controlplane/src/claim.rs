//! Whose an object is that a workload could keep, and how it is taken in and let go.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use runtime::{Change, Cx, GatherError, ObjectRef, Outcome, Plan, Selector};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Whose an object is, seen from one keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Ours, and it matches.
    Own,
    /// Ours by reference, but it no longer matches.
    Released,
    /// Matches, has no controller and is not being deleted.
    Orphan,
    /// Somebody else's.
    Foreign,
}

/// What keeps objects: its apiVersion and kind, as references to it say, and its metadata.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) meta: &'a ObjectMeta,
}

impl<'a> Keeper<'a> {
    pub(crate) fn namespace(&self) -> &'a str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &'a str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &'a str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    /// How what it keeps refers to it.
    pub(crate) fn reference(&self) -> Value {
        json!({
            "apiVersion": self.api_version, "kind": self.kind, "name": self.meta.name, "uid": self.meta.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// All objects of the namespace that the selector selects or that name the keeper as an owner.
    pub(crate) async fn candidates<K>(
        &self,
        cx: &Cx,
        selector: &LabelSelector,
    ) -> Result<Vec<Arc<K>>, GatherError>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
    {
        let (namespace, selector) = (Some(self.namespace()), Selector::from(selector));
        let mut all = cx.list::<K>(namespace, &selector).await?;
        let owned = cx
            .list::<K>(namespace, &Selector::owner(self.uid()))
            .await?;
        for object in owned {
            let is_known = all
                .iter()
                .any(|known| known.meta().name == object.meta().name);
            if !is_known {
                all.push(object);
            }
        }
        Ok(all)
    }

    /// Whose the object is; `matches` says whether the keeper would have it.
    pub(crate) fn claim(&self, object: &ObjectMeta, matches: bool) -> Claim {
        match controller(object) {
            Some(owner) if owner.uid == self.uid() && matches => Claim::Own,
            Some(owner) if owner.uid == self.uid() => Claim::Released,
            None if matches && object.deletion_timestamp.is_none() => Claim::Orphan,
            _ => Claim::Foreign,
        }
    }

    /// Makes the keeper the controller of the object.
    pub(crate) fn adopt<A>(&self, object: &impl Resource<DynamicType = ()>) -> Change<A> {
        let meta = object.meta();
        let mut owners = json!(meta.owner_references.clone().unwrap_or_default());
        if let Some(owners) = owners.as_array_mut() {
            owners.push(self.reference());
        }
        Change::Patch {
            target: target(object),
            subresource: "",
            patch: json!({"metadata": {"ownerReferences": owners, "uid": meta.uid}}),
        }
    }

    /// Takes the keeper from the owners of the object.
    pub(crate) fn release<A>(&self, object: &impl Resource<DynamicType = ()>) -> Change<A> {
        let meta = object.meta();
        let mut owners = meta.owner_references.clone().unwrap_or_default();
        owners.retain(|owner| owner.uid != self.uid());
        Change::Patch {
            target: target(object),
            subresource: "",
            patch: json!({"metadata": {"ownerReferences": owners, "uid": meta.uid}}),
        }
    }
}

/// The reference to the object that controls this one.
pub(crate) fn controller(object: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = object.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// Whether the selector selects the object; an empty selector selects nothing here, as workloads use it.
pub(crate) fn selects(selector: &LabelSelector, object: &ObjectMeta) -> bool {
    let labels = selector.match_labels.as_ref();
    let expressions = selector.match_expressions.as_ref();
    let is_empty = labels.is_none_or(|l| l.is_empty()) && expressions.is_none_or(|e| e.is_empty());
    let of_object = object.labels.clone().unwrap_or_default();
    !is_empty && Selector::from(selector).matches(&of_object, std::iter::empty())
}

/// Deletes the object, and no successor of its name.
pub(crate) fn delete<A>(object: &impl Resource<DynamicType = ()>) -> Change<A> {
    Change::Delete {
        target: target(object),
        uid: object.meta().uid.clone(),
    }
}

/// How changes name the object.
pub(crate) fn target<K: Resource<DynamicType = ()>>(object: &K) -> ObjectRef {
    let meta = object.meta();
    ObjectRef {
        group: K::group(&()).into_owned(),
        version: K::version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// The change that was not made, and why in the server's own words.
pub(crate) fn failure<'p, A>(
    plan: &'p Plan<A>,
    outcome: &Outcome,
) -> Option<(&'p Change<A>, String)> {
    let failure = outcome.failure.as_ref()?;
    let change = plan.changes.get(outcome.done)?;
    let prefix = match change {
        Change::Delete { target, .. } => format!("deleting {target}: "),
        Change::Create(object) | Change::Apply(object) | Change::ApplyStatus(object) => {
            format!("{}: ", ObjectRef::of(object))
        }
        Change::Patch { target, .. } => format!("{target}: "),
        Change::Act(_) => String::new(),
    };
    let words = failure.message.strip_prefix(&prefix);
    Some((change, words.unwrap_or(&failure.message).to_owned()))
}
