//! The server's numbers about a cluster, in the text format of Prometheus.

mod family;

use std::fmt::Write;

pub(crate) use family::Family;

use crate::places::Taken;
use crate::store::ClusterStore;

/// Writes what others count, in the same format.
pub(crate) type MoreMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// What is shown.
pub(crate) struct Numbers<'a> {
    pub(crate) store: &'a ClusterStore,
    /// Requests under way, those left out that last.
    pub(crate) in_flight: usize,
    pub(crate) taken: Taken,
}

/// The numbers as text; the names are those of Kubernetes.
pub(crate) fn of_server(numbers: &Numbers<'_>) -> String {
    let mut text = String::from(
        "# HELP apiserver_storage_objects Objects in the store.\n# TYPE apiserver_storage_objects gauge\n",
    );
    for resource in numbers.store.resources() {
        let count = numbers.store.list(&resource, None).objects.len();
        _ = writeln!(
            text,
            "apiserver_storage_objects{{resource=\"{resource}\"}} {count}"
        );
    }
    let name = "apiserver_current_inflight_requests";
    _ = writeln!(
        text,
        "# HELP {name} Requests under way, those left out that last."
    );
    _ = writeln!(text, "# TYPE {name} gauge");
    _ = writeln!(text, "{name} {}", numbers.in_flight);
    let name = "apiserver_longrunning_requests";
    _ = writeln!(
        text,
        "# HELP {name} Watches, and sessions in containers, under way."
    );
    _ = writeln!(text, "# TYPE {name} gauge");
    let Taken { watches, sessions } = numbers.taken;
    for (verb, count) in [("WATCH", watches), ("CONNECT", sessions)] {
        _ = writeln!(text, "{name}{{verb=\"{verb}\"}} {count}");
    }
    text
}
