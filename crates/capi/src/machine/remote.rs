//! What a Machine has to do with the workload cluster: reads, and acts there.

use api::cluster::machine::reasons;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, EvictParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use runtime::{Cx, GatherError, Selector, Wait};

use super::{Act, World};
use crate::contract::Contract;
use crate::etcd;
use crate::link::{self, Link};

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
    if is_control_plane {
        world.etcd_members = etcd::gather(remote).await?.map(|m| m.voters());
    }
    Ok(())
}

/// Does something in the workload cluster.
pub(super) async fn act(cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
    let namespace = world.machine.namespace().unwrap_or_default();
    let client = client(cx, &namespace, &world.machine.spec.cluster_name).await?;
    let nodes: Api<Node> = Api::all(client.clone());
    let failed = |what: &str, error: &kube::Error| Wait {
        reason: reasons::CONNECTION_DOWN,
        message: format!("{what}: {}", runtime::chain(error)),
    };
    match act {
        Act::PatchNode { name, patch } => {
            let params = PatchParams {
                field_manager: Some("apiary-machine".to_owned()),
                ..PatchParams::default()
            };
            match nodes.patch(name, &params, &Patch::Merge(patch)).await {
                Ok(_) => Ok(()),
                // The Node has changed or is gone: that change wakes the Machine.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(failed(&format!("patching Node {name}"), &error)),
            }
        }
        Act::DeleteNode { name } => match nodes.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed(&format!("deleting Node {name}"), &error)),
        },
        Act::Drain { pods } => drain(&client, pods).await,
    }
}

/// Asks for the eviction of every pod; those that may not go yet are tried again in the next pass.
async fn drain(client: &Client, pods: &[(String, String)]) -> Result<(), Wait> {
    let mut refused = vec![];
    for (namespace, name) in pods {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        match api.evict(name, &EvictParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) => {
                refused.push(format!("* Pod {namespace}/{name}: {}", status.message));
            }
            Err(error) => refused.push(format!(
                "* Pod {namespace}/{name}: {}",
                runtime::chain(&error)
            )),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Wait {
        reason: reasons::DRAINING_NODE,
        message: format!("Drain not completed yet:\n{}", refused.join("\n")),
    })
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
