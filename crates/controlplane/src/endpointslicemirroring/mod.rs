//! Endpoints that somebody keeps by hand are shown as EndpointSlices.
//!
//! Reads Endpoints, the Service of the same name, and the slices made from them; writes EndpointSlices, which belong to
//! their Endpoints and go with them. Endpoints of Services with a selector are the business of `endpointslice`, and those
//! that say `skip-mirror` of nobody.

mod plan;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::endpointslice::{MANAGED_BY, SERVICE_LABEL};

/// This controller, by its name in Kubernetes.
pub(crate) const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";

/// Mirrors Endpoints.
#[derive(Debug, Default)]
pub struct MirroringController;

/// One Endpoints object, its Service, and the slices that mirror it.
pub struct World {
    pub(crate) endpoints: Endpoints,
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) slices: Vec<Arc<EndpointSlice>>,
}

impl Reconciler for MirroringController {
    const NAME: &'static str = "endpointslicemirroring";
    const REPORTER: &'static str = "endpoint-slice-mirroring-controller";
    type Object = Endpoints;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, endpoints: &Endpoints) -> Result<World, GatherError> {
        let meta = &endpoints.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().unwrap_or_default();
        let own = Selector::label(SERVICE_LABEL, name).with(MANAGED_BY, MANAGER);
        Ok(World {
            endpoints: endpoints.clone(),
            service: cx.get::<Service>(namespace, name).await?,
            slices: cx.list::<EndpointSlice>(Some(namespace), &own).await?,
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}
