//! Services and what leads to them.

use serde_json::{Value, json};

use super::{Report, items, pod, selector, text};
use crate::schema::meta;

pub(super) fn service(service: &Value, old: Option<&Value>, report: &mut Report) {
    let spec = &service["spec"];
    let ty = text(spec, "type");
    let is_headless = spec["clusterIP"] == "None";
    ports(spec, ty, is_headless, report);
    let mut causes = Vec::new();
    meta::labels(&spec["selector"], "spec.selector", &mut causes);
    causes.into_iter().for_each(|cause| report.add(cause));
    match ty {
        "ExternalName" => {
            let name = text(spec, "externalName").trim_end_matches('.');
            if name.is_empty() {
                report.required("spec.externalName", "");
            } else {
                report.all(
                    "spec.externalName",
                    &spec["externalName"],
                    meta::subdomain(name),
                );
            }
            if !text(spec, "clusterIP").is_empty() {
                let what = "may not be set when `type` is 'ExternalName'";
                report.forbidden("spec.clusterIPs", what);
            }
        }
        "NodePort" | "LoadBalancer" if is_headless => {
            let what = format!("may not be set to 'None' for {ty} services");
            report.invalid("spec.clusterIPs[0]", &"None".into(), &what);
        }
        _ => {}
    }
    for (name, is_allowed) in [
        (
            "externalTrafficPolicy",
            matches!(ty, "NodePort" | "LoadBalancer")
                || items(&spec["externalIPs"]).next().is_some(),
        ),
        ("allocateLoadBalancerNodePorts", ty == "LoadBalancer"),
        ("loadBalancerClass", ty == "LoadBalancer"),
    ] {
        if !spec[name].is_null() && !is_allowed {
            let what = if name == "externalTrafficPolicy" {
                "may only be set for externally-accessible services"
            } else {
                "may only be used when `type` is 'LoadBalancer'"
            };
            report.invalid(format!("spec.{name}"), &spec[name], what);
        }
    }
    if let Some(old) = old {
        let before = &old["spec"];
        let keeps_address = |spec: &Value| {
            text(spec, "type") != "ExternalName" && !text(spec, "clusterIP").is_empty()
        };
        if keeps_address(before) && ty != "ExternalName" && spec["clusterIP"] != before["clusterIP"]
        {
            let new = spec.get("clusterIPs").cloned().unwrap_or_else(|| json!([]));
            report.invalid("spec.clusterIPs[0]", &new, "may not change once set");
        }
    }
}

fn ports(spec: &Value, ty: &str, is_headless: bool, report: &mut Report) {
    let count = items(&spec["ports"]).count();
    if count == 0 && !is_headless && ty != "ExternalName" {
        report.required("spec.ports", "");
    }
    let mut names: Vec<&str> = Vec::new();
    let mut pairs: Vec<(&Value, &Value)> = Vec::new();
    for (index, port) in items(&spec["ports"]) {
        let at = format!("spec.ports[{index}]");
        let name = text(port, "name");
        if name.is_empty() && count > 1 {
            report.required(format!("{at}.name"), "");
        } else if !name.is_empty() {
            report.all(&format!("{at}.name"), &name.into(), meta::label(name));
            if names.contains(&name) {
                report.duplicate(format!("{at}.name"), &name.into());
            }
            names.push(name);
        }
        report.port(&format!("{at}.port"), &port["port"]);
        match &port["targetPort"] {
            target @ Value::Number(_) => report.port(&format!("{at}.targetPort"), target),
            Value::String(target) => {
                report.all(
                    &format!("{at}.targetPort"),
                    &port["targetPort"],
                    pod::port_name(target),
                );
            }
            _ => {}
        }
        let node_port = port["nodePort"].as_i64().unwrap_or_default();
        if node_port != 0 && matches!(ty, "ClusterIP" | "ExternalName") {
            report.forbidden(
                format!("{at}.nodePort"),
                &format!("may not be used when `type` is '{ty}'"),
            );
        }
        let pair = (&port["port"], &port["protocol"]);
        if pairs.contains(&pair) {
            report.duplicate(at, &json!({"port": pair.0, "protocol": pair.1}));
        }
        pairs.push(pair);
    }
}

pub(super) fn ingress(spec: &Value, report: &mut Report) {
    if items(&spec["rules"]).next().is_none() && spec["defaultBackend"].is_null() {
        report.invalid(
            "spec",
            spec,
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if !spec["defaultBackend"].is_null() {
        backend(&spec["defaultBackend"], "spec.defaultBackend", report);
    }
    for (index, rule) in items(&spec["rules"]) {
        let host = text(rule, "host");
        if !host.is_empty() {
            let plain = host.strip_prefix("*.").unwrap_or(host);
            let at = format!("spec.rules[{index}].host");
            if host.parse::<std::net::IpAddr>().is_ok() {
                report.invalid(at, &host.into(), "must be a DNS name, not an IP address");
            } else {
                report.all(&at, &host.into(), meta::subdomain(plain));
            }
        }
        for (path_index, path) in items(&rule["http"]["paths"]) {
            let at = format!("spec.rules[{index}].http.paths[{path_index}]");
            ingress_path(path, &at, report);
        }
        if rule["http"].is_object() && items(&rule["http"]["paths"]).next().is_none() {
            report.required(format!("spec.rules[{index}].http.paths"), "");
        }
    }
}

fn ingress_path(path: &Value, at: &str, report: &mut Report) {
    let route = text(path, "path");
    match text(path, "pathType") {
        "" => report.required(format!("{at}.pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !route.starts_with('/') {
                report.invalid(
                    format!("{at}.path"),
                    &route.into(),
                    "must be an absolute path",
                );
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if route.contains(bad) {
                    report.invalid(
                        format!("{at}.path"),
                        &route.into(),
                        &format!("must not contain '{bad}'"),
                    );
                }
            }
        }
        _ => {
            if !route.is_empty() && !route.starts_with('/') {
                report.invalid(
                    format!("{at}.path"),
                    &route.into(),
                    "must be an absolute path",
                );
            }
        }
    }
    backend(&path["backend"], &format!("{at}.backend"), report);
}

fn backend(backend: &Value, at: &str, report: &mut Report) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_object(), resource.is_object()) {
        (true, true) => report.invalid(
            at,
            &"".into(),
            "cannot set both resource and service backends",
        ),
        (false, false) => report.required(at, "port name or number is required"),
        (false, true) => {}
        (true, false) => {
            let name = text(service, "name");
            if name.is_empty() {
                report.required(format!("{at}.service.name"), "");
            } else {
                report.all(
                    &format!("{at}.service.name"),
                    &name.into(),
                    meta::label_1035(name),
                );
            }
            let (port_name, port_number) =
                (text(&service["port"], "name"), &service["port"]["number"]);
            let has_number = port_number.as_i64().is_some_and(|n| n != 0);
            match (port_name.is_empty(), has_number) {
                (true, false) => report.required(at, "port name or number is required"),
                (false, true) => {
                    report.invalid(at, &"".into(), "cannot set both port name & port number");
                }
                (true, true) => report.port(&format!("{at}.service.port.number"), port_number),
                (false, false) => {
                    report.all(
                        &format!("{at}.service.port.name"),
                        &port_name.into(),
                        pod::port_name(port_name),
                    );
                }
            }
        }
    }
}

pub(super) fn network_policy(spec: &Value, report: &mut Report) {
    selector(&spec["podSelector"], "spec.podSelector", report);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(&spec[direction]) {
            for (peer_index, peer) in items(&rule[peers]) {
                let at = format!("spec.{direction}[{index}].{peers}[{peer_index}]");
                network_peer(peer, &at, report);
            }
            for (port_index, port) in items(&rule["ports"]) {
                let at = format!("spec.{direction}[{index}].ports[{port_index}]");
                network_port(port, &at, report);
            }
        }
    }
}

fn network_peer(peer: &Value, at: &str, report: &mut Report) {
    let has_selector = !peer["podSelector"].is_null() || !peer["namespaceSelector"].is_null();
    if !has_selector && peer["ipBlock"].is_null() {
        report.required(at, "must specify a peer");
    }
    if has_selector && !peer["ipBlock"].is_null() {
        report.forbidden(at, "may not specify both ipBlock and another peer");
    }
    for name in ["podSelector", "namespaceSelector"] {
        if !peer[name].is_null() {
            selector(&peer[name], &format!("{at}.{name}"), report);
        }
    }
    if !peer["ipBlock"].is_null() {
        let cidr = text(&peer["ipBlock"], "cidr");
        if cidr.is_empty() {
            report.required(format!("{at}.ipBlock.cidr"), "");
        } else if !crate::schema::formats::is_valid("cidr", cidr) {
            let what = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            report.invalid(format!("{at}.ipBlock.cidr"), &cidr.into(), what);
        }
    }
}

fn network_port(port: &Value, at: &str, report: &mut Report) {
    match &port["port"] {
        number @ Value::Number(_) => report.port(&format!("{at}.port"), number),
        Value::String(name) => {
            report.all(&format!("{at}.port"), &port["port"], pod::port_name(name));
        }
        _ => {}
    }
    if let (Some(end), Some(start)) = (port["endPort"].as_i64(), port["port"].as_i64())
        && end < start
    {
        report.invalid(
            format!("{at}.endPort"),
            &end.into(),
            "must be greater than or equal to `port`",
        );
    }
}

pub(super) fn endpoint_slice(slice: &Value, old: Option<&Value>, report: &mut Report) {
    if text(slice, "addressType").is_empty() {
        report.required("addressType", "");
    }
    if let Some(old) = old {
        report.immutable("addressType", &slice["addressType"], &old["addressType"]);
    }
    for (index, endpoint) in items(&slice["endpoints"]) {
        if items(&endpoint["addresses"]).next().is_none() {
            report.required(
                format!("endpoints[{index}].addresses"),
                "must contain at least 1 address",
            );
        }
    }
}
