//! What was written, in order: what every watcher's view is compared with.

use std::collections::BTreeMap;
use std::sync::RwLock;

use apiserver::object::Key;
use apiserver::store::{Change, ClusterStore, Expected};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::Instant;

pub(super) const NAMESPACES: usize = 100;
/// Objects in a namespace.
pub(super) const NAMES: usize = 12;
pub(super) const COLORS: [&str; 3] = ["red", "green", "blue"];
pub(super) const RESOURCES: [(&str, &str); 2] =
    [("configmaps", "ConfigMap"), ("secrets", "Secret")];

/// One change of one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) revision: u64,
    pub(super) at: Instant,
    pub(super) namespace: usize,
    pub(super) name: usize,
    /// Colour before and after; `None` when it was not there.
    pub(super) was: Option<usize>,
    pub(super) is: Option<usize>,
}

/// Everything that was written.
pub(super) struct Log {
    resources: [Changes; 2],
    pub(super) revision: u64,
}

#[derive(Default)]
struct Changes {
    all: Vec<Changed>,
    by_namespace: Vec<Vec<Changed>>,
    /// Namespace and name → revision and colour.
    now: BTreeMap<(usize, usize), (u64, usize)>,
}

impl Log {
    pub(super) fn new(revision: u64) -> Self {
        let changes = || Changes {
            by_namespace: vec![Vec::new(); NAMESPACES],
            ..Changes::default()
        };
        Self {
            resources: [changes(), changes()],
            revision,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.resources.iter().map(|r| r.all.len()).sum()
    }

    /// The changes of a resource, in one namespace or all.
    pub(super) fn of(&self, resource: usize, namespace: Option<usize>) -> &[Changed] {
        let changes = &self.resources[resource];
        namespace.map_or(&changes.all, |n| &changes.by_namespace[n])
    }

    /// Notes a change that is about to get the next revision, which is the answer.
    fn note(&mut self, resource: usize, changed: impl FnOnce(u64) -> Changed) -> u64 {
        self.revision += 1;
        let changed = changed(self.revision);
        let changes = &mut self.resources[resource];
        changes.all.push(changed);
        changes.by_namespace[changed.namespace].push(changed);
        let key = (changed.namespace, changed.name);
        match changed.is {
            Some(color) => changes.now.insert(key, (changed.revision, color)),
            None => changes.now.remove(&key),
        };
        changed.revision
    }
}

/// Makes a random change.
pub(super) async fn change(store: &ClusterStore, log: &RwLock<Log>, rng: &mut StdRng) {
    let resource = usize::from(rng.random_bool(0.1));
    let (namespace, name) = (rng.random_range(0..NAMESPACES), rng.random_range(0..NAMES));
    let new_color = rng.random_range(0..COLORS.len());
    let current = {
        let log = log.read().unwrap();
        log.resources[resource].now.get(&(namespace, name)).copied()
    };
    let is_deletion = current.is_some() && rng.random_bool(0.25);
    // A deletion comes with the last state.
    let color = current.map_or(
        new_color,
        |(_, color)| if is_deletion { color } else { new_color },
    );
    let (plural, kind) = RESOURCES[resource];
    let key = Key::new(plural, &format!("n{namespace}"), &format!("o{name}"));
    let object = object(&key, kind, color);
    let expected = current.map_or(Expected::Absent, |(revision, _)| {
        Expected::Revision(revision)
    });
    let written = if is_deletion {
        Change::Delete(object)
    } else {
        Change::Put(object)
    };
    // Noted first: between the commit and its answer somebody else may run, and see it.
    let revision = log.write().unwrap().note(resource, |revision| Changed {
        revision,
        at: Instant::now(),
        namespace,
        name,
        was: current.map(|(_, color)| color),
        is: (!is_deletion).then_some(color),
    });
    let object = store.write(&key, expected, written).await.unwrap();
    assert_eq!(object.header.revision, revision);
}

fn object(key: &Key, kind: &str, color: usize) -> Value {
    let (namespace, name) = (&*key.namespace, &*key.name);
    json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"color": COLORS[color]},
            "uid": format!("{kind}-{namespace}-{name}"), "creationTimestamp": "2026-04-22T12:00:00Z",
        },
    })
}
