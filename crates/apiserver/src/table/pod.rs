//! What a pod's row says: how many containers are ready, what holds it back, how often it restarted.

use jiff::Timestamp;
use serde_json::Value;

use super::row::{Row, list, scalar};

/// The facts of a pod's first columns.
pub(super) struct Summary {
    ready: usize,
    total: usize,
    /// The word in the Status column.
    pub(super) status: String,
    restarts: Restarts,
}

#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count = self
            .count
            .saturating_add(container["restartCount"].as_i64().unwrap_or_default());
        let finished = container["lastState"]["terminated"]["finishedAt"].as_str();
        self.last = self.last.max(finished.and_then(|time| time.parse().ok()));
    }
}

impl Summary {
    pub(super) fn of(row: &Row<'_>) -> Self {
        let sidecars: Vec<&Value> = row
            .list("spec.initContainers")
            .iter()
            .filter(|container| container["restartPolicy"] == "Always")
            .collect();
        let mut summary = Self {
            ready: 0,
            total: row.list("spec.containers").len() + sidecars.len(),
            status: row
                .text_or("status.reason", row.text("status.phase"))
                .to_owned(),
            restarts: Restarts::default(),
        };
        let gated = |condition: &Value| {
            condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated"
        };
        if row.list("status.conditions").iter().any(gated) {
            summary.status = "SchedulingGated".to_owned();
        }
        let (is_initializing, sidecar_restarts) = summary.look_at_init_containers(row, &sidecars);
        if !is_initializing || row.holds("Initialized") {
            summary.restarts = sidecar_restarts;
            summary.look_at_containers(row);
        }
        if row.is_deleting() {
            if row.text("status.reason") == "NodeLost" {
                summary.status = "Unknown".to_owned();
            } else if !matches!(row.text("status.phase"), "Succeeded" | "Failed") {
                summary.status = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Init containers run one after the other; the first that is not done is what the pod waits for. Answers
    /// whether there is one, and the restarts of those that keep running (sidecars).
    fn look_at_init_containers(&mut self, row: &Row<'_>, sidecars: &[&Value]) -> (bool, Restarts) {
        let mut sidecar_restarts = Restarts::default();
        for (at, container) in row.list("status.initContainerStatuses").iter().enumerate() {
            self.restarts.add(container);
            let is_sidecar = sidecars
                .iter()
                .any(|sidecar| sidecar["name"] == container["name"]);
            if is_sidecar {
                sidecar_restarts.add(container);
            }
            let state = &container["state"];
            let (terminated, waiting) = (&state["terminated"], scalar(&state["waiting"]["reason"]));
            if terminated.is_object() && exit_code(terminated) == 0 {
                continue;
            }
            if is_sidecar && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            let why = if terminated.is_object() {
                termination(terminated)
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                waiting
            } else {
                format!("{at}/{}", row.list("spec.initContainers").len())
            };
            self.status = format!("Init:{why}");
            return (true, sidecar_restarts);
        }
        (false, sidecar_restarts)
    }

    fn look_at_containers(&mut self, row: &Row<'_>) {
        let mut is_running = false;
        // From the last to the first, so that the first one's trouble is what is shown.
        for container in list(row.at("status.containerStatuses")).iter().rev() {
            self.restarts.add(container);
            let state = &container["state"];
            let waiting = scalar(&state["waiting"]["reason"]);
            if !waiting.is_empty() {
                self.status = waiting;
            } else if state["terminated"].is_object() {
                self.status = termination(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                is_running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" && is_running {
            let word = if row.holds("Ready") {
                "Running"
            } else {
                "NotReady"
            };
            self.status = word.to_owned();
        }
    }

    /// `1/2`.
    pub(super) fn ready(&self) -> String {
        format!("{}/{}", self.ready, self.total)
    }

    /// `3 (5m ago)`.
    pub(super) fn restarts(&self, row: &Row<'_>) -> String {
        let count = self.restarts.count;
        match self.restarts.last {
            Some(last) if count != 0 => {
                let ago = super::human_duration(row.now.duration_since(last).as_secs());
                format!("{count} ({ago} ago)")
            }
            _ => count.to_string(),
        }
    }
}

fn exit_code(terminated: &Value) -> i64 {
    terminated["exitCode"].as_i64().unwrap_or_default()
}

/// Why a container ended.
fn termination(terminated: &Value) -> String {
    let reason = scalar(&terminated["reason"]);
    if !reason.is_empty() {
        return reason;
    }
    match terminated["signal"].as_i64().unwrap_or_default() {
        0 => format!("ExitCode:{}", exit_code(terminated)),
        signal => format!("Signal:{signal}"),
    }
}

pub(super) fn ip(row: &Row<'_>) -> String {
    let first = row.list("status.podIPs").first();
    let first = first
        .and_then(|entry| entry["ip"].as_str())
        .unwrap_or_default();
    let ip = if first.is_empty() {
        row.text_or("status.podIP", "<none>")
    } else {
        first
    };
    ip.to_owned()
}

/// How many of the gates are open, `1/2`.
pub(super) fn readiness_gates(row: &Row<'_>) -> String {
    let gates = row.list("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let is_open = |gate: &&Value| row.holds(gate["conditionType"].as_str().unwrap_or_default());
    format!("{}/{}", gates.iter().filter(is_open).count(), gates.len())
}
