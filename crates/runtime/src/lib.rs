//! How controllers run: the [`Reconciler`] trait and the one driver that runs every controller of the platform.
//!
//! A controller says how it gathers what it needs (reads), what it plans (pure), what it does beyond Kubernetes objects
//! (acts) and what status it shows (pure). The driver does everything else: watches, queues, back-off, finalizers,
//! apply, conditions, one status write if it changed, events, panics, metrics, and the clock.
//!
//! - [`Controllers`] runs the controllers of one [`Cluster`]; retry and back-off are decided in `pass.rs` and nowhere else.
//! - [`Cx`] is what controllers read through. What a pass read wakes its object when it changes; [`Signal`] does the same
//!   for what is no object.
//! - [`Clusters`] are the workload clusters, each read through a [`Cx`] of its own.
//! - Leases are absent: one process runs the controllers of a cluster.

mod applied;
mod cache;
mod changes;
pub mod clock;
mod cluster;
mod cx;
mod discovery;
mod driver;
mod events;
mod forms;
mod metrics;
mod pass;
pub mod plan;
mod queue;
pub mod reconciler;
mod remote;
mod room;
mod selector;
mod shared;
mod signal;
mod state;
mod status;
mod tasks;
mod texts;
mod watch;
mod write;

#[cfg(test)]
mod testing;

pub use cache::{Entry, Header, Listener, Owner};
pub use changes::Changes;
pub use clock::{Clock, rfc3339};
pub use cluster::{CacheMetrics, Cluster, ClusterOptions};
pub use cx::Cx;
pub use discovery::{AllServed, Served};
pub use driver::{Controllers, Gauge, Options};
pub use events::Recorder;
pub use metrics::{ControllerMetrics, Metrics, render as render_metrics};
pub use plan::{Change, Note, ObjectRef, Outcome, Plan, Wait};
pub use reconciler::{GatherError, Reconciler};
pub use remote::{
    Clusters, ConnectError, Connector, Remote, RemoteClusters, RemoteOptions, SocketConnector,
};
pub use room::CacheLimits;
pub use selector::Selector;
pub use shared::Shared;
pub use signal::Signal;
pub use status::{
    APPLY_REJECTED, ConditionStyle, DELETING, INTERNAL_ERROR, READY, TRANSIENT_ERROR,
};
pub use tasks::{Panicked, Tasks, compute};
pub use texts::Texts;

use std::time::Duration;

use rand::Rng;

/// An error with all its sources, as one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        // Some errors repeat their source in their own words.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = inner.source();
    }
    text
}

/// The pause after the given number of failures in a row: doubling from `min` to `max`, lengthened by up to `jitter`.
pub(crate) fn backoff(
    failures: u32,
    min: Duration,
    max: Duration,
    jitter: f64,
    rng: &mut impl Rng,
) -> Duration {
    let doubled = min.saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(max).mul_f64(1.0 + jitter * rng.random::<f64>())
}
