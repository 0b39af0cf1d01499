//! Things fetched in the background, by name: at most one fetch of each at a time, retried with growing pauses while
//! somebody looks, and forgotten when the shelf is full and nobody does.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::{Cx, Signal, Tasks};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::FetchError;

/// Fetches at once, of all names together.
const MAX_FETCHES: usize = 4;
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Fetches a thing, with a fingerprint that tells whether it changed.
pub(super) type Fetch<T> = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<(T, u64), FetchError>> + Send>> + Send + Sync,
>;

/// How things stand with what was asked for.
#[derive(Debug)]
pub enum Fetched<T> {
    /// The first attempt is under way.
    Loading,
    /// It is there; `stale` says why it could not be read again, if so.
    Ready {
        value: Arc<T>,
        stale: Option<FetchError>,
    },
    /// It was never there.
    Failed(FetchError),
}

impl<T> Fetched<T> {
    /// The thing, if it is there.
    #[must_use]
    pub fn value(&self) -> Option<&Arc<T>> {
        match self {
            Self::Ready { value, .. } => Some(value),
            Self::Loading | Self::Failed(_) => None,
        }
    }
}

pub(super) struct Shelf<T> {
    slots: Arc<Mutex<HashMap<String, Slot<T>>>>,
    max: usize,
    permits: Arc<Semaphore>,
    tasks: Tasks,
}

struct Slot<T> {
    /// Notified when value or error change.
    signal: Signal,
    value: Option<Arc<T>>,
    fingerprint: u64,
    error: Option<FetchError>,
    read: Option<Instant>,
    looked: Instant,
    /// A task looks after it.
    is_kept: bool,
}

impl<T: Send + Sync + 'static> Shelf<T> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            slots: Arc::default(),
            max,
            permits: Arc::new(Semaphore::new(MAX_FETCHES)),
            tasks: Tasks::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    /// What is known of `key`. `refresh` is how old it may be; `None` means that it never changes.
    pub(super) fn look(
        &self,
        cx: &Cx,
        key: &str,
        refresh: Option<Duration>,
        fetch: Fetch<T>,
    ) -> Fetched<T> {
        let mut slots = lock(&self.slots);
        if !slots.contains_key(key) {
            make_room(&mut slots, self.max);
        }
        let now = Instant::now();
        let slot = slots.entry(key.to_owned()).or_insert_with(|| Slot {
            signal: Signal::new(),
            value: None,
            fingerprint: 0,
            error: None,
            read: None,
            looked: now,
            is_kept: false,
        });
        slot.looked = now;
        cx.watch(&slot.signal);
        let is_old = match (slot.read, refresh) {
            (None, _) => true,
            (Some(read), Some(refresh)) => now.duration_since(read) >= refresh,
            (Some(_), None) => slot.value.is_none(),
        };
        if is_old && !slot.is_kept {
            slot.is_kept = true;
            let keeper = Keeper {
                slots: Arc::clone(&self.slots),
                permits: Arc::clone(&self.permits),
                key: key.to_owned(),
                refresh,
                fetch,
            };
            self.tasks.spawn("repository", keeper.run());
        }
        match (&slot.value, &slot.error) {
            (Some(value), error) => Fetched::Ready {
                value: Arc::clone(value),
                stale: error.clone(),
            },
            (None, Some(error)) => Fetched::Failed(error.clone()),
            (None, None) => Fetched::Loading,
        }
    }
}

fn lock<T>(slots: &Mutex<HashMap<String, Slot<T>>>) -> MutexGuard<'_, HashMap<String, Slot<T>>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whatever somebody looks at stays, so the shelf is as long as there are objects that look, and `max` beyond.
fn make_room<T>(slots: &mut HashMap<String, Slot<T>>, max: usize) {
    while slots.len() >= max {
        let idle = slots
            .iter()
            .filter(|(_, slot)| !slot.is_kept && slot.signal.readers() == 0);
        let Some(oldest) = idle
            .min_by_key(|(_, slot)| slot.looked)
            .map(|(key, _)| key.clone())
        else {
            return;
        };
        slots.remove(&oldest);
    }
}

/// Looks after one slot until nobody looks at it any more, or it is complete.
struct Keeper<T> {
    slots: Arc<Mutex<HashMap<String, Slot<T>>>>,
    permits: Arc<Semaphore>,
    key: String,
    refresh: Option<Duration>,
    fetch: Fetch<T>,
}

impl<T: Send + Sync + 'static> Keeper<T> {
    async fn run(self) {
        // Whatever happens here, the next look can start over.
        let _release = Release {
            slots: Arc::clone(&self.slots),
            key: self.key.clone(),
        };
        let mut failures: u32 = 0;
        loop {
            let result = {
                let Ok(_permit) = self.permits.acquire().await else {
                    return;
                };
                (self.fetch)().await
            };
            let is_read = result.is_ok();
            failures = if is_read { 0 } else { failures + 1 };
            let Some(readers) = self.store(result) else {
                return;
            };
            let pause = match (is_read, self.refresh) {
                (true, None) => return,
                (true, Some(refresh)) => refresh,
                (false, _) => RETRY_MIN
                    .saturating_mul(1 << failures.saturating_sub(1).min(16))
                    .min(RETRY_MAX),
            };
            if readers == 0 {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns how many look at it; `None` if the slot is gone.
    fn store(&self, result: Result<(T, u64), FetchError>) -> Option<usize> {
        let mut slots = lock(&self.slots);
        let slot = slots.get_mut(&self.key)?;
        slot.read = Some(Instant::now());
        let is_news = match result {
            Ok((value, fingerprint)) => {
                let is_same =
                    slot.value.is_some() && slot.fingerprint == fingerprint && slot.error.is_none();
                if !is_same {
                    slot.value = Some(Arc::new(value));
                    slot.fingerprint = fingerprint;
                    slot.error = None;
                }
                !is_same
            }
            Err(error) => {
                let is_same = slot.error.as_ref() == Some(&error);
                slot.error = Some(error);
                !is_same
            }
        };
        let (signal, readers) = (slot.signal.clone(), slot.signal.readers());
        drop(slots);
        if is_news {
            signal.notify();
        }
        Some(readers)
    }
}

struct Release<T> {
    slots: Arc<Mutex<HashMap<String, Slot<T>>>>,
    key: String,
}

impl<T> Drop for Release<T> {
    fn drop(&mut self) {
        if let Some(slot) = lock(&self.slots).get_mut(&self.key) {
            slot.is_kept = false;
        }
    }
}
