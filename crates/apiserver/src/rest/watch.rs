//! WATCH: a stream of events, one JSON document a line or protobuf frames, that never skips, repeats or reorders.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body::Frame;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, Sleep};

use crate::object::Object;
use crate::registry::{DEFINITIONS, ListOptions, Target};
use crate::server::Cluster;
use crate::status::Status;
use crate::store::{ClusterStore, Cursor, CursorEnd, Event, EventKind, Expired};

use super::respond::BodyError;
use super::shape::Shape;

/// How often an idle watch tells its client how far it is.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// The last bookmark comes this long before the end.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// Watches without `timeoutSeconds` end after this long, and up to twice as long.
const MIN_TIMEOUT_SECONDS: u64 = 1800;
/// No watch lasts longer, whatever its client wishes.
const MAX_TIMEOUT_SECONDS: u64 = 24 * 3600;

/// Events that are there at the same time are sent in one frame until it is this long, in bytes: that costs a busy watch
/// much less than a frame for each.
const MAX_TOGETHER: usize = 32 << 10;
/// Events that are looked at for one frame after its first; a selector may leave out all of them, and what was found
/// first must not wait for that.
const MAX_LOOKS: usize = 256;

/// What a watch sends and how.
pub(super) struct Watch {
    pub cluster: Arc<Cluster>,
    pub target: Target,
    pub options: ListOptions,
    pub shape: Shape,
    /// The client asked for bookmarks.
    pub bookmarks: bool,
    pub timeout_seconds: Option<u64>,
    /// Several events may be in one frame.
    pub together: bool,
}

/// A running watch.
struct Running {
    watch: Watch,
    cursor: Cursor,
    /// Changes of definitions, for a watch of custom resources: it ends with the definition that it began under.
    definitions: Option<Cursor>,
    _place: OwnedSemaphorePermit,
    /// Synthetic events that come first.
    initial: VecDeque<Arc<Object>>,
    /// Revision of the bookmark that says that the initial events are over.
    initial_end: Option<u64>,
    next_bookmark: Instant,
    deadline: Instant,
    /// Runs until the next bookmark or the deadline.
    timer: Pin<Box<Sleep>>,
    /// Turns true with the end of the cluster.
    closed: watch::Receiver<bool>,
    /// Table columns are sent once.
    has_sent_columns: bool,
    is_over: bool,
}

/// Starts the watch; refusals that are known at once come as a Status, later ones as an ERROR event.
pub(super) async fn start(
    watch: Watch,
) -> Result<impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send, Status> {
    watch.options.check(true)?;
    let place = watch.cluster.places().watch()?;
    let asked = watch.options.revision()?;
    let store = watch.cluster.registry().store().clone();
    let storage = watch.target.resource.storage.clone();
    let namespace = (!watch.target.namespace.is_empty()).then_some(watch.target.namespace.as_str());
    let wants_state = watch.options.send_initial_events.unwrap_or(asked == 0);
    let follow = |after| follow(&store, &storage, &watch, after);
    let mut initial = VecDeque::new();
    let (cursor, initial_end) = if wants_state {
        let now = store.revision();
        if asked > now {
            return Err(Status::too_large_revision(asked, now));
        }
        let listing = store.list(&storage, namespace);
        let registry = watch.cluster.registry();
        let selected = registry.shown(&watch.target.resource, listing.objects);
        let is_selected = |o: &_| registry.selects(&watch.target, &watch.options, o);
        initial.extend(selected.await?.into_iter().filter(|o| is_selected(o)));
        let is_marked = watch.options.send_initial_events == Some(true) && watch.bookmarks;
        (
            follow(listing.revision),
            is_marked.then_some(listing.revision),
        )
    } else {
        let after = if asked == 0 { store.revision() } else { asked };
        (follow(after), None)
    };
    let timeout = watch
        .timeout_seconds
        .unwrap_or_else(|| {
            let naming = &watch.cluster.registry().naming;
            naming.between(MIN_TIMEOUT_SECONDS..2 * MIN_TIMEOUT_SECONDS)
        })
        .min(MAX_TIMEOUT_SECONDS);
    let now = Instant::now();
    let deadline = now + Duration::from_secs(timeout);
    let shape = watch.shape.clone();
    let definitions = watch.target.resource.custom.as_ref().and_then(|_| {
        let definitions = store.watch(DEFINITIONS, None, store.revision());
        definitions.ok()
    });
    let closed = watch.cluster.ending();
    let state = match cursor {
        Ok(cursor) => State::Running(Box::new(Running {
            watch,
            cursor,
            initial,
            initial_end,
            definitions,
            _place: place,
            next_bookmark: bookmark_after(now, deadline),
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            closed,
            has_sent_columns: false,
            is_over: false,
        })),
        Err(_) => State::Refused(shape.error_event(&Status::expired(format!(
            "too old resource version: {asked} ({})",
            store.revision()
        )))),
    };
    let events = futures::stream::unfold(state, |state| async move {
        match state {
            State::Refused(event) => Some((Ok(Frame::data(event)), State::Over)),
            State::Running(mut running) => {
                let frame = running.frame().await?;
                Some((Ok(Frame::data(frame)), State::Running(running)))
            }
            State::Over => None,
        }
    });
    Ok(events.fuse())
}

/// A place in the history of what is watched.
fn follow(
    store: &ClusterStore,
    storage: &str,
    watch: &Watch,
    after: u64,
) -> Result<Cursor, Expired> {
    let namespace = Some(watch.target.namespace.as_str()).filter(|ns| !ns.is_empty());
    match watch.options.fields.node() {
        // Of all namespaces: a place in the history is one or the other.
        Some(node) if namespace.is_none() => store.watch_node(storage, node, after),
        _ => store.watch(storage, namespace, after),
    }
}

enum State {
    /// The ERROR event is all that comes.
    Refused(Bytes),
    Running(Box<Running>),
    Over,
}

impl Running {
    /// The next frame of the stream; `None` ends it.
    async fn frame(&mut self) -> Option<Bytes> {
        let first = self.next().await?;
        if !self.watch.together {
            return Some(first);
        }
        let mut all = BytesMut::new();
        for _ in 0..MAX_LOOKS {
            if self.is_over || first.len().max(all.len()) >= MAX_TOGETHER {
                break;
            }
            let line = if let Some(object) = self.initial.pop_front() {
                Some(self.line("ADDED", &object))
            } else if self.initial_end.is_none()
                && let Some(Ok(event)) = self.cursor.try_next()
            {
                self.event(event).await
            } else {
                break;
            };
            if let Some(line) = line {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&line);
            }
        }
        Some(if all.is_empty() { first } else { all.freeze() })
    }

    /// The next line of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            // A watch that never has to wait must still let others run.
            consume_budget().await;
            if let Some(object) = self.initial.pop_front() {
                return Some(self.line("ADDED", &object));
            }
            if let Some(revision) = self.initial_end.take() {
                return Some(self.bookmark(revision, true));
            }
            // A busy watch must end as well.
            if Instant::now() >= self.deadline {
                break;
            }
            let event = match self.cursor.try_next() {
                Some(event) => Some(event),
                None => self.wait().await,
            };
            let line = match event {
                Some(Ok(event)) => self.event(event).await,
                // Too slow, or the cluster is gone: the client comes back with its last revision.
                Some(Err(_)) => {
                    self.is_over = true;
                    None
                }
                None => self.at_timer(),
            };
            if line.is_some() {
                return line;
            }
        }
        None
    }

    /// Waits for an event, or for whatever else there is to see to: then `None`.
    async fn wait(&mut self) -> Option<Result<Arc<Event>, CursorEnd>> {
        let wake = if self.watch.bookmarks {
            self.next_bookmark.min(self.deadline)
        } else {
            self.deadline
        };
        if self.timer.deadline() != wake {
            self.timer.as_mut().reset(wake);
        }
        tokio::select! {
            biased;
            event = self.cursor.next() => return Some(event),
            () = is_redefined(self.definitions.as_mut(), &self.watch) => self.is_over = true,
            () = self.timer.as_mut() => {}
            // An error means that the cluster is gone, which is the end as well.
            _ = self.closed.wait_for(|closed| *closed) => self.is_over = true,
        }
        None
    }

    fn at_timer(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if now >= self.deadline {
            self.is_over = true;
        }
        if self.is_over || now < self.next_bookmark {
            return None;
        }
        self.next_bookmark = bookmark_after(now, self.deadline);
        let revision = self.cursor.revision();
        (self.watch.bookmarks).then(|| self.bookmark(revision, false))
    }

    /// What the client sees of an event: selectors make objects appear and disappear.
    async fn event(&mut self, event: Arc<Event>) -> Option<Bytes> {
        let (registry, resource) = (self.watch.cluster.registry(), &self.watch.target.resource);
        let mut objects = std::iter::once(&event.object).chain(&event.previous);
        let event = if objects.any(|o| registry.needs_conversion(resource, o)) {
            // Boxed, because there are tens of thousands of watches, and hardly one that converts.
            match Box::pin(self.shown(event)).await {
                Ok(event) => event,
                Err(status) => return Some(self.or_end(Err(status))),
            }
        } else {
            event
        };
        let selects = |watch: &Watch, object: &Object| {
            watch
                .cluster
                .registry()
                .selects(&watch.target, &watch.options, object)
        };
        let is_in = event.kind != EventKind::Deleted && selects(&self.watch, &event.object);
        let was_in = event
            .previous
            .as_ref()
            .is_some_and(|previous| selects(&self.watch, previous));
        match (was_in, is_in) {
            (false, true) => Some(self.line("ADDED", &event.object)),
            (true, true) => Some(self.line("MODIFIED", &event.object)),
            (true, false) if event.kind == EventKind::Deleted => {
                Some(self.line("DELETED", &event.object))
            }
            (true, false) => {
                let previous = event.previous.as_ref()?;
                let last = Object::encode(previous.value(), event.revision);
                Some(self.line("DELETED", &last))
            }
            (false, false) => None,
        }
    }

    /// The event at the version of the watch.
    async fn shown(&self, event: Arc<Event>) -> Result<Arc<Event>, Status> {
        let (registry, resource) = (self.watch.cluster.registry(), &self.watch.target.resource);
        let mut event = (*event).clone();
        event.object = registry.shown_one(resource, &event.object).await?;
        if let Some(previous) = &event.previous {
            event.previous = Some(registry.shown_one(resource, previous).await?);
        }
        Ok(Arc::new(event))
    }

    fn line(&mut self, ty: &str, object: &Object) -> Bytes {
        let Watch { cluster, shape, .. } = &self.watch;
        let sent = &mut self.has_sent_columns;
        let event = shape.event(cluster.registry(), ty, object, sent);
        self.or_end(event)
    }

    /// The event; where there is none, the client is told why, and that is the end.
    fn or_end(&mut self, event: Result<Bytes, Status>) -> Bytes {
        event.unwrap_or_else(|status| {
            self.is_over = true;
            self.watch.shape.error_event(&status)
        })
    }

    fn bookmark(&mut self, revision: u64, ends_initial: bool) -> Bytes {
        let resource = &self.watch.target.resource;
        let mut object = json!({
            "kind": resource.kind, "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if ends_initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let Watch { cluster, shape, .. } = &self.watch;
        let sent = &mut self.has_sent_columns;
        let event = shape.event_of(cluster.registry(), "BOOKMARK", object, sent);
        self.or_end(event)
    }
}

/// When the bookmark after `now` is due; after the last one, not before the end.
fn bookmark_after(now: Instant, deadline: Instant) -> Instant {
    match deadline.checked_sub(LAST_BOOKMARK) {
        Some(last) if now < last => last.min(now + BOOKMARK_PERIOD),
        _ => deadline,
    }
}

/// Resolves when the kind is not served any more as it was when the watch began; never for built-in kinds.
async fn is_redefined(definitions: Option<&mut Cursor>, watch: &Watch) {
    let Some(definitions) = definitions else {
        return std::future::pending().await;
    };
    let resource = &watch.target.resource;
    while definitions.next().await.is_ok() {
        let types = watch.cluster.registry().types();
        let served = types.find(&resource.group, &resource.version, &resource.plural);
        if served.is_none_or(|served| !Arc::ptr_eq(&served, resource)) {
            return;
        }
    }
}
