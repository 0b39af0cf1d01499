//! What is to be looked at: each thing once, with retries in time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::core::ApiResource;
use runtime::{Header, Listener, Owner};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::decide::{FOREGROUND, ORPHAN};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// Look at an object: are its owners there, are its dependents gone?
    Look {
        resource: ApiResource,
        namespace: String,
        name: String,
    },
    /// The object with this uid is gone: look at its dependents.
    Bereaved { uid: String },
    /// A dependent went that was in this namespace: look at its owner.
    Owner { namespace: String, owner: Owner },
}

/// What tells tasks apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Look(String, String, String, String),
    Bereaved(String),
    Owner(String, String),
}

impl Task {
    pub(super) fn look(resource: &ApiResource, header: &Header) -> Self {
        Self::Look {
            resource: resource.clone(),
            namespace: header.namespace.clone(),
            name: header.name.clone(),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Look {
                resource,
                namespace,
                name,
            } => Key::Look(
                resource.group.clone(),
                resource.plural.clone(),
                namespace.clone(),
                name.clone(),
            ),
            Self::Bereaved { uid } => Key::Bereaved(uid.clone()),
            Self::Owner { namespace, owner } => Key::Owner(namespace.clone(), owner.uid.clone()),
        }
    }
}

/// Tasks, each once. Its size is bounded by the number of objects and deletions under way.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when there is something to do.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<(Task, u32)>,
    known: HashMap<Key, Phase>,
    later: BTreeMap<(Instant, u64), (Task, u32)>,
    count: u64,
}

enum Phase {
    Ready,
    Running { is_dirty: bool },
    Later((Instant, u64)),
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, task: Task) {
        let mut guard = self.state();
        let state = &mut *guard;
        let key = task.key();
        match state.known.get_mut(&key) {
            Some(Phase::Ready) => return,
            Some(Phase::Running { is_dirty }) => {
                *is_dirty = true;
                return;
            }
            Some(Phase::Later(due)) => _ = state.later.remove(due),
            None => {}
        }
        state.known.insert(key, Phase::Ready);
        state.ready.push_back((task, 0));
        drop(guard);
        self.changed.notify_one();
    }

    /// The next task, and how often it has failed. It must be given back by [`Queue::done`] or [`Queue::retry`].
    pub(super) fn take(&self, now: Instant) -> Option<(Task, u32)> {
        let mut guard = self.state();
        let state = &mut *guard;
        while let Some(entry) = state.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            state.ready.push_back(entry.remove());
        }
        let (task, failures) = state.ready.pop_front()?;
        state
            .known
            .insert(task.key(), Phase::Running { is_dirty: false });
        Some((task, failures))
    }

    pub(super) fn done(&self, task: &Task) {
        let phase = self.state().known.remove(&task.key());
        if matches!(phase, Some(Phase::Running { is_dirty: true })) {
            self.push(task.clone());
        }
    }

    pub(super) fn retry(&self, task: Task, failures: u32, pause: Duration) {
        let mut guard = self.state();
        let state = &mut *guard;
        let key = task.key();
        if matches!(
            state.known.get(&key),
            Some(Phase::Running { is_dirty: true })
        ) {
            state.known.insert(key, Phase::Ready);
            state.ready.push_back((task, failures));
        } else {
            state.count += 1;
            let due = (Instant::now() + pause, state.count);
            state.known.insert(key, Phase::Later(due));
            state.later.insert(due, (task, failures));
        }
        drop(guard);
        self.changed.notify_one();
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let state = self.state();
        // What is ready waits for a running task to end, not for a time.
        state.later.first_key_value().map(|(due, _)| due.0)
    }
}

/// Turns changes of one kind into tasks.
pub(super) struct KindListener {
    pub(super) resource: ApiResource,
    pub(super) queue: Arc<Queue>,
}

impl Listener for KindListener {
    fn changed(&self, old: Option<&Header>, new: Option<&Header>) {
        if let Some(new) = new {
            let is_news = old.is_none_or(|old| old.owners != new.owners);
            let is_special = |finalizer: &String| finalizer == FOREGROUND || finalizer == ORPHAN;
            let is_waiting = new.is_deleting && new.finalizers.iter().any(is_special);
            if is_waiting || (is_news && !new.owners.is_empty()) {
                self.queue.push(Task::look(&self.resource, new));
            }
        }
        let Some(old) = old else { return };
        let is_successor = new.is_some_and(|new| new.uid != old.uid);
        if new.is_none() || is_successor {
            self.queue.push(Task::Bereaved {
                uid: old.uid.clone(),
            });
        }
        // Owners that it no longer has, and that may have waited for it.
        for owner in &old.owners {
            let is_kept = new.is_some_and(|new| new.owners.contains(owner));
            if owner.block_owner_deletion == Some(true) && !is_kept {
                let (namespace, owner) = (old.namespace.clone(), owner.clone());
                self.queue.push(Task::Owner { namespace, owner });
            }
        }
    }
}

/// Uids of objects that are gone for good, the latest few hundred.
#[derive(Default)]
pub(super) struct Absent(Mutex<(HashSet<String>, VecDeque<String>)>);

const ABSENT_MAX: usize = 500;

impl Absent {
    pub(super) fn contains(&self, uid: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .contains(uid)
    }

    pub(super) fn insert(&self, uid: &str) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *guard;
        if known.insert(uid.to_owned()) {
            order.push_back(uid.to_owned());
        }
        if order.len() > ABSENT_MAX
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }
}
