//! Events for users: core/v1 Events, de-duplicated, counted and bounded in memory, in number and in length.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock::rfc3339;
use crate::plan::Note;
use crate::{Cluster, Tasks};

/// Events that wait to be written; more are dropped and counted.
const QUEUE_MAX: usize = 1024;
/// Events that are remembered to be counted up rather than written anew.
const REMEMBERED_MAX: usize = 1024;
/// The same event is written again after this at the earliest, and each further time after twice as long; in between
/// it is only counted.
const REPEAT_MIN: Duration = Duration::from_secs(60);
const REPEAT_MAX: Duration = Duration::from_secs(900);
/// An event that did not happen for this long starts anew.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// So much is told about one object at once, and one more event with each of these pauses, as Kubernetes does.
const BURST_MAX: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// Objects whose events are counted.
const OBJECTS_MAX: usize = 4096;
const MESSAGE_BYTES_MAX: usize = 1024;

/// Takes events from controllers. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Happening>,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) written: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

struct Happening {
    controller: &'static str,
    object: Arc<ObjectReference>,
    note: Note,
}

/// What makes two events the same.
#[derive(PartialEq, Eq, Hash)]
struct Same {
    controller: &'static str,
    uid: Option<String>,
    name: Option<String>,
    is_warning: bool,
    reason: &'static str,
    message: String,
}

struct Known {
    name: String,
    count: u64,
    written: Instant,
    /// How long it is only counted.
    pause: Duration,
}

struct Writer {
    cluster: Arc<Cluster>,
    known: HashMap<Same, Known>,
    counts: Arc<Counts>,
    budgets: HashMap<Whose, Budget>,
    serial: u64,
}

/// Who tells about which object.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Whose {
    controller: &'static str,
    uid: Option<String>,
    name: Option<String>,
}

/// How much may still be told.
struct Budget {
    tokens: f64,
    refilled: Instant,
}

impl Recorder {
    /// Starts the one task that writes a cluster's events; it ends with `tasks`.
    #[must_use]
    pub fn start(cluster: Arc<Cluster>, tasks: &Tasks) -> Self {
        let (queue, mut happenings) = mpsc::channel(QUEUE_MAX);
        let counts = Arc::new(Counts::default());
        let mut writer = Writer {
            cluster,
            known: HashMap::new(),
            counts: Arc::clone(&counts),
            budgets: HashMap::new(),
            serial: 0,
        };
        tasks.spawn("events", async move {
            while let Some(happening) = happenings.recv().await {
                writer.take(happening).await;
            }
        });
        Self { queue, counts }
    }

    /// Tells `note` about `object`, as `controller`. Too much at once is dropped, and counted.
    pub fn record(&self, controller: &'static str, object: &Arc<ObjectReference>, mut note: Note) {
        let mut end = note.message.len().min(MESSAGE_BYTES_MAX);
        while !note.message.is_char_boundary(end) {
            end -= 1;
        }
        note.message.truncate(end);
        let happening = Happening {
            controller,
            object: Arc::clone(object),
            note,
        };
        if self.queue.try_send(happening).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Budget {
    /// What there is by now.
    fn refill(&mut self, now: Instant) -> f64 {
        let earned = now.duration_since(self.refilled).as_secs_f64() / REFILL.as_secs_f64();
        self.tokens = (self.tokens + earned).min(BURST_MAX);
        self.refilled = now;
        self.tokens
    }
}

impl Writer {
    async fn take(&mut self, happening: Happening) {
        let Happening {
            controller,
            object,
            note,
        } = happening;
        let same = Same {
            controller,
            uid: object.uid.clone(),
            name: object.name.clone(),
            is_warning: note.warning,
            reason: note.reason,
            message: note.message.clone(),
        };
        let now = Instant::now();
        if let Some(known) = self.known.get_mut(&same)
            && known.written.elapsed() < REMEMBERED
        {
            known.count += 1;
            if known.written.elapsed() < known.pause {
                return;
            }
        }
        let whose = Whose {
            controller,
            uid: object.uid.clone(),
            name: object.name.clone(),
        };
        if !self.spend(whose, now) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let at = self.cluster.clock.now();
        let repeated = self
            .known
            .get(&same)
            .filter(|k| k.count > 1)
            .map(|k| (k.name.clone(), k.count));
        let written = match repeated {
            Some((name, count)) => self.count_up(&object, &name, count, at).await,
            None => false,
        };
        if written {
            if let Some(known) = self.known.get_mut(&same) {
                known.written = now;
                known.pause = (known.pause * 2).min(REPEAT_MAX);
            }
            return;
        }
        if let Some(name) = self.create(controller, &object, &note, at).await {
            self.forget_old();
            let known = Known {
                name,
                count: 1,
                written: now,
                pause: REPEAT_MIN,
            };
            self.known.insert(same, known);
        }
    }

    /// A token bucket for each object, so that a noisy one silences no other.
    fn spend(&mut self, whose: Whose, now: Instant) -> bool {
        if self.budgets.len() >= OBJECTS_MAX && !self.budgets.contains_key(&whose) {
            // Those that are full again say nothing; if there are none, everybody begins anew.
            self.budgets
                .retain(|_, budget| budget.refill(now) < BURST_MAX);
            if self.budgets.len() >= OBJECTS_MAX {
                self.budgets.clear();
            }
        }
        let budget = self.budgets.entry(whose).or_insert(Budget {
            tokens: BURST_MAX,
            refilled: now,
        });
        if budget.refill(now) < 1.0 {
            return false;
        }
        budget.tokens -= 1.0;
        true
    }

    fn forget_old(&mut self) {
        if self.known.len() < REMEMBERED_MAX {
            return;
        }
        let mut times: Vec<Instant> = self.known.values().map(|known| known.written).collect();
        times.sort_unstable();
        // Half at a time, so that the sort is paid for by many events.
        let Some(limit) = times.get(times.len() / 2).copied() else {
            return;
        };
        self.known.retain(|_, known| known.written > limit);
    }

    async fn count_up(
        &self,
        object: &ObjectReference,
        name: &str,
        count: u64,
        at: Timestamp,
    ) -> bool {
        let patch = json!({"count": count, "lastTimestamp": rfc3339(at)});
        let request = http::Request::patch(format!(
            "/api/v1/namespaces/{}/events/{name}",
            namespace(object)
        ))
        .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
        .body(patch.to_string().into_bytes());
        self.send(request).await
    }

    async fn create(
        &mut self,
        controller: &str,
        object: &ObjectReference,
        note: &Note,
        at: Timestamp,
    ) -> Option<String> {
        self.serial += 1;
        let nanos = at.as_nanosecond() + i128::from(self.serial);
        let name = format!("{}.{nanos:x}", object.name.as_deref().unwrap_or_default());
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace(object)},
            "involvedObject": object,
            "type": if note.warning { "Warning" } else { "Normal" },
            "reason": note.reason,
            "message": note.message,
            "source": {"component": controller},
            "reportingComponent": controller,
            "reportingInstance": "apiary",
            "firstTimestamp": rfc3339(at),
            "lastTimestamp": rfc3339(at),
            "count": 1,
        });
        let request =
            http::Request::post(format!("/api/v1/namespaces/{}/events", namespace(object)))
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(event.to_string().into_bytes());
        self.send(request).await.then_some(name)
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, http::Error>) -> bool {
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, "an event has no valid address");
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        };
        let sent = self
            .cluster
            .within(self.cluster.client().request_text(request))
            .await;
        match sent {
            Ok(_) => {
                self.counts.written.fetch_add(1, Ordering::Relaxed);
                true
            }
            // Events are a courtesy: losing one must not hold up anything.
            Err(error) => {
                tracing::debug!(
                    error = crate::chain(&error),
                    "an event could not be written"
                );
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// Events of cluster-scoped objects live in `default`.
fn namespace(object: &ObjectReference) -> &str {
    object
        .namespace
        .as_deref()
        .filter(|ns| !ns.is_empty())
        .unwrap_or("default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_noisy_object_silences_no_other() {
        let mut writer = Writer {
            cluster: Cluster::new(
                crate::testing::Api::default().client(),
                crate::Clock::system(),
                crate::ClusterOptions::default(),
            ),
            known: HashMap::new(),
            counts: Arc::default(),
            budgets: HashMap::new(),
            serial: 0,
        };
        let whose = |name: &str| Whose {
            controller: "test",
            uid: None,
            name: Some(name.to_owned()),
        };
        let mut told = |name: &str| writer.spend(whose(name), Instant::now());
        assert_eq!((0..100).filter(|_| told("noisy")).count(), 25);
        assert!(told("quiet"));
        tokio::time::advance(REFILL).await;
        assert_eq!((0..100).filter(|_| told("noisy")).count(), 1);
        for at in 0..2 * OBJECTS_MAX {
            assert!(told(&format!("{at}")));
        }
        assert!(writer.budgets.len() <= OBJECTS_MAX);
    }
}
