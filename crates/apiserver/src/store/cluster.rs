//! One logical cluster: the durable state that everything is read from, and the pending layer of writes under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::base::Base;
use super::history::{Event, EventKind, History, MANY_BYTES_PROCESS, Part};
use super::overlay::{self, Entry, Layer, NO_LAYER, NO_OBJECTS};
use super::watch::{Changes, Cursor};
use super::write::WriteError;
use super::writer::Queue;
use super::{lock, read, write};
use crate::auth::Objects;
use crate::object::{Key, Object};

/// Age at which events are forgotten.
const EVENTS_WINDOW: Duration = Duration::from_secs(600);
/// The same while all histories of the process together are large. Whoever is further behind lists again.
const CROWDED_WINDOW: Duration = Duration::from_secs(20);
/// Age at which an older state can no longer be listed. Shorter than the events' so that continue tokens expire as soon
/// as clients of etcd-backed servers expect.
const LISTS_WINDOW: Duration = Duration::from_secs(300);
/// How often the revision of the moment is noted, to know later which revisions are how old.
const MARK_EVERY: Duration = Duration::from_secs(10);

/// The asked revision is not in the history; the client must list anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    pub asked: u64,
    /// The oldest revision that would have been answered.
    pub oldest: u64,
    /// The newest revision.
    pub current: u64,
}

/// The objects that lived at one revision, ordered by namespace and name.
#[derive(Clone, Debug)]
pub struct Listing {
    pub revision: u64,
    pub objects: Vec<Arc<Object>>,
}

/// One logical cluster. Clones are the same cluster; they stay readable, and empty, after it was dropped.
#[derive(Clone)]
pub struct ClusterStore {
    pub(super) cluster: Arc<Cluster>,
    pub(super) queue: Queue,
}

impl ClusterStore {
    pub(super) fn new(cluster: Arc<Cluster>, queue: Queue) -> Self {
        Self { cluster, queue }
    }

    /// The cluster's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.cluster.id
    }

    /// The newest durable revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        read(&self.cluster.state).revision
    }

    /// The durable state of an object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.cluster.get(&read(&self.cluster.state), key)
    }

    /// The newest state of an object, durable or under way: what the next write to it will be compared with.
    #[must_use]
    pub fn newest(&self, key: &Key) -> Option<Arc<Object>> {
        self.cluster.newest(&lock(&self.cluster.pending), key)
    }

    /// The objects of a resource, in one namespace or all, at the newest durable revision.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Listing {
        let state = read(&self.cluster.state);
        Listing {
            revision: state.revision,
            objects: objects(self.cluster.view(&state, resource, namespace)),
        }
    }

    /// The objects of a resource as they were at `revision`.
    ///
    /// # Errors
    /// When the revision is older than the history, or newer than the cluster (`asked > current`).
    pub fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Listing, Expired> {
        let now = Instant::now();
        self.cluster.age(now);
        let state = read(&self.cluster.state);
        let oldest = state.oldest_list(resource, now);
        if revision < oldest || revision > state.revision {
            return Err(Expired {
                asked: revision,
                oldest,
                current: state.revision,
            });
        }
        let mut undone = Layer::new();
        if let Some(collection) = state.collections.get(resource) {
            // Newest first, so that the state before the oldest of several changes wins.
            let part = Part::of(namespace);
            for event in collection.history.after(revision, &part).rev() {
                overlay::insert(&mut undone, &event.key, event.previous.clone());
            }
        }
        let now_there = self.cluster.view(&state, resource, namespace);
        Ok(Listing {
            revision,
            objects: objects(overlay::over(now_there, overlay::entries(&undone, None))),
        })
    }

    /// Every change of a resource, in one namespace or all, with a revision newer than `after`, in order. `after` may be
    /// newer than the cluster.
    ///
    /// # Errors
    /// When a change since then was forgotten.
    pub fn watch(
        &self,
        resource: &str,
        namespace: Option<&str>,
        after: u64,
    ) -> Result<Cursor, Expired> {
        self.follow(resource, Part::of(namespace), after)
    }

    /// As [`watch`](Self::watch), of the objects that belong to one node; others may change as often as they like.
    ///
    /// # Errors
    /// When a change since then was forgotten.
    pub fn watch_node(&self, resource: &str, node: &str, after: u64) -> Result<Cursor, Expired> {
        self.follow(resource, Part::Node(node.into()), after)
    }

    fn follow(&self, resource: &str, part: Part, after: u64) -> Result<Cursor, Expired> {
        self.cluster.age(Instant::now());
        let mut state = write(&self.cluster.state);
        let current = state.revision;
        let collection = state.collection(resource);
        let oldest = collection.history.floor(&part);
        if after < oldest {
            return Err(Expired {
                asked: after,
                oldest,
                current,
            });
        }
        let woken = collection.history.woken(&part);
        drop(state);
        let cluster = Arc::clone(&self.cluster);
        Ok(Cursor::new(cluster, resource, part, after, woken))
    }

    /// The revision of the last change of a resource; 0 when it never had an object.
    #[must_use]
    pub fn revision_of(&self, resource: &str) -> u64 {
        let state = read(&self.cluster.state);
        let changed = state.collections.get(resource).map_or(0, |c| c.changed);
        changed.max(self.cluster.base.revision_of(resource))
    }

    /// Whether the objects of a resource are those that all clusters share: nobody has ever changed one.
    #[must_use]
    pub fn is_shared(&self, resource: &str) -> bool {
        let state = read(&self.cluster.state);
        state
            .collections
            .get(resource)
            .is_none_or(|c| c.changed == 0)
    }

    /// The resources that have objects, ordered.
    #[must_use]
    pub fn resources(&self) -> Vec<Arc<str>> {
        let state = read(&self.cluster.state);
        let mut resources: Vec<Arc<str>> = self
            .cluster
            .base
            .resources()
            .chain(state.collections.keys())
            .filter(|r| self.cluster.view(&state, r, None).next().is_some())
            .cloned()
            .collect();
        resources.sort();
        resources.dedup();
        resources
    }

    /// Whether writes reach the log of record; says so until one does again.
    ///
    /// # Errors
    /// In words, when the last write was lost.
    pub fn health(&self) -> Result<(), String> {
        if self.cluster.is_failing.load(Ordering::Relaxed) {
            return Err("the last write did not reach the log of record".into());
        }
        Ok(())
    }

    /// Waits until all writes that are under way are visible or were given up: for those who decide by what they see of
    /// many objects.
    ///
    /// # Errors
    /// When the cluster is gone.
    pub async fn settled(&self) -> Result<(), WriteError> {
        let assigned = lock(&self.cluster.pending).assigned;
        self.durable(assigned).await
    }

    /// Waits until the write with this revision is durable, or was given up.
    ///
    /// # Errors
    /// When the cluster is gone.
    pub async fn durable(&self, revision: u64) -> Result<(), WriteError> {
        loop {
            // Made before looking, so that a change in between wakes it.
            let woken = self.cluster.woken.notified();
            if self.revision() >= revision || self.is_given_up(revision)? {
                return Ok(());
            }
            woken.await;
        }
    }

    /// Whether the write with this revision was thrown away together with what was queued before it.
    fn is_given_up(&self, revision: u64) -> Result<bool, WriteError> {
        let pending = lock(&self.cluster.pending);
        if pending.closed {
            return Err(WriteError::Closed);
        }
        Ok(pending.assigned < revision || pending.staged.is_empty())
    }

    /// Which resources change from now on.
    #[must_use]
    pub fn subscribe(&self) -> Changes {
        Changes::new(Arc::clone(&self.cluster), self.revision())
    }
}

impl fmt::Debug for ClusterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterStore")
            .field("id", &self.cluster.id)
            .finish_non_exhaustive()
    }
}

impl Objects for ClusterStore {
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        Self::get(self, &Key::new(resource, namespace, name))
    }

    fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Object>> {
        Self::list(self, resource, namespace).objects
    }

    fn revision_of(&self, resource: &str) -> u64 {
        Self::revision_of(self, resource)
    }
}

fn objects<'a>(entries: impl Iterator<Item = Entry<'a, &'a Arc<Object>>>) -> Vec<Arc<Object>> {
    entries.map(|(_, _, object)| Arc::clone(object)).collect()
}

pub(super) struct Cluster {
    pub(super) id: Arc<str>,
    pub(super) base: Arc<Base>,
    pub(super) state: RwLock<State>,
    pub(super) pending: Mutex<Pending>,
    /// Grows when the pending layer is thrown away: writes staged before belong to a future that did not happen.
    pub(super) epoch: AtomicU64,
    /// The last write was lost.
    is_failing: AtomicBool,
    /// Woken by every change and by the end of the cluster.
    pub(super) woken: Notify,
}

/// The durable, visible state.
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) closed: bool,
    /// Only resources that were written or watched.
    pub(super) collections: BTreeMap<Arc<str>, Collection>,
    /// Where histories begin: nothing happened since to a resource without a collection.
    start: u64,
    /// Histories are only complete after this revision.
    forgotten: u64,
    /// The newest revision at some moments of the past, oldest first.
    marks: VecDeque<(Instant, u64)>,
    pub(super) history_bytes: Arc<AtomicUsize>,
    /// Held by every cluster of the process, so that they can be counted.
    pub(super) served: Arc<()>,
}

/// One resource of a cluster.
pub(super) struct Collection {
    /// What differs from the base.
    pub(super) layer: Layer,
    pub(super) history: History,
    /// Revision of the last change.
    pub(super) changed: u64,
}

/// Writes that are queued but not durable.
pub(super) struct Pending {
    /// `None` in the object: deleted.
    pub(super) staged: BTreeMap<Key, (u64, Option<Arc<Object>>)>,
    /// The newest revision that was given to a write.
    pub(super) assigned: u64,
    pub(super) closed: bool,
}

impl Cluster {
    /// A cluster with these objects over `base`; its history begins at `revision`.
    pub(super) fn new(
        id: Arc<str>,
        base: Arc<Base>,
        revision: u64,
        rows: Vec<(Key, u64, Option<Arc<Object>>)>,
        (history_bytes, served): (Arc<AtomicUsize>, Arc<()>),
    ) -> Self {
        let mut state = State {
            revision,
            closed: false,
            collections: BTreeMap::new(),
            start: revision,
            forgotten: revision,
            marks: VecDeque::new(),
            history_bytes,
            served,
        };
        for (key, changed, object) in rows {
            let collection = state.collection(&key.resource);
            collection.changed = collection.changed.max(changed);
            overlay::insert(&mut collection.layer, &key, object);
        }
        Self {
            id,
            base,
            state: RwLock::new(state),
            pending: Mutex::new(Pending {
                staged: BTreeMap::new(),
                assigned: revision,
                closed: false,
            }),
            epoch: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            woken: Notify::new(),
        }
    }

    pub(super) fn get(&self, state: &State, key: &Key) -> Option<Arc<Object>> {
        if state.closed {
            return None;
        }
        let layer = state.collections.get(&key.resource).map(|c| &c.layer);
        match layer.and_then(|layer| overlay::get(layer, key)) {
            Some(own) => own.clone(),
            None => self.base.get(key).cloned(),
        }
    }

    pub(super) fn newest(&self, pending: &Pending, key: &Key) -> Option<Arc<Object>> {
        match pending.staged.get(key) {
            Some((_, object)) => object.clone(),
            None => self.get(&read(&self.state), key),
        }
    }

    fn view<'a>(
        &'a self,
        state: &'a State,
        resource: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = Entry<'a, &'a Arc<Object>>> {
        let base = if state.closed {
            &NO_OBJECTS
        } else {
            self.base.tree(resource)
        };
        let layer = state
            .collections
            .get(resource)
            .map_or(&NO_LAYER, |c| &c.layer);
        overlay::over(
            overlay::entries(base, namespace),
            overlay::entries(layer, namespace),
        )
    }

    /// Forgets history that is too old at `now`.
    pub(super) fn age(&self, now: Instant) {
        let is_due = read(&self.state).is_mark_due(now);
        if is_due {
            write(&self.state).age(now);
        }
    }

    /// Makes durable changes visible; they must be in the order of their revisions.
    pub(super) fn publish<'a>(&self, events: impl Iterator<Item = &'a Arc<Event>>, now: Instant) {
        let mut pending = lock(&self.pending);
        let mut state = write(&self.state);
        state.age(now);
        let mut changed: BTreeSet<(&Arc<str>, Part)> = BTreeSet::new();
        for event in events {
            let key = &event.key;
            if pending
                .staged
                .get(key)
                .is_some_and(|(r, _)| *r == event.revision)
            {
                pending.staged.remove(key);
            }
            state.revision = event.revision;
            let collection = state.collection(&key.resource);
            collection.changed = event.revision;
            match event.kind {
                EventKind::Added | EventKind::Modified => {
                    let object = Some(Arc::clone(&event.object));
                    overlay::insert(&mut collection.layer, key, object);
                }
                EventKind::Deleted if self.base.get(key).is_some() => {
                    overlay::insert(&mut collection.layer, key, None);
                }
                EventKind::Deleted => overlay::remove(&mut collection.layer, key),
            }
            collection.history.push(Arc::clone(event));
            let parts = event.parts().chain([Part::All]);
            changed.extend(parts.map(|part| (&key.resource, part)));
        }
        let mut woken = Vec::new();
        for (resource, part) in changed {
            if let Some(collection) = state.collections.get(resource) {
                woken.extend(collection.history.waiting(&part));
            }
        }
        drop(state);
        drop(pending);
        self.is_failing.store(false, Ordering::Relaxed);
        for notify in woken {
            notify.notify_waiters();
        }
        self.woken.notify_waiters();
    }

    /// Throws the pending layer away: back to the durable state. Revisions given to lost writes are not given again.
    pub(super) fn roll_back(&self) {
        let mut pending = lock(&self.pending);
        pending.staged.clear();
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(true, Ordering::Relaxed);
        drop(pending);
        // Whoever waits for a lost revision must not wait for the next change.
        self.woken.notify_waiters();
    }

    /// The end of the cluster: nothing is left, watches end, writes are refused.
    pub(super) fn close(&self) {
        let mut pending = lock(&self.pending);
        pending.closed = true;
        pending.staged.clear();
        let mut state = write(&self.state);
        state.closed = true;
        let collections = std::mem::take(&mut state.collections);
        drop(state);
        drop(pending);
        for collection in collections.values() {
            for woken in collection.history.all_waiting() {
                woken.notify_waiters();
            }
        }
        self.woken.notify_waiters();
    }
}

impl State {
    pub(super) fn collection(&mut self, resource: &str) -> &mut Collection {
        if !self.collections.contains_key(resource) {
            let collection = Collection {
                layer: Layer::new(),
                history: History::new(self.start, Arc::clone(&self.history_bytes)),
                changed: 0,
            };
            self.collections.insert(resource.into(), collection);
        }
        #[expect(clippy::expect_used, reason = "inserted above when it was missing")]
        self.collections
            .get_mut(resource)
            .expect("the collection exists")
    }

    fn is_mark_due(&self, now: Instant) -> bool {
        let last = self.marks.back();
        last.is_none_or(|(at, _)| now.saturating_duration_since(*at) >= MARK_EVERY)
    }

    fn age(&mut self, now: Instant) {
        if !self.is_mark_due(now) {
            return;
        }
        // Only of those that have more than their share: nobody's history is shorter because another cluster is busy.
        let is_crowded = self.history_bytes.load(Ordering::Relaxed) > MANY_BYTES_PROCESS;
        let clusters = Arc::strong_count(&self.served).max(1);
        let own = || self.collections.values().map(|c| c.history.bytes());
        let window = if is_crowded && own().sum::<usize>() > MANY_BYTES_PROCESS / clusters {
            CROWDED_WINDOW
        } else {
            EVENTS_WINDOW
        };
        let mut expired = None;
        while let Some((at, revision)) = self.marks.front().copied()
            && now.saturating_duration_since(at) >= window
        {
            expired = Some(revision);
            self.marks.pop_front();
        }
        self.marks.push_back((now, self.revision));
        if let Some(revision) = expired {
            for collection in self.collections.values_mut() {
                collection.history.forget(revision);
            }
            self.forgotten = revision;
        }
    }

    /// The oldest revision at which `resource` can be listed.
    fn oldest_list(&self, resource: &str, now: Instant) -> u64 {
        let floor = self
            .collections
            .get(resource)
            .map_or(self.forgotten, |c| c.history.floor(&Part::All));
        self.marks
            .iter()
            .take_while(|(at, _)| now.saturating_duration_since(*at) >= LISTS_WINDOW)
            .map(|(_, revision)| *revision)
            .fold(floor.max(self.forgotten), u64::max)
    }
}
