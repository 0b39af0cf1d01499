//! Addresses behind a Service. Cluster IPs are routed nowhere here, so the endpoints themselves are dialled.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::auth::Objects;

/// Label of EndpointSlices that names their Service.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Addresses of one Service that are tried.
const MAX_ADDRESSES: usize = 16;

/// What can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// These, in order.
    Addresses(Vec<SocketAddr>),
    /// A name in DNS (`type: ExternalName`).
    Host(String, u16),
}

/// Where `port` of the Service is answered.
///
/// # Errors
/// In words, when there is no such Service or port, or nobody behind it.
pub(crate) fn resolve(
    objects: &dyn Objects,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<Target, String> {
    let service = objects
        .get("services", namespace, name)
        .ok_or_else(|| format!("service {name:?} not found"))?
        .value();
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        let host = spec["externalName"].as_str().unwrap_or_default();
        return Ok(Target::Host(host.into(), port));
    }
    let ports = spec["ports"].as_array().into_iter().flatten();
    let Some(named) = ports.into_iter().find(|p| p["port"] == port) else {
        return Err(format!("no service port {port} found for service {name:?}"));
    };
    let wanted = named["name"].as_str().unwrap_or_default();
    let mut found = Found::default();
    for slice in objects.list("endpointslices.discovery.k8s.io", Some(namespace)) {
        if slice.header.label(SERVICE_LABEL) == Some(name) {
            found.slice(&slice.value(), wanted);
        }
    }
    if found.is_empty()
        && let Some(endpoints) = objects.get("endpoints", namespace, name)
    {
        found.endpoints(&endpoints.value(), wanted);
    }
    if found.addresses.is_empty() {
        return Err(if found.has_simulated {
            format!("the endpoints of service {name:?} are simulated pods: nothing answers there")
        } else {
            format!("no endpoints available for service {name:?}")
        });
    }
    found.addresses.truncate(MAX_ADDRESSES);
    Ok(Target::Addresses(found.addresses))
}

#[derive(Default)]
struct Found {
    addresses: Vec<SocketAddr>,
    /// Pods have addresses that lead nowhere, or to somebody else on the machine's network.
    has_simulated: bool,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && !self.has_simulated
    }

    fn add(&mut self, address: &Value, target: &Value, port: Option<u16>) {
        if target["kind"] == "Pod" {
            self.has_simulated = true;
            return;
        }
        let ip = address.as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
        if let (Some(ip), Some(port)) = (ip, port) {
            self.addresses.push(SocketAddr::new(ip, port));
        }
    }

    fn slice(&mut self, slice: &Value, wanted: &str) {
        let Some(port) = number(&slice["ports"], wanted) else {
            return;
        };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"] == false {
                continue;
            }
            for address in endpoint["addresses"].as_array().into_iter().flatten() {
                self.add(address, &endpoint["targetRef"], Some(port));
            }
        }
    }

    fn endpoints(&mut self, endpoints: &Value, wanted: &str) {
        for subset in endpoints["subsets"].as_array().into_iter().flatten() {
            let port = number(&subset["ports"], wanted);
            for address in subset["addresses"].as_array().into_iter().flatten() {
                self.add(&address["ip"], &address["targetRef"], port);
            }
        }
    }
}

/// The number of the port called `wanted`.
fn number(ports: &Value, wanted: &str) -> Option<u16> {
    let mut ports = ports.as_array()?.iter();
    let port = ports.find(|port| port["name"].as_str().unwrap_or_default() == wanted)?;
    port["port"].as_u64()?.try_into().ok()
}
