<<<<<<< Updated upstream
//! The built-in controllers against the real API server, in one process, in virtual time.

#[cfg(test)]
mod housekeeping;
=======
//! A whole control plane in one process: API server, controllers, scheduler and simulated kubelets, on virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on may panic"
)]

mod workloads;
mod world;
>>>>>>> Stashed changes
