//! Fields of owners that wrote an object at other versions.
//!
//! A field has its path at one version. What a write changes is therefore looked for at the version of each owner, in
//! the objects before and after as that version shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::apply::Reset;
use super::managed::Managed;
use super::set::Set;
use super::typed::{self, Delta, Node};
use crate::schema::Schema;

/// Shows objects of one kind at its other versions.
pub trait Versions: fmt::Debug + Send + Sync {
    /// `object` at `api_version`, its own or another, and the schema of its kind there. `None` if fields have the same
    /// paths in all versions, or the object cannot be shown.
    fn show(&self, object: &Value, api_version: &str) -> Option<(Value, Arc<Schema>)>;
}

/// Kinds whose versions differ in their name alone.
#[derive(Debug)]
pub struct OneForm;

impl Versions for OneForm {
    fn show(&self, _: &Value, _: &str) -> Option<(Value, Arc<Schema>)> {
        None
    }
}

/// What a write changes, at each version that somebody owns fields at.
pub(super) struct Deltas {
    /// At the version of the write, and at those that share its paths.
    own: Delta,
    others: BTreeMap<Box<str>, (Delta, Arc<Schema>)>,
}

impl Deltas {
    /// What `after` changes of `before`, beside `own`, which is at the version `api_version` of both.
    pub(super) fn of(
        own: Delta,
        (before, after): (&Value, &Value),
        managed: &Managed,
        (versions, api_version): (&dyn Versions, &str),
        reset: Reset,
    ) -> Self {
        let mut others = BTreeMap::new();
        for version in other_versions(managed, api_version) {
            let shown = versions
                .show(before, &version)
                .zip(versions.show(after, &version));
            let Some(((before, schema), (after, _))) = shown else {
                continue;
            };
            if let Ok(delta) = typed::compare(&before, &after, Node::root(&schema)) {
                others.insert(version, (reset.keep_of(delta), schema));
            }
        }
        Self {
            own: reset.keep_of(own),
            others,
        }
    }

    /// At the version of the write.
    pub(super) fn own(&self) -> &Delta {
        &self.own
    }

    /// At `api_version`.
    pub(super) fn at(&self, api_version: &str) -> &Delta {
        self.others
            .get(api_version)
            .map_or(&self.own, |(delta, _)| delta)
    }

    /// The schema by which fields at `api_version` are read; `node` if they have the paths of the write's version.
    pub(super) fn node<'n>(&'n self, api_version: &str, node: Node<'n>) -> Node<'n> {
        self.others
            .get(api_version)
            .map_or(node, |(_, schema)| Node::root(schema))
    }
}

/// The versions of owners other than `api_version`, once each.
fn other_versions(managed: &Managed, api_version: &str) -> Vec<Box<str>> {
    let mut all: Vec<Box<str>> = managed
        .entries
        .iter()
        .map(|entry| entry.owner.api_version.clone())
        .filter(|version| **version != *api_version)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The sets of all owners at `api_version`, in one.
fn owned_at(managed: &Managed, api_version: &str) -> Set {
    let entries = managed.entries.iter();
    entries
        .filter(|entry| *entry.owner.api_version == *api_version)
        .fold(Set::default(), |all, entry| all.union(&entry.set()))
}

/// `merged`, at version `api_version`, without the fields `last` that its manager applied at version `applied_at` and
/// does not name any more, unless others own them at any version. `None` if those versions cannot be shown.
pub(super) fn prune(
    merged: &Value,
    (last, applied_at): (&Set, &str),
    managed: &Managed,
    (versions, api_version): (&dyn Versions, &str),
    system: &Set,
) -> Option<Value> {
    let (there, schema) = versions.show(merged, applied_at)?;
    let node = Node::root(&schema);
    let last = typed::with_named_fields(last, node);
    let back = |value: &Value| versions.show(value, api_version).map(|(value, _)| value);
    let mut pruned = back(&typed::remove(&there, &last, node))?;
    let others = other_versions(managed, api_version);
    let all = others.iter().map(|version| &**version).chain([api_version]);
    for version in all {
        let shown = versions
            .show(merged, version)
            .zip(versions.show(&pruned, version));
        let Some(((merged, schema), (so_far, _))) = shown else {
            continue;
        };
        let node = Node::root(&schema);
        let fields = |value: &Value| typed::with_named_fields(&typed::fields(value, node), node);
        let owned = typed::with_named_fields(&owned_at(managed, version), node).union(system);
        let given_back = fields(&so_far).union(&owned);
        let without = fields(&merged).difference(&given_back);
        pruned = back(&typed::remove(&merged, &without, node))?;
    }
    // Nothing goes but what was asked for.
    let (pruned, _) = versions.show(&pruned, applied_at)?;
    let fields = |value: &Value| typed::with_named_fields(&typed::fields(value, node), node);
    let owned = typed::with_named_fields(&owned_at(managed, applied_at), node).union(system);
    let gone = fields(&there)
        .difference(&fields(&pruned))
        .difference(&owned);
    back(&typed::remove(&there, &gone.intersection(&last), node))
}
