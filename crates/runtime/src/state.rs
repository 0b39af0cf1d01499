//! A value that tasks wait for, and go on in the order in which they came.
//!
//! A `watch` channel of tokio leaves that order to chance, and with it the order of all that they do next: no run could be
//! repeated.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value that changes, and those who wait for it.
#[derive(Debug)]
pub(crate) struct State<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Clone> State<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    fn value(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> T {
        self.value().clone()
    }

    /// Returns the value from before.
    pub(crate) fn replace(&self, value: T) -> T {
        let before = std::mem::replace(&mut *self.value(), value);
        self.changed.notify_waiters();
        before
    }

    /// Resolves with the value as soon as it is as wanted.
    pub(crate) async fn wait_for(&self, is_so: impl Fn(&T) -> bool) -> T {
        loop {
            // Made before looking, so that a change in between wakes it.
            let changed = self.changed.notified();
            let value = self.get();
            if is_so(&value) {
                return value;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_waited_first_goes_on_first() {
        let state = Arc::new(State::new(0));
        let order = Arc::new(Mutex::new(vec![]));
        let mut tasks = tokio::task::JoinSet::new();
        for name in 0..20 {
            let (state, order) = (Arc::clone(&state), Arc::clone(&order));
            tasks.spawn(async move {
                let found = state.wait_for(|value| *value == 2).await;
                assert_eq!(found, 2);
                order.lock().unwrap().push(name);
            });
        }
        tokio::task::yield_now().await;
        assert_eq!(state.replace(1), 0);
        tokio::task::yield_now().await;
        assert_eq!(state.replace(2), 1);
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(state.get(), 2);
    }
}
