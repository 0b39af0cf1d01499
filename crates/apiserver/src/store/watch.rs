//! Cursors over the history: how changes reach watchers without a queue for each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use super::cluster::Cluster;
use super::history::{Event, Part};
use super::read;

/// Most events that a cursor takes over at once.
const READ_AHEAD: usize = 64;

/// Why a cursor has no further event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorEnd {
    /// Events that the cursor had not read yet were forgotten.
    #[error("the watch fell behind the history")]
    Lagged,
    /// The cluster was dropped.
    #[error("the logical cluster is gone")]
    Closed,
}

/// A place in the history of one resource.
pub struct Cursor {
    cluster: Arc<Cluster>,
    resource: Arc<str>,
    part: Part,
    /// Every event up to this revision was returned, passed over, or is in `ahead`.
    seen: u64,
    ahead: VecDeque<Arc<Event>>,
    woken: Arc<Notify>,
}

impl Cursor {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        resource: &str,
        part: Part,
        after: u64,
        woken: Arc<Notify>,
    ) -> Self {
        Self {
            cluster,
            resource: resource.into(),
            part,
            seen: after,
            ahead: VecDeque::new(),
            woken,
        }
    }

    /// The next event; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When there will be no further event.
    pub async fn next(&mut self) -> Result<Arc<Event>, CursorEnd> {
        consume_budget().await;
        loop {
            let woken = Arc::clone(&self.woken);
            // Made before looking, so that a change in between wakes it.
            let woken = woken.notified();
            if let Some(next) = self.try_next() {
                return next;
            }
            woken.await;
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Result<Arc<Event>, CursorEnd>> {
        if self.ahead.is_empty()
            && let Err(end) = self.read_ahead()
        {
            return Some(Err(end));
        }
        self.ahead.pop_front().map(Ok)
    }

    fn read_ahead(&mut self) -> Result<(), CursorEnd> {
        let state = read(&self.cluster.state);
        if state.closed {
            return Err(CursorEnd::Closed);
        }
        let Some(collection) = state.collections.get(&self.resource) else {
            return Ok(());
        };
        if self.seen < collection.history.floor(&self.part) {
            return Err(CursorEnd::Lagged);
        }
        for event in collection.history.after(self.seen, &self.part) {
            self.seen = event.revision;
            self.ahead.push_back(Arc::clone(event));
            if self.ahead.len() == READ_AHEAD {
                return Ok(());
            }
        }
        self.seen = self.seen.max(state.revision);
        Ok(())
    }

    /// All events up to this revision were returned: what a bookmark may say. Advances with the cluster's revision while
    /// the resource is idle.
    #[must_use]
    pub fn revision(&self) -> u64 {
        if let Some(event) = self.ahead.front() {
            return event.revision - 1;
        }
        let state = read(&self.cluster.state);
        let is_idle = state.collections.get(&self.resource).is_some_and(|c| {
            // Below the floor there may have been events that are forgotten now.
            self.seen >= c.history.floor(&self.part)
                && c.history.after(self.seen, &self.part).next().is_none()
        });
        if is_idle && !state.closed {
            self.seen.max(state.revision)
        } else {
            self.seen
        }
    }
}

/// Which resources of a cluster change, for those who only need to know that.
pub struct Changes {
    cluster: Arc<Cluster>,
    seen: u64,
}

impl Changes {
    pub(super) fn new(cluster: Arc<Cluster>, seen: u64) -> Self {
        Self { cluster, seen }
    }

    /// The resources that changed since the last call, each with the revision of its last change; waits until there is
    /// one. `None` when the cluster was dropped. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Vec<(Arc<str>, u64)>> {
        consume_budget().await;
        loop {
            let cluster = Arc::clone(&self.cluster);
            // Made before looking, so that a change in between wakes it.
            let woken = cluster.woken.notified();
            let changes = self.look()?;
            if !changes.is_empty() {
                return Some(changes);
            }
            woken.await;
        }
    }

    fn look(&mut self) -> Option<Vec<(Arc<str>, u64)>> {
        let state = read(&self.cluster.state);
        if state.closed {
            return None;
        }
        let seen = std::mem::replace(&mut self.seen, state.revision);
        if seen == state.revision {
            return Some(Vec::new());
        }
        let changed = state.collections.iter().filter(|(_, c)| c.changed > seen);
        Some(changed.map(|(r, c)| (Arc::clone(r), c.changed)).collect())
    }
}
