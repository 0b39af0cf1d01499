//! Numbers about controllers, as a plain value and as Prometheus text.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cluster::CacheMetrics;

/// Numbers about the controllers of one cluster, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    pub controllers: Vec<ControllerMetrics>,
    pub caches: CacheMetrics,
    pub events_written: u64,
    pub events_dropped: u64,
    /// Objects that were turned away because the queue was full.
    pub queue_overflows: u64,
}

/// Numbers about one controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerMetrics {
    pub name: &'static str,
    pub passes: u64,
    pub conflicts: u64,
    pub transient_failures: u64,
    pub rejections: u64,
    pub act_failures: u64,
    pub panics: u64,
    /// Objects of its kind that do not parse.
    pub malformed: u64,
    /// Write requests sent.
    pub writes: u64,
    /// Write requests spared because they would have changed nothing.
    pub writes_spared: u64,
    pub seconds: f64,
    /// Objects waiting for a pass, in one, and known.
    pub queued: usize,
    pub running: usize,
    pub objects: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) passes: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) transient: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) acts: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) saved: AtomicU64,
    micros: AtomicU64,
}

impl Counters {
    pub(crate) fn pass(&self, duration: Duration) {
        self.passes.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(
        &self,
        name: &'static str,
        lengths: (usize, usize, usize),
    ) -> ControllerMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (queued, running, objects) = lengths;
        ControllerMetrics {
            name,
            passes: get(&self.passes),
            conflicts: get(&self.conflicts),
            transient_failures: get(&self.transient),
            rejections: get(&self.rejected),
            act_failures: get(&self.acts),
            panics: get(&self.panics),
            malformed: get(&self.malformed),
            writes: get(&self.sent),
            writes_spared: get(&self.saved),
            seconds: Duration::from_micros(get(&self.micros)).as_secs_f64(),
            queued,
            running,
            objects,
        }
    }
}

/// Name, type and help of a family, and its value for one controller.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ControllerMetrics) -> f64,
);

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    ("passes_total", "counter", "Passes over one object.", |c| number(c.passes)),
    ("pass_seconds_total", "counter", "Time spent in passes.", |c| c.seconds),
    ("conflicts_total", "counter", "Passes that ended in a conflict.", |c| number(c.conflicts)),
    ("transient_failures_total", "counter", "Passes that ended because a server failed.", |c| number(c.transient_failures)),
    ("rejections_total", "counter", "Passes that ended because a server refused a change.", |c| number(c.rejections)),
    ("act_failures_total", "counter", "Passes that ended in a failed act.", |c| number(c.act_failures)),
    ("panics_total", "counter", "Passes that panicked.", |c| number(c.panics)),
    ("malformed_total", "counter", "Passes over objects that do not parse.", |c| number(c.malformed)),
    ("writes_total", "counter", "Write requests sent.", |c| number(c.writes)),
    ("writes_spared_total", "counter", "Write requests that would have changed nothing.", |c| number(c.writes_spared)),
    ("queued", "gauge", "Objects that wait for a pass.", |c| number(c.queued as u64)),
    ("running", "gauge", "Passes under way.", |c| number(c.running as u64)),
    ("objects", "gauge", "Objects known.", |c| number(c.objects as u64)),
];

/// As [`FAMILIES`], for all controllers of a manager together.
type ManagerFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Metrics) -> u64,
);

#[rustfmt::skip]
const MANAGER_FAMILIES: &[ManagerFamily] = &[
    ("cache_kinds", "gauge", "Kinds that are watched.", |m| m.caches.kinds as u64),
    ("cache_objects", "gauge", "Objects in all caches.", |m| m.caches.objects as u64),
    ("cache_reads", "gauge", "Records of who reads what.", |m| m.caches.reads as u64),
    ("cache_malformed_total", "counter", "Objects skipped because they could not be parsed.", |m| m.caches.malformed),
    ("cache_lists_total", "counter", "Lists made.", |m| m.caches.lists),
    ("events_written_total", "counter", "Events written.", |m| m.events_written),
    ("events_dropped_total", "counter", "Events dropped because too many came at once.", |m| m.events_dropped),
    ("queue_overflows_total", "counter", "Objects turned away because the queue was full.", |m| m.queue_overflows),
];

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
fn number(number: u64) -> f64 {
    number as f64
}

/// The numbers of all controllers of a cluster in the text format of Prometheus. Those that were started together, as
/// one manager, have its name as a label.
#[must_use]
pub fn render(managers: &[(&str, Metrics)]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in FAMILIES {
        _ = writeln!(text, "# HELP apiary_controller_{name} {help}");
        _ = writeln!(text, "# TYPE apiary_controller_{name} {kind}");
        for (manager, metrics) in managers {
            for c in &metrics.controllers {
                let labels = format_args!("manager=\"{manager}\",controller=\"{}\"", c.name);
                _ = writeln!(text, "apiary_controller_{name}{{{labels}}} {}", value(c));
            }
        }
    }
    for (name, kind, help, value) in MANAGER_FAMILIES {
        _ = writeln!(text, "# HELP apiary_runtime_{name} {help}");
        _ = writeln!(text, "# TYPE apiary_runtime_{name} {kind}");
        for (manager, metrics) in managers {
            let value = value(metrics);
            _ = writeln!(
                text,
                "apiary_runtime_{name}{{manager=\"{manager}\"}} {value}"
            );
        }
    }
    text
}
