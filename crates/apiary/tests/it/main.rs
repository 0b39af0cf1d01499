//! Tests about the repository as a whole.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on may panic, and says what it skips"
)]

mod arrows;
mod chaos;
mod chart;
mod docs;
mod hooks;
mod outside;
mod scenario;
mod source;
mod tidy;
mod versions;
