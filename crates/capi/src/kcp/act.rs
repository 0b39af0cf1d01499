//! What a KubeadmControlPlane does beyond objects of its own cluster, and what needs randomness.

use api::controlplane::kubeadm_control_plane::reasons;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use runtime::{Cx, Wait};
use serde_json::{Value, json};

use super::{Act, World, encryption};
use crate::bootstrap::kubeadm;
use crate::contract::Contract;
use crate::machine::remote_client;
use crate::pki::{self, Purpose};
use crate::{etcd, object, secret};

/// Seconds that the client certificate of a kubeconfig is valid.
pub(super) const KUBECONFIG_SECONDS: i64 = 365 * 86400;
/// Days that a certificate authority is valid if the control plane doesn't say.
const AUTHORITY_DAYS: i32 = 3650;

pub(super) async fn act(cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
    match act {
        Act::GenerateCertificate(purpose) => generate(cx, world, *purpose).await,
        Act::GenerateEncryptionKey => {
            let (_, cluster) = names(world);
            let name = encryption::secret_name(&cluster);
            create_secret(
                cx,
                world,
                &name,
                [(encryption::KEY, encryption::generate())],
            )
            .await
        }
        Act::WriteKubeconfig => write_kubeconfig(cx, world).await,
        Act::RemoveEtcdMember(name) => {
            let patch = json!({"data": {name: null}});
            patch_config_map(cx, world, etcd::NAMESPACE, etcd::CONFIG_MAP, &patch).await
        }
        Act::WriteClusterConfiguration => write_cluster_configuration(cx, world).await,
        Act::SetKubeProxyImage(image) => set_kube_proxy_image(cx, world, image).await,
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

/// The Secret of a plan, for the typed client.
fn typed(secret: DynamicObject) -> Secret {
    let DynamicObject { metadata, data, .. } = secret;
    let mut secret: Secret = serde_json::from_value(data).unwrap_or_default();
    secret.metadata = metadata;
    secret
}

async fn generate(cx: &Cx, world: &World, purpose: Purpose) -> Result<(), Wait> {
    let (_, cluster) = names(world);
    let config = world
        .control_plane
        .spec
        .kubeadm_config_spec
        .as_ref()
        .and_then(|c| c.cluster_configuration.as_ref());
    let algorithm = config.and_then(|c| c.encryption_algorithm.clone());
    let days = config
        .and_then(|c| c.ca_certificate_validity_period_days)
        .unwrap_or(AUTHORITY_DAYS);
    let now = cx.now();
    let name = purpose.secret_name(&cluster);
    let reason = reasons::CERTIFICATES_NOT_AVAILABLE;
    // An RSA key takes a second of computing.
    let made = tokio::task::spawn_blocking(move || {
        pki::generate(purpose, algorithm.as_deref(), days, now)
    })
    .await;
    let made = made.map_err(|e| failed(reason, "making a key", &e))?;
    let pair = made.map_err(|e| failed(reason, &format!("making {name}"), &e))?;
    create_secret(
        cx,
        world,
        &name,
        [("tls.crt", pair.cert), ("tls.key", pair.key)],
    )
    .await
}

/// Writes a Secret that must never be written twice.
async fn create_secret(
    cx: &Cx,
    world: &World,
    name: &str,
    data: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let owner = object::owner_ref(&world.control_plane, true);
    let secret = secret::build(&namespace, name, &cluster, owner, data);
    let secrets: Api<Secret> = Api::namespaced(cx.client(), &namespace);
    match secrets.create(&PostParams::default(), &typed(secret)).await {
        Ok(_) => Ok(()),
        // Somebody was quicker: that one counts.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(failed(
            reasons::CERTIFICATES_NOT_AVAILABLE,
            &format!("writing Secret {name}"),
            &error,
        )),
    }
}

impl World {
    /// Address and server name that clients use; `None` before the endpoint is known.
    pub(super) fn server(&self) -> Option<(String, Option<String>)> {
        let cluster = self.cluster.as_deref()?;
        let (host, port) = cluster.endpoint()?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let name = self
            .infrastructure
            .as_deref()
            .and_then(|i| Contract(i).tls_server_name().map(str::to_owned));
        Some((format!("https://{host}:{port}"), name))
    }
}

async fn write_kubeconfig(cx: &Cx, world: &World) -> Result<(), Wait> {
    let (namespace, cluster) = names(world);
    let reason = reasons::CERTIFICATES_NOT_AVAILABLE;
    let (Some(ca), Some((server, tls_server_name))) =
        (world.authorities.pair(Purpose::Cluster), world.server())
    else {
        return Ok(());
    };
    let client = pki::client_certificate(
        ca,
        "kubernetes-admin",
        "system:masters",
        KUBECONFIG_SECONDS,
        cx.now(),
    )
    .map_err(|e| {
        failed(
            reason,
            "making the client certificate of the kubeconfig",
            &e,
        )
    })?;
    let text = pki::Kubeconfig {
        cluster: &cluster,
        server: &server,
        tls_server_name: tls_server_name.as_deref(),
        ca_cert: &ca.cert,
        client: &client,
    }
    .render();
    let name = format!("{cluster}-kubeconfig");
    let owner = object::owner_ref(&world.control_plane, true);
    let secret = secret::build(&namespace, &name, &cluster, owner, [("value", text)]);
    let secrets: Api<Secret> = Api::namespaced(cx.client(), &namespace);
    let params = PatchParams::apply("apiary-kubeadmcontrolplane").force();
    let written = secrets
        .patch(&name, &params, &Patch::Apply(&typed(secret)))
        .await;
    written
        .map(drop)
        .map_err(|e| failed(reason, &format!("writing Secret {name}"), &e))
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
    let spec = &world.control_plane.spec;
    let config = spec.kubeadm_config_spec.clone().unwrap_or_default();
    let wanted = kubeadm::follow(&configuration, &config, &spec.version)
        .map_err(|why| unusable(&format!("cannot be written: {why}")))?;
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
