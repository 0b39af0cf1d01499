//! The server's numbers about a cluster, in the text format of Prometheus.

mod family;

use std::fmt::Write;

pub(crate) use family::Family;

use crate::store::ClusterStore;

/// Writes what others count, in the same format.
pub(crate) type MoreMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// What is shown.
pub(crate) struct Numbers<'a> {
    pub(crate) store: &'a ClusterStore,
    /// Requests under way, watches left out.
    pub(crate) in_flight: usize,
    pub(crate) watches: usize,
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
    for (name, help, labels, value) in [
        (
            "apiserver_current_inflight_requests",
            "Requests under way, watches left out.",
            "",
            numbers.in_flight,
        ),
        (
            "apiserver_longrunning_requests",
            "Watches under way.",
            "{verb=\"WATCH\"}",
            numbers.watches,
        ),
    ] {
        _ = writeln!(text, "# HELP {name} {help}");
        _ = writeln!(text, "# TYPE {name} gauge");
        _ = writeln!(text, "{name}{labels} {value}");
    }
    text
}
