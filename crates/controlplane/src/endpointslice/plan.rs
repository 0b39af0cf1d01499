//! Which addresses a Service has, cut into slices.

use std::convert::Infallible;

use k8s_openapi::api::core::v1::{Endpoints, Pod, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Map, Value, json};

use super::{MANAGED_BY, MANAGER, SERVICE_LABEL, World};
use crate::pod;

/// Endpoints in one slice.
const MAX_PER_SLICE: usize = 100;

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let Some(spec) = &world.service.spec else {
        return plan;
    };
    let has_selector = spec.selector.as_ref().is_some_and(|s| !s.is_empty());
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    if !has_selector || is_external || world.service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let mut pods: Vec<&Pod> = world
        .pods
        .iter()
        .map(|pod| &**pod)
        .filter(|pod| address(pod).is_some())
        .collect();
    pods.sort_by_key(|pod| pod.metadata.name.clone());
    let slices: Vec<&[&Pod]> = if pods.is_empty() {
        vec![&[]]
    } else {
        pods.chunks(MAX_PER_SLICE).collect()
    };
    let name = world.service.metadata.name.as_deref().unwrap_or_default();
    let mut wanted = vec![];
    for (at, pods) in slices.iter().enumerate() {
        // Computed names: a pass that runs twice writes the same slices.
        let slice = format!("{name}-{}", suffix(world, at));
        plan.apply(endpoint_slice(world, &slice, pods));
        wanted.push(slice);
    }
    for slice in &world.slices {
        let known = slice.metadata.name.clone().unwrap_or_default();
        if !wanted.contains(&known) {
            let target = ObjectRef {
                group: "discovery.k8s.io".into(),
                version: "v1".into(),
                kind: "EndpointSlice".into(),
                namespace: slice.metadata.namespace.clone().unwrap_or_default(),
                name: known,
            };
            plan.changes.push(Change::Delete {
                target,
                uid: slice.metadata.uid.clone(),
            });
        }
    }
    plan.apply(endpoints(world, &pods));
    plan
}

/// Five letters that stay the same for one Service and slice.
fn suffix(world: &World, at: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let text = format!(
        "{}/{at}",
        world.service.metadata.uid.as_deref().unwrap_or_default()
    );
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let letters = LETTERS.len() as u64;
    (0..5)
        .map(|_| {
            let letter = usize::try_from(hash % letters).unwrap_or(0);
            hash /= letters;
            char::from(LETTERS[letter])
        })
        .collect()
}

fn address(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    status
        .pod_ip
        .as_deref()
        .filter(|ip| !ip.is_empty() && !is_over)
}

/// The number behind a Service port on this pod.
fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let containers = &pod.spec.as_ref()?.containers;
            let ports = containers.iter().filter_map(|c| c.ports.as_ref()).flatten();
            ports
                .filter(|p| {
                    p.protocol.as_deref().unwrap_or("TCP")
                        == port.protocol.as_deref().unwrap_or("TCP")
                })
                .find(|p| p.name.as_deref() == Some(name))
                .map(|p| p.container_port)
        }
    }
}

/// The ports of a slice: numbers as the first pod has them, because a slice has one set for all.
fn ports(world: &World, pods: &[&Pod]) -> Vec<Value> {
    let ports = world
        .service
        .spec
        .as_ref()
        .and_then(|s| s.ports.as_ref())
        .into_iter()
        .flatten();
    ports
        .filter_map(|port| {
            let number = match pods.first() {
                Some(pod) => target_port(port, pod)?,
                None => return None,
            };
            let mut entry = json!({
                "name": port.name.clone().unwrap_or_default(), "port": number,
                "protocol": port.protocol.as_deref().unwrap_or("TCP"),
            });
            if let Some(app) = &port.app_protocol {
                entry["appProtocol"] = app.clone().into();
            }
            Some(entry)
        })
        .collect()
}

fn is_headless(world: &World) -> bool {
    world
        .service
        .spec
        .as_ref()
        .and_then(|s| s.cluster_ip.as_deref())
        == Some("None")
}

fn publishes_not_ready(world: &World) -> bool {
    world
        .service
        .spec
        .as_ref()
        .and_then(|s| s.publish_not_ready_addresses)
        == Some(true)
}

fn target_ref(pod: &Pod) -> Value {
    json!({"kind": "Pod", "namespace": pod.metadata.namespace, "name": pod.metadata.name, "uid": pod.metadata.uid})
}

fn endpoint(world: &World, pod: &Pod) -> Value {
    let is_terminating = pod.metadata.deletion_timestamp.is_some();
    let is_serving = pod::is_ready(pod);
    let mut endpoint = json!({
        "addresses": [address(pod)],
        "conditions": {
            "ready": publishes_not_ready(world) || (is_serving && !is_terminating),
            "serving": is_serving, "terminating": is_terminating,
        },
        "targetRef": target_ref(pod),
    });
    let spec = pod.spec.as_ref();
    if let Some(node) = spec.and_then(|s| s.node_name.as_ref()) {
        endpoint["nodeName"] = node.clone().into();
    }
    if let Some(host) = spec.and_then(|s| s.hostname.as_ref())
        && spec.and_then(|s| s.subdomain.as_ref()) == world.service.metadata.name.as_ref()
    {
        endpoint["hostname"] = host.clone().into();
    }
    endpoint
}

fn owned<K: kube::Resource<DynamicType = ()>>(
    world: &World,
    name: &str,
    labels: &Map<String, Value>,
) -> DynamicObject {
    let meta = &world.service.metadata;
    let mut object = DynamicObject::new(name, &ApiResource::erase::<K>(&()))
        .within(meta.namespace.as_deref().unwrap_or_default());
    object.metadata.labels = serde_json::from_value(labels.clone().into()).ok();
    object
}

fn labels(world: &World) -> Map<String, Value> {
    let labels = world.service.metadata.labels.iter().flatten();
    let mut labels: Map<String, Value> =
        labels.map(|(k, v)| (k.clone(), v.clone().into())).collect();
    if is_headless(world) {
        labels.insert("service.kubernetes.io/headless".into(), "".into());
    }
    labels
}

fn endpoint_slice(world: &World, name: &str, pods: &[&Pod]) -> DynamicObject {
    let meta = &world.service.metadata;
    let mut labels = labels(world);
    labels.insert(SERVICE_LABEL.into(), json!(meta.name));
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut slice = owned::<EndpointSlice>(world, name, &labels);
    slice.metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "v1", "kind": "Service", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]))
    .ok();
    slice.data = json!({
        "addressType": "IPv4",
        "endpoints": pods.iter().map(|pod| endpoint(world, pod)).collect::<Vec<_>>(),
        "ports": ports(world, pods),
    });
    slice
}

/// The old form: one object, ready and not ready addresses apart.
fn endpoints(world: &World, pods: &[&Pod]) -> DynamicObject {
    let meta = &world.service.metadata;
    let mut labels = labels(world);
    labels.insert(
        "endpoints.kubernetes.io/managed-by".into(),
        "endpoint-controller".into(),
    );
    let mut object = owned::<Endpoints>(world, meta.name.as_deref().unwrap_or_default(), &labels);
    let (mut ready, mut not_ready) = (vec![], vec![]);
    for pod in pods {
        let mut entry = json!({"ip": address(pod), "targetRef": target_ref(pod)});
        if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_ref()) {
            entry["nodeName"] = node.clone().into();
        }
        let is_going = pod.metadata.deletion_timestamp.is_some();
        if publishes_not_ready(world) || (pod::is_ready(pod) && !is_going) {
            ready.push(entry);
        } else if !is_going {
            not_ready.push(entry);
        }
    }
    let mut subset = json!({"ports": ports(world, pods)});
    if !ready.is_empty() {
        subset["addresses"] = ready.into();
    }
    if !not_ready.is_empty() {
        subset["notReadyAddresses"] = not_ready.into();
    }
    let has_addresses =
        subset.get("addresses").is_some() || subset.get("notReadyAddresses").is_some();
    object.data = json!({"subsets": if has_addresses { json!([subset]) } else { json!([]) }});
    object
}
