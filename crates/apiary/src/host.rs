//! The host under the local provider: workload control planes are logical clusters of this process, kubelets are
//! simulated, and the network leads back into this process.

use apiserver::ClusterSpec;
use apiserver::auth::ClusterKeys;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capi::infra::local::{ClusterId, ControlPlaneSpec, Host, KubeletSpec};
use controlplane::{ControlPlanes, kubelet};
use k8s_openapi::api::core::v1::Taint;
use kube::config::AuthInfo;
use runtime::Connector;

/// Runs what simulated machines need in this process.
pub struct LocalHost {
    planes: ControlPlanes,
}

impl LocalHost {
    /// A host that runs control planes among `planes`.
    #[must_use]
    pub fn new(planes: ControlPlanes) -> Self {
        Self { planes }
    }
}

#[async_trait]
impl Host for LocalHost {
    async fn start_control_plane(&self, spec: ControlPlaneSpec) -> Result<(), String> {
        let id = spec.cluster.to_string();
        let keys = ClusterKeys::from_pem(
            &spec.pki.ca.cert,
            &spec.pki.ca.key,
            &spec.pki.service_account.key,
        )
        .and_then(|keys| {
            let front_proxy = &spec.pki.front_proxy_ca;
            keys.with_front_proxy(&front_proxy.cert, &front_proxy.key)
        })
        .map_err(|error| runtime::chain(&error))?;
        if let Some(running) = self.planes.running(&id) {
            let is_same = running.cluster.spec().keys.ca_cert_pem == keys.ca_cert_pem;
            if !is_same {
                return Err(format!(
                    "cluster {id} runs already, with another certificate authority"
                ));
            }
            return self.set_version(&id, &spec.kubernetes_version).await;
        }
        let first_range = spec.service_cidr.split(',').next().unwrap_or_default();
        let cluster = ClusterSpec {
            id: id.clone(),
            server_names: vec![spec.tls_server_name],
            keys,
            service_cidr: first_range.trim().to_owned(),
            version: spec.kubernetes_version.clone(),
        };
        self.planes
            .start(cluster)
            .await
            .map_err(|error| runtime::chain(&error))?;
        self.set_version(&id, &spec.kubernetes_version).await
    }

    fn has_control_plane(&self, cluster: &ClusterId) -> bool {
        self.planes.running(&cluster.to_string()).is_some()
    }

    async fn stop_control_plane(&self, cluster: &ClusterId) -> Result<(), String> {
        self.planes
            .remove(&cluster.to_string())
            .await
            .map_err(|error| runtime::chain(&error))
    }

    async fn start_kubelet(&self, spec: KubeletSpec) -> Result<(), String> {
        let id = spec.cluster.to_string();
        let client = self.connect(config(&spec)?).await?;
        let taints = spec
            .taints
            .iter()
            .map(|t| Taint {
                time_added: None,
                ..t.clone()
            })
            .collect();
        let simulated = kubelet::KubeletSpec {
            node_name: spec.node_name,
            labels: spec.labels,
            taints,
            provider_id: spec.provider_id,
            version: spec.kubernetes_version,
            cpus: u32::try_from(spec.cpus).unwrap_or(1),
            memory_mib: u64::try_from(spec.memory_mib).unwrap_or(1024),
            internal_ip: spec.internal_ip,
            static_pods: vec![],
            lease_seconds: spec.settings.lease_seconds,
            max_pods: spec.settings.max_pods,
            reserved_millicpus: spec.settings.reserved_millicpus,
            reserved_memory_mib: spec.settings.reserved_memory_mib,
        };
        self.planes.start_kubelet(&id, simulated, client);
        Ok(())
    }

    async fn stop_kubelet(&self, cluster: &ClusterId, node_name: &str) -> Result<(), String> {
        self.planes.stop_kubelet(&cluster.to_string(), node_name);
        Ok(())
    }

    async fn connect(&self, config: kube::Config) -> Result<kube::Client, String> {
        self.planes
            .connector()
            .connect(config)
            .await
            .map_err(|error| runtime::chain(&error))
    }
}

impl LocalHost {
    async fn set_version(&self, id: &str, version: &str) -> Result<(), String> {
        self.planes
            .server()
            .set_version(id, version)
            .await
            .map_err(|error| runtime::chain(&error))
    }
}

/// How the kubelet reaches its API server, with its own credentials.
fn config(spec: &KubeletSpec) -> Result<kube::Config, String> {
    let url = spec
        .server
        .parse()
        .map_err(|error| format!("the server address {:?} is no URL: {error}", spec.server))?;
    let mut config = kube::Config::new(url);
    config.tls_server_name = Some(spec.tls_server_name.clone());
    config.root_cert = Some(certificates(&spec.ca_cert)?);
    config.auth_info = AuthInfo {
        client_certificate_data: Some(STANDARD.encode(&spec.credentials.cert)),
        client_key_data: Some(STANDARD.encode(&spec.credentials.key).into()),
        ..AuthInfo::default()
    };
    Ok(config)
}

/// The certificates of a PEM text, as DER.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| {
            certificate
                .map(|c| c.to_vec())
                .map_err(|error| format!("the cluster's CA is no PEM: {error}"))
        })
        .collect()
}
