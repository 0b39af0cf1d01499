//! Which resources a logical cluster serves now: Kubernetes' own and those of its CustomResourceDefinitions.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::crd::Compiled;
use crate::object::Object;
use crate::resource::{self, Resource};
use crate::store::ClusterStore;

/// Storage name of the definitions.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Group, version and plural.
type Path<T> = (T, T, T);

/// The served resources; read again as a whole when a definition has changed.
pub struct Types {
    store: ClusterStore,
    current: ArcSwap<Served>,
}

/// One consistent set of served resources.
pub struct Served {
    /// In the order of discovery: built-in first.
    pub resources: Vec<Arc<Resource>>,
    custom: HashMap<Path<Arc<str>>, Arc<Resource>>,
    schema_revisions: HashMap<Arc<str>, u64>,
    /// Equal definitions are compiled once for as long as somebody holds the result.
    compiled: Vec<Arc<Compiled>>,
    /// Grows with every change; keys caches of derived documents.
    pub generation: u64,
    /// Revision of the definitions that this was read from.
    revision: u64,
}

impl Types {
    /// The kinds whose definitions are in the store.
    pub(super) fn new(store: &ClusterStore) -> Self {
        Self {
            store: store.clone(),
            current: ArcSwap::from_pointee(Served::read(store, 1)),
        }
    }

    /// The set served now: who has seen a definition, by whatever way, finds its kind here.
    #[must_use]
    pub fn served(&self) -> Arc<Served> {
        let served = self.current.load_full();
        if served.revision == self.store.revision_of(DEFINITIONS) {
            return served;
        }
        self.current.rcu(|old| {
            if old.revision == self.store.revision_of(DEFINITIONS) {
                return old.clone();
            }
            Arc::new(Served::read(&self.store, old.generation + 1))
        });
        self.current.load_full()
    }

    /// One resource by group, version and plural.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.served().find(group, version, plural)
    }

    /// Objects of this storage written before this revision may lack defaults or have pruned fields.
    pub(super) fn schema_revision(&self, storage: &str) -> u64 {
        self.served()
            .schema_revisions
            .get(storage)
            .copied()
            .unwrap_or_default()
    }
}

impl Served {
    fn read(store: &ClusterStore, generation: u64) -> Self {
        let mut served = Self {
            resources: resource::builtin().to_vec(),
            custom: HashMap::new(),
            schema_revisions: HashMap::new(),
            compiled: vec![],
            generation,
            revision: store.revision_of(DEFINITIONS),
        };
        for object in store.list(DEFINITIONS, None).objects {
            served.add(&object);
        }
        served
    }

    /// Adds the versions that a definition serves, if its names are accepted.
    fn add(&mut self, object: &Object) {
        let definition = object.value();
        if !is_established(&definition) {
            return;
        }
        let compiled = Compiled::of(&definition);
        for resource in compiled.served() {
            self.schema_revisions
                .insert(resource.storage.clone(), object.header.revision);
            let key = (
                resource.group.clone(),
                resource.version.clone(),
                resource.plural.clone(),
            );
            self.custom.insert(key, resource.clone());
            self.resources.push(resource.clone());
        }
        self.compiled.push(compiled);
    }

    /// One resource by group, version and plural.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        if let Some(found) = find_builtin(group, version, plural) {
            return Some(found);
        }
        self.custom
            .get(&(group.into(), version.into(), plural.into()))
            .cloned()
    }
}

/// One of Kubernetes' own resources.
#[must_use]
pub fn find_builtin(group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
    static INDEX: OnceLock<HashMap<Path<&str>, &Arc<Resource>>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        resource::builtin()
            .iter()
            .map(|r| ((&*r.group, &*r.version, &*r.plural), r))
            .collect()
    });
    index
        .get(&(group, version, plural))
        .map(|found| Arc::clone(found))
}

fn is_established(definition: &Value) -> bool {
    definition["status"]["conditions"]
        .as_array()
        .is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True")
        })
}
