//! Comparisons with real Helm, and the limits on hostile charts.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and says on standard error what it skips"
)]

mod charts;
mod cluster_local;
mod hostile;
mod idioms;
mod oracle;
