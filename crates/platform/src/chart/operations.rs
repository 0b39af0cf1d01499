//! Operations under way: at most one for each App, a few at once, and how the last one failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use runtime::{Clock, Cx, INTERNAL_ERROR, Signal, Tasks, Wait};
use tokio::sync::Semaphore;

/// Operations that work at once; others wait for their turn.
const MAX_AT_ONCE: usize = 16;

/// How things stand with the operation of an App.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None is under way; the last one, if any, succeeded.
    Idle,
    /// It works, or waits for its turn.
    Running,
    /// The last one failed.
    Failed {
        /// What was tried.
        fingerprint: String,
        why: Wait,
        /// How often in a row.
        failures: u32,
        at: Timestamp,
    },
}

/// Operations by the uid of their App.
pub struct Operations {
    slots: Slots,
    permits: Arc<Semaphore>,
    tasks: Tasks,
}

type Slots = Arc<Mutex<HashMap<String, Slot>>>;

struct Slot {
    signal: Signal,
    standing: Standing,
}

impl Operations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Slots::default(),
            permits: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            tasks: Tasks::new(),
        }
    }

    /// How things stand; the end of the operation wakes the object of the pass.
    #[must_use]
    pub fn look(&self, cx: &Cx, uid: &str) -> Standing {
        let mut slots = lock(&self.slots);
        // Whoever looked at these is gone.
        slots.retain(|key, slot| {
            key == uid || slot.standing == Standing::Running || slot.signal.readers() > 0
        });
        let slot = slots.entry(uid.to_owned()).or_insert_with(|| Slot {
            signal: Signal::new(),
            standing: Standing::Idle,
        });
        cx.watch(&slot.signal);
        slot.standing.clone()
    }

    /// Starts an operation unless one is under way.
    pub fn start(
        &self,
        uid: String,
        fingerprint: String,
        clock: Clock,
        operation: impl Future<Output = Result<(), Wait>> + Send + 'static,
    ) {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(uid.clone()).or_insert_with(|| Slot {
            signal: Signal::new(),
            standing: Standing::Idle,
        });
        let failures = match &slot.standing {
            Standing::Running => return,
            Standing::Failed {
                fingerprint: before,
                failures,
                ..
            } if *before == fingerprint => *failures,
            Standing::Failed { .. } | Standing::Idle => 0,
        };
        slot.standing = Standing::Running;
        drop(slots);
        let permits = Arc::clone(&self.permits);
        // However it ends, also by a panic, the App hears of it.
        let mut end = End {
            slots: Arc::clone(&self.slots),
            uid,
            fingerprint,
            failures,
            clock,
            result: Err(Wait {
                reason: INTERNAL_ERROR,
                message: "the operation failed, see the server's log".to_owned(),
            }),
        };
        self.tasks.spawn("release", async move {
            let Ok(_permit) = permits.acquire().await else {
                return;
            };
            end.result = Box::pin(operation).await;
            drop(end);
        });
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operations({})", lock(&self.slots).len())
    }
}

fn lock(slots: &Slots) -> MutexGuard<'_, HashMap<String, Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

struct End {
    slots: Slots,
    uid: String,
    fingerprint: String,
    failures: u32,
    clock: Clock,
    result: Result<(), Wait>,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        let Some(slot) = slots.get_mut(&self.uid) else {
            return;
        };
        slot.standing = match &self.result {
            Ok(()) => Standing::Idle,
            Err(why) => Standing::Failed {
                fingerprint: self.fingerprint.clone(),
                why: why.clone(),
                failures: self.failures + 1,
                at: self.clock.now(),
            },
        };
        let signal = slot.signal.clone();
        drop(slots);
        signal.notify();
    }
}
