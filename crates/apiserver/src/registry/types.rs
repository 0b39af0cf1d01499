//! Which resources a logical cluster serves now: Kubernetes' own and those of its CustomResourceDefinitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::crd::{Compiled, Names};
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
    /// What the definitions say, by their names.
    definitions: BTreeMap<Box<str>, Arc<Definition>>,
    /// Grows with every change; keys caches of derived documents.
    pub generation: u64,
    /// Revision of the definitions that this was read from.
    revision: u64,
}

/// One definition as it was read; it is read again when it has changed.
struct Definition {
    revision: u64,
    group: Box<str>,
    /// The names that it has in its group.
    names: Option<Names>,
    /// What it means, if its names are accepted.
    compiled: Option<Arc<Compiled>>,
}

impl Definition {
    fn read(object: &Object) -> Self {
        let value = object.value();
        Self {
            revision: object.header.revision,
            group: value["spec"]["group"].as_str().unwrap_or_default().into(),
            names: Names::accepted(&value),
            compiled: is_established(&value).then(|| Compiled::of(&value)),
        }
    }
}

impl Types {
    /// The kinds whose definitions are in the store.
    pub(super) fn new(store: &ClusterStore) -> Self {
        Self {
            store: store.clone(),
            current: ArcSwap::from_pointee(Served::read(store, 1, &BTreeMap::new())),
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
            Arc::new(Served::read(
                &self.store,
                old.generation + 1,
                &old.definitions,
            ))
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
    /// Reads the definitions, of those that are `known` only what has changed.
    fn read(
        store: &ClusterStore,
        generation: u64,
        known: &BTreeMap<Box<str>, Arc<Definition>>,
    ) -> Self {
        let mut served = Self {
            resources: resource::builtin().to_vec(),
            custom: HashMap::new(),
            schema_revisions: HashMap::new(),
            definitions: BTreeMap::new(),
            generation,
            revision: store.revision_of(DEFINITIONS),
        };
        for object in store.list(DEFINITIONS, None).objects {
            let name = &object.header.name;
            let known = known.get(name);
            let definition = match known.filter(|k| k.revision == object.header.revision) {
                Some(known) => known.clone(),
                None => Arc::new(Definition::read(&object)),
            };
            served.add(&definition);
            served.definitions.insert(name.clone(), definition);
        }
        served
    }

    /// Adds the versions that a definition serves, if its names are accepted.
    fn add(&mut self, definition: &Definition) {
        for resource in definition
            .compiled
            .iter()
            .flat_map(|compiled| compiled.served())
        {
            self.schema_revisions
                .insert(resource.storage.clone(), definition.revision);
            let key = (
                resource.group.clone(),
                resource.version.clone(),
                resource.plural.clone(),
            );
            self.custom.insert(key, resource.clone());
            self.resources.push(resource.clone());
        }
    }

    /// The accepted names of the definitions of a group, but for the definition called `except`.
    pub(super) fn names_beside(&self, group: &str, except: &str) -> Vec<Names> {
        let others = self
            .definitions
            .iter()
            .filter(|(name, definition)| *definition.group == *group && ***name != *except);
        others
            .filter_map(|(_, definition)| definition.names.clone())
            .collect()
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
