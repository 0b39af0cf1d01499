//! Which addresses a Service has, cut into slices.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

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
/// Addresses in an Endpoints object; the rest is cut off, and an annotation says so.
const MAX_ADDRESSES: usize = 1000;

/// Pods on which the Service's ports have the same numbers.
struct Group<'a> {
    ports: Vec<Value>,
    pods: Vec<&'a Pod>,
}

/// One slice as it has to be.
struct Slice<'a> {
    name: Option<String>,
    ports: Vec<Value>,
    pods: Vec<&'a Pod>,
}

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
    let groups = groups(world);
    let mut slices: Vec<Slice<'_>> = groups
        .iter()
        .flat_map(|group| slices(world, group))
        .collect();
    if slices.is_empty() {
        // An empty slice tells apart "no pods" from "not looked at yet".
        slices.push(Slice {
            name: None,
            ports: vec![],
            pods: vec![],
        });
    }
    let surplus = name_all(world, &mut slices);
    for slice in &slices {
        plan.apply(endpoint_slice(world, slice));
    }
    for slice in surplus {
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
    plan.apply(endpoints(world, &groups));
    plan
}

/// The pods with an address, by what the Service's ports mean on them.
fn groups(world: &World) -> Vec<Group<'_>> {
    let mut pods: Vec<&Pod> = world
        .pods
        .iter()
        .map(|pod| &**pod)
        .filter(|pod| address(pod).is_some())
        .collect();
    pods.sort_by_key(|pod| &pod.metadata.name);
    let mut groups: Vec<Group<'_>> = vec![];
    for pod in pods {
        let ports = ports(world, pod);
        match groups.iter_mut().find(|group| group.ports == ports) {
            Some(group) => group.pods.push(pod),
            None => groups.push(Group {
                ports,
                pods: vec![pod],
            }),
        }
    }
    groups
}

/// The slices of a group: pods stay where they are, new ones fill up what is there.
fn slices<'a>(world: &World, group: &Group<'a>) -> Vec<Slice<'a>> {
    let same = world
        .slices
        .iter()
        .filter(|slice| ports_of(slice) == group.ports);
    let mut left = group.pods.clone();
    let mut slices = vec![];
    for slice in same {
        let uids: HashSet<&str> = slice
            .endpoints
            .iter()
            .flatten()
            .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.as_deref())
            .collect();
        let is_in = |pod: &&Pod| {
            pod.metadata
                .uid
                .as_deref()
                .is_some_and(|uid| uids.contains(uid))
        };
        let (mut pods, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_in);
        left = others;
        left.extend(pods.split_off(pods.len().min(MAX_PER_SLICE)));
        slices.push(Slice {
            name: slice.metadata.name.clone(),
            ports: group.ports.clone(),
            pods,
        });
    }
    let mut left = left.into_iter().peekable();
    for slice in &mut slices {
        let room = MAX_PER_SLICE - slice.pods.len();
        slice.pods.extend(left.by_ref().take(room));
        slice.pods.sort_by_key(|pod| &pod.metadata.name);
    }
    while left.peek().is_some() {
        slices.push(Slice {
            name: None,
            ports: group.ports.clone(),
            pods: left.by_ref().take(MAX_PER_SLICE).collect(),
        });
    }
    slices.retain(|slice| !slice.pods.is_empty());
    slices
}

/// Names the new slices, after those that are no longer needed first; returns what is still not needed.
fn name_all<'a>(world: &'a World, slices: &mut [Slice<'_>]) -> Vec<&'a Arc<EndpointSlice>> {
    let used: HashSet<String> = slices
        .iter()
        .filter_map(|slice| slice.name.clone())
        .collect();
    let name_of = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    let is_free = |slice: &&Arc<EndpointSlice>| !used.contains(&name_of(slice));
    let mut free = world.slices.iter().filter(is_free);
    let service = world.service.metadata.name.as_deref().unwrap_or_default();
    let taken: HashSet<String> = world.slices.iter().map(|slice| name_of(slice)).collect();
    // Computed names: a pass that runs twice writes the same slices.
    let mut computed = (0..).map(|at| format!("{service}-{}", suffix(world, at)));
    for slice in slices.iter_mut().filter(|slice| slice.name.is_none()) {
        let recycled = free.next().map(|slice| name_of(slice));
        slice.name = recycled.or_else(|| computed.find(|name| !taken.contains(name)));
    }
    free.collect()
}

/// Five letters that stay the same for one Service and slice.
fn suffix(world: &World, at: u32) -> String {
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

/// What the Service's ports are on this pod; those that it does not have are left out.
fn ports(world: &World, pod: &Pod) -> Vec<Value> {
    let spec = world.service.spec.as_ref();
    let ports = spec.and_then(|s| s.ports.as_ref()).into_iter().flatten();
    ports
        .filter_map(|port| {
            let mut entry = json!({
                "name": port.name.clone().unwrap_or_default(), "port": target_port(port, pod)?,
                "protocol": port.protocol.as_deref().unwrap_or("TCP"),
            });
            if let Some(app) = &port.app_protocol {
                entry["appProtocol"] = app.clone().into();
            }
            Some(entry)
        })
        .collect()
}

/// The ports of a slice in the form of [`ports`].
fn ports_of(slice: &EndpointSlice) -> Vec<Value> {
    slice
        .ports
        .iter()
        .flatten()
        .map(|port| json!(port))
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
        if let Some(zone) = world.zones.get(node) {
            endpoint["zone"] = zone.clone().into();
        }
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
    object.metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "v1", "kind": "Service", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]))
    .ok();
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

fn endpoint_slice(world: &World, slice: &Slice<'_>) -> DynamicObject {
    let meta = &world.service.metadata;
    let mut labels = labels(world);
    labels.insert(SERVICE_LABEL.into(), json!(meta.name));
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let name = slice.name.as_deref().unwrap_or_default();
    let mut object = owned::<EndpointSlice>(world, name, &labels);
    object.data = json!({
        "addressType": "IPv4",
        "endpoints": slice.pods.iter().map(|pod| endpoint(world, pod)).collect::<Vec<_>>(),
        "ports": slice.ports,
    });
    object
}

/// The old form: one object, ready and not ready addresses apart.
fn endpoints(world: &World, groups: &[Group<'_>]) -> DynamicObject {
    let meta = &world.service.metadata;
    let mut labels = labels(world);
    labels.insert(
        "endpoints.kubernetes.io/managed-by".into(),
        "endpoint-controller".into(),
    );
    let name = meta.name.as_deref().unwrap_or_default();
    let mut object = owned::<Endpoints>(world, name, &labels);
    let mut room = MAX_ADDRESSES;
    let mut subsets = vec![];
    let spec = world.service.spec.as_ref();
    let has_ports = spec
        .and_then(|s| s.ports.as_ref())
        .is_some_and(|p| !p.is_empty());
    for group in groups {
        if group.ports.is_empty() && has_ports {
            continue;
        }
        let (mut ready, mut not_ready) = addresses(world, group);
        ready.truncate(room);
        room -= ready.len();
        not_ready.truncate(room);
        room -= not_ready.len();
        let mut subset = json!({});
        for (field, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            if !addresses.is_empty() {
                subset[field] = addresses.into();
            }
        }
        if subset != json!({}) {
            subset["ports"] = group.ports.clone().into();
            subsets.push(subset);
        }
    }
    if groups.iter().map(|group| group.pods.len()).sum::<usize>() > MAX_ADDRESSES {
        let annotation = ("endpoints.kubernetes.io/over-capacity", "truncated");
        object.metadata.annotations = Some([annotation].map(|(k, v)| (k.into(), v.into())).into());
    }
    object.data = json!({"subsets": subsets});
    object
}

/// The addresses of the ready pods of a group, and of the others.
fn addresses(world: &World, group: &Group<'_>) -> (Vec<Value>, Vec<Value>) {
    let is_published = publishes_not_ready(world);
    let (mut ready, mut not_ready) = (vec![], vec![]);
    for pod in &group.pods {
        let mut entry = json!({"ip": address(pod), "targetRef": target_ref(pod)});
        if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_ref()) {
            entry["nodeName"] = node.clone().into();
        }
        let is_going = pod.metadata.deletion_timestamp.is_some();
        if is_published || (pod::is_ready(pod) && !is_going) {
            ready.push(entry);
        } else if !is_going {
            not_ready.push(entry);
        }
    }
    (ready, not_ready)
}
