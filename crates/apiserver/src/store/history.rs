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
/// So many parts are kept without asking whether somebody needs them.
const CROWDED_PARTS: usize = 1024;
/// Bytes of objects that all histories of the process remember, each state counted with the one before, until clusters that have more than
/// their share of it forget sooner what is old: a thousand clusters that come up at once write a gigabyte, which nobody asks for again.
pub(super) const MANY_BYTES_PROCESS: usize = 128 << 20;
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

/// Which objects of a resource are looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    All,
    Namespace(Arc<str>),
    /// Those that belong to this node, in whatever namespace; see [`Header::node`](crate::object::Header::node).
    Node(Arc<str>),
}

impl Part {
    /// One namespace, or all.
    pub(super) fn of(namespace: Option<&str>) -> Self {
        match namespace {
            None | Some("") => Self::All,
            Some(namespace) => Self::Namespace(namespace.into()),
        }
    }
}

impl Event {
    /// The parts of its resource that this happened in, beside all of it.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let namespace = Some(&self.key.namespace).filter(|namespace| !namespace.is_empty());
        let node = self.object.header.node.as_ref();
        // Of a node that an object leaves, this is the end.
        let left = self.previous.as_ref().and_then(|p| p.header.node.as_ref());
        let left = left.filter(|left| Some(*left) != node);
        let nodes = [node, left].map(|node| node.cloned().map(Part::Node));
        let namespace = namespace.cloned().map(Part::Namespace);
        [namespace].into_iter().chain(nodes).flatten()
    }

    fn bytes(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |o| o.json.len());
        self.object.json.len() + previous + EVENT_OVERHEAD
    }
}

/// The newest events of one resource in one cluster, bounded in number, bytes and (by the cluster) age.
///
/// Those of each namespace and of each node are also kept apart, so that a watcher of one costs nothing while others
/// change.
#[derive(Debug)]
pub(super) struct History {
    all: Track,
    parts: BTreeMap<Part, Track>,
    /// With so many parts it is time to look for some that nobody needs.
    crowded: usize,
    bytes: usize,
    /// Bytes of all histories in the process.
    process_bytes: Arc<AtomicUsize>,
}

/// The events of one part.
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
            parts: BTreeMap::new(),
            crowded: CROWDED_PARTS,
            bytes: 0,
            process_bytes,
        }
    }

    /// The track of a part; `None` for one in which nothing happened since the floor of all.
    fn track(&self, part: &Part) -> Option<&Track> {
        match part {
            Part::All => Some(&self.all),
            part => self.parts.get(part),
        }
    }

    /// Every event in this part that is newer than this is remembered.
    pub(super) fn floor(&self, part: &Part) -> u64 {
        self.track(part).unwrap_or(&self.all).floor
    }

    /// The events in this part that are newer than `revision`, oldest first.
    pub(super) fn after(&self, revision: u64, part: &Part) -> Iter<'_, Arc<Event>> {
        let Some(track) = self.track(part) else {
            return Iter::default();
        };
        let start = track.events.partition_point(|e| e.revision <= revision);
        track.events.range(start..)
    }

    /// What is woken by every event in this part, and by the end of the cluster. Whoever holds it may be sure that
    /// [`floor`](Self::floor) says exactly what was forgotten there.
    pub(super) fn woken(&mut self, part: &Part) -> Arc<Notify> {
        // Whoever watches names the part, whether there is such a node or not.
        if self.parts.len() >= self.crowded {
            self.parts.retain(|_, track| track.is_needed());
            self.crowded = CROWDED_PARTS.max(2 * self.parts.len());
        }
        self.track_mut(part.clone()).woken()
    }

    fn track_mut(&mut self, part: Part) -> &mut Track {
        let floor = self.all.floor;
        match part {
            Part::All => &mut self.all,
            part => self.parts.entry(part).or_insert_with(|| Track::new(floor)),
        }
    }

    /// Who waits for events in this part.
    pub(super) fn waiting(&self, part: &Part) -> Option<Arc<Notify>> {
        self.track(part)?.woken.upgrade()
    }

    /// Everybody who waits for events.
    pub(super) fn all_waiting(&self) -> impl Iterator<Item = Arc<Notify>> {
        let tracks = self.parts.values().chain([&self.all]);
        tracks.filter_map(|track| track.woken.upgrade())
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        let bytes = event.bytes();
        self.bytes += bytes;
        let process_bytes = self.process_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        for part in event.parts() {
            let track = self.track_mut(part);
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

    /// Bytes of all events, that of each object's state before with them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the events up to `revision`.
    pub(super) fn forget(&mut self, revision: u64) {
        let oldest = |track: &Track| track.events.front().map(|e| e.revision);
        while oldest(&self.all).is_some_and(|oldest| oldest <= revision) {
            self.forget_oldest();
        }
        self.all.shrink();
        self.parts.retain(|_, track| track.is_needed());
        for track in self.parts.values_mut() {
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
        for part in event.parts() {
            // Its oldest as well, because they are in the same order.
            if let Some(track) = self.parts.get_mut(&part) {
                track.forget_oldest();
                if !track.is_needed() {
                    self.parts.remove(&part);
                }
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

    fn namespace(name: &str) -> Part {
        Part::of(Some(name))
    }

    /// How many of `count` events with objects of about `bytes` bytes are remembered.
    fn remembered(count: u64, bytes: usize, process_bytes: usize) -> usize {
        let all = Arc::new(AtomicUsize::new(process_bytes));
        let mut history = History::new(0, Arc::clone(&all));
        for revision in 1..=count {
            let key = Key::new("configmaps", "default", "a");
            let mut object = Object::encode(json!({"data": "x".repeat(bytes)}), revision);
            object.header.node = Some("n".into());
            history.push(Arc::new(Event {
                key,
                revision,
                kind: EventKind::Added,
                object: Arc::new(object),
                previous: None,
            }));
        }
        for part in [Part::All, namespace("default"), Part::Node("n".into())] {
            let floor = history.floor(&part);
            let remembered = history.after(floor, &part).count();
            assert_eq!(floor, count - remembered as u64);
            assert_eq!(history.after(0, &part).count(), remembered);
        }
        assert_eq!(history.after(0, &namespace("other")).count(), 0);
        let remembered = history.after(0, &Part::All).count();
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
        let watcher_of_b = history.woken(&namespace("b"));
        let watcher_of_d = history.woken(&namespace("d"));
        assert!(history.waiting(&namespace("b")).is_some());
        assert!(history.waiting(&namespace("a")).is_none());
        history.forget(3);
        let parts: Vec<_> = history.parts.keys().cloned().collect();
        assert_eq!(parts, ["a", "b", "d"].map(namespace));
        assert_eq!(history.floor(&Part::All), 3);
        assert_eq!(history.floor(&namespace("a")), 1);
        assert_eq!(history.floor(&namespace("b")), 2);
        // Nobody remembers whether something happened here.
        assert_eq!(history.floor(&namespace("c")), 3);
        assert_eq!(history.floor(&namespace("d")), 0);
        drop((watcher_of_b, watcher_of_d));
        history.forget(4);
        assert!(history.parts.is_empty());
        assert_eq!(history.floor(&namespace("a")), 4);
    }

    #[test]
    fn parts_that_were_watched_once_do_not_pile_up() {
        let mut history = History::new(0, Arc::default());
        let part = |at: usize| Part::Node(format!("n{at}").into());
        let kept: Vec<_> = (0..10).map(|at| history.woken(&part(at))).collect();
        for at in 0..10 * CROWDED_PARTS {
            history.woken(&part(at));
        }
        assert!(history.parts.len() <= CROWDED_PARTS);
        assert!((0..10).all(|at| history.waiting(&part(at)).is_some()));
        drop(kept);
    }

    #[test]
    fn what_leaves_a_node_happens_there_as_well() {
        let state = |node: Option<&str>, revision| {
            let mut object = Object::encode(json!({}), revision);
            object.header.node = node.map(Into::into);
            Arc::new(object)
        };
        let mut history = History::new(0, Arc::default());
        let nodes = [None, Some("a"), Some("a"), Some("b")];
        for (at, (revision, node)) in (1..).zip(nodes).enumerate() {
            let previous = at
                .checked_sub(1)
                .map(|before| state(nodes[before], at as u64));
            history.push(Arc::new(Event {
                key: Key::new("pods", "default", "p"),
                revision,
                kind: EventKind::Modified,
                object: state(node, revision),
                previous,
            }));
        }
        let seen = |node: &str| {
            let events = history.after(0, &Part::Node(node.into()));
            events.map(|event| event.revision).collect::<Vec<_>>()
        };
        assert_eq!(
            (seen("a"), seen("b"), seen("c")),
            (vec![2, 3, 4], vec![4], vec![])
        );
        history.forget(4);
        assert!(history.parts.is_empty());
    }
}
