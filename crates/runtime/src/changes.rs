//! Counts changes, and tells those who wait for the next one: in the order in which they began to wait, so that a run can be repeated
//! (tokio's own `watch` tells its receivers in a random order).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Inner {
    count: AtomicU64,
    changed: Notify,
}

/// Where changes are counted.
#[derive(Debug, Default)]
pub(crate) struct Counter(Arc<Inner>);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }

    /// Changes so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// Hears of changes from now on.
    pub(crate) fn subscribe(&self) -> Changes {
        Changes {
            counter: Arc::clone(&self.0),
            seen: self.count(),
        }
    }
}

/// Who hears of changes.
#[derive(Clone, Debug)]
pub struct Changes {
    counter: Arc<Inner>,
    seen: u64,
}

impl Changes {
    /// Waits for a change that was not heard of yet; several since then are one.
    pub async fn changed(&mut self) {
        loop {
            let notified = self.counter.changed.notified();
            tokio::pin!(notified);
            // From here on none is missed.
            notified.as_mut().enable();
            let count = self.counter.count.load(Ordering::Acquire);
            if count != self.seen {
                self.seen = count;
                return;
            }
            notified.await;
        }
    }

    /// What has changed until now is known.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.counter.count.load(Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn all_hear_of_a_change_in_the_order_in_which_they_wait() {
        let counter = Counter::default();
        let heard = Arc::new(Mutex::new(vec![]));
        let tasks = crate::Tasks::new();
        for one in 0..20 {
            let (mut changes, heard) = (counter.subscribe(), Arc::clone(&heard));
            tasks.spawn("hears", async move {
                changes.changed().await;
                heard.lock().unwrap().push(one);
            });
        }
        tokio::task::yield_now().await;
        counter.add();
        tokio::task::yield_now().await;
        let all: Vec<_> = (0..20).collect();
        assert_eq!(*heard.lock().unwrap(), all);
    }

    #[test]
    fn changes_between_two_looks_are_one() {
        let counter = Counter::default();
        let mut changes = counter.subscribe();
        assert_eq!(changes.changed().now_or_never(), None);
        counter.add();
        counter.add();
        assert_eq!(changes.changed().now_or_never(), Some(()));
        assert_eq!(changes.changed().now_or_never(), None);
        counter.add();
        changes.mark_unchanged();
        assert_eq!(changes.changed().now_or_never(), None);
        assert_eq!(counter.count(), 3);
    }
}
