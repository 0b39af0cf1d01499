//! Where extensions are: in this process, behind a Service of the management cluster, or at a URL.
//!
//! Cluster IPs are routed nowhere here, so the endpoints of a Service themselves are dialled. Pods are simulated: nobody answers at
//! their addresses, which may be somebody else's on the user's network.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::runtime::ExtensionConfig;
use api::runtime::extension_config::{DEFAULT_PORT, ServiceRef, check_url};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use runtime::{Cx, Selector};
use serde_json::Value;

/// Label of EndpointSlices that names their Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Addresses of one Service that are tried.
const MAX_ADDRESSES: usize = 16;

/// An extension inside this process: what an HTTP server behind a Service is elsewhere.
#[async_trait]
pub trait Extension: Send + Sync {
    /// Answers a request of the handler `handler` (empty for discovery), whose kind says which hook it is about.
    ///
    /// # Errors
    /// Why there is no answer, in words; it counts as a call that failed.
    async fn answer(&self, handler: &str, request: Value) -> Result<Value, String>;
}

/// Extensions that are parts of this process, by namespace and name of the Service that ExtensionConfigs name for them; there need not
/// be such a Service.
#[derive(Clone, Default)]
pub struct Extensions(BTreeMap<(String, String), Arc<dyn Extension>>);

impl Extensions {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, namespace: &str, name: &str, extension: Arc<dyn Extension>) -> Self {
        self.0.insert((namespace.into(), name.into()), extension);
        self
    }

    pub(super) fn find(&self, service: &ServiceRef) -> Option<&Arc<dyn Extension>> {
        let key = (service.namespace.clone(), service.name.clone());
        self.0.get(&key)
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where to send requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What the paths of hooks are appended to.
    pub base: String,
    /// A name, and where it leads; otherwise the URL's host tells.
    pub dialled: Option<(String, Vec<SocketAddr>)>,
}

/// Where an extension elsewhere answers.
///
/// # Errors
/// In words, when it is nowhere.
pub(super) async fn place(cx: &Cx, config: &ExtensionConfig) -> Result<Place, String> {
    let client = &config.spec.client_config;
    if let Some(url) = &client.url {
        check_url(url).map_err(|why| format!("spec.clientConfig.url: {why}"))?;
        return Ok(Place {
            base: url.trim_end_matches('/').to_owned(),
            dialled: None,
        });
    }
    let Some(service) = &client.service else {
        return Err("spec.clientConfig must have url or service".to_owned());
    };
    let (namespace, name) = (&service.namespace, &service.name);
    let unread = |error: runtime::GatherError| runtime::chain(&error);
    let found: Option<Arc<Service>> = cx.get(namespace, name).await.map_err(unread)?;
    let of_service = Selector::label(SERVICE_LABEL, name.clone());
    let slices: Vec<Arc<EndpointSlice>> = cx
        .list(Some(namespace), &of_service)
        .await
        .map_err(unread)?;
    let addresses = addresses(service, found.as_deref(), &slices)
        .map_err(|why| format!("spec.clientConfig.service: {why}"))?;
    Ok(behind(service, addresses))
}

/// Where requests for a Service go that leads to these addresses. Pure.
pub(super) fn behind(service: &ServiceRef, addresses: Vec<SocketAddr>) -> Place {
    let host = format!("{}.{}.svc", service.name, service.namespace);
    let path = service.path.as_deref().unwrap_or_default();
    let path = path.trim_end_matches('/');
    Place {
        // Without a port: that of the endpoints counts, which need not be the Service's.
        base: format!("https://{host}{path}"),
        dialled: Some((host, addresses)),
    }
}

/// The addresses behind a Service. Pure.
pub(super) fn addresses(
    wanted: &ServiceRef,
    service: Option<&Service>,
    slices: &[Arc<EndpointSlice>],
) -> Result<Vec<SocketAddr>, String> {
    let what = format!("Service {}/{}", wanted.namespace, wanted.name);
    let Some(service) = service else {
        return Err(format!("{what} does not exist"));
    };
    let number = wanted.port.unwrap_or(DEFAULT_PORT);
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_ref());
    let mut ports = ports.into_iter().flatten();
    let Some(port) = ports.find(|p| p.port == number) else {
        return Err(format!("{what} has no port {number}"));
    };
    let port_name = port.name.as_deref().unwrap_or_default();
    let (mut found, mut has_pods) = (vec![], false);
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let is_it = |p: &&k8s_openapi::api::discovery::v1::EndpointPort| {
            p.name.as_deref().unwrap_or_default() == port_name
        };
        let port = ports.into_iter().find(is_it).and_then(|p| p.port);
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.as_ref();
            if conditions.and_then(|c| c.ready) == Some(false) {
                continue;
            }
            let target = endpoint.target_ref.as_ref();
            if target.and_then(|t| t.kind.as_deref()) == Some("Pod") {
                has_pods = true;
                continue;
            }
            let parsed = endpoint.addresses.iter().filter_map(|a| a.parse().ok());
            found.extend(parsed.map(|ip: IpAddr| SocketAddr::new(ip, port)));
        }
    }
    found.truncate(MAX_ADDRESSES);
    match (found.is_empty(), has_pods) {
        (false, _) => Ok(found),
        (true, true) => Err(format!(
            "the endpoints of {what} are simulated pods, and nothing answers there; use spec.clientConfig.url, or an EndpointSlice with the address of a program"
        )),
        (true, false) => Err(format!(
            "{what} has no endpoints that are ready; an EndpointSlice with the address of the program makes one"
        )),
    }
}
