//! Which slices mirror an Endpoints object.

use std::convert::Infallible;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{MANAGER, World};
use crate::endpointslice::{MANAGED_BY, SERVICE_LABEL};

/// Whoever writes this label does not want slices.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// An old way to elect leaders, not addresses of anything.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// What kubectl notes for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Addresses of one subset that are mirrored.
const MAX_ADDRESSES: usize = 1000;

/// One slice as it has to be.
struct Slice {
    address_type: &'static str,
    endpoints: Vec<Value>,
    ports: Value,
}

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.endpoints.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let slices = if is_mirrored(world) {
        slices(world)
    } else {
        vec![]
    };
    let mut names = vec![];
    for (at, slice) in slices.iter().enumerate() {
        let object = object(world, slice, at);
        names.push(object.metadata.name.clone());
        plan.apply(object);
    }
    for slice in &world.slices {
        if !names.contains(&slice.metadata.name) {
            plan.changes.push(Change::Delete {
                target: ObjectRef {
                    group: "discovery.k8s.io".into(),
                    version: "v1".into(),
                    kind: "EndpointSlice".into(),
                    namespace: slice.metadata.namespace.clone().unwrap_or_default(),
                    name: slice.metadata.name.clone().unwrap_or_default(),
                },
                uid: slice.metadata.uid.clone(),
            });
        }
    }
    plan
}

/// Whether the Service has no selector, and nobody said not to.
fn is_mirrored(world: &World) -> bool {
    let meta = &world.endpoints.metadata;
    let labels = meta.labels.as_ref();
    let is_skipped = labels
        .and_then(|l| l.get(SKIP))
        .is_some_and(|v| v == "true");
    let annotations = meta.annotations.as_ref();
    let is_leader = annotations.is_some_and(|a| a.contains_key(LEADER));
    let Some(service) = &world.service else {
        return false;
    };
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
    !is_skipped && !is_leader && selector.is_none_or(|s| s.is_empty())
}

/// For each subset one slice for each family of addresses.
fn slices(world: &World) -> Vec<Slice> {
    let mut all = vec![];
    for subset in world.endpoints.subsets.iter().flatten() {
        let addresses = addresses(subset);
        for (address_type, is_v6) in [("IPv4", false), ("IPv6", true)] {
            let own = addresses.iter().filter(|(address, _)| {
                let ip: Option<IpAddr> = address.ip.parse().ok();
                ip.is_some_and(|ip| ip.is_ipv6() == is_v6)
            });
            let endpoints: Vec<Value> = own
                .map(|(address, is_ready)| endpoint(address, *is_ready))
                .collect();
            if !endpoints.is_empty() {
                all.push(Slice {
                    address_type,
                    endpoints,
                    ports: ports(subset),
                });
            }
        }
    }
    all
}

/// The addresses of a subset, ready ones first.
fn addresses(subset: &EndpointSubset) -> Vec<(&EndpointAddress, bool)> {
    let ready = subset.addresses.iter().flatten().map(|a| (a, true));
    let others = subset.not_ready_addresses.iter().flatten();
    let mut all: Vec<_> = ready.chain(others.map(|a| (a, false))).collect();
    all.truncate(MAX_ADDRESSES);
    all
}

fn ports(subset: &EndpointSubset) -> Value {
    let ports = subset.ports.iter().flatten().map(|port| {
        let mut entry = json!({
            "name": port.name.clone().unwrap_or_default(), "port": port.port,
            "protocol": port.protocol.as_deref().unwrap_or("TCP"),
        });
        if let Some(app) = &port.app_protocol {
            entry["appProtocol"] = app.clone().into();
        }
        entry
    });
    ports.collect::<Vec<_>>().into()
}

fn endpoint(address: &EndpointAddress, is_ready: bool) -> Value {
    let mut endpoint = json!({"addresses": [address.ip], "conditions": {"ready": is_ready}});
    if let Some(host) = address.hostname.as_ref().filter(|host| !host.is_empty()) {
        endpoint["hostname"] = host.clone().into();
    }
    if let Some(node) = &address.node_name {
        endpoint["nodeName"] = node.clone().into();
    }
    if let Some(target) = &address.target_ref {
        endpoint["targetRef"] = json!(target);
    }
    endpoint
}

/// Slices have computed names: a pass that runs twice writes the same ones. The family of a slice cannot change, so it
/// is part of the name.
fn object(world: &World, slice: &Slice, at: usize) -> DynamicObject {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let meta = &world.endpoints.metadata;
    let name = meta.name.as_deref().unwrap_or_default();
    let uid = meta.uid.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{uid}/{}/{at}", slice.address_type));
    let suffix: String = digest
        .iter()
        .take(5)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    let resource = ApiResource::erase::<EndpointSlice>(&());
    let mut object = DynamicObject::new(&format!("{name}-{suffix}"), &resource)
        .within(meta.namespace.as_deref().unwrap_or_default());
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_LABEL.into(), name.into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    object.metadata.labels = Some(labels);
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    if !annotations.is_empty() {
        object.metadata.annotations = Some(annotations);
    }
    object.metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "v1", "kind": "Endpoints", "name": name, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }]))
    .ok();
    object.data = json!({
        "addressType": slice.address_type, "endpoints": slice.endpoints, "ports": slice.ports,
    });
    object
}
