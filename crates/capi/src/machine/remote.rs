//! What a Machine has to do with the workload cluster: reads, and acts there.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::cluster::machine::reasons;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use runtime::{Cx, GatherError, Selector, Wait};
use serde_json::{Value, json};

use super::drain::Rest;
use super::{Act, World};
use crate::contract::Contract;
use crate::link::{self, Link};
use crate::{etcd, object};

/// Reads the Node, and pods where they matter.
pub(super) async fn gather(cx: &Cx, world: &mut World) -> Result<(), GatherError> {
    let Some(remote) = link::reach(cx, world.cluster.as_deref()).await? else {
        return Ok(());
    };
    world.link = Link::from(&remote);
    let Some(remote) = remote.cx() else {
        return Ok(());
    };
    let provider_id = world
        .infrastructure
        .as_deref()
        .and_then(|i| Contract(i).provider_id().map(str::to_owned))
        .or_else(|| world.machine.spec.provider_id.clone());
    let name = world.machine.node_name().map(str::to_owned);
    let nodes = remote.list::<Node>(None, &Selector::all()).await?;
    world.nodes = nodes
        .into_iter()
        .filter(|node| {
            let id = node.spec.as_ref().and_then(|s| s.provider_id.as_deref());
            (id.is_some() && id == provider_id.as_deref()) || Some(node.name_any()) == name
        })
        .collect();
    let Some(node) = world.node().map(ResourceExt::name_any) else {
        return Ok(());
    };
    let is_control_plane = world.machine.is_control_plane();
    if world.machine.is_deleting() || is_control_plane {
        let scope = (!world.machine.is_deleting()).then_some("kube-system");
        let pods = remote.list::<Pod>(scope, &Selector::all()).await?;
        let is_here =
            |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(&*node);
        world.pods = pods.into_iter().filter(|p| is_here(p)).collect();
    }
    if world.machine.is_deleting() {
        departure(cx, remote, world).await?;
    }
    if is_control_plane {
        world.etcd_members = etcd::gather(remote).await?.map(|m| m.voters());
    }
    Ok(())
}

/// What draining and detaching need to know; no more than the pods and volumes of the node ask for.
async fn departure(cx: &Cx, remote: &Cx, world: &mut World) -> Result<(), GatherError> {
    let namespace = world.machine.namespace().unwrap_or_default();
    let node = world.node().map(ResourceExt::name_any).unwrap_or_default();
    let departure = &mut world.departure;
    departure.rules = cx.list(Some(&namespace), &Selector::all()).await?;
    let mut selectors = departure
        .rules
        .iter()
        .flat_map(|r| r.spec.pods.iter().flatten());
    if selectors.any(|one| one.namespace_selector.is_some()) {
        departure.namespaces = remote.list(None, &Selector::all()).await?;
    }
    let owners: BTreeSet<_> = world
        .pods
        .iter()
        .filter_map(|pod| Some((pod.namespace()?, object::controller_of(&pod.metadata)?)))
        .filter(|(_, owner)| owner.kind == "DaemonSet")
        .map(|(namespace, owner)| (namespace, owner.name.clone()))
        .collect();
    for (namespace, name) in owners {
        let set: Option<Arc<DaemonSet>> = remote.get(&namespace, &name).await?;
        departure.daemon_sets.extend(set);
    }
    let attachments: Vec<Arc<VolumeAttachment>> = remote.list(None, &Selector::all()).await?;
    let is_here = |a: &Arc<VolumeAttachment>| a.spec.node_name == node;
    departure.attachments = attachments.into_iter().filter(is_here).collect();
    let status = world.nodes.first().and_then(|n| n.status.as_ref());
    let volumes = status.and_then(|s| s.volumes_attached.as_ref());
    if !departure.attachments.is_empty() || volumes.is_some_and(|v| !v.is_empty()) {
        departure.volumes = remote.list(None, &Selector::all()).await?;
    }
    Ok(())
}

/// Does something in the workload cluster.
pub(super) async fn act(cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
    let namespace = world.machine.namespace().unwrap_or_default();
    let client = client(cx, &namespace, &world.machine.spec.cluster_name).await?;
    match act {
        Act::PatchNode { name, patch } => patch_node(&client, "apiary-machine", name, patch).await,
        Act::DeleteNode { name } => delete_node(&client, name).await,
        Act::Drain { pods, grace, rest } => drain(&client, pods, *grace, rest).await,
    }
}

fn failed(what: &str, error: &kube::Error) -> Wait {
    Wait {
        reason: reasons::CONNECTION_DOWN,
        message: format!("{what}: {}", runtime::chain(error)),
    }
}

/// Merges `patch` into a Node of the workload cluster, in the name of `manager`.
pub(crate) async fn patch_node(
    client: &Client,
    manager: &str,
    name: &str,
    patch: &Value,
) -> Result<(), Wait> {
    let nodes: Api<Node> = Api::all(client.clone());
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    match nodes.patch(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        // The Node has changed or is gone: that change wakes whoever wants this.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(failed(&format!("patching Node {name}"), &error)),
    }
}

/// Removes a Node from the workload cluster.
pub(crate) async fn delete_node(client: &Client, name: &str) -> Result<(), Wait> {
    let nodes: Api<Node> = Api::all(client.clone());
    match nodes.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failed(&format!("deleting Node {name}"), &error)),
    }
}

/// Asks for the eviction of every pod; those that may not go yet are tried again in the next pass.
async fn drain(
    client: &Client,
    pods: &[(String, String)],
    grace: Option<u32>,
    rest: &Rest,
) -> Result<(), Wait> {
    let (mut accepted, mut refused) = (vec![], vec![]);
    for (namespace, name) in pods {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let mut eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": name},
        });
        if let Some(grace) = grace {
            eviction["deleteOptions"] = json!({"gracePeriodSeconds": grace});
        }
        let params = PostParams::default();
        let answer = api.create_subresource::<_, Value>("eviction", name, &params, &eviction);
        let pod = format!("{namespace}/{name}");
        match answer.await {
            Ok(_) => accepted.push(pod),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) if is_namespace_terminating(&status) => {
                refused.push(format!(
                    "Pod {pod}: cannot be evicted because its namespace is terminating; the namespace's deletion removes it"
                ));
            }
            // What a budget says.
            Err(kube::Error::Api(status)) if status.code == 429 => {
                let causes = status.details.iter().flat_map(|d| &d.causes);
                let causes: String = causes.map(|c| format!(" {}", c.message)).collect();
                refused.push(format!("Pod {pod}: {}{causes}", status.message));
            }
            Err(kube::Error::Api(status)) => {
                refused.push(format!(
                    "Pod {pod}: failed to evict Pod, {}",
                    status.message
                ));
            }
            Err(error) => {
                refused.push(format!(
                    "Pod {pod}: failed to evict Pod, {}",
                    runtime::chain(&error)
                ));
            }
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Wait {
        reason: reasons::DRAINING_NODE,
        message: rest.message(&accepted, &refused),
    })
}

fn is_namespace_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    status.code == 403
        && causes
            .into_iter()
            .any(|c| c.reason == "NamespaceTerminating")
}

/// A client of a workload cluster, for acts.
pub(crate) async fn client(cx: &Cx, namespace: &str, cluster: &str) -> Result<Client, Wait> {
    let wait = |message: String| Wait {
        reason: reasons::CONNECTION_DOWN,
        message,
    };
    let remote = cx
        .clusters()
        .get(namespace, cluster)
        .await
        .map_err(|e| wait(runtime::chain(&e)))?;
    match remote.cx() {
        Some(remote) => Ok(remote.client()),
        None => Err(wait(Link::from(&remote).message())),
    }
}
