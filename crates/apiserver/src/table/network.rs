//! Cells of services, endpoints and ingresses.

use serde_json::Value;

use super::row::{Row, first_three, list, scalar, scalar_or};

pub(super) fn cluster_ip(row: &Row<'_>) -> String {
    let first = row.list("spec.clusterIPs").first();
    let first = first.and_then(Value::as_str).unwrap_or_default();
    let ip = if first.is_empty() {
        row.text_or("spec.clusterIP", "<none>")
    } else {
        first
    };
    ip.to_owned()
}

/// Addresses that the load balancer gave, sorted, each once.
pub(super) fn load_balancer(row: &Row<'_>) -> Vec<String> {
    let ingress = row.list("status.loadBalancer.ingress").iter();
    let mut addresses: Vec<String> = ingress
        .map(|entry| match scalar(&entry["ip"]) {
            ip if ip.is_empty() => scalar(&entry["hostname"]),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

pub(super) fn external_ip(row: &Row<'_>) -> String {
    let external = row.list("spec.externalIPs").iter().map(scalar);
    let (addresses, absent) = match row.text("spec.type") {
        "ClusterIP" | "NodePort" => (external.collect(), "<none>"),
        "LoadBalancer" => {
            let mut addresses = load_balancer(row);
            addresses.extend(external);
            (addresses, "<pending>")
        }
        "ExternalName" => return row.text("spec.externalName").to_owned(),
        _ => (Vec::new(), "<unknown>"),
    };
    if addresses.is_empty() {
        absent.to_owned()
    } else {
        addresses.join(",")
    }
}

/// `80/TCP,443:30443/TCP`.
pub(super) fn service_ports(row: &Row<'_>) -> String {
    let ports = row.list("spec.ports").iter();
    let texts: Vec<String> = ports
        .map(|port| {
            let (number, protocol) = (scalar(&port["port"]), scalar_or(&port["protocol"], "TCP"));
            match port["nodePort"].as_i64().unwrap_or_default() {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if texts.is_empty() {
        "<none>".to_owned()
    } else {
        texts.join(",")
    }
}

pub(super) fn endpoints(row: &Row<'_>) -> String {
    let mut addresses = Vec::new();
    for subset in row.list("subsets") {
        let ips: Vec<String> = list(&subset["addresses"])
            .iter()
            .map(|a| scalar(&a["ip"]))
            .collect();
        let ports = list(&subset["ports"]);
        if ports.is_empty() {
            addresses.extend(ips.iter().cloned());
        }
        for port in ports {
            let port = scalar(&port["port"]);
            addresses.extend(ips.iter().map(|ip| {
                if ip.contains(':') {
                    format!("[{ip}]:{port}")
                } else {
                    format!("{ip}:{port}")
                }
            }));
        }
    }
    first_three(&addresses, "<none>")
}

pub(super) fn slice_ports(row: &Row<'_>) -> String {
    let ports = row.list("ports").iter();
    let texts: Vec<String> = ports
        .map(|port| scalar_or(&port["port"], &scalar_or(&port["name"], "*")))
        .collect();
    first_three(&texts, "<unset>")
}

pub(super) fn slice_addresses(row: &Row<'_>) -> String {
    let endpoints = row.list("endpoints").iter();
    let addresses: Vec<String> = endpoints
        .flat_map(|endpoint| list(&endpoint["addresses"]))
        .map(scalar)
        .collect();
    first_three(&addresses, "<unset>")
}

/// The first three hosts; `*` when no rule names one.
pub(super) fn hosts(row: &Row<'_>) -> String {
    let rules = row.list("spec.rules");
    let hosts: Vec<String> = rules
        .iter()
        .map(|rule| scalar(&rule["host"]))
        .filter(|host| !host.is_empty())
        .collect();
    first_three(&hosts, "*")
}

pub(super) fn ingress_ports(row: &Row<'_>) -> String {
    let ports = if row.list("spec.tls").is_empty() {
        "80"
    } else {
        "80, 443"
    };
    ports.to_owned()
}

/// `IngressParameters.example.com/external`.
pub(super) fn class_parameters(row: &Row<'_>) -> String {
    let parameters = row.at("spec.parameters");
    if parameters.is_null() {
        return "<none>".to_owned();
    }
    let mut kind = scalar(&parameters["kind"]);
    if let Some(group) = parameters["apiGroup"].as_str() {
        kind = format!("{kind}.{group}");
    }
    format!("{kind}/{}", scalar(&parameters["name"]))
}

pub(super) fn cidrs(row: &Row<'_>) -> String {
    let cidrs: Vec<String> = row.list("spec.cidrs").iter().map(scalar).collect();
    cidrs.join(",")
}

/// `services/default/web`.
pub(super) fn parent(row: &Row<'_>) -> String {
    let parent = row.at("spec.parentRef");
    if parent.is_null() {
        return "<none>".to_owned();
    }
    let mut resource = scalar(&parent["resource"]);
    let group = scalar(&parent["group"]);
    if !group.is_empty() {
        resource = format!("{resource}.{group}");
    }
    let mut text = resource.to_lowercase();
    for part in [scalar(&parent["namespace"]), scalar(&parent["name"])] {
        if !part.is_empty() {
            text.push('/');
            text.push_str(&part);
        }
    }
    text
}
