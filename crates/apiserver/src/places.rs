//! Places for what lasts in a cluster, each held for as long as it does.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::status::Status;

/// Watches and logs of one cluster at a time.
const MAX_WATCHES: usize = 20_000;
/// Sessions in containers and connections with ports of one cluster at a time. Each may hold a few MiB for a client or a pod
/// that takes nothing.
const MAX_SESSIONS: usize = 500;
/// When somebody who got no place may ask again.
const RETRY_SECONDS: u32 = 10;

/// The places of one cluster.
pub(crate) struct Places {
    watches: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
}

/// How many are taken.
pub(crate) struct Taken {
    pub(crate) watches: usize,
    pub(crate) sessions: usize,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            watches: Arc::new(Semaphore::new(MAX_WATCHES)),
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS)),
        }
    }

    /// A place for a watch or a log.
    ///
    /// # Errors
    /// 429 when there is none.
    pub(crate) fn watch(&self) -> Result<OwnedSemaphorePermit, Status> {
        take(&self.watches, "watches")
    }

    /// A place for a session or a connection with ports.
    ///
    /// # Errors
    /// 429 when there is none.
    pub(crate) fn session(&self) -> Result<OwnedSemaphorePermit, Status> {
        take(&self.sessions, "sessions")
    }

    pub(crate) fn taken(&self) -> Taken {
        Taken {
            watches: MAX_WATCHES - self.watches.available_permits(),
            sessions: MAX_SESSIONS - self.sessions.available_permits(),
        }
    }
}

fn take(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Status> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| {
        let why = format!("too many {what} in this cluster, please try again later");
        Status::too_many_requests(why, RETRY_SECONDS)
    })
}
