//! What a machine does once it may talk to its cluster: its kubelet, its role, its static pods, its etcd member.

use std::collections::BTreeMap;

use api::infrastructure::local_machine::BootPhase;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Node, Pod, PodSpec, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::config::Registration;
use super::network::{Identity, create_in};
use super::{ControlPlaneDisk, Disk, Guest, kubelet, settings};
use crate::etcd::{self, Member};
use crate::infra::local::KubeletSpec;
use crate::pki::{self, Pair};
use crate::{names, object};

/// Label and taint of control plane nodes.
const ROLE: &str = "node-role.kubernetes.io/control-plane";
/// Seconds that certificates of kubeadm are valid.
pub(super) const CERTIFICATE_SECONDS: i64 = 365 * 86400;

/// What all roles know when they come to the kubelet.
pub(super) struct Joining<'a> {
    pub(super) server: String,
    pub(super) ca_cert: &'a str,
    pub(super) credentials: Pair,
    pub(super) registration: Registration,
    /// The kubelet's configuration for the whole cluster, and the folder with patches to it.
    pub(super) kubelet: Value,
    pub(super) patches: Option<&'a str>,
    pub(super) kubernetes_version: String,
    pub(super) control_plane: Option<ControlPlaneDisk>,
}

impl Guest<'_> {
    pub(super) fn node_name(&self, registration: &Registration) -> String {
        registration
            .name
            .clone()
            .unwrap_or_else(|| self.hardware.name.clone())
    }

    /// Starts the kubelet, and returns what has to be on the disk.
    pub(super) async fn start_kubelet(&self, joining: Joining<'_>) -> Result<Disk, String> {
        let node_name = self.node_name(&joining.registration);
        self.progress.enter(BootPhase::Kubelet).await?;
        let configured = kubelet::patched(joining.kubelet, joining.patches, &self.files)?;
        for path in &configured.applied {
            self.console.line(format_args!(
                "[patches] Applied {path} to the kubelet's configuration"
            ));
        }
        for path in &configured.skipped {
            self.console
                .line(format_args!("[patches] {path} skipped: simulated"));
        }
        let size = (self.hardware.cpus, self.hardware.memory_mib);
        let settings = kubelet::settings(&configured.configuration, &joining.registration, size)?;
        let mut taints = joining.registration.taints.clone().unwrap_or_default();
        taints.extend(kubelet::taints(
            &configured.configuration,
            &joining.registration,
        )?);
        self.console
            .line("[kubelet-start] Starting the kubelet (simulated)");
        self.host
            .start_kubelet(KubeletSpec {
                cluster: self.hardware.cluster.clone(),
                node_name: node_name.clone(),
                server: joining.server.clone(),
                tls_server_name: self.hardware.tls_server_name.clone(),
                ca_cert: joining.ca_cert.to_owned(),
                credentials: joining.credentials.clone(),
                labels: joining.registration.labels.clone(),
                taints,
                provider_id: self.hardware.provider_id.clone(),
                internal_ip: self.hardware.address.clone(),
                kubernetes_version: joining.kubernetes_version.clone(),
                cpus: self.hardware.cpus,
                memory_mib: self.hardware.memory_mib,
                settings: settings.clone(),
            })
            .await
            .map_err(|why| format!("starting the kubelet: {why}"))?;
        Ok(Disk {
            node_name,
            server: joining.server,
            ca_cert: joining.ca_cert.to_owned(),
            kubelet_cert: joining.credentials.cert,
            kubelet_key: joining.credentials.key,
            control_plane: joining.control_plane,
            kubernetes_version: joining.kubernetes_version,
            settings,
            console: String::new(),
        })
    }

    /// The administrator that kubeadm makes on control plane machines.
    pub(super) async fn administrator(&self, server: &str, ca: &Pair) -> Result<Client, String> {
        let pair = pki::client_certificate(
            ca,
            "kubernetes-super-admin",
            "system:masters",
            CERTIFICATE_SECONDS,
            self.now,
        )
        .map_err(|error| {
            format!(
                "making the administrator's certificate: {}",
                runtime::chain(&error)
            )
        })?;
        self.connect(server, Some(&ca.cert), Identity::Certificate(&pair))
            .await
    }

    /// Waits for the Node, and gives it the label and the taints of the control plane.
    pub(super) async fn mark_control_plane(
        &self,
        client: &Client,
        registration: &Registration,
    ) -> Result<(), String> {
        let name = self.node_name(registration);
        let nodes: Api<Node> = Api::all(client.clone());
        self.wait_for(&format!("Node {name}"), || async {
            let found = nodes.get(&name).await;
            found.map(drop).map_err(|error| runtime::chain(&error))
        })
        .await?;
        self.console.line(format_args!(
            "[mark-control-plane] Marking the node {name} as control-plane"
        ));
        // Others write to a new Node as well, so each attempt is made on the newest.
        self.wait_for(&format!("Node {name} to be marked"), || async {
            let node = nodes.get(&name).await;
            let node = node.map_err(|error| runtime::chain(&error))?;
            let patch = Patch::Merge(control_plane_marks(&node, registration));
            let patched = nodes.patch(&name, &PatchParams::default(), &patch).await;
            patched.map(drop).map_err(|error| runtime::chain(&error))
        })
        .await
    }

    /// The pods of the control plane's components, as the kubelet shows them from kubeadm's manifests.
    pub(super) async fn static_pods(
        &self,
        client: &Client,
        node: &str,
        (cluster, version): (&Value, &str),
        has_etcd: bool,
    ) -> Result<(), String> {
        let components = [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ];
        for component in components {
            let image = format!("registry.k8s.io/{component}:{}", version.replace('+', "_"));
            let arguments = settings::arguments(cluster, component, &self.hardware.address);
            let pod = static_pod(component, node, image, arguments);
            create_in(client, "kube-system", &pod).await?;
        }
        if has_etcd {
            let image = "registry.k8s.io/etcd:3.6.4-0".to_owned();
            let arguments = settings::arguments(cluster, "etcd", &self.hardware.address);
            let pod = static_pod("etcd", node, image, arguments);
            create_in(client, "kube-system", &pod).await?;
        }
        Ok(())
    }

    /// Adds this machine to the members of etcd.
    pub(super) async fn join_etcd(&self, client: &Client, node: &str) -> Result<(), String> {
        self.progress.enter(BootPhase::Etcd).await?;
        self.console
            .line(format_args!("[etcd] Adding member {node} (simulated)"));
        let member = Member {
            id: format!(
                "{:016x}",
                names::hash(&[&self.hardware.provider_id, "etcd"])
            ),
            is_learner: false,
            peer_url: format!("https://{}:2380", self.hardware.address),
        };
        let text = serde_json::to_string(&member).unwrap_or_default();
        let record = ConfigMap {
            metadata: named(etcd::CONFIG_MAP, etcd::NAMESPACE),
            data: Some(BTreeMap::from([(node.to_owned(), text.clone())])),
            ..ConfigMap::default()
        };
        create_in(client, etcd::NAMESPACE, &record).await?;
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), etcd::NAMESPACE);
        let patch = json!({"data": {node: text}});
        let patched = api
            .patch(
                etcd::CONFIG_MAP,
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await;
        patched
            .map(drop)
            .map_err(|error| format!("adding the etcd member: {}", runtime::chain(&error)))
    }
}

/// Metadata with name and namespace.
pub(super) fn named(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()).filter(|n| !n.is_empty()),
        ..ObjectMeta::default()
    }
}

/// The label of a control plane's Node, and its taints beside those that are there.
fn control_plane_marks(node: &Node, registration: &Registration) -> Value {
    let default = Taint {
        key: ROLE.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let wanted = registration.taints.clone().unwrap_or_else(|| vec![default]);
    let spec = node.spec.as_ref();
    let mut taints = spec.and_then(|s| s.taints.clone()).unwrap_or_default();
    for taint in wanted {
        let is_it = |t: &Taint| t.key == taint.key && t.effect == taint.effect;
        if !taints.iter().any(is_it) {
            taints.push(taint);
        }
    }
    json!({
        "metadata": {
            "labels": {ROLE: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""},
            "resourceVersion": node.resource_version(),
        },
        "spec": {"taints": taints},
    })
}

fn static_pod(component: &str, node: &str, image: String, arguments: Vec<String>) -> Pod {
    let hash = names::hash(&[component, node, &image, &arguments.join(" ")]);
    let hash = format!("{hash:016x}");
    let command = [component.to_owned()].into_iter().chain(arguments);
    Pod {
        metadata: ObjectMeta {
            labels: Some(object::labels([
                ("component", component),
                ("tier", "control-plane"),
            ])),
            annotations: Some(object::labels([
                ("kubernetes.io/config.source", "file"),
                ("kubernetes.io/config.mirror", &hash),
                ("kubernetes.io/config.hash", &hash),
            ])),
            ..named(&format!("{component}-{node}"), "kube-system")
        },
        spec: Some(PodSpec {
            node_name: Some(node.to_owned()),
            host_network: Some(true),
            priority_class_name: Some("system-node-critical".to_owned()),
            containers: vec![Container {
                name: component.to_owned(),
                image: Some(image),
                command: Some(command.collect()),
                ..Container::default()
            }],
            tolerations: Some(vec![k8s_openapi::api::core::v1::Toleration {
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                ..Default::default()
            }]),
            ..PodSpec::default()
        }),
        status: None,
    }
}
