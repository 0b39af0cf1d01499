//! `kubeadm join`: every other machine.

use api::infrastructure::local_machine::BootPhase;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::Value;

use super::config::{Configuration, registration, text};
use super::init::control_plane_disk;
use super::network::Identity;
use super::register::Joining;
use super::{Disk, Guest};
use crate::infra::local::{Pki, jws};
use crate::pki::{self, Pair};

/// The cluster that the machine found and trusts.
struct Found {
    server: String,
    ca_cert: String,
}

impl Guest<'_> {
    pub(super) async fn join(&self, configuration: &Configuration) -> Result<Disk, String> {
        let join = configuration
            .join
            .as_ref()
            .ok_or("the configuration has no JoinConfiguration")?;
        let token = text(join, &["discovery", "tlsBootstrapToken"])
            .or(text(join, &["discovery", "bootstrapToken", "token"]))
            .ok_or("the configuration has no discovery.bootstrapToken.token or discovery.tlsBootstrapToken")?;
        self.progress.enter(BootPhase::Discovery).await?;
        let found = self.discover(join).await?;
        let bootstrap = self
            .connect(&found.server, Some(&found.ca_cert), Identity::Token(token))
            .await?;
        let cluster = self.cluster_configuration(&bootstrap).await?;
        let version = self
            .hardware
            .kubernetes_version
            .clone()
            .map_or_else(|| self.kubernetes_version(&cluster), Ok)?;
        let is_control_plane = !join["controlPlane"].is_null();
        let pki = if is_control_plane {
            Some(self.joining_certificates(&cluster, &found)?)
        } else {
            None
        };
        let registration = registration(join);
        let node = self.node_name(&registration);
        let mut control_plane = None;
        if let Some(pki) = &pki {
            let disk = control_plane_disk(&cluster, pki);
            self.start_control_plane(&cluster, &disk, &version).await?;
            control_plane = Some(disk);
        }
        let kubelet = self.kubelet_configuration(&bootstrap).await?;
        self.progress.enter(BootPhase::TLSBootstrap).await?;
        let credentials = self.tls_bootstrap(&bootstrap, &node).await?;
        let written = self
            .start_kubelet(Joining {
                server: found.server.clone(),
                ca_cert: &found.ca_cert,
                credentials,
                registration: super::config::registration(join),
                kubelet,
                patches: text(join, &["patches", "directory"]),
                kubernetes_version: version.clone(),
                control_plane,
            })
            .await?;
        if let Some(pki) = &pki {
            let admin = self.administrator(&found.server, &pki.ca).await?;
            if pki.etcd_ca.is_some() {
                self.join_etcd(&admin, &node).await?;
            }
            self.mark_control_plane(&admin, &registration).await?;
            self.static_pods(&admin, &node, (&cluster, &version), pki.etcd_ca.is_some())
                .await?;
        }
        self.console.line("This node has joined the cluster");
        Ok(written)
    }

    /// Finds the cluster: by a kubeconfig on the disk, or by what anybody may read there, signed with the token and pinned by hashes.
    async fn discover(&self, join: &Value) -> Result<Found, String> {
        if let Some(path) = text(join, &["discovery", "file", "kubeConfigPath"]) {
            let kubeconfig = self
                .files
                .text(path)
                .ok_or_else(|| format!("[discovery] {path} is missing"))?;
            self.console.line(format_args!("[discovery] Using {path}"));
            return read_kubeconfig(kubeconfig);
        }
        let discovery = &join["discovery"]["bootstrapToken"];
        let token =
            text(discovery, &["token"]).ok_or("discovery.bootstrapToken.token is missing")?;
        let endpoint = text(discovery, &["apiServerEndpoint"])
            .ok_or("discovery.bootstrapToken.apiServerEndpoint is missing")?;
        let hashes: Vec<String> =
            serde_json::from_value(discovery["caCertHashes"].clone()).unwrap_or_default();
        if hashes.is_empty() && discovery["unsafeSkipCAVerification"] != true {
            return Err(
                "discovery.bootstrapToken needs caCertHashes, or unsafeSkipCAVerification"
                    .to_owned(),
            );
        }
        let server = format!("https://{endpoint}");
        self.console
            .line(format_args!("[discovery] Asking {server} for the cluster"));
        let anybody = self.connect(&server, None, Identity::Nobody).await?;
        let public = Api::<ConfigMap>::namespaced(anybody, "kube-public");
        let key = format!(
            "{}{}",
            jws::KEY_PREFIX,
            token.split('.').next().unwrap_or_default()
        );
        let kubeconfig = self
            .wait_for("a signed ConfigMap kube-public/cluster-info", || async {
                let info = public
                    .get("cluster-info")
                    .await
                    .map_err(|error| runtime::chain(&error))?;
                signed(&info, &key, token)
            })
            .await?;
        let found = read_kubeconfig(&kubeconfig)?;
        let hash = pki::public_key_hash(&found.ca_cert)
            .map_err(|error| format!("the cluster's certificate authority: {error}"))?;
        if !hashes.is_empty() && !hashes.contains(&hash) {
            return Err(format!(
                "[discovery] the cluster's certificate authority has the public key {hash}, which is none of caCertHashes"
            ));
        }
        // The same again, now that the server can be checked.
        let checked = self
            .connect(&server, Some(&found.ca_cert), Identity::Nobody)
            .await?;
        let again = Api::<ConfigMap>::namespaced(checked, "kube-public")
            .get("cluster-info")
            .await;
        let again =
            again.map_err(|error| format!("[discovery] {server}: {}", runtime::chain(&error)))?;
        signed(&again, &key, token)?;
        self.console
            .line("[discovery] The cluster is the one that the token and the hashes are for");
        Ok(Found { server, ..found })
    }

    async fn cluster_configuration(&self, bootstrap: &Client) -> Result<Value, String> {
        self.read(bootstrap, "kubeadm-config", "ClusterConfiguration")
            .await
    }

    /// The kubelet's configuration for the whole cluster.
    async fn kubelet_configuration(&self, bootstrap: &Client) -> Result<Value, String> {
        self.read(bootstrap, "kubelet-config", "kubelet").await
    }

    /// Reads what `kubeadm init` left for machines that join.
    async fn read(&self, bootstrap: &Client, name: &str, key: &str) -> Result<Value, String> {
        self.console.line(format_args!(
            "[preflight] Reading ConfigMap {name} in kube-system"
        ));
        let api = Api::<ConfigMap>::namespaced(bootstrap.clone(), "kube-system");
        let record = self
            .wait_for(&format!("ConfigMap kube-system/{name}"), || async {
                api.get(name).await.map_err(|error| runtime::chain(&error))
            })
            .await?;
        let text = record
            .data
            .as_ref()
            .and_then(|d| d.get(key))
            .ok_or_else(|| format!("ConfigMap {name} has no {key}"))?;
        serde_saphyr::from_str(text).map_err(|_| format!("ConfigMap {name}: {key} is not YAML"))
    }

    /// The certificate authorities on the disk; they must be those of the cluster.
    fn joining_certificates(&self, cluster: &Value, found: &Found) -> Result<Pki, String> {
        let pki = self.certificates(cluster)?;
        let (own, cluster) = (
            pki::public_key_hash(&pki.ca.cert),
            pki::public_key_hash(&found.ca_cert),
        );
        match (own, cluster) {
            (Ok(own), Ok(cluster)) if own == cluster => Ok(pki),
            _ => Err("[certs] ca.crt is not the certificate authority of the cluster".to_owned()),
        }
    }

    /// Asks for the kubelet's certificate, as somebody who has only the token.
    async fn tls_bootstrap(&self, bootstrap: &Client, node: &str) -> Result<Pair, String> {
        self.console
            .line("[kubelet-start] Asking for the kubelet's certificate");
        let (request, key) =
            pki::signing_request(&format!("system:node:{node}"), "system:nodes")
                .map_err(|error| format!("making the kubelet's key: {}", runtime::chain(&error)))?;
        let wanted = CertificateSigningRequest {
            metadata: ObjectMeta {
                generate_name: Some("csr-".to_owned()),
                ..ObjectMeta::default()
            },
            spec: CertificateSigningRequestSpec {
                request: ByteString(request.into_bytes()),
                signer_name: "kubernetes.io/kube-apiserver-client-kubelet".to_owned(),
                usages: Some(vec![
                    "digital signature".to_owned(),
                    "client auth".to_owned(),
                ]),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        let api = Api::<CertificateSigningRequest>::all(bootstrap.clone());
        let created = api.create(&PostParams::default(), &wanted).await;
        let name = created
            .map_err(|error| {
                format!(
                    "[kubelet-start] asking for a certificate: {}",
                    runtime::chain(&error)
                )
            })?
            .name_any();
        let cert = self
            .wait_for(
                &format!("the certificate of CertificateSigningRequest {name}"),
                || async {
                    let request = api
                        .get(&name)
                        .await
                        .map_err(|error| runtime::chain(&error))?;
                    issued(&request)
                },
            )
            .await??;
        let pair = Pair { cert, key };
        pki::check_pair(&pair)
            .map_err(|why| format!("[kubelet-start] the issued certificate: {why}"))?;
        Ok(pair)
    }
}

/// The certificate: not yet, never, or here.
fn issued(request: &CertificateSigningRequest) -> Result<Result<String, String>, String> {
    let status = request.status.as_ref();
    let conditions = status
        .and_then(|s| s.conditions.as_ref())
        .into_iter()
        .flatten();
    for condition in conditions {
        if matches!(condition.type_.as_str(), "Denied" | "Failed") {
            let message = condition.message.as_deref().unwrap_or_default();
            return Ok(Err(format!(
                "CertificateSigningRequest {} was {}: {message}",
                request.name_any(),
                condition.type_.to_lowercase()
            )));
        }
    }
    match status.and_then(|s| s.certificate.as_ref()) {
        Some(ByteString(bytes)) => Ok(String::from_utf8(bytes.clone())
            .map_err(|_| "the issued certificate is not PEM".to_owned())),
        None => Err("it is not issued yet".to_owned()),
    }
}

/// The kubeconfig in the cluster's public description, if the token signed it.
fn signed(info: &ConfigMap, key: &str, token: &str) -> Result<String, String> {
    let data = info.data.as_ref();
    let field = |name: &str| {
        data.and_then(|d| d.get(name))
            .ok_or_else(|| format!("it has no key {name}"))
    };
    let kubeconfig = field("kubeconfig")?;
    if jws::verify(field(key)?, kubeconfig, token) {
        Ok(kubeconfig.clone())
    } else {
        Err(format!("{key} is not the signature of this token"))
    }
}

fn read_kubeconfig(text: &str) -> Result<Found, String> {
    let parsed: Value =
        serde_saphyr::from_str(text).map_err(|_| "the kubeconfig is not YAML".to_owned())?;
    let cluster = &parsed["clusters"][0]["cluster"];
    let server = cluster["server"]
        .as_str()
        .ok_or("the kubeconfig has no server")?;
    let encoded = cluster["certificate-authority-data"]
        .as_str()
        .ok_or("the kubeconfig has no certificate-authority-data")?;
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded);
    let ca_cert = bytes
        .ok()
        .and_then(|b| String::from_utf8(b).ok())
        .ok_or("certificate-authority-data is not PEM in base64")?;
    Ok(Found {
        server: server.to_owned(),
        ca_cert,
    })
}
