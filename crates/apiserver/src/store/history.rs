//! What happened to one resource of one cluster lately.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
#[derive(Debug)]
pub(super) struct History {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event newer than this is here.
    floor: u64,
    /// Bytes of all histories in the process.
    process_bytes: Arc<AtomicUsize>,
}

impl History {
    /// An empty history of what happens after revision `floor`.
    pub(super) fn new(floor: u64, process_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            floor,
            process_bytes,
        }
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The events newer than `revision`, oldest first.
    pub(super) fn after(&self, revision: u64) -> Iter<'_, Arc<Event>> {
        let start = self.events.partition_point(|e| e.revision <= revision);
        self.events.range(start..)
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        let bytes = event.bytes();
        self.bytes += bytes;
        let process_bytes = self.process_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.events.push_back(event);
        let (max_events, max_bytes) = if process_bytes > MAX_BYTES_PROCESS {
            (CROWDED_EVENTS, CROWDED_BYTES)
        } else {
            (MAX_EVENTS, MAX_BYTES)
        };
        while self.events.len() > max_events || self.bytes > max_bytes {
            self.forget_oldest();
        }
    }

    /// Forgets the events up to `revision`.
    pub(super) fn forget(&mut self, revision: u64) {
        while self.events.front().is_some_and(|e| e.revision <= revision) {
            self.forget_oldest();
        }
        if self.events.capacity() > 4 * self.events.len() + 16 {
            self.events.shrink_to(2 * self.events.len());
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.floor = event.revision;
            self.bytes -= event.bytes();
            self.process_bytes
                .fetch_sub(event.bytes(), Ordering::Relaxed);
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
        let remembered = history.after(history.floor()).count();
        assert_eq!(history.floor(), count - remembered as u64);
        assert_eq!(history.after(0).count(), remembered);
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
}
