//! Objects as types: parsed once, and forgotten when nobody has read them for a while.
//!
//! A parsed object takes several times the memory of its text, and most objects of a fleet at rest are read by nobody. Those that are
//! read again are parsed again.

use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// For so long what nobody reads is kept.
const LINGER: Duration = Duration::from_secs(30);
/// Objects that are looked at in one go, so that nobody waits for it.
const STEP: usize = 64;

type Parsed = Result<Arc<dyn Any + Send + Sync>, Arc<str>>;

/// One object as the types that it was read as; usually one.
#[derive(Debug, Default)]
pub(crate) struct Forms(OnceLock<Arc<Mutex<Kept>>>);

#[derive(Debug)]
struct Kept {
    parsed: Vec<(TypeId, Parsed)>,
    read: Instant,
    /// Whether it is in the queue of those that are forgotten.
    is_queued: bool,
}

/// Objects that were read, in the order in which it is time to look whether they still are.
#[derive(Debug)]
struct Queue(Mutex<VecDeque<(Instant, Weak<Mutex<Kept>>)>>);

static QUEUE: Queue = Queue(Mutex::new(VecDeque::new()));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Forms {
    /// The object as a type.
    ///
    /// # Errors
    /// What `parse` says; that is never forgotten.
    pub(crate) fn read<K: Send + Sync + 'static>(
        &self,
        parse: impl FnOnce() -> Result<K, Arc<str>>,
    ) -> Result<Arc<K>, Arc<str>> {
        self.read_at(&QUEUE, Instant::now(), parse)
    }

    fn read_at<K: Send + Sync + 'static>(
        &self,
        queue: &Queue,
        now: Instant,
        parse: impl FnOnce() -> Result<K, Arc<str>>,
    ) -> Result<Arc<K>, Arc<str>> {
        let kept = self.0.get_or_init(|| {
            let (parsed, is_queued) = (vec![], false);
            let read = now;
            Arc::new(Mutex::new(Kept {
                parsed,
                read,
                is_queued,
            }))
        });
        let mut guard = lock(kept);
        guard.read = now;
        let wanted = TypeId::of::<K>();
        let known = guard.parsed.iter().find(|(id, _)| *id == wanted);
        let known = known.map(|(_, parsed)| parsed.clone());
        let parsed = known.unwrap_or_else(|| {
            let parsed: Parsed = parse().map(|object| Arc::new(object) as _);
            guard.parsed.push((wanted, parsed.clone()));
            parsed
        });
        let is_new = !std::mem::replace(&mut guard.is_queued, true);
        drop(guard);
        if is_new {
            lock(&queue.0).push_back((now + LINGER, Arc::downgrade(kept)));
            queue.forget(now);
        }
        parsed?
            .downcast::<K>()
            .map_err(|_| Arc::from("parsed as another type"))
    }

    #[cfg(test)]
    fn is_kept(&self) -> bool {
        self.0
            .get()
            .is_some_and(|kept| !lock(kept).parsed.is_empty())
    }
}

/// Forgets what nobody reads any more, if it is time for some.
pub(crate) fn forget() {
    QUEUE.forget(Instant::now());
}

impl Queue {
    fn forget(&self, now: Instant) {
        let mut due = vec![];
        {
            let mut queue = lock(&self.0);
            while due.len() < STEP && queue.front().is_some_and(|(time, _)| *time <= now) {
                due.extend(queue.pop_front().map(|(_, kept)| kept));
            }
        }
        for kept in due.iter().filter_map(Weak::upgrade) {
            let mut guard = lock(&kept);
            let time = guard.read + LINGER;
            if time > now {
                drop(guard);
                lock(&self.0).push_back((time, Arc::downgrade(&kept)));
                continue;
            }
            guard.is_queued = false;
            let forgotten: Vec<_> = guard
                .parsed
                .extract_if(.., |(_, parsed)| parsed.is_ok())
                .collect();
            guard.parsed.shrink_to_fit();
            drop(guard);
            // Dropping a large object takes its time, and nobody has to wait for it.
            drop(forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_forgotten() {
        let queue = Queue(Mutex::default());
        let (read, idle, wrong) = (Forms::default(), Forms::default(), Forms::default());
        let begin = Instant::now();
        let mut parsed = 0;
        let mut look = |forms: &Forms, now| {
            let text = forms.read_at(&queue, now, || {
                parsed += 1;
                Ok(String::from("object"))
            });
            assert_eq!(**text.as_ref().unwrap(), *"object");
            parsed
        };
        assert_eq!(look(&read, begin), 1);
        assert_eq!(look(&idle, begin), 2);
        let failed: Result<Arc<u8>, _> = wrong.read_at(&queue, begin, || Err(Arc::from("no")));
        assert_eq!(failed, Err(Arc::from("no")));
        let half = begin + LINGER / 2;
        assert_eq!(look(&read, half), 2);
        queue.forget(begin + LINGER);
        assert!(read.is_kept() && !idle.is_kept() && wrong.is_kept());
        assert_eq!(look(&read, begin + LINGER), 2);
        assert_eq!(look(&idle, begin + LINGER), 3);
        // What does not parse is not parsed again.
        let failed: Result<Arc<u8>, _> = wrong.read_at(&queue, begin + LINGER, || Ok(1));
        assert_eq!(failed, Err(Arc::from("no")));
        queue.forget(begin + LINGER * 3);
        queue.forget(begin + LINGER * 3);
        assert!(!read.is_kept() && !idle.is_kept());
    }
}
