//! The parts of kubeadm's configuration that users set; the rest is computed from the cluster.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{EnvVar, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::meta::schema;

/// Settings of the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterConfiguration {
    /// etcd. Default: a member on every control plane machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Etcd>,
    /// Host and port of the API server. Default: the Cluster's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub control_plane_endpoint: Option<String>,
    /// The API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiServer>,
    /// The controller manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_manager: Option<ControlPlaneComponent>,
    /// The scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<ControlPlaneComponent>,
    /// The DNS add-on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// Where certificates are. Default: /etc/kubernetes/pki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub certificates_dir: Option<String>,
    /// Where images of Kubernetes come from. Default: registry.k8s.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image_repository: Option<String>,
    /// Feature gates of kubeadm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_gates: Option<BTreeMap<String, bool>>,
    /// Days that certificates are valid. Default: 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1095))]
    pub certificate_validity_period_days: Option<i32>,
    /// Days that certificate authorities are valid. Default: 3650.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub ca_certificate_validity_period_days: Option<i32>,
    /// The algorithm of keys. Default of the certificate authorities that are made here: ECDSA-P256, which costs a thousandth of an RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["ECDSA-P256", "ECDSA-P384", "RSA-4096", "RSA-3072", "RSA-2048"]))]
    pub encryption_algorithm: Option<String>,
}

/// A component of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ControlPlaneComponent {
    /// Arguments of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "args")]
    pub extra_args: Option<Vec<Arg>>,
    /// Paths of the host that the process sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub extra_volumes: Option<Vec<HostPathMount>>,
    /// Environment variables of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env_vars")]
    pub extra_envs: Option<Vec<EnvVar>>,
}

/// The API server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ApiServer {
    /// Arguments of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "args")]
    pub extra_args: Option<Vec<Arg>>,
    /// Paths of the host that the process sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub extra_volumes: Option<Vec<HostPathMount>>,
    /// Environment variables of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env_vars")]
    pub extra_envs: Option<Vec<EnvVar>>,
    /// Further names and addresses in the serving certificate.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "certSANs")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)))]
    pub cert_sans: Option<Vec<String>>,
}

/// An argument of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arg {
    /// The name, without leading dashes.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value.
    #[schemars(length(min = 0, max = 1024))]
    pub value: String,
}

fn args(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 100,
        "items": generator.subschema_for::<Arg>(),
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "value"],
        "x-kubernetes-validations": [{
            "rule": "self.all(x, self.exists_one(y, x.name == y.name))",
            "message": "each name may occur once",
        }],
    })
}

fn certificate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte", "minLength": 1, "maxLength": 51200 })
}

/// A path of the host that a process sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostPathMount {
    /// The name of the volume.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// The path on the host.
    #[schemars(length(min = 1, max = 512))]
    pub host_path: String,
    /// The path that the process sees.
    #[schemars(length(min = 1, max = 512))]
    pub mount_path: String,
    /// Whether the process may not write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// The type of the host path, as in core/v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_type: Option<String>,
}

/// The DNS add-on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Dns {
    /// Where its image comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image_repository: Option<String>,
    /// The tag of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub image_tag: Option<String>,
}

/// etcd: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Etcd {
    /// A member on every control plane machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalEtcd>,
    /// Somebody else's etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEtcd>,
}

/// etcd on the control plane machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct LocalEtcd {
    /// Where its image comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image_repository: Option<String>,
    /// The tag of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub image_tag: Option<String>,
    /// Where its data is. Default: /var/lib/etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub data_dir: Option<String>,
    /// Arguments of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "args")]
    pub extra_args: Option<Vec<Arg>>,
    /// Environment variables of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env_vars")]
    pub extra_envs: Option<Vec<EnvVar>>,
    /// Further names in the serving certificate.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "serverCertSANs"
    )]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)))]
    pub server_cert_sans: Option<Vec<String>>,
    /// Further names in the peer certificate.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "peerCertSANs"
    )]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)))]
    pub peer_cert_sans: Option<Vec<String>>,
}

/// Somebody else's etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEtcd {
    /// Its members.
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 512)))]
    pub endpoints: Vec<String>,
    /// The certificate authority of its members.
    #[schemars(length(min = 1, max = 512))]
    pub ca_file: String,
    /// The client certificate.
    #[schemars(length(min = 1, max = 512))]
    pub cert_file: String,
    /// The client key.
    #[schemars(length(min = 1, max = 512))]
    pub key_file: String,
}

/// Settings of the first control plane machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct InitConfiguration {
    /// Tokens that are made at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub bootstrap_tokens: Option<Vec<BootstrapToken>>,
    /// How the node registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_registration: Option<NodeRegistration>,
    /// Where the API server listens on this machine.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "localAPIEndpoint"
    )]
    pub local_api_endpoint: Option<LocalApiEndpoint>,
    /// Phases of kubeadm that are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 256)))]
    pub skip_phases: Option<Vec<String>>,
    /// Patches to what kubeadm writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// How long steps may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// Settings of a machine that joins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct JoinConfiguration {
    /// How the node registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_registration: Option<NodeRegistration>,
    /// Where the cluster's certificate authority is put. Default: /etc/kubernetes/pki/ca.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub ca_cert_path: Option<String>,
    /// How the machine finds and trusts the cluster. Default: a bootstrap token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Set on machines that become part of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<JoinControlPlane>,
    /// Phases of kubeadm that are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 256)))]
    pub skip_phases: Option<Vec<String>>,
    /// Patches to what kubeadm writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// How long steps may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// How long steps of kubeadm may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Timeouts {
    /// Seconds until the control plane is healthy. Default: 240.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub control_plane_component_health_check_seconds: Option<i32>,
    /// Seconds until the kubelet is healthy. Default: 240.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub kubelet_health_check_seconds: Option<i32>,
    /// Seconds that a call of the API may take. Default: 60.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "kubernetesAPICallSeconds"
    )]
    #[schemars(range(min = 0))]
    pub kubernetes_api_call_seconds: Option<i32>,
    /// Seconds that a call of etcd may take. Default: 120.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "etcdAPICallSeconds"
    )]
    #[schemars(range(min = 0))]
    pub etcd_api_call_seconds: Option<i32>,
    /// Seconds until the kubelet has its certificate. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub tls_bootstrap_seconds: Option<i32>,
    /// Seconds until the cluster is found. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub discovery_seconds: Option<i32>,
}

/// Patches to what kubeadm writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Patches {
    /// The directory with the patches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub directory: Option<String>,
}

/// A token that lets machines join.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapToken {
    /// The token: six characters, a dot, sixteen characters.
    #[schemars(length(min = 1, max = 23))]
    pub token: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub description: Option<String>,
    /// Seconds that it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds: Option<i32>,
    /// When it ceases to be valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// What it may be used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 256)))]
    pub usages: Option<Vec<String>>,
    /// Groups of those who use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 256)))]
    pub groups: Option<Vec<String>>,
}

/// Where the API server listens on a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct LocalApiEndpoint {
    /// The address. Default: of the machine's default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    pub advertise_address: Option<String>,
    /// The port. Default: 6443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub bind_port: Option<i32>,
}

/// How a node registers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct NodeRegistration {
    /// The name of the Node. Default: the machine's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// The socket of the container runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub cri_socket: Option<String>,
    /// Taints of the Node. Not given: kubeadm's default. Empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 0, max = 100))]
    pub taints: Option<Vec<Taint>>,
    /// Arguments of the kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "args")]
    pub kubelet_extra_args: Option<Vec<Arg>>,
    /// Checks of kubeadm that may fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 512)))]
    pub ignore_preflight_errors: Option<Vec<String>>,
    /// When images are pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Always", "IfNotPresent", "Never"]))]
    pub image_pull_policy: Option<String>,
    /// Whether images are pulled one by one. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_serial: Option<bool>,
}

/// Set on machines that become part of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JoinControlPlane {
    /// Where the API server listens on this machine.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "localAPIEndpoint"
    )]
    pub local_api_endpoint: Option<LocalApiEndpoint>,
}

/// How a machine finds and trusts the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Discovery {
    /// By a token; made and renewed for each machine if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_token: Option<TokenDiscovery>,
    /// By a kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileDiscovery>,
    /// The token for the kubelet's first certificate, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub tls_bootstrap_token: Option<String>,
}

/// Discovery by a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct TokenDiscovery {
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub token: Option<String>,
    /// Host and port of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub api_server_endpoint: Option<String>,
    /// `sha256:` and the hash of the public key of the cluster's certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 512)))]
    pub ca_cert_hashes: Option<Vec<String>>,
    /// Trust without a hash.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "unsafeSkipCAVerification"
    )]
    pub unsafe_skip_ca_verification: Option<bool>,
}

/// Discovery by a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileDiscovery {
    /// Where the kubeconfig is.
    #[schemars(length(min = 1, max = 512))]
    pub kube_config_path: String,
    /// What is put there, if it isn't in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<FileDiscoveryKubeConfig>,
}

/// A kubeconfig for discovery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileDiscoveryKubeConfig {
    /// The cluster. Default: this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<KubeConfigCluster>,
    /// The user.
    pub user: KubeConfigUser,
}

/// The cluster of a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeConfigCluster {
    /// URL of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub server: Option<String>,
    /// The name in the API server's certificate, if it isn't the one in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub tls_server_name: Option<String>,
    /// Trust without a certificate authority.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "insecureSkipTLSVerify"
    )]
    pub insecure_skip_tls_verify: Option<bool>,
    /// The certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "certificate")]
    pub certificate_authority_data: Option<ByteString>,
    /// A proxy on the way.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "proxyURL")]
    #[schemars(length(min = 1, max = 512))]
    pub proxy_url: Option<String>,
}

/// The user of a kubeconfig: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeConfigUser {
    /// A plugin of the client library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_provider: Option<KubeConfigAuthProvider>,
    /// A command that prints credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<KubeConfigExec>,
}

/// A plugin of the client library.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KubeConfigAuthProvider {
    /// The plugin.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<BTreeMap<String, String>>,
}

/// A command that prints credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeConfigExec {
    /// The command.
    #[schemars(length(min = 1, max = 1024))]
    pub command: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 512)))]
    pub args: Option<Vec<String>>,
    /// Its environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub env: Option<Vec<KubeConfigEnv>>,
    /// The API version of what it prints. Default: client.authentication.k8s.io/v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub api_version: Option<String>,
    /// Whether it is told about the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provide_cluster_info: Option<bool>,
}

/// An environment variable of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KubeConfigEnv {
    /// The name.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// The value.
    #[schemars(length(min = 1, max = 512))]
    pub value: String,
}
