//! What happened to one resource of one cluster lately.

use std::collections::vec_deque::Iter;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::object::{Key, Object};

/// Most events that one resource of one cluster remembers.
const MAX_EVENTS: usize = 8192;
/// Most bytes of objects that one resource of one cluster remembers.
const MAX_BYTES: usize = 16 << 20;
/// Most bytes of objects that all histories of the process remember; beyond it each shrinks to the `CROWDED` limits when
/// it grows.
const MAX_BYTES_PROCESS: usize = 512 << 20;
const CROWDED_EVENTS: usize = 128;
const CROWDED_BYTES: usize = 256 << 10;
/// Rough size of an event beside the objects' bytes.
const EVENT_OVERHEAD: usize = 256;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

/// One committed change.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: Key,
    pub revision: u64,
    pub kind: EventKind,
    /// The new state; for a deletion the final one, with the deletion's revision.
    pub object: Arc<Object>,
    /// The state before; `None` exactly for `Added`.
    pub previous: Option<Arc<Object>>,
}

impl Event {
    fn bytes(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |o| o.json.len());
        self.object.json.len() + previous + EVENT_OVERHEAD
    }
}

/// The newest events of one resource in one cluster, bounded in number, bytes and (by the cluster) age.
///
/// Those of each namespace are also kept apart, so that a watcher of one namespace costs nothing while others change.
#[derive(Debug)]
pub(super) struct History {
    all: Track,
    namespaces: BTreeMap<Arc<str>, Track>,
    bytes: usize,
    /// Bytes of all histories in the process.
    process_bytes: Arc<AtomicUsize>,
}

/// The events of one namespace or of all.
#[derive(Debug)]
struct Track {
    events: VecDeque<Arc<Event>>,
    /// Every event newer than this is here.
    floor: u64,
    /// Woken by every event and by the end of the cluster; dead when nobody watches.
    woken: Weak<Notify>,
}

impl Track {
    fn new(floor: u64) -> Self {
        Self {
            events: VecDeque::new(),
            floor,
            woken: Weak::new(),
        }
    }

    fn woken(&mut self) -> Arc<Notify> {
        self.woken.upgrade().unwrap_or_else(|| {
            let woken = Arc::new(Notify::new());
            self.woken = Arc::downgrade(&woken);
            woken
        })
    }

    fn forget_oldest(&mut self) -> Option<Arc<Event>> {
        let event = self.events.pop_front()?;
        self.floor = event.revision;
        Some(event)
    }

    fn shrink(&mut self) {
        if self.events.capacity() > 4 * self.events.len() + 16 {
            self.events.shrink_to(2 * self.events.len());
        }
    }

    fn is_needed(&self) -> bool {
        !self.events.is_empty() || self.woken.strong_count() > 0
    }
}

impl History {
    /// An empty history of what happens after revision `floor`.
    pub(super) fn new(floor: u64, process_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            all: Track::new(floor),
            namespaces: BTreeMap::new(),
            bytes: 0,
            process_bytes,
        }
    }

    /// The track of one namespace or of all; `None` for a namespace in which nothing happened since the floor of all.
    fn track(&self, namespace: Option<&str>) -> Option<&Track> {
        match namespace {
            None | Some("") => Some(&self.all),
            Some(namespace) => self.namespaces.get(namespace),
        }
    }

    /// Every event newer than this, in one namespace or all, is remembered.
    pub(super) fn floor(&self, namespace: Option<&str>) -> u64 {
        self.track(namespace).unwrap_or(&self.all).floor
    }

    /// The events newer than `revision`, in one namespace or all, oldest first.
    pub(super) fn after(&self, revision: u64, namespace: Option<&str>) -> Iter<'_, Arc<Event>> {
        let Some(track) = self.track(namespace) else {
            return Iter::default();
        };
        let start = track.events.partition_point(|e| e.revision <= revision);
        track.events.range(start..)
    }

    /// What is woken by every event, in one namespace or all, and by the end of the cluster. Whoever holds it may be sure
    /// that [`floor`](Self::floor) says exactly what was forgotten there.
    pub(super) fn woken(&mut self, namespace: Option<&str>) -> Arc<Notify> {
        match namespace {
            None | Some("") => self.all.woken(),
            Some(namespace) => self.namespace(&namespace.into()).woken(),
        }
    }

    fn namespace(&mut self, namespace: &Arc<str>) -> &mut Track {
        let floor = self.all.floor;
        self.namespaces
            .entry(Arc::clone(namespace))
            .or_insert_with(|| Track::new(floor))
    }

    /// Who waits for events in this namespace.
    pub(super) fn waiting(&self, namespace: &str) -> impl Iterator<Item = Arc<Notify>> {
        let own = self.namespaces.get(namespace);
        let tracks = [Some(&self.all), own].into_iter().flatten();
        tracks.filter_map(|track| track.woken.upgrade())
    }

    /// Everybody who waits for events.
    pub(super) fn all_waiting(&self) -> impl Iterator<Item = Arc<Notify>> {
        let tracks = self.namespaces.values().chain([&self.all]);
        tracks.filter_map(|track| track.woken.upgrade())
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        let bytes = event.bytes();
        self.bytes += bytes;
        let process_bytes = self.process_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if !event.key.namespace.is_empty() {
            let track = self.namespace(&event.key.namespace);
            track.events.push_back(Arc::clone(&event));
        }
        self.all.events.push_back(event);
        let (max_events, max_bytes) = if process_bytes > MAX_BYTES_PROCESS {
            (CROWDED_EVENTS, CROWDED_BYTES)
        } else {
            (MAX_EVENTS, MAX_BYTES)
        };
        while self.all.events.len() > max_events || self.bytes > max_bytes {
            self.forget_oldest();
        }
    }

    /// Forgets the events up to `revision`.
    pub(super) fn forget(&mut self, revision: u64) {
        let oldest = |track: &Track| track.events.front().map(|e| e.revision);
        while oldest(&self.all).is_some_and(|oldest| oldest <= revision) {
            self.forget_oldest();
        }
        self.all.shrink();
        self.namespaces.retain(|_, track| track.is_needed());
        for track in self.namespaces.values_mut() {
            track.shrink();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(event) = self.all.forget_oldest() else {
            return;
        };
        self.bytes -= event.bytes();
        self.process_bytes
            .fetch_sub(event.bytes(), Ordering::Relaxed);
        // Its oldest as well, because they are in the same order.
        if let Some(track) = self.namespaces.get_mut(&event.key.namespace) {
            track.forget_oldest();
            if !track.is_needed() {
                self.namespaces.remove(&event.key.namespace);
            }
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.process_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many of `count` events with objects of about `bytes` bytes are remembered.
    fn remembered(count: u64, bytes: usize, process_bytes: usize) -> usize {
        let all = Arc::new(AtomicUsize::new(process_bytes));
        let mut history = History::new(0, Arc::clone(&all));
        for revision in 1..=count {
            let key = Key::new("configmaps", "default", "a");
            let object = Object::encode(json!({"data": "x".repeat(bytes)}), revision);
            history.push(Arc::new(Event {
                key,
                revision,
                kind: EventKind::Added,
                object: Arc::new(object),
                previous: None,
            }));
        }
        for namespace in [None, Some("default")] {
            let floor = history.floor(namespace);
            let remembered = history.after(floor, namespace).count();
            assert_eq!(floor, count - remembered as u64);
            assert_eq!(history.after(0, namespace).count(), remembered);
        }
        assert_eq!(history.after(0, Some("other")).count(), 0);
        let remembered = history.after(0, None).count();
        drop(history);
        assert_eq!(all.load(Ordering::Relaxed), process_bytes);
        remembered
    }

    #[test]
    fn a_history_is_bounded_in_events_and_bytes_and_more_so_when_memory_is_short() {
        assert_eq!(remembered(100, 10, 0), 100);
        assert_eq!(remembered(9000, 10, 0), MAX_EVENTS);
        assert_eq!(remembered(40, 1 << 20, 0), 15);
        assert_eq!(remembered(1000, 10, MAX_BYTES_PROCESS), CROWDED_EVENTS);
        assert_eq!(remembered(10, 100_000, MAX_BYTES_PROCESS), 2);
    }

    #[test]
    fn a_namespace_without_events_and_watchers_is_forgotten_and_one_with_watchers_knows_its_floor()
    {
        let mut history = History::new(0, Arc::default());
        let event = |revision: u64, namespace: &str| {
            let key = Key::new("configmaps", namespace, "a");
            Arc::new(Event {
                key,
                revision,
                kind: EventKind::Added,
                object: Arc::new(Object::encode(json!({}), revision)),
                previous: None,
            })
        };
        for (revision, namespace) in [(1, "a"), (2, "b"), (3, "c"), (4, "a")] {
            history.push(event(revision, namespace));
        }
        let watcher_of_b = history.woken(Some("b"));
        let watcher_of_d = history.woken(Some("d"));
        assert_eq!(history.waiting("b").count(), 1);
        assert_eq!(history.waiting("a").count(), 0);
        history.forget(3);
        let names: Vec<_> = history.namespaces.keys().map(|n| &**n).collect();
        assert_eq!(names, ["a", "b", "d"]);
        assert_eq!(history.floor(None), 3);
        assert_eq!(history.floor(Some("a")), 1);
        assert_eq!(history.floor(Some("b")), 2);
        // Nobody remembers whether something happened here.
        assert_eq!(history.floor(Some("c")), 3);
        assert_eq!(history.floor(Some("d")), 0);
        drop((watcher_of_b, watcher_of_d));
        history.forget(4);
        assert!(history.namespaces.is_empty());
        assert_eq!(history.floor(Some("a")), 4);
    }
}
