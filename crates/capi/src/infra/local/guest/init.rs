//! `kubeadm init`: the first machine of a control plane.

use std::collections::BTreeMap;

use api::infrastructure::local_machine::BootPhase;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::config::{Configuration, registration, text};
use super::network::create_in;
use super::register::{CERTIFICATE_SECONDS, Joining, named};
use super::{ControlPlaneDisk, Disk, Guest, addons, settings};
use crate::infra::local::{KubeletSettings, Pki};
use crate::pki::{self, Pair, Purpose};

/// Where certificates are if the configuration doesn't say.
const CERTIFICATES_DIR: &str = "/etc/kubernetes/pki";
/// Address range of services if the configuration doesn't say.
const SERVICE_CIDR: &str = "10.96.0.0/12";
const DNS_DOMAIN: &str = "cluster.local";

impl Guest<'_> {
    pub(super) async fn init(&self, configuration: &Configuration) -> Result<Disk, String> {
        let cluster = configuration
            .cluster
            .as_ref()
            .ok_or("the configuration has no ClusterConfiguration")?;
        if self.hardware.is_away {
            return Err(
                "the cluster was moved here before its control plane was there, which can only start on the host that the cluster comes from: move it back"
                    .to_owned(),
            );
        }
        let init = configuration.init.clone().unwrap_or(Value::Null);
        let version = self.kubernetes_version(cluster)?;
        self.console
            .line(format_args!("[init] Using Kubernetes version: {version}"));
        let pki = self.certificates(cluster)?;
        let server = endpoint(cluster)?;
        let disk = control_plane_disk(cluster, &pki);
        self.start_control_plane(cluster, &disk, &version).await?;
        let admin = self.administrator(&server, &pki.ca).await?;
        self.wait_until_healthy(&admin).await?;
        let kubelet = kubelet_configuration(configuration, cluster);
        self.upload(&admin, (cluster, &kubelet), &server, &pki.ca.cert)
            .await?;
        addons::bootstrap_tokens(self, &admin).await?;
        let registration = registration(&init);
        let node = self.node_name(&registration);
        let credentials = pki::client_certificate(
            &pki.ca,
            &format!("system:node:{node}"),
            "system:nodes",
            CERTIFICATE_SECONDS,
            self.now,
        )
        .map_err(|error| {
            format!(
                "making the kubelet's certificate: {}",
                runtime::chain(&error)
            )
        })?;
        let written = self
            .start_kubelet(Joining {
                server,
                ca_cert: &pki.ca.cert,
                credentials,
                registration: super::config::registration(&init),
                kubelet,
                patches: text(&init, &["patches", "directory"]),
                kubernetes_version: version.clone(),
                control_plane: Some(disk.clone()),
            })
            .await?;
        self.mark_control_plane(&admin, &registration).await?;
        if pki.etcd_ca.is_some() {
            self.join_etcd(&admin, &node).await?;
        }
        self.static_pods(&admin, &node, (cluster, &version), pki.etcd_ca.is_some())
            .await?;
        addons::install(self, &admin, cluster, &disk, &version).await?;
        self.console
            .line("Your Kubernetes control-plane has initialized successfully!");
        Ok(written)
    }

    /// The version that the configuration asks for; it must be that of the image.
    pub(super) fn kubernetes_version(&self, cluster: &Value) -> Result<String, String> {
        let wanted = text(cluster, &["kubernetesVersion"]).map(str::to_owned);
        let image = self.hardware.kubernetes_version.clone();
        let version = wanted
            .or(image)
            .ok_or("the configuration has no kubernetesVersion")?;
        if api::cluster::rules::Version::parse(&version).is_none() {
            return Err(format!(
                "kubernetesVersion {version:?} is no version such as v1.36.0"
            ));
        }
        Ok(version)
    }

    /// The certificate authorities that cloud-init wrote. kubeadm would make what is missing, but nobody outside could trust it.
    pub(super) fn certificates(&self, cluster: &Value) -> Result<Pki, String> {
        let dir = text(cluster, &["certificatesDir"]).unwrap_or(CERTIFICATES_DIR);
        let read = |purpose: Purpose| {
            let (cert, key) = purpose.files();
            let text = |file: &str| {
                let path = format!("{dir}/{file}");
                self.files
                    .text(&path)
                    .map(str::to_owned)
                    .ok_or_else(|| format!("[certs] {path} is missing"))
            };
            let pair = Pair {
                cert: text(cert)?,
                key: text(key)?,
            };
            pki::check_pair(&pair)
                .map_err(|why| format!("[certs] {dir}/{cert} and {dir}/{key}: {why}"))?;
            self.console.line(format_args!(
                "[certs] Using existing {}",
                cert.trim_end_matches(".crt").trim_end_matches(".pub")
            ));
            Ok::<_, String>(pair)
        };
        let is_etcd_external = !cluster["etcd"]["external"].is_null();
        Ok(Pki {
            ca: read(Purpose::Cluster)?,
            front_proxy_ca: read(Purpose::FrontProxy)?,
            etcd_ca: if is_etcd_external {
                None
            } else {
                Some(read(Purpose::Etcd)?)
            },
            service_account: read(Purpose::ServiceAccount)?,
        })
    }

    pub(super) async fn start_control_plane(
        &self,
        cluster: &Value,
        disk: &ControlPlaneDisk,
        version: &str,
    ) -> Result<(), String> {
        self.progress.enter(BootPhase::ControlPlane).await?;
        settings::check_api_server(cluster, &self.files)?;
        self.console
            .line("[control-plane] Starting the control plane");
        let written = Disk {
            node_name: String::new(),
            server: String::new(),
            ca_cert: String::new(),
            kubelet_cert: String::new(),
            kubelet_key: String::new(),
            control_plane: None,
            kubernetes_version: version.to_owned(),
            settings: KubeletSettings::default(),
            console: String::new(),
        };
        if self.hardware.is_away {
            self.console
                .line("[control-plane] It runs on the host that the cluster comes from");
            return Ok(());
        }
        let spec = disk.spec(self.hardware, &written);
        self.host
            .start_control_plane(spec)
            .await
            .map_err(|why| format!("starting the control plane: {why}"))
    }

    pub(super) async fn wait_until_healthy(&self, admin: &Client) -> Result<(), String> {
        self.wait_for("the control plane to be healthy", || async {
            admin
                .apiserver_version()
                .await
                .map_err(|error| runtime::chain(&error))
        })
        .await?;
        self.console
            .line("[control-plane-check] kube-apiserver is healthy");
        Ok(())
    }

    /// Leaves the configuration where machines that join find it.
    async fn upload(
        &self,
        admin: &Client,
        (cluster, kubelet): (&Value, &Value),
        server: &str,
        ca_cert: &str,
    ) -> Result<(), String> {
        self.console.line(
            "[upload-config] Storing the configuration in ConfigMap kubeadm-config in kube-system",
        );
        let public = json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {}, "users": [], "contexts": [], "current-context": "",
            "clusters": [{"name": "", "cluster": {
                "server": server,
                "certificate-authority-data": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, ca_cert),
            }}],
        });
        let maps = [
            (
                "kube-system",
                "kubeadm-config",
                "ClusterConfiguration",
                crate::yaml::render(cluster),
            ),
            (
                "kube-system",
                "kubelet-config",
                "kubelet",
                crate::yaml::render(kubelet),
            ),
            (
                "kube-public",
                "cluster-info",
                "kubeconfig",
                crate::yaml::render(&public),
            ),
        ];
        for (namespace, name, key, content) in maps {
            let map = ConfigMap {
                metadata: named(name, namespace),
                data: Some(BTreeMap::from([(key.to_owned(), content.clone())])),
                ..ConfigMap::default()
            };
            create_in(admin, namespace, &map).await?;
            let api: Api<ConfigMap> = Api::namespaced(admin.clone(), namespace);
            let patch = json!({"data": {key: content}});
            let patched = api
                .patch(
                    &map.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(&patch),
                )
                .await;
            patched.map_err(|error| {
                format!(
                    "writing ConfigMap {namespace}/{name}: {}",
                    runtime::chain(&error)
                )
            })?;
        }
        Ok(())
    }
}

/// The kubelet's configuration for the whole cluster: kubeadm's own, and what the file says over it.
fn kubelet_configuration(configuration: &Configuration, cluster: &Value) -> Value {
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "clusterDomain": text(cluster, &["networking", "dnsDomain"]).unwrap_or(DNS_DOMAIN),
        "rotateCertificates": true,
    });
    let given = configuration.kubelet.as_ref().and_then(Value::as_object);
    for (field, value) in given.into_iter().flatten() {
        kubelet[field.as_str()] = value.clone();
    }
    kubelet
}

/// URL of the API server.
fn endpoint(cluster: &Value) -> Result<String, String> {
    let endpoint = text(cluster, &["controlPlaneEndpoint"])
        .ok_or("the configuration has no controlPlaneEndpoint")?;
    Ok(format!("https://{endpoint}"))
}

/// What of the configuration the control plane itself needs.
pub(super) fn control_plane_disk(cluster: &Value, pki: &Pki) -> ControlPlaneDisk {
    let pair = |p: &Pair| (p.cert.clone(), p.key.clone());
    let network = |field: &str| text(cluster, &["networking", field]);
    ControlPlaneDisk {
        service_cidr: network("serviceSubnet").unwrap_or(SERVICE_CIDR).to_owned(),
        pod_cidr: network("podSubnet").unwrap_or_default().to_owned(),
        dns_domain: network("dnsDomain").unwrap_or(DNS_DOMAIN).to_owned(),
        cert_sans: serde_json::from_value(cluster["apiServer"]["certSANs"].clone())
            .unwrap_or_default(),
        ca: pair(&pki.ca),
        front_proxy_ca: pair(&pki.front_proxy_ca),
        service_account: pair(&pki.service_account),
        etcd_ca: pki.etcd_ca.as_ref().map(pair),
    }
}
