//! Services get EndpointSlices (and Endpoints, for clients that still read those) with the addresses of their pods.
//!
//! Reads Services, the pods they select and the pods' nodes; writes EndpointSlices of at most a hundred pods, and one
//! Endpoints object. A pod stays in the slice that it is in, so that one pod's change rewrites one slice. The Endpoints
//! belong to their Service (Kubernetes lets the API server delete them with it). Services without a selector are their
//! owners' business.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

/// Which Service a slice belongs to.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Who writes a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// This controller, by its name in Kubernetes.
pub(crate) const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Where a node stands.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Keeps EndpointSlices and Endpoints.
#[derive(Debug, Default)]
pub struct EndpointSliceController;

/// One Service, the pods it selects, and the slices it has.
pub struct World {
    pub(crate) service: Service,
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) slices: Vec<Arc<EndpointSlice>>,
    /// Zones of the pods' nodes, for those that have one.
    pub(crate) zones: BTreeMap<String, String>,
}

impl Reconciler for EndpointSliceController {
    const NAME: &'static str = "endpointslice";
    const REPORTER: &'static str = "endpoint-slice-controller";
    type Object = Service;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, service: &Service) -> Result<World, GatherError> {
        let meta = &service.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let mut world = World {
            service: service.clone(),
            pods: vec![],
            slices: vec![],
            zones: BTreeMap::new(),
        };
        let Some(selector) = service
            .spec
            .as_ref()
            .and_then(|s| s.selector.as_ref())
            .filter(|s| !s.is_empty())
        else {
            return Ok(world);
        };
        let by_labels = selector
            .iter()
            .fold(Selector::all(), |all, (key, value)| all.with(key, value));
        world.pods = cx.list::<Pod>(Some(namespace), &by_labels).await?;
        let own = Selector::label(SERVICE_LABEL, meta.name.as_deref().unwrap_or_default())
            .with(MANAGED_BY, MANAGER);
        world.slices = cx.list::<EndpointSlice>(Some(namespace), &own).await?;
        let nodes: BTreeSet<String> = world
            .pods
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.node_name.clone())
            .collect();
        for name in nodes {
            let node = cx.get::<Node>("", &name).await?;
            let labels = node.as_ref().and_then(|node| node.metadata.labels.as_ref());
            if let Some(zone) = labels.and_then(|labels| labels.get(ZONE_LABEL)) {
                world.zones.insert(name, zone.clone());
            }
        }
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}
