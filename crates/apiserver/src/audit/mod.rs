//! The audit log: who did what, by a policy that says how much of it is written down.
//!
//! A [`Policy`] (`audit.k8s.io/v1`) gives each request a [`Level`]; a [`Log`] takes the events of all clusters as JSON
//! lines. A request is never held up by the log: what does not fit into its queue is dropped and counted.

mod event;
mod log;
mod policy;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub(crate) use event::{Asked, Notes, PATCH_NOTE, Trail, note};
pub use log::{Log, LogConfig, LogError};
pub use policy::{Policy, PolicyError};

use crate::auth::{Attributes, User};
use policy::Wanted;

/// How much of a request is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who asked for what, when, and how it went.
    Metadata,
    /// That and the body of the request.
    Request,
    /// That and the body of the answer.
    RequestResponse,
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The user is known, nothing is done yet.
    RequestReceived,
    /// The headers are sent and the body will take long: watches. Also: nobody could be authenticated.
    ResponseStarted,
    /// Nothing more will be sent.
    ResponseComplete,
    /// The server failed in the middle.
    Panic,
}

impl Level {
    const ALL: [Self; 4] = [
        Self::None,
        Self::Metadata,
        Self::Request,
        Self::RequestResponse,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// The audit of one logical cluster.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    policy: Arc<Policy>,
    log: Log,
    /// Which cluster, in a log that several share.
    cluster: Box<str>,
    numbers: Numbers,
}

/// What became of a cluster's events.
#[derive(Default)]
struct Numbers {
    events: AtomicU64,
    dropped: AtomicU64,
    /// Requests by level.
    levels: [AtomicU64; 4],
}

impl Audit {
    /// Writes what `policy` wants of the requests to the cluster `cluster` to `log`; policy and log may be those of
    /// other clusters, too.
    #[must_use]
    pub fn new(policy: Arc<Policy>, log: Log, cluster: &str) -> Self {
        Self(Arc::new(Inner {
            policy,
            log,
            cluster: cluster.into(),
            numbers: Numbers::default(),
        }))
    }

    /// The trail of a request, with its first event written; nothing if the policy does not want it.
    pub(crate) fn begin(
        &self,
        asked: &Asked<'_>,
        user: &User,
        attributes: &Attributes,
    ) -> Option<Trail> {
        let wanted = self.wanted(user, attributes)?;
        Some(Trail::begin(self.clone(), wanted, asked, user, attributes))
    }

    /// Writes down that nobody could be authenticated.
    pub(crate) fn unauthenticated(&self, asked: &Asked<'_>, attributes: &Attributes, tried: &str) {
        let nobody = User::default();
        if let Some(wanted) = self.wanted(&nobody, attributes) {
            Trail::unauthenticated(self.clone(), wanted, asked, attributes, tried);
        }
    }

    fn wanted(&self, user: &User, attributes: &Attributes) -> Option<Wanted> {
        let wanted = self.0.policy.wanted(user, attributes);
        self.0.numbers.levels[wanted.level as usize].fetch_add(1, Ordering::Relaxed);
        (wanted.level != Level::None).then_some(wanted)
    }

    /// Hands a line to the log.
    fn write(&self, line: Vec<u8>) {
        let numbers = &self.0.numbers;
        numbers.events.fetch_add(1, Ordering::Relaxed);
        if !self.0.log.write(line) {
            numbers.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything written so far is in the file.
    pub(crate) async fn flush(&self) {
        self.0.log.flush().await;
    }

    /// The numbers in the text format of Prometheus; the names are those of Kubernetes.
    pub(crate) fn metrics(&self, text: &mut String) {
        let numbers = &self.0.numbers;
        let events = numbers.events.load(Ordering::Relaxed);
        let dropped = numbers.dropped.load(Ordering::Relaxed);
        let failed = self.0.log.failed();
        _ = write!(
            text,
            "# HELP apiserver_audit_event_total Audit events handed to the log.\n\
             # TYPE apiserver_audit_event_total counter\n\
             apiserver_audit_event_total {events}\n\
             # HELP apiserver_audit_error_total Audit events that are not in the log: its queue was full, or its file \
             could not be written (counted over all clusters that share it).\n\
             # TYPE apiserver_audit_error_total counter\n\
             apiserver_audit_error_total{{plugin=\"log\",reason=\"queue-full\"}} {dropped}\n\
             apiserver_audit_error_total{{plugin=\"log\",reason=\"write\"}} {failed}\n\
             # HELP apiserver_audit_level_total Requests by audit level.\n\
             # TYPE apiserver_audit_level_total counter\n"
        );
        for level in Level::ALL {
            let count = numbers.levels[level as usize].load(Ordering::Relaxed);
            let level = level.name();
            _ = writeln!(
                text,
                "apiserver_audit_level_total{{level=\"{level}\"}} {count}"
            );
        }
    }
}
