//! The immutable bootstrap objects under every logical cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::overlay::{self, NO_OBJECTS, Tree};
use crate::object::{Key, Object};

/// Objects that every cluster starts with, stored once for all of them. A cluster that changes or deletes one keeps its
/// own state of that object from then on.
#[derive(Debug, Default)]
pub struct Base {
    resources: BTreeMap<Arc<str>, Collection>,
    count: u64,
    fingerprint: String,
}

#[derive(Debug, Default)]
struct Collection {
    objects: Tree<Arc<Object>>,
    newest: u64,
}

impl Base {
    /// A base of these objects, which get the revisions 1, 2, 3 …; a later object replaces an earlier one at its key.
    #[must_use]
    pub fn new(objects: Vec<(Key, Value)>) -> Self {
        let mut base = Self::default();
        let mut digest = Sha256::new();
        for (key, value) in objects {
            base.count += 1;
            let object = Object::encode(value, base.count);
            for part in [
                key.resource.as_bytes(),
                key.namespace.as_bytes(),
                key.name.as_bytes(),
                &object.json,
            ] {
                digest.update(part.len().to_be_bytes());
                digest.update(part);
            }
            let resource = Arc::clone(&key.resource);
            let collection = base.resources.entry(resource).or_default();
            overlay::insert(&mut collection.objects, &key, Arc::new(object));
            collection.newest = base.count;
        }
        base.fingerprint = hex::encode(digest.finalize());
        base
    }

    /// How many objects were given, which is the newest revision of the base.
    pub(super) fn revision(&self) -> u64 {
        self.count
    }

    /// Tells one base from another across restarts.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        overlay::get(self.tree(&key.resource), key)
    }

    pub(super) fn tree(&self, resource: &str) -> &Tree<Arc<Object>> {
        self.resources
            .get(resource)
            .map_or(&NO_OBJECTS, |c| &c.objects)
    }

    /// The newest revision among the objects of a resource; 0 when it has none.
    pub(super) fn revision_of(&self, resource: &str) -> u64 {
        self.resources.get(resource).map_or(0, |c| c.newest)
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = &Arc<str>> {
        self.resources.keys()
    }
}
