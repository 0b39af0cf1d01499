//! Virtual time beside real sockets.
//!
//! The clock of a test runs ahead whenever nothing in the process can go on; it does not know that an answer is on its way through
//! a socket, and timeouts would pass at once. tokio holds it while a blocking task is under way, so that is what waiting for a socket is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest that time is held, in seconds of a real clock. A test that asks too much of held time fails then instead of hanging.
const MAX_HELD: Duration = Duration::from_secs(60);

/// Whether time is held, and by whom.
#[derive(Clone, Default)]
pub(crate) struct Sockets(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    /// Something answers on a real socket.
    used: bool,
    /// Requests under way.
    waiting: usize,
    /// How often everybody was done.
    ended: u64,
    /// Time is held until this is dropped.
    end: Option<std::sync::mpsc::Sender<()>>,
}

impl Held {
    fn hold(&mut self) {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || {
            receiver.recv_timeout(MAX_HELD)
        }));
        self.end = Some(sender);
    }
}

/// Time is held as long as this lives.
pub(crate) struct Waiting(Sockets);

impl Sockets {
    /// From now on, requests may need a socket.
    pub(crate) fn used(&self) {
        self.with(|held| held.used = true);
    }

    /// Holds time while a request is under way, when it may need a socket.
    pub(crate) fn wait(&self) -> Option<Waiting> {
        self.with(|held| {
            if !held.used {
                return None;
            }
            held.waiting += 1;
            if held.waiting == 1 {
                held.hold();
            }
            Some(Waiting(self.clone()))
        })
    }

    /// Lets time pass, on the other side of a socket, although somebody waits for it; not longer than they do.
    pub(crate) async fn sleep(&self, duration: Duration) {
        let before = self.with(|held| {
            held.end = None;
            held.ended
        });
        tokio::time::sleep(duration).await;
        self.with(|held| {
            if held.ended == before && held.waiting > 0 {
                held.hold();
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.with(|held| {
            held.waiting -= 1;
            if held.waiting == 0 {
                held.ended += 1;
                held.end = None;
            }
        });
    }
}
