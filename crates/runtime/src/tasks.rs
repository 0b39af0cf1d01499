//! Background tasks that nobody forgets: a panic is reported and counted, and all end with their owner.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;

/// A group of background tasks. Dropping it cancels them.
#[derive(Debug, Default)]
pub struct Tasks {
    running: Mutex<JoinSet<()>>,
    panics: Arc<AtomicU64>,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` in the background until it ends, the group is dropped, or [`Tasks::shutdown`] is called.
    /// `name` says in logs which task panicked.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let panics = Arc::clone(&self.panics);
        // No async block, which would have room for the future twice.
        let guarded = AssertUnwindSafe(future).catch_unwind().map(move |ended| {
            if let Err(panic) = ended {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, panic = panic_text(&*panic), "task panicked");
            }
        });
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Collecting the ended ones here keeps the set as small as what runs.
        while running.try_join_next().is_some() {}
        running.spawn(guarded);
    }

    /// How many tasks ended in a panic so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Cancels all tasks and waits until they are gone.
    pub async fn shutdown(&self) {
        let mut running = {
            let mut guard = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *guard)
        };
        running.shutdown().await;
    }
}

/// Computes what takes long, on a thread of its own if there are several, so that nobody else waits for it. In a simulated world
/// there is one, and everything has its turn there: what happens is then the same each time.
///
/// # Errors
/// When `work` panics.
pub async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let work = || std::panic::catch_unwind(AssertUnwindSafe(work));
    let done = match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            // The runtime ends.
            Err(ended) => return Err(Panicked(ended.to_string())),
        },
    };
    done.map_err(|panic| Panicked(panic_text(&*panic).to_owned()))
}

/// Something that was computed ended in a panic, and what it said.
#[derive(Debug, thiserror::Error)]
#[error("a computation panicked: {0}")]
pub struct Panicked(String);

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check_compute() {
        assert_eq!(compute(|| 7).await.unwrap(), 7);
        let failed: Result<(), Panicked> = compute(|| panic!("boom")).await;
        assert_eq!(
            failed.unwrap_err().to_string(),
            "a computation panicked: boom"
        );
    }

    #[tokio::test]
    async fn what_is_computed_on_the_only_thread_is_told_with_its_panics() {
        check_compute().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_computed_on_a_thread_of_its_own_is_told_with_its_panics() {
        check_compute().await;
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_the_others_live() {
        let tasks = Tasks::new();
        let (send, receive) = tokio::sync::oneshot::channel();
        tasks.spawn("bad", async { panic!("boom") });
        tasks.spawn("good", async move {
            tokio::task::yield_now().await;
            send.send(1).unwrap();
        });
        assert_eq!(receive.await, Ok(1));
        while tasks.panics() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tasks.panics(), 1);
    }

    #[tokio::test]
    async fn shutdown_drops_what_tasks_hold() {
        let tasks = Tasks::new();
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        tasks.spawn("forever", async move {
            std::future::pending::<()>().await;
            drop(inside);
        });
        tasks.shutdown().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
