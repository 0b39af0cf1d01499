//! Reads what a KubeadmConfig needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::bootstrap::KubeadmConfig;
use api::cluster::{Cluster, Machine, MachinePool};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use runtime::{Cx, GatherError};

use super::{World, plan, token};
use crate::contract::{self, Contract};
use crate::link::Link;
use crate::secret::{self, Authorities};

pub(super) async fn gather(cx: &Cx, config: &KubeadmConfig) -> Result<World, GatherError> {
    let namespace = config.namespace().unwrap_or_default();
    let mut world = World {
        config: config.clone(),
        machine: None,
        is_for_pool: false,
        cluster: None,
        authorities: Authorities::default(),
        control_plane_version: None,
        lock: None,
        is_lock_held: false,
        secrets: BTreeMap::new(),
        data_secret: None,
        link: Link::default(),
        is_token_there: false,
        token_expires: None,
    };
    let mut owners = config.metadata.owner_references.iter().flatten();
    let Some(owner) = owners.find(|o| matches!(o.kind.as_str(), "Machine" | "MachinePool")) else {
        return Ok(world);
    };
    world.is_for_pool = owner.kind == "MachinePool";
    let machine: Option<Arc<Machine>> = if world.is_for_pool {
        let pool = cx.get::<MachinePool>(&namespace, &owner.name).await?;
        pool.map(|pool| Arc::new(common(&pool)))
    } else {
        cx.get(&namespace, &owner.name).await?
    };
    let Some(machine) = machine else {
        return Ok(world);
    };
    let cluster = machine.spec.cluster_name.clone();
    world.machine = Some(machine);
    world.cluster = cx.get::<Cluster>(&namespace, &cluster).await?;
    if world.cluster.is_none() {
        return Ok(world);
    }
    world.authorities = Authorities::gather(cx, &namespace, &cluster).await?;
    world.control_plane_version = control_plane_version(cx, &world).await?;
    world.lock = cx
        .get::<ConfigMap>(&namespace, &plan::lock_name(&cluster))
        .await?;
    if let Some(holder) = world.lock.as_deref().and_then(plan::holder) {
        world.is_lock_held = cx.get::<Machine>(&namespace, &holder).await?.is_some();
    }
    let written = config.status.as_ref();
    if let Some(name) = written.and_then(|s| s.data_secret_name.as_ref()) {
        world.data_secret = cx.get(&namespace, name).await?;
    }
    for name in plan::secret_names(config) {
        let found: Option<Arc<Secret>> = cx.get(&namespace, &name).await?;
        if let Some(found) = found {
            let keys = found.data.iter().flatten().map(|(key, _)| key.clone());
            let texts = keys.filter_map(|key| secret::text(&found, &key).map(|text| (key, text)));
            world.secrets.insert(name, texts.collect());
        }
    }
    let is_initialized = world
        .cluster
        .as_ref()
        .is_some_and(|c| c.is_control_plane_initialized());
    if is_initialized {
        let remote = cx.clusters().get(&namespace, &cluster).await?;
        world.link = Link::from(&remote);
        if let Some(remote) = remote.cx()
            && let Some(id) = token::of(config).and_then(token::id)
        {
            let found: Option<Arc<Secret>> =
                remote.get("kube-system", &token::secret_name(id)).await?;
            world.is_token_there = found.is_some();
            world.token_expires = found.as_deref().and_then(token::expiry);
        }
    }
    Ok(world)
}

/// Only read for templates: a config that has none needs no second look whenever the control plane changes.
async fn control_plane_version(cx: &Cx, world: &World) -> Result<Option<String>, GatherError> {
    let mut files = world.config.spec.files.iter().flatten();
    if !files.any(|f| f.content_format.as_deref() == Some("Template")) {
        return Ok(None);
    }
    let namespace = world.config.namespace().unwrap_or_default();
    let cluster = world.cluster.as_deref();
    let reference = cluster.and_then(|c| c.spec.control_plane_ref.as_ref());
    let control_plane = contract::get(cx, &namespace, reference).await?;
    let version = control_plane
        .as_deref()
        .and_then(|c| Contract(c).version().map(str::to_owned));
    Ok(version)
}

/// What all machines of a pool have in common.
fn common(pool: &MachinePool) -> Machine {
    Machine {
        metadata: ObjectMeta {
            name: pool.metadata.name.clone(),
            namespace: pool.metadata.namespace.clone(),
            uid: pool.metadata.uid.clone(),
            deletion_timestamp: pool.metadata.deletion_timestamp.clone(),
            ..ObjectMeta::default()
        },
        spec: pool.spec.template.spec.clone(),
        status: None,
    }
}
