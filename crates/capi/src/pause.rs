//! Stopped reconciliation: by the Cluster for all that belongs to it, or by an annotation for one object.

use api::cluster::Cluster;
use api::meta::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::Plan;

/// Whether nothing may be changed about an object.
#[must_use]
pub(crate) fn is_paused(cluster: Option<&Cluster>, metadata: &ObjectMeta) -> bool {
    let is_marked = |m: &ObjectMeta| {
        m.annotations
            .as_ref()
            .is_some_and(|a| a.contains_key(labels::PAUSED))
    };
    cluster.is_some_and(Cluster::is_paused) || is_marked(metadata)
}

/// A plan that does nothing, and does not count as finished either.
#[must_use]
pub(crate) fn plan<A>() -> Plan<A> {
    let mut plan = Plan::default();
    plan.wait("Paused", "Reconciliation is paused");
    plan
}
