//! How controllers run: the [`Reconciler`] trait and the one driver that runs every controller of the platform.
//!
//! A controller says how it gathers what it needs (reads), what it plans (pure), what it does beyond Kubernetes objects
//! (acts) and what status it shows (pure). The driver does everything else: watches, queues, back-off, finalizers,
//! apply, pruning, conditions, one status write if it changed, events, panics, metrics, and the clock.

pub mod plan;
pub mod reconciler;

pub use plan::{Change, ObjectRef, Outcome, Plan, Wait};
pub use reconciler::{GatherError, Reconciler};

/// What a controller reads through; the cache of one cluster, with a record of who looked at what.
#[derive(Debug)]
pub struct Cx {}
