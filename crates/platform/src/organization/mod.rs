//! Organizations own one namespace each.
//!
//! Reads Organizations, their namespaces and, before a namespace is removed, the Clusters and Apps in it. Writes the
//! namespace with two labels (others' labels stay) and the Organization's status. An Organization goes last: when its
//! namespace is really gone. Access rights are absent: they are another controller's.

mod plan;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::application::App;
use api::cluster::Cluster;
use api::organization::Organization;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::{Value, json};

/// Keeps the namespaces of Organizations.
#[derive(Debug, Default)]
pub struct OrganizationController;

/// One Organization and its namespace.
#[derive(Debug)]
pub struct World {
    pub(crate) organization: Organization,
    pub(crate) namespace: Option<Arc<Namespace>>,
    /// Clusters and Apps in the namespace, as `Cluster hello`; looked for only when the Organization is being deleted.
    pub(crate) inhabitants: Vec<String>,
}

impl Reconciler for OrganizationController {
    const NAME: &'static str = "organization";
    const FINALIZER: Option<&'static str> =
        Some("operatorkit.giantswarm.io/organization-operator-organization-controller");
    type Object = Organization;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, organization: &Organization) -> Result<World, GatherError> {
        let name = organization.namespace_name();
        let namespace = cx.get::<Namespace>("", &name).await?;
        let mut inhabitants = vec![];
        if organization.metadata.deletion_timestamp.is_some() && namespace.is_some() {
            let everything = Selector::all();
            for cluster in cx.list::<Cluster>(Some(&name), &everything).await? {
                inhabitants.push(format!("Cluster {}", cluster.name_any()));
            }
            for app in cx.list::<App>(Some(&name), &everything).await? {
                inhabitants.push(format!("App {}", app.name_any()));
            }
        }
        Ok(World {
            organization: organization.clone(),
            namespace,
            inhabitants,
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        let is_made = !plan.changes.is_empty() && outcome.failure.is_none();
        let is_ours = plan.waits.is_empty() && (is_made || world.namespace.is_some());
        let is_deleting = world.organization.metadata.deletion_timestamp.is_some();
        if is_ours || (is_deleting && world.namespace.is_some()) {
            return Some(json!({"namespace": world.organization.namespace_name()}));
        }
        Some(json!({}))
    }
}
