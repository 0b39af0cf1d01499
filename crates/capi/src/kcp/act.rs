//! What a KubeadmControlPlane does beyond objects of its own cluster, and what needs randomness.

use api::controlplane::kubeadm_control_plane::reasons;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use runtime::{Cx, Wait};
use serde_json::{Value, json};

use super::coredns::{self, Step};
use super::{Act, World, encryption};
use crate::bootstrap::kubeadm;
use crate::kubeconfig::{self, Server};
use crate::machine::remote_client;
use crate::pki::Purpose;
use crate::{etcd, object, secret};

pub(super) async fn act(cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
    match act {
        Act::GenerateCertificate(purpose) => generate(cx, world, *purpose).await,
        Act::GenerateEncryptionKey => generate_encryption_key(cx, world).await,
        Act::WriteKubeconfig => write_kubeconfig(cx, world).await,
        Act::RemoveEtcdMember(name) => {
            let patch = json!({"data": {name: null}});
            patch_config_map(cx, world, etcd::NAMESPACE, etcd::CONFIG_MAP, &patch).await
        }
        Act::WriteClusterConfiguration => write_cluster_configuration(cx, world).await,
        Act::SetKubeProxyImage(image) => set_kube_proxy_image(cx, world, image).await,
        Act::UpgradeCoreDns(step) => upgrade_core_dns(cx, world, step).await,
    }
}

fn failed(reason: &'static str, what: &str, error: &(dyn std::error::Error + 'static)) -> Wait {
    Wait {
        reason,
        message: format!("{what}: {}", runtime::chain(error)),
    }
}

fn names(world: &World) -> (String, String) {
    (
        world.control_plane.namespace().unwrap_or_default(),
        world.cluster_name(),
    )
}

async fn generate(cx: &Cx, world: &World, purpose: Purpose) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let owner = object::owner_ref(&world.control_plane, true);
    let config = world.control_plane.spec.kubeadm_config_spec.as_ref();
    let config = config.and_then(|c| c.cluster_configuration.as_ref());
    secret::generate(cx, (&namespace, &cluster), owner, purpose, config).await
}

async fn generate_encryption_key(cx: &Cx, world: &World) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let owner = object::owner_ref(&world.control_plane, true);
    let name = encryption::secret_name(&cluster);
    let data = [(encryption::KEY, encryption::generate())];
    let secret = secret::build(&namespace, &name, &cluster, owner, data);
    secret::create(cx, secret).await
}

impl World {
    /// Where clients find the cluster; `None` before the endpoint is known.
    pub(super) fn server(&self) -> Option<Server> {
        Server::of(self.cluster.as_deref()?, self.infrastructure.as_deref())
    }
}

async fn write_kubeconfig(cx: &Cx, world: &World) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let (Some(ca), Some(server)) = (world.authorities.pair(Purpose::Cluster), world.server())
    else {
        return Ok(());
    };
    let owner = object::owner_ref(&world.control_plane, true);
    let manager = "apiary-kubeadmcontrolplane";
    kubeconfig::write(cx, (&namespace, &cluster), (owner, manager), ca, &server).await
}

async fn patch_config_map(
    cx: &Cx,
    world: &World,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<(), Wait> {
    let (own_namespace, cluster) = names(world);
    let client = remote_client(cx, &own_namespace, &cluster).await?;
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let params = PatchParams {
        field_manager: Some("apiary-kubeadmcontrolplane".to_owned()),
        ..PatchParams::default()
    };
    match api.patch(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = format!("patching ConfigMap {namespace}/{name} of the workload cluster");
            Err(failed(reasons::CONTROL_PLANE_UNHEALTHY, &what, &error))
        }
    }
}

async fn write_cluster_configuration(cx: &Cx, world: &World) -> Result<(), Wait> {
    let spec = &world.control_plane.spec;
    let config = spec.kubeadm_config_spec.clone().unwrap_or_default();
    let follow = |record: &Value| kubeadm::follow(record, &config, &spec.version);
    change_cluster_configuration(cx, world, follow).await
}

/// Changes kubeadm's record of the cluster, in the state in which it is now.
async fn change_cluster_configuration(
    cx: &Cx,
    world: &World,
    change: impl Fn(&Value) -> Result<Value, String>,
) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let client = remote_client(cx, &namespace, &cluster).await?;
    let api: Api<ConfigMap> = Api::namespaced(client, "kube-system");
    let what = "ConfigMap kube-system/kubeadm-config of the workload cluster";
    let reason = reasons::CONTROL_PLANE_UNHEALTHY;
    let record = api.get("kubeadm-config").await;
    let record = record.map_err(|e| failed(reason, what, &e))?;
    let unusable = |why: &str| Wait {
        reason,
        message: format!("{what}: ClusterConfiguration {why}"),
    };
    let configuration =
        super::gather::configuration(&record).ok_or_else(|| unusable("is not YAML"))?;
    let wanted =
        change(&configuration).map_err(|why| unusable(&format!("cannot be written: {why}")))?;
    let patch = json!({
        "metadata": {"resourceVersion": record.metadata.resource_version},
        "data": {"ClusterConfiguration": crate::yaml::render(&wanted)},
    });
    patch_config_map(cx, world, "kube-system", "kubeadm-config", &patch).await
}

async fn set_kube_proxy_image(cx: &Cx, world: &World, image: &str) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let client = remote_client(cx, &namespace, &cluster).await?;
    let api: Api<DaemonSet> = Api::namespaced(client, "kube-system");
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "kube-proxy", "image": image}]}}}});
    let params = PatchParams {
        field_manager: Some("apiary-kubeadmcontrolplane".to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch("kube-proxy", &params, &Patch::Strategic(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = "patching DaemonSet kube-system/kube-proxy of the workload cluster";
            Err(failed(reasons::CONTROL_PLANE_UNHEALTHY, what, &error))
        }
    }
}

async fn upgrade_core_dns(cx: &Cx, world: &World, step: &Step) -> Result<(), Wait> {
    // Not over what somebody else has written since it was read.
    let workload = world.workload.as_ref();
    let found = workload.and_then(|workload| workload.core_dns.as_ref());
    let revision = found.and_then(|found| found.revision.as_deref());
    let data = |key: &str, text: &str| json!({"metadata": {"resourceVersion": revision}, "data": {key: text}});
    let (namespace, name) = ("kube-system", coredns::NAME);
    match step {
        Step::Record => {
            let record = |record: &Value| Ok(coredns::recorded(world, record));
            change_cluster_configuration(cx, world, record).await
        }
        Step::BackUp(corefile) => {
            let patch = data(coredns::BACKUP, corefile);
            patch_config_map(cx, world, namespace, name, &patch).await
        }
        Step::UseBackup => change_core_dns(cx, world, coredns::BACKUP, None).await,
        Step::Migrate(corefile) => {
            let patch = data(coredns::COREFILE, corefile);
            patch_config_map(cx, world, namespace, name, &patch).await
        }
        Step::Finish(image) => change_core_dns(cx, world, coredns::COREFILE, Some(image)).await,
    }
}

/// Has the Deployment of CoreDNS use the configuration under `key`, with this image if one is given.
async fn change_core_dns(
    cx: &Cx,
    world: &World,
    key: &str,
    image: Option<&str>,
) -> Result<(), Wait> {
    let what = "changing Deployment kube-system/coredns of the workload cluster";
    let failed = |error: kube::Error| failed(reasons::CONTROL_PLANE_UNHEALTHY, what, &error);
    let (namespace, cluster) = names(world);
    let client = remote_client(cx, &namespace, &cluster).await?;
    let api: Api<Deployment> = Api::namespaced(client, "kube-system");
    let mut deployment = api.get(coredns::NAME).await.map_err(failed)?;
    let spec = deployment.spec.get_or_insert_default();
    let pod = spec.template.spec.get_or_insert_default();
    let volumes = pod.volumes.iter_mut().flatten();
    let items = volumes
        .filter_map(|volume| volume.config_map.as_mut())
        .filter(|source| source.name == coredns::NAME)
        .flat_map(|source| source.items.iter_mut().flatten());
    for item in items.filter(|i| [coredns::COREFILE, coredns::BACKUP].contains(&i.key.as_str())) {
        key.clone_into(&mut item.key);
    }
    let containers = pod.containers.iter_mut();
    for container in containers.filter(|c| c.name == coredns::NAME) {
        if let Some(image) = image {
            container.image = Some(image.to_owned());
        }
    }
    // Lists are written whole: not over what somebody else has written meanwhile.
    let patch = json!({
        "metadata": {"resourceVersion": deployment.metadata.resource_version},
        "spec": {"template": {"spec": {"volumes": pod.volumes, "containers": pod.containers}}},
    });
    let params = PatchParams {
        field_manager: Some("apiary-kubeadmcontrolplane".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    let patched = api.patch(coredns::NAME, &params, &patch);
    patched.await.map(drop).map_err(failed)
}
