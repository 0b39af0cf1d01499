//! Apps are installed on their clusters and kept there in the wanted version with the wanted values.
//!
//! Reads Apps, their Catalog, the ConfigMaps and Secrets with values, the Cluster that an App is for, and on that cluster
//! the Chart, the merged values and the Helm releases. There is no agent in a workload cluster: what an operator inside it
//! would do is done from here through its client. The App decides (`plan.rs`), the work on the cluster is an operation of
//! [`crate::chart`] that runs in the background, so that neither slow hooks nor slow clusters hold up other Apps; its end
//! wakes the App. For clients that look for it, the Chart is written on the cluster with its status, in namespace
//! `giantswarm`, beside the merged values `<app>-chart-values` and `<app>-chart-secrets`.
//!
//! Invariants: a release that is as wanted needs neither Catalog nor repository; a release or Chart of another App is never
//! touched; an App goes last, after its release, unless its cluster goes or went first. Drift inside a release is not
//! corrected; `depends-on` is absent.

mod apply;
mod gather;
mod plan;
mod status;
#[cfg(test)]
mod tests;
pub mod values;

use std::sync::Arc;

use api::application::{App, Catalog};
use jiff::Timestamp;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

use crate::chart::{Observed, Operations, Site, Standing};
use crate::repository::{Fetched, Index, Repositories};
use values::Layer;

/// Keeps the releases of Apps.
#[derive(Debug)]
pub struct AppController {
    repositories: Arc<Repositories>,
    operations: Operations,
}

/// One App, what it names, and what is on its cluster.
#[derive(Debug)]
pub struct World {
    pub(crate) app: App,
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// All layers of values, lowest first.
    pub(crate) layers: Vec<Layer>,
    pub(crate) lifetime: Lifetime,
    pub(crate) target: Target,
    /// Looked up only if something is to be deployed.
    pub(crate) index: Option<Fetched<Index>>,
    /// Fetched only if something is to be deployed.
    pub(crate) chart: Option<Fetched<render::Chart>>,
    pub(crate) standing: Standing,
}

/// Where the App's cluster is in its life, by its Cluster object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// This cluster, or one with a Cluster that stays.
    Lives,
    /// There is no Cluster of that name: not yet, not any more, or it is made elsewhere.
    Unknown,
    /// Its Cluster is being deleted.
    Deleting,
}

/// The cluster of an App.
#[derive(Debug)]
pub enum Target {
    /// Not to be reached, and why.
    Away(Wait),
    /// Reached; the site is where acts work.
    Here {
        observed: Box<Observed>,
        site: Option<Site>,
    },
}

/// What is done on the App's cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Starts to install or upgrade the release.
    Deploy,
    /// Writes the Chart and the merged values.
    Record,
    /// Starts to remove the release.
    Uninstall,
    /// Removes the Chart and the merged values.
    Forget,
}

impl AppController {
    /// A controller that reads catalogs through `repositories`.
    #[must_use]
    pub fn new(repositories: Arc<Repositories>) -> Self {
        Self {
            repositories,
            operations: Operations::new(),
        }
    }
}

impl Reconciler for AppController {
    const NAME: &'static str = "app";
    const FINALIZER: Option<&'static str> = Some("operatorkit.giantswarm.io/app-operator-app");
    type Object = App;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, app: &App) -> Result<World, GatherError> {
        gather::gather(self, cx, app).await
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        apply::act(self, cx, world, act).await
    }

    fn status(
        world: &World,
        plan: &Plan<Act>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome))
    }
}
