//! Services: cluster IPs and node ports are handed out when a Service is written.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Registry, Target};
use crate::object::{Key, Object};
use crate::status::{Cause, Status};
use crate::store::{Change, Expected, WriteError};

/// Ports that `NodePort` and `LoadBalancer` Services get.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;

/// The IPv4 range of cluster IPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: u32,
    prefix: u32,
}

impl Cidr {
    /// Parses `10.96.0.0/12`; prefixes from 8 to 28.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "service CIDR {text:?} must look like 10.96.0.0/12, with a prefix between 8 and 28"
            )
        };
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u32 = prefix.parse().map_err(|_| wrong())?;
        if !(8..=28).contains(&prefix) {
            return Err(wrong());
        }
        Ok(Self {
            network: u32::from(address) & (u32::MAX << (32 - prefix)),
            prefix,
        })
    }

    /// Addresses that may be handed out, the network's own and the broadcast address excluded.
    fn hosts(self) -> u32 {
        (1 << (32 - self.prefix)) - 2
    }

    fn address(self, at: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1 + at % self.hosts())
    }

    /// The first address: that of the Service `default/kubernetes`.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        self.address(0)
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        let at = u32::from(address).wrapping_sub(self.network + 1);
        at < self.hosts()
    }
}

/// Hands out cluster IPs; one write of a Service at a time.
pub(crate) struct Allocator {
    cidr: Cidr,
    /// Where the search for a free address starts next.
    next: tokio::sync::Mutex<u32>,
}

impl Allocator {
    pub(super) fn new(cidr: Cidr) -> Self {
        // The low addresses are left to those who ask for one by name, as Kubernetes does.
        Self {
            cidr,
            next: tokio::sync::Mutex::new(16),
        }
    }

    pub(crate) fn cidr(&self) -> Cidr {
        self.cidr
    }
}

/// Whether the target is a Service.
pub(super) fn is_service(target: &Target) -> bool {
    &*target.resource.storage == "services"
}

impl Registry {
    /// What the write would store, with the addresses that it would get; nothing is taken.
    pub(super) async fn rehearse_service(
        &self,
        key: &Key,
        mut value: Value,
        old: Option<&Value>,
    ) -> Result<Value, Status> {
        let mut next = *self.services.next.lock().await;
        let others = self.other_services(key);
        let causes = fill(self.services.cidr, &mut next, &mut value, old, &others);
        if !causes.is_empty() {
            return Err(Status::invalid("", "Service", &key.name, causes));
        }
        Ok(value)
    }

    fn other_services(&self, key: &Key) -> Vec<Value> {
        self.store
            .list("services", None)
            .objects
            .iter()
            .filter(|o| *o.header.name != *key.name || *o.header.namespace != *key.namespace)
            .map(|o| o.value())
            .collect()
    }

    /// Stores a Service with its addresses and ports.
    pub(super) async fn write_service(
        &self,
        key: &Key,
        expected: Expected,
        mut value: Value,
        old: Option<&Value>,
    ) -> Result<Result<Arc<Object>, WriteError>, Status> {
        let mut next = self.services.next.lock().await;
        // A client that went away has let go of the lock, but its write goes on.
        if let Err(error) = self.store.settled().await {
            return Ok(Err(error));
        }
        let others = self.other_services(key);
        let causes = fill(self.services.cidr, &mut next, &mut value, old, &others);
        if !causes.is_empty() {
            return Err(Status::invalid("", "Service", &key.name, causes));
        }
        Ok(self.store.write(key, expected, Change::Put(value)).await)
    }
}

/// Gives the Service what it lacks; says what it may not have.
fn fill(
    cidr: Cidr,
    next: &mut u32,
    service: &mut Value,
    old: Option<&Value>,
    others: &[Value],
) -> Vec<Cause> {
    let mut causes = vec![];
    if service["spec"]["type"] == "ExternalName" {
        return causes;
    }
    let taken: HashSet<&str> = others
        .iter()
        .filter_map(|s| s["spec"]["clusterIPs"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let asked = service["spec"]["clusterIP"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let had = old
        .and_then(|old| old["spec"]["clusterIP"].as_str())
        .unwrap_or_default();
    let address = if !had.is_empty() && asked != had {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &json!([asked]),
            "may not change once set",
        ));
        return causes;
    } else if asked.is_empty() {
        match free_address(cidr, next, &taken) {
            Some(address) => address,
            None => {
                let detail = "failed to allocate a cluster IP: the range is full";
                causes.push(Cause::invalid("spec.clusterIPs", &Value::Null, detail));
                return causes;
            }
        }
    } else {
        if asked != "None" && asked != had {
            causes.extend(check_address(cidr, &asked, &taken));
        }
        asked
    };
    let spec = &mut service["spec"];
    spec["clusterIP"] = address.clone().into();
    spec["clusterIPs"] = json!([address]);
    fill_families(spec, &address);
    fill_node_ports(service, others, &mut causes);
    causes
}

/// Which families of addresses the Service has. One that has neither an address nor pods of its own leaves that to whoever
/// writes its endpoints, so it has both.
fn fill_families(spec: &mut Value, address: &str) {
    let has_pods = spec["selector"].as_object().is_some_and(|s| !s.is_empty());
    let is_open = address == "None" && !has_pods;
    if spec["ipFamilyPolicy"].is_null() {
        let policy = if is_open {
            "RequireDualStack"
        } else {
            "SingleStack"
        };
        spec["ipFamilyPolicy"] = policy.into();
    }
    let is_unset = spec["ipFamilies"].as_array().is_none_or(Vec::is_empty);
    if is_unset {
        let both = is_open && spec["ipFamilyPolicy"] != "SingleStack";
        spec["ipFamilies"] = if both {
            json!(["IPv4", "IPv6"])
        } else {
            json!(["IPv4"])
        };
    }
}

fn check_address(cidr: Cidr, asked: &str, taken: &HashSet<&str>) -> Option<Cause> {
    let field = "spec.clusterIPs";
    let refuse = |why: &str| Some(Cause::invalid(field, &json!([asked]), why));
    match asked.parse::<Ipv4Addr>() {
        Err(_) => refuse("must be a valid IPv4 address, empty, or \"None\""),
        Ok(address) if !cidr.contains(address) => refuse(&format!(
            "failed to allocate IP {asked}: the provided network does not match the current range"
        )),
        Ok(_) if taken.contains(asked) => refuse(&format!(
            "failed to allocate IP {asked}: provided IP is already allocated"
        )),
        Ok(_) => None,
    }
}

fn free_address(cidr: Cidr, next: &mut u32, taken: &HashSet<&str>) -> Option<String> {
    for _ in 0..cidr.hosts() {
        let address = cidr.address(*next).to_string();
        *next = next.wrapping_add(1);
        if address != cidr.first().to_string() && !taken.contains(address.as_str()) {
            return Some(address);
        }
    }
    None
}

fn fill_node_ports(service: &mut Value, others: &[Value], causes: &mut Vec<Cause>) {
    let has_node_ports = matches!(
        service["spec"]["type"].as_str(),
        Some("NodePort" | "LoadBalancer")
    ) && service["spec"]["allocateLoadBalancerNodePorts"] != false;
    let Some(ports) = service["spec"]["ports"].as_array_mut() else {
        return;
    };
    if !has_node_ports {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            port.remove("nodePort");
        }
        return;
    }
    let mut taken: HashSet<u64> = others
        .iter()
        .filter_map(|s| s["spec"]["ports"].as_array())
        .flatten()
        .filter_map(|p| p["nodePort"].as_u64())
        .collect();
    for (at, port) in ports.iter().enumerate() {
        let Some(asked) = port["nodePort"].as_u64().filter(|p| *p != 0) else {
            continue;
        };
        let field = format!("spec.ports[{at}].nodePort");
        if !NODE_PORTS.contains(&asked) {
            let detail =
                "provided port is not in the valid range. The range of valid ports is 30000-32767";
            causes.push(Cause::invalid(field, &json!(asked), detail));
        } else if taken.contains(&asked) {
            causes.push(Cause::invalid(
                field,
                &json!(asked),
                "provided port is already allocated",
            ));
        }
    }
    taken.extend(ports.iter().filter_map(|p| p["nodePort"].as_u64()));
    for (at, port) in ports.iter_mut().enumerate() {
        if port["nodePort"].as_u64().unwrap_or(0) != 0 {
            continue;
        }
        let Some(free) = NODE_PORTS.clone().find(|p| !taken.contains(p)) else {
            causes.push(Cause::invalid(
                format!("spec.ports[{at}].nodePort"),
                &json!(0),
                "the node port range is full",
            ));
            return;
        };
        taken.insert(free);
        port["nodePort"] = json!(free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_in_the_range_and_are_given_once() {
        let cidr = Cidr::parse("10.0.0.0/28").unwrap();
        assert_eq!(cidr.first(), Ipv4Addr::new(10, 0, 0, 1));
        let mut next = 16;
        let mut given: Vec<Value> = vec![];
        for _ in 0..13 {
            let mut service = json!({"spec": {"ports": [{"port": 80}]}});
            assert_eq!(fill(cidr, &mut next, &mut service, None, &given), vec![]);
            let address: Ipv4Addr = service["spec"]["clusterIP"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(cidr.contains(address) && address != cidr.first());
            assert!(
                given
                    .iter()
                    .all(|g| g["spec"]["clusterIP"] != service["spec"]["clusterIP"])
            );
            given.push(service);
        }
        let mut one_more = json!({"spec": {"ports": [{"port": 80}]}});
        assert!(
            fill(cidr, &mut next, &mut one_more, None, &given)[0]
                .message
                .contains("the range is full")
        );
    }

    #[test]
    fn what_has_neither_address_nor_pods_has_both_families() {
        let cidr = Cidr::parse("10.0.0.0/24").unwrap();
        let families = |mut service: Value| {
            assert_eq!(fill(cidr, &mut 0, &mut service, None, &[]), vec![]);
            let spec = &service["spec"];
            format!("{} {}", spec["ipFamilyPolicy"], spec["ipFamilies"])
        };
        let one = r#""SingleStack" ["IPv4"]"#;
        assert_eq!(families(json!({"spec": {}})), one);
        assert_eq!(
            families(json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}})),
            one
        );
        assert_eq!(
            families(json!({"spec": {"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}})),
            one
        );
        assert_eq!(
            families(json!({"spec": {"clusterIP": "None"}})),
            r#""RequireDualStack" ["IPv4","IPv6"]"#
        );
    }

    #[test]
    fn node_ports_come_and_go_with_the_type() {
        let cidr = Cidr::parse("10.0.0.0/24").unwrap();
        let mut service = json!({"spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81, "nodePort": 31000}]}});
        assert_eq!(fill(cidr, &mut 0, &mut service, None, &[]), vec![]);
        assert_eq!(service["spec"]["ports"][0]["nodePort"], 30_000);
        assert_eq!(service["spec"]["ports"][1]["nodePort"], 31_000);
        service["spec"]["type"] = "ClusterIP".into();
        let old = service.clone();
        assert_eq!(fill(cidr, &mut 0, &mut service, Some(&old), &[]), vec![]);
        assert!(service["spec"]["ports"][0].get("nodePort").is_none());
    }
}
