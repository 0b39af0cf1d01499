//! Which objects want a look: one queue for all controllers of a cluster, de-duplicated, bounded, with timers.

#![expect(
    clippy::mutable_key_type,
    reason = "dependents and signals are told apart by identity"
)]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cache::{Header, Listener, ReadRef};

/// An object as one controller sees it: what is woken when something changes that it looked at.
///
/// Equality is identity: there is one per object and controller while the object lives.
#[derive(Clone)]
pub(crate) struct Dependent(Arc<Inner>);

pub(crate) struct Inner {
    queue: Weak<Queue>,
    pub(crate) controller: usize,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Failed passes in a row.
    pub(crate) failures: AtomicU32,
    /// Passes in a row that ended in a conflict.
    pub(crate) conflicts: AtomicU32,
    /// Passes in a row that followed each other at once.
    hurries: AtomicU32,
    passed: Mutex<Option<Instant>>,
    reads: Mutex<ReadLog>,
}

/// What earlier passes looked at, and what this one did so far.
#[derive(Default)]
struct ReadLog {
    current: HashSet<ReadRef>,
    previous: HashSet<ReadRef>,
}

impl std::ops::Deref for Dependent {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl PartialEq for Dependent {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Dependent {}
impl Hash for Dependent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Dependent {
    fn place(&self) -> (usize, &str, &str) {
        (self.controller, &self.namespace, &self.name)
    }

    /// Something changed that this object's controller looked at; `revision` is the change's resource version.
    pub(crate) fn wake(&self, revision: Option<u64>) {
        if let Some(queue) = self.queue.upgrade() {
            queue.wake(
                self.controller,
                &self.namespace,
                &self.name,
                revision,
                false,
            );
        }
    }

    /// Notes the end of a pass; says how many in a row came within `gap` of the one before.
    pub(crate) fn hurry(&self, gap: Duration) -> u32 {
        let now = Instant::now();
        let before = self
            .passed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(now);
        if before.is_some_and(|before| now.duration_since(before) < gap) {
            self.hurries.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.hurries.store(0, Ordering::Relaxed);
            0
        }
    }

    /// Notes a read of the current pass.
    pub(crate) fn record(&self, read: ReadRef) {
        self.log().current.insert(read);
    }

    /// Starts a new record; until [`Dependent::end_pass`] both the old and the new reads wake the object.
    pub(crate) fn begin_pass(&self) {
        let mut log = self.log();
        let current = std::mem::take(&mut log.current);
        log.previous.extend(current);
    }

    /// Drops the reads of earlier passes that this one did not repeat. A pass that broke off keeps them all.
    pub(crate) fn end_pass(&self, is_complete: bool) {
        if !is_complete {
            return;
        }
        let stale = {
            let mut log = self.log();
            let previous = std::mem::take(&mut log.previous);
            previous
                .into_iter()
                .filter(|read| !log.current.contains(read))
                .collect::<Vec<_>>()
        };
        stale.iter().for_each(|read| read.forget(self));
    }

    /// The object is gone: nothing wakes it any more.
    pub(crate) fn forget_all(&self) {
        let log = std::mem::take(&mut *self.log());
        log.current
            .iter()
            .chain(&log.previous)
            .for_each(|read| read.forget(self));
    }

    fn log(&self) -> MutexGuard<'_, ReadLog> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes all of them, in an order that a run can be repeated in.
pub(crate) fn wake_all<'a>(dependents: impl Iterator<Item = &'a Dependent>, revision: Option<u64>) {
    let mut all: Vec<&Dependent> = dependents.collect();
    all.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
    all.dedup();
    all.iter().for_each(|one| one.wake(revision));
}

/// What becomes of an object after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It no longer exists.
    Gone,
    Now,
    /// Then, or when something changes.
    After(Duration),
    /// Then, whatever changes meanwhile.
    NotBefore(Duration),
}

/// All objects of all controllers of one cluster.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the dispatcher.
    pub(crate) changed: Notify,
    /// The most objects it holds.
    capacity: usize,
    /// The most passes at once per controller.
    concurrency: usize,
    pub(crate) overflows: AtomicU64,
}

#[derive(Default)]
struct State {
    items: HashMap<(usize, String, String), Item>,
    ready: Vec<VecDeque<Dependent>>,
    running: Vec<usize>,
    /// Items to look at again, by time; the number tells apart items of the same time.
    timers: BTreeMap<(Instant, u64), Dependent>,
    timer_count: u64,
    has_overflowed: bool,
}

struct Item {
    dependent: Dependent,
    phase: Phase,
    due: Option<(Instant, u64)>,
}

enum Phase {
    Idle,
    /// Rests until its timer fires.
    Resting,
    Ready,
    Running(Dirt),
}

/// What changed while a pass ran.
enum Dirt {
    Clean,
    /// Only these revisions, a few: perhaps the pass's own writes.
    Revisions(Vec<u64>),
    Dirty,
}

const DIRT_REVISIONS_MAX: usize = 16;

impl Queue {
    pub(crate) fn new(controllers: usize, capacity: usize, concurrency: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                ready: (0..controllers).map(|_| VecDeque::new()).collect(),
                running: vec![0; controllers],
                ..State::default()
            }),
            changed: Notify::new(),
            capacity,
            concurrency,
            overflows: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants a look at an object. A root (the controlled object itself) is added if it is new.
    pub(crate) fn wake(
        self: &Arc<Self>,
        controller: usize,
        namespace: &str,
        name: &str,
        revision: Option<u64>,
        is_root: bool,
    ) {
        let mut guard = self.state();
        let state = &mut *guard;
        let key = (controller, namespace.to_owned(), name.to_owned());
        if let Some(item) = state.items.get_mut(&key) {
            match &mut item.phase {
                Phase::Idle => {
                    item.phase = Phase::Ready;
                    state.ready[controller].push_back(item.dependent.clone());
                }
                Phase::Ready | Phase::Resting => return,
                Phase::Running(dirt) => return dirt.add(revision),
            }
        } else if !is_root {
            return;
        } else if state.items.len() >= self.capacity {
            state.has_overflowed = true;
            self.overflows.fetch_add(1, Ordering::Relaxed);
            return;
        } else {
            let dependent = Dependent(Arc::new(Inner {
                queue: Arc::downgrade(self),
                controller,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                failures: AtomicU32::new(0),
                conflicts: AtomicU32::new(0),
                hurries: AtomicU32::new(0),
                passed: Mutex::default(),
                reads: Mutex::default(),
            }));
            state.ready[controller].push_back(dependent.clone());
            let item = Item {
                dependent,
                phase: Phase::Ready,
                due: None,
            };
            state.items.insert(key, item);
        }
        drop(guard);
        self.changed.notify_one();
    }

    /// The objects whose pass may start now. Each must be given back by [`Queue::finish`].
    pub(crate) fn take(&self, now: Instant) -> Vec<Dependent> {
        let mut guard = self.state();
        let state = &mut *guard;
        while let Some(entry) = state.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let dependent = entry.remove();
            if let Some(item) = state.items.get_mut(&key_of(&dependent)) {
                item.due = None;
                if matches!(item.phase, Phase::Idle | Phase::Resting) {
                    item.phase = Phase::Ready;
                    state.ready[dependent.controller].push_back(dependent);
                }
            }
        }
        let mut taken = vec![];
        for controller in 0..state.ready.len() {
            while state.running[controller] < self.concurrency
                && let Some(dependent) = state.ready[controller].pop_front()
            {
                let Some(item) = state.items.get_mut(&key_of(&dependent)) else {
                    continue;
                };
                item.phase = Phase::Running(Dirt::Clean);
                if let Some(due) = item.due.take() {
                    state.timers.remove(&due);
                }
                state.running[controller] += 1;
                taken.push(dependent);
            }
        }
        taken
    }

    /// Gives an object back. Changes with a revision in `own` were the pass's and don't wake it.
    pub(crate) fn finish(&self, dependent: &Dependent, next: Next, own: &[u64], now: Instant) {
        if next == Next::Gone {
            // While it still counts as running: if it came back meanwhile, its next pass records anew.
            dependent.forget_all();
        }
        let mut guard = self.state();
        let state = &mut *guard;
        state.running[dependent.controller] -= 1;
        let key = key_of(dependent);
        let Some(item) = state.items.get_mut(&key) else {
            return;
        };
        let is_dirty = match &item.phase {
            Phase::Running(dirt) => dirt.remains_without(own),
            Phase::Idle | Phase::Resting | Phase::Ready => false,
        };
        match next {
            Next::Gone if !is_dirty => {
                state.items.remove(&key);
            }
            Next::After(delay) | Next::NotBefore(delay)
                if !is_dirty || matches!(next, Next::NotBefore(_)) =>
            {
                item.phase = match next {
                    Next::NotBefore(_) => Phase::Resting,
                    Next::Gone | Next::Now | Next::After(_) => Phase::Idle,
                };
                state.timer_count += 1;
                let due = (now + delay, state.timer_count);
                item.due = Some(due);
                state.timers.insert(due, dependent.clone());
            }
            Next::Gone | Next::After(_) | Next::NotBefore(_) | Next::Now => {
                item.phase = Phase::Ready;
                state.ready[dependent.controller].push_back(dependent.clone());
            }
        }
        drop(guard);
        self.changed.notify_one();
    }

    /// Forgets all objects, and who is to be woken for them.
    pub(crate) fn close(&self) {
        let items = std::mem::take(&mut self.state().items);
        items.values().for_each(|item| item.dependent.forget_all());
    }

    /// When the next timer fires.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.state().timers.first_key_value().map(|(due, _)| due.0)
    }

    /// Whether objects were turned away for lack of room and there is room again. Resets the answer.
    pub(crate) fn take_overflow(&self) -> bool {
        let mut state = self.state();
        let is_room = state.items.len() < self.capacity - self.capacity / 10;
        is_room && std::mem::take(&mut state.has_overflowed)
    }

    /// How many objects of a controller wait for a pass, are in one, and are known.
    pub(crate) fn lengths(&self, controller: usize) -> (usize, usize, usize) {
        let state = self.state();
        let known = state.items.keys().filter(|key| key.0 == controller).count();
        (
            state.ready[controller].len(),
            state.running[controller],
            known,
        )
    }
}

fn key_of(dependent: &Dependent) -> (usize, String, String) {
    (
        dependent.controller,
        dependent.namespace.clone(),
        dependent.name.clone(),
    )
}

impl Dirt {
    fn add(&mut self, revision: Option<u64>) {
        match (&mut *self, revision) {
            (Self::Clean, Some(revision)) => *self = Self::Revisions(vec![revision]),
            (Self::Revisions(all), Some(revision)) if all.len() < DIRT_REVISIONS_MAX => {
                all.push(revision);
            }
            (Self::Clean | Self::Revisions(_), _) => *self = Self::Dirty,
            (Self::Dirty, _) => {}
        }
    }

    fn remains_without(&self, own: &[u64]) -> bool {
        match self {
            Self::Clean => false,
            Self::Revisions(all) => all.iter().any(|revision| !own.contains(revision)),
            Self::Dirty => true,
        }
    }
}

/// Wakes the objects of a controller's own kind.
pub(crate) struct Root {
    pub(crate) queue: Weak<Queue>,
    pub(crate) controller: usize,
}

impl Listener for Root {
    fn changed(&self, old: Option<&Header>, new: Option<&Header>) {
        let (Some(queue), Some(header)) = (self.queue.upgrade(), new.or(old)) else {
            return;
        };
        let (namespace, name) = (&header.namespace, &header.name);
        let revision = new.and_then(|header| header.revision);
        queue.wake(self.controller, namespace, name, revision, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(taken: &[Dependent]) -> Vec<&str> {
        taken.iter().map(|d| d.name.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_queued_once_and_never_twice_at_a_time() {
        let queue = Queue::new(1, 10, 4);
        let now = Instant::now();
        queue.wake(0, "ns", "a", None, true);
        queue.wake(0, "ns", "a", None, true);
        let taken = queue.take(now);
        assert_eq!(names(&taken), ["a"]);
        queue.wake(0, "ns", "a", None, true);
        assert!(queue.take(now).is_empty(), "it is running");
        queue.finish(&taken[0], Next::After(Duration::from_secs(60)), &[], now);
        assert_eq!(names(&queue.take(now)), ["a"], "changed meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn own_writes_do_not_wake() {
        let queue = Queue::new(1, 10, 4);
        let now = Instant::now();
        queue.wake(0, "ns", "a", None, true);
        let taken = queue.take(now);
        queue.wake(0, "ns", "a", Some(7), true);
        queue.finish(&taken[0], Next::After(Duration::from_secs(60)), &[7], now);
        assert!(queue.take(now).is_empty());
        assert_eq!(names(&queue.take(now + Duration::from_secs(60))), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_turns_away_counts_and_says_when_there_is_room() {
        let queue = Queue::new(1, 2, 4);
        let now = Instant::now();
        for name in ["a", "b", "c"] {
            queue.wake(0, "", name, None, true);
        }
        let taken = queue.take(now);
        assert_eq!(names(&taken), ["a", "b"]);
        assert_eq!(queue.overflows.load(Ordering::Relaxed), 1);
        assert!(!queue.take_overflow());
        queue.finish(&taken[0], Next::Gone, &[], now);
        assert!(queue.take_overflow());
        assert!(!queue.take_overflow());
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_is_bounded_per_controller() {
        let queue = Queue::new(2, 10, 1);
        let now = Instant::now();
        for name in ["a", "b"] {
            queue.wake(0, "", name, None, true);
            queue.wake(1, "", name, None, true);
        }
        let taken = queue.take(now);
        assert_eq!(names(&taken), ["a", "a"]);
        queue.finish(&taken[0], Next::Gone, &[], now);
        assert_eq!(names(&queue.take(now)), ["b"]);
    }
}
