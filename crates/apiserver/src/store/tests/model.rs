//! Random histories against a model: the invariants that make informers correct (C1–C10).
//!
//! C7 (initial events) is the registry's; what it needs of the store is that a list and a watch from its revision give the
//! complete history, which every watcher here checks. `tests/it/stress` checks all of them as clients see them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use tokio::time::Instant;

use super::disk::Disk;
use super::*;
use crate::store::{Cursor, CursorEnd, EventKind, Listing, Redb, WriteError};

const RESOURCES: [&str; 2] = ["configmaps", "namespaces"];
const NAMESPACES: [Option<&str>; 3] = [None, Some("default"), Some("kube-system")];

#[derive(Clone, Debug)]
enum Step {
    /// Concurrent changes of one cluster; `true` deletes.
    Burst(usize, Vec<(usize, bool)>),
    /// A write that expects an older state than there is.
    Stale(usize, usize),
    /// List and watch from there.
    Watch(usize, usize, usize),
    /// Read some events of a watcher.
    Poll(usize, usize),
    /// List as it was some revisions ago.
    Past(usize, usize, usize, u64),
    /// Time passes, in seconds.
    Age(u64),
    Restart,
    /// Drop the cluster and create it anew.
    Replace(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (cluster, resource, namespace) = (0..2_usize, 0..RESOURCES.len(), 0..NAMESPACES.len());
    let changes = prop::collection::vec((0..keys().len(), prop::bool::weighted(0.3)), 1..12);
    prop_oneof![
        12 => (cluster.clone(), changes).prop_map(|(c, changes)| Step::Burst(c, changes)),
        2 => (cluster.clone(), 0..keys().len()).prop_map(|(c, k)| Step::Stale(c, k)),
        4 => (cluster.clone(), resource.clone(), namespace.clone())
            .prop_map(|(c, r, n)| Step::Watch(c, r, n)),
        6 => (0..8_usize, 0..20_usize).prop_map(|(w, n)| Step::Poll(w, n)),
        4 => (cluster.clone(), resource, namespace, 0..40_u64)
            .prop_map(|(c, r, n, back)| Step::Past(c, r, n, back)),
        3 => (0..400_u64).prop_map(Step::Age),
        1 => Just(Step::Restart),
        1 => cluster.prop_map(Step::Replace),
    ]
}

fn keys() -> Vec<Key> {
    vec![
        key("default", "a"),
        key("default", "b"),
        key("default-2", "a"),
        key("kube-system", "base-a"),
        key("kube-system", "base-b"),
        key("kube-system", "c"),
        Key::new("namespaces", "", "kube-system"),
        Key::new("namespaces", "", "default"),
    ]
}

/// Key → revision and data.
type Objects = BTreeMap<Key, (u64, Value)>;

struct Logged {
    revision: u64,
    kind: EventKind,
    key: Key,
    data: Value,
    previous: Option<u64>,
}

/// Seconds after which an older state may not be listed, or watched from, any more.
const LISTED: u64 = 300;
const WATCHED: u64 = 600;

/// What one cluster must be.
struct Model {
    /// Revision → when it stopped to be the newest.
    replaced: BTreeMap<u64, Instant>,
    /// By revision, for every revision since the last restart.
    states: BTreeMap<u64, Objects>,
    log: Vec<Logged>,
}

impl Model {
    fn new() -> Self {
        let on_base: Value = "from the base".into();
        let objects = [
            (key("kube-system", "base-a"), (1, on_base.clone())),
            (key("kube-system", "base-b"), (2, on_base.clone())),
            (Key::new("namespaces", "", "kube-system"), (3, on_base)),
        ];
        Self {
            replaced: BTreeMap::new(),
            states: BTreeMap::from([(1000, objects.into())]),
            log: Vec::new(),
        }
    }

    fn revision(&self) -> u64 {
        *self.states.last_key_value().unwrap().0
    }

    fn now(&self) -> &Objects {
        self.states.last_key_value().unwrap().1
    }

    fn change(&mut self, revision: u64, key: &Key, data: Value, is_delete: bool) {
        let mut objects = self.now().clone();
        let previous = objects.get(key).map(|(revision, _)| *revision);
        let kind = match (previous, is_delete) {
            (_, true) => EventKind::Deleted,
            (Some(_), false) => EventKind::Modified,
            (None, false) => EventKind::Added,
        };
        if is_delete {
            objects.remove(key);
        } else {
            objects.insert(key.clone(), (revision, data.clone()));
        }
        // C1, C10: every write has a revision of its own, one more than the last.
        assert_eq!(revision, self.revision() + 1);
        self.replaced.insert(self.revision(), Instant::now());
        self.states.insert(revision, objects);
        let key = key.clone();
        self.log.push(Logged {
            revision,
            kind,
            key,
            data,
            previous,
        });
    }

    /// C5: whether it is right that `revision` is expired: it is from before the last restart, or old enough.
    fn may_expire(&self, revision: u64, seconds: u64) -> bool {
        !self.states.contains_key(&revision)
            || self
                .replaced
                .get(&revision)
                .is_some_and(|at| at.elapsed().as_secs() >= seconds)
    }

    /// C3: exactly the objects that lived at the listing's revision.
    fn check(&self, listing: &Listing, resource: &str, namespace: Option<&str>) {
        let listed: Vec<_> = listing
            .objects
            .iter()
            .map(|o| {
                let value = o.value();
                assert_eq!(
                    value["metadata"]["resourceVersion"],
                    o.header.revision.to_string()
                );
                let key = Key::new(resource, &o.header.namespace, &o.header.name);
                (key, (o.header.revision, value["data"].clone()))
            })
            .collect();
        let expected: Vec<_> = self.states[&listing.revision]
            .iter()
            .filter(|(key, _)| matches(key, resource, namespace))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        assert_eq!(listed, expected);
    }
}

fn matches(key: &Key, resource: &str, namespace: Option<&str>) -> bool {
    &*key.resource == resource && namespace.is_none_or(|namespace| namespace == &*key.namespace)
}

struct Watcher {
    cluster: usize,
    resource: &'static str,
    namespace: Option<&'static str>,
    cursor: Cursor,
    /// What an informer would hold.
    view: BTreeMap<Key, u64>,
    /// Place in the model's log.
    at: usize,
}

impl Watcher {
    /// Reads up to `count` events; C1, C4, C9: they are those of the log. C5: or it says that they are forgotten, and is
    /// over: `false`.
    fn poll(&mut self, model: &Model, count: usize) -> bool {
        for _ in 0..count {
            let event = match self.cursor.try_next() {
                Some(Err(end)) => {
                    assert_eq!(end, CursorEnd::Lagged);
                    let unseen = model.log[self.at..].iter();
                    let oldest = unseen.map(|logged| logged.revision - 1).min();
                    assert!(model.may_expire(oldest.unwrap(), WATCHED));
                    return false;
                }
                event => event.map(Result::unwrap),
            };
            let rest = &model.log[self.at..];
            let next = rest
                .iter()
                .position(|logged| matches(&logged.key, self.resource, self.namespace));
            let (Some(event), Some(next)) = (&event, next) else {
                assert!(event.is_none() && next.is_none(), "{event:?} {next:?}");
                break;
            };
            let logged = &rest[next];
            self.at += next + 1;
            assert_eq!(
                (event.revision, event.kind, &event.key),
                (logged.revision, logged.kind, &logged.key)
            );
            assert_eq!(event.object.header.revision, logged.revision);
            assert_eq!(event.object.value()["data"], logged.data);
            let previous = event.previous.as_ref().map(|o| o.header.revision);
            assert_eq!(previous, logged.previous);
            if event.kind == EventKind::Deleted {
                self.view.remove(&event.key);
            } else {
                self.view.insert(event.key.clone(), event.revision);
            }
        }
        // C6: a bookmark now would promise nothing that was not returned.
        let bookmark = self.cursor.revision();
        let rest = &model.log[self.at..];
        let next = rest
            .iter()
            .find(|logged| matches(&logged.key, self.resource, self.namespace));
        match next {
            Some(next) => assert!(bookmark < next.revision),
            // Unless the cursor has yet to find out that others' events were forgotten.
            None => assert!(bookmark == model.revision() || self.may_have_lagged(model)),
        }
        true
    }

    fn may_have_lagged(&self, model: &Model) -> bool {
        let seen = self.cursor.revision();
        model.may_expire(seen, WATCHED)
    }

    /// C4, C7: list and watch add up to the present.
    fn finish(mut self, model: &Model) {
        if !self.poll(model, usize::MAX) {
            return;
        }
        let expected: BTreeMap<_, _> = model
            .now()
            .iter()
            .filter(|(key, _)| matches(key, self.resource, self.namespace))
            .map(|(key, (revision, _))| (key.clone(), *revision))
            .collect();
        assert_eq!(self.view, expected);
    }
}

struct World<Open> {
    open: Open,
    store: Store,
    clusters: Vec<ClusterStore>,
    models: Vec<Model>,
    watchers: Vec<Watcher>,
    written: u64,
}

impl<Open: Fn() -> Store> World<Open> {
    async fn new(open: Open) -> Self {
        let store = open();
        let mut clusters = Vec::new();
        for id in ["one", "two"] {
            clusters.push(store.create_cluster(id, json!({}), base()).await.unwrap());
        }
        Self {
            open,
            store,
            clusters,
            models: vec![Model::new(), Model::new()],
            watchers: Vec::new(),
            written: 0,
        }
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Burst(cluster, changes) => self.burst(cluster, changes).await,
            Step::Stale(cluster, key) => self.stale(cluster, &keys()[key]).await,
            Step::Watch(cluster, resource, namespace) => {
                self.watch(cluster, RESOURCES[resource], NAMESPACES[namespace]);
            }
            Step::Poll(watcher, count) => {
                if let Some(polled) = self.watchers.get_mut(watcher)
                    && !polled.poll(&self.models[polled.cluster], count)
                {
                    self.watchers.remove(watcher);
                }
            }
            Step::Past(cluster, resource, namespace, back) => {
                self.past(cluster, RESOURCES[resource], NAMESPACES[namespace], back);
            }
            Step::Age(seconds) => {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                self.store.age();
                self.store.compact();
            }
            Step::Restart => self.restart().await,
            Step::Replace(cluster) => self.replace(cluster).await,
        }
    }

    async fn burst(&mut self, at: usize, changes: Vec<(usize, bool)>) {
        let cluster = &self.clusters[at];
        let mut under_way: BTreeMap<Key, bool> = BTreeMap::new();
        let mut writes = Vec::new();
        for (key, is_delete) in changes {
            let key = keys()[key].clone();
            if under_way.contains_key(&key)
                || (is_delete && !self.models[at].now().contains_key(&key))
            {
                continue;
            }
            under_way.insert(key.clone(), is_delete);
            self.written += 1;
            let data: Value = self.written.into();
            let value = object(&key, data.clone());
            let change = if is_delete {
                Change::Delete(value)
            } else {
                Change::Put(value)
            };
            let expected = expected(cluster, &key);
            writes.push(async move {
                let written = cluster.write(&key, expected, change).await.unwrap();
                // C2: what was acknowledged is read.
                assert!(cluster.revision() >= written.header.revision);
                let read = cluster.get(&key).map(|o| o.header.revision);
                assert_eq!(read, (!is_delete).then_some(written.header.revision));
                (written.header.revision, key, data, is_delete)
            });
        }
        let mut done = join_all(writes).await;
        done.sort_by_key(|(revision, ..)| *revision);
        for (revision, key, data, is_delete) in done {
            self.models[at].change(revision, &key, data, is_delete);
        }
        self.check_present(at);
    }

    fn check_present(&self, at: usize) {
        let (cluster, model) = (&self.clusters[at], &self.models[at]);
        assert_eq!(cluster.revision(), model.revision());
        for resource in RESOURCES {
            for namespace in NAMESPACES {
                let listing = cluster.list(resource, namespace);
                assert_eq!(listing.revision, model.revision());
                model.check(&listing, resource, namespace);
            }
        }
        for key in keys() {
            let durable = cluster.get(&key).map(|o| o.header.revision);
            let newest = cluster.newest(&key).map(|o| o.header.revision);
            let expected = model.now().get(&key).map(|(revision, _)| *revision);
            assert_eq!((durable, newest), (expected, expected));
        }
        let mut resources: Vec<&str> = model.now().keys().map(|key| &*key.resource).collect();
        resources.dedup();
        let served = cluster.resources();
        assert_eq!(served.iter().map(|r| &**r).collect::<Vec<_>>(), resources);
    }

    /// C8: compare and swap.
    async fn stale(&self, at: usize, key: &Key) {
        let (cluster, model) = (&self.clusters[at], &self.models[at]);
        let current = model.now().get(key).map(|(revision, _)| *revision);
        for wrong in [
            Expected::Absent,
            Expected::Revision(1),
            Expected::Revision(u64::MAX),
        ] {
            if current.map_or(Expected::Absent, Expected::Revision) == wrong {
                continue;
            }
            let refused = cluster.write(key, wrong, Change::Put(object(key, 0))).await;
            let Err(WriteError::Conflict { current: found }) = refused else {
                panic!("{wrong:?} must conflict with {current:?}: {refused:?}");
            };
            assert_eq!(found.map(|o| o.header.revision), current);
        }
        assert_eq!(cluster.revision(), model.revision());
    }

    fn watch(&mut self, at: usize, resource: &'static str, namespace: Option<&'static str>) {
        let (cluster, model) = (&self.clusters[at], &self.models[at]);
        let listing = cluster.list(resource, namespace);
        model.check(&listing, resource, namespace);
        let cursor = cluster.watch(resource, namespace, listing.revision);
        let view = listing.objects.iter().map(|o| {
            let key = Key::new(resource, &o.header.namespace, &o.header.name);
            (key, o.header.revision)
        });
        self.watchers.push(Watcher {
            cluster: at,
            resource,
            namespace,
            cursor: cursor.unwrap(),
            view: view.collect(),
            at: model.log.len(),
        });
    }

    /// C3, C5: the past is exact or expired.
    fn past(&self, at: usize, resource: &'static str, namespace: Option<&'static str>, back: u64) {
        let (cluster, model) = (&self.clusters[at], &self.models[at]);
        let revision = model.revision() - back;
        let oldest = *model.states.first_key_value().unwrap().0;
        match cluster.list_at(resource, namespace, revision) {
            Ok(listing) => {
                assert!(revision >= oldest);
                assert_eq!(listing.revision, revision);
                model.check(&listing, resource, namespace);
            }
            Err(expired) => {
                assert!(model.may_expire(revision, LISTED));
                assert!((oldest..=model.revision()).contains(&expired.oldest));
            }
        }
        match cluster.watch(resource, namespace, revision) {
            Ok(cursor) => Watcher {
                cluster: at,
                resource,
                namespace,
                cursor,
                view: model.states[&revision]
                    .iter()
                    .filter(|(key, _)| matches(key, resource, namespace))
                    .map(|(key, (revision, _))| (key.clone(), *revision))
                    .collect(),
                at: model
                    .log
                    .partition_point(|logged| logged.revision <= revision),
            }
            .finish(model),
            Err(expired) => {
                assert!(model.may_expire(revision, WATCHED));
                assert!((oldest..=model.revision()).contains(&expired.oldest));
            }
        }
    }

    /// C10: everything is as it was, and no revision comes again.
    async fn restart(&mut self) {
        self.finish();
        self.store.close().await;
        self.store = (self.open)();
        for (at, id) in ["one", "two"].into_iter().enumerate() {
            self.clusters[at] = self.store.attach_base(id, base()).await.unwrap();
            let model = &mut self.models[at];
            let now = model.revision();
            model.states.retain(|revision, _| *revision == now);
            model.log.clear();
            self.check_present(at);
        }
    }

    async fn replace(&mut self, at: usize) {
        let id = self.clusters[at].id().to_owned();
        self.store.drop_cluster(&id).await.unwrap();
        self.watchers.retain_mut(|watcher| {
            if watcher.cluster == at {
                let rest = std::iter::from_fn(|| watcher.cursor.try_next());
                assert_eq!(
                    rest.map(Result::err).find(Option::is_some),
                    Some(Some(CursorEnd::Closed))
                );
            }
            watcher.cluster != at
        });
        assert!(self.store.cluster(&id).is_none());
        self.clusters[at] = self
            .store
            .create_cluster(&id, json!({}), base())
            .await
            .unwrap();
        self.models[at] = Model::new();
        self.check_present(at);
    }

    fn finish(&mut self) {
        for watcher in self.watchers.drain(..) {
            let model = &self.models[watcher.cluster];
            watcher.finish(model);
        }
    }
}

/// Runs random histories; the same ones each time. `PROPTEST_CASES` asks for more.
fn check<Open: Fn() -> Store>(cases: u32, log: impl Fn() -> Open) {
    let config = Config {
        cases: cases.max(Config::default().cases / 8),
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let steps = prop::collection::vec(step(), 1..60);
    TestRunner::new_with_rng(config, rng)
        .run(&steps, |steps| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut world = World::new(log()).await;
                for step in steps {
                    world.run(step).await;
                }
                world.restart().await;
                world.store.close().await;
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn histories_in_memory_keep_the_invariants() {
    check(128, || {
        let log = Memory::new();
        move || Store::open(log.clone()).unwrap()
    });
}

#[test]
fn histories_on_disk_keep_the_invariants() {
    check(32, || {
        let disk = Disk::default();
        move || {
            let disk = disk.clone();
            Store::open(Redb::with_backend(move || Ok(disk.handle())).unwrap()).unwrap()
        }
    });
}
