//! Reads what a KubeadmControlPlane needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::cluster::{Cluster, Machine, MachinePool};
use api::controlplane::KubeadmControlPlane;
use api::meta::labels;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use runtime::{Cx, GatherError, Selector};
use serde_json::Value;

use super::coredns::{self, CoreDns};
use super::{Parts, Workload, World, encryption, machines};
use crate::link::Link;
use crate::secret::Authorities;
use crate::{contract, etcd, kubeconfig, metadata, object};

pub(super) async fn gather(
    cx: &Cx,
    control_plane: &KubeadmControlPlane,
) -> Result<World, GatherError> {
    let namespace = control_plane.namespace().unwrap_or_default();
    let cluster = owner_cluster(cx, &namespace, control_plane).await?;
    let template = &control_plane.spec.machine_template.spec.infrastructure_ref;
    let mut world = World {
        template: contract::get(cx, &namespace, Some(template)).await?,
        control_plane: control_plane.clone(),
        cluster: None,
        infrastructure: None,
        machines: vec![],
        foreign: vec![],
        parts: BTreeMap::new(),
        workers: vec![],
        pools: vec![],
        authorities: Authorities::default(),
        has_encryption_key: false,
        kubeconfig: None,
        link: Link::default(),
        workload: None,
    };
    let Some(cluster) = cluster else {
        return Ok(world);
    };
    let name = cluster.name_any();
    let infrastructure_ref = cluster.spec.infrastructure_ref.as_ref();
    world.infrastructure = contract::get(cx, &namespace, infrastructure_ref).await?;
    let members = Selector::label(labels::CLUSTER_NAME, &name);
    let machines: Vec<Arc<Machine>> = cx.list(Some(&namespace), &members).await?;
    let (machines, workers): (Vec<_>, Vec<_>) =
        machines.into_iter().partition(|m| m.is_control_plane());
    world.workers = workers.iter().map(|m| m.name_any()).collect();
    let pools: Vec<Arc<MachinePool>> = cx.list(Some(&namespace), &members).await?;
    world.pools = pools.iter().map(|p| p.name_any()).collect();
    let is_foreign = |m: &Machine| {
        object::controller_of(&m.metadata)
            .is_some_and(|o| Some(&o.uid) != control_plane.metadata.uid.as_ref())
    };
    let (foreign, machines): (Vec<_>, Vec<_>) = machines.into_iter().partition(|m| is_foreign(m));
    world.foreign = foreign.iter().map(|m| m.name_any()).collect();
    world.machines = machines;
    let annotations = machines::template_annotations(control_plane);
    for machine in &world.machines {
        let bootstrap = machine.spec.bootstrap.config_ref.as_ref();
        let bootstrap = contract::get(cx, &namespace, bootstrap).await?;
        let infrastructure = Some(&machine.spec.infrastructure_ref);
        let infrastructure = contract::get(cx, &namespace, infrastructure).await?;
        let labels = machine.labels();
        let parts = Parts {
            // Who cannot be asked may have it: a key that is made anew makes everything unreadable.
            has_encryption_key: bootstrap
                .as_ref()
                .is_none_or(|b| encryption::is_in(b, &name)),
            bootstrap: metadata::whole(cx, bootstrap, labels, &annotations).await?,
            infrastructure: metadata::whole(cx, infrastructure, labels, &annotations).await?,
        };
        world.parts.insert(machine.name_any(), parts);
    }
    world.authorities = Authorities::gather(cx, &namespace, &name).await?;
    if encryption::is_wanted(control_plane.spec.kubeadm_config_spec.as_ref(), &name) {
        let key: Option<Arc<Secret>> = cx.get(&namespace, &encryption::secret_name(&name)).await?;
        world.has_encryption_key = key.is_some();
    }
    world.kubeconfig =
        kubeconfig::gather(cx, &namespace, &name, control_plane.metadata.uid.as_deref()).await?;
    workload(cx, &namespace, &name, &mut world).await?;
    world.cluster = Some(cluster);
    Ok(world)
}

/// The Cluster that refers to the control plane: by its owner reference, or by the label that users set.
async fn owner_cluster(
    cx: &Cx,
    namespace: &str,
    control_plane: &KubeadmControlPlane,
) -> Result<Option<Arc<Cluster>>, GatherError> {
    let owners = control_plane.metadata.owner_references.iter().flatten();
    let owner = owners
        .into_iter()
        .find(|o| o.kind == "Cluster")
        .map(|o| o.name.as_str());
    match owner.or_else(|| object::label(&control_plane.metadata, labels::CLUSTER_NAME)) {
        Some(name) => cx.get(namespace, name).await,
        None => Ok(None),
    }
}

async fn workload(
    cx: &Cx,
    namespace: &str,
    cluster: &str,
    world: &mut World,
) -> Result<(), GatherError> {
    let remote = cx.clusters().get(namespace, cluster).await?;
    world.link = Link::from(&remote);
    let Some(remote) = remote.cx() else {
        return Ok(());
    };
    let record: Option<Arc<ConfigMap>> = remote.get("kube-system", "kubeadm-config").await?;
    let proxy: Option<Arc<DaemonSet>> = remote.get("kube-system", "kube-proxy").await?;
    let proxy = proxy
        .as_ref()
        .and_then(|d| d.spec.as_ref()?.template.spec.as_ref()?.containers.first());
    world.workload = Some(Workload {
        configuration: record.as_ref().and_then(|r| configuration(r)),
        etcd: etcd::gather(remote).await?,
        kube_proxy_image: proxy.and_then(|c| c.image.clone()),
        core_dns: match coredns::is_ours(&world.control_plane) {
            true => core_dns(remote, coredns::is_said(&world.control_plane)).await?,
            false => None,
        },
    });
    Ok(())
}

/// CoreDNS, if all of it is there and something is said of it, or an upgrade was begun.
async fn core_dns(remote: &Cx, is_said: bool) -> Result<Option<CoreDns>, GatherError> {
    let map: Option<Arc<ConfigMap>> = remote.get("kube-system", coredns::NAME).await?;
    let data = map.as_ref().and_then(|m| m.data.as_ref());
    if !is_said && data.is_none_or(|data| !data.contains_key(coredns::BACKUP)) {
        return Ok(None);
    }
    let deployment: Option<Arc<Deployment>> = remote.get("kube-system", coredns::NAME).await?;
    let spec = deployment
        .as_ref()
        .and_then(|d| d.spec.as_ref()?.template.spec.as_ref());
    let (Some(spec), Some(data)) = (spec, data) else {
        return Ok(None);
    };
    let container = spec.containers.iter().find(|c| c.name == coredns::NAME);
    let image = container.and_then(|c| c.image.clone());
    let (Some(image), Some(corefile)) = (image, data.get(coredns::COREFILE)) else {
        return Ok(None);
    };
    let volumes = spec.volumes.iter().flatten();
    let mut keys = volumes
        .filter_map(|v| v.config_map.as_ref())
        .filter(|source| source.name == coredns::NAME)
        .flat_map(|source| source.items.iter().flatten())
        .map(|item| &item.key)
        .filter(|key| [coredns::COREFILE, coredns::BACKUP].contains(&key.as_str()));
    Ok(Some(CoreDns {
        image,
        corefile: corefile.clone(),
        backup: data.get(coredns::BACKUP).cloned(),
        key: keys.next().cloned(),
        revision: map
            .as_ref()
            .and_then(|m| m.metadata.resource_version.clone()),
    }))
}

/// kubeadm's record of the cluster, if it can be read.
pub(super) fn configuration(record: &ConfigMap) -> Option<Value> {
    let text = record.data.as_ref()?.get("ClusterConfiguration")?;
    serde_saphyr::from_str(text).ok()
}
