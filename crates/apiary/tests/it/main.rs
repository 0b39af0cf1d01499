//! Tests about the repository as a whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod arrows;
mod docs;
mod scenario;
mod source;
mod tidy;
