//! kubeadm's configuration files, in the version of its API that fits the Kubernetes version. Pure.

use api::bootstrap::KubeadmConfigSpec;
use api::bootstrap::kubeadm::{NodeRegistration, Timeouts};
use api::cluster::rules::Version;
use api::cluster::{Cluster, Machine};
use api::meta::labels;
use k8s_openapi::api::core::v1::Taint;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Versions of kubeadm's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// Kubernetes 1.22 to 1.30.
    V1Beta3,
    /// Kubernetes 1.31 and later.
    V1Beta4,
}

impl ApiVersion {
    /// The version that fits a Kubernetes version; the newest if that isn't known.
    ///
    /// # Errors
    /// If Kubernetes is too old.
    pub fn of(version: Option<&str>) -> Result<Self, String> {
        match version.and_then(Version::parse) {
            Some(v) if v.major == 1 && v.minor < 22 => Err(format!(
                "Kubernetes {} is too old: 1.22 is the oldest whose kubeadm is supported",
                version.unwrap_or_default()
            )),
            Some(v) if v.major == 1 && v.minor < 31 => Ok(Self::V1Beta3),
            _ => Ok(Self::V1Beta4),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::V1Beta3 => "kubeadm.k8s.io/v1beta3",
            Self::V1Beta4 => "kubeadm.k8s.io/v1beta4",
        }
    }
}

/// Files for `kubeadm init`: ClusterConfiguration and InitConfiguration.
///
/// # Errors
/// If the Kubernetes version is too old.
pub fn init(
    spec: &KubeadmConfigSpec,
    machine: &Machine,
    cluster: &Cluster,
) -> Result<String, String> {
    let version = ApiVersion::of(machine.spec.version.as_deref())?;
    let documents = [
        cluster_configuration(spec, machine, cluster, version),
        init_configuration(spec, version),
    ];
    Ok(documents.map(|d| crate::yaml::render(&d)).join("---\n"))
}

/// The file for `kubeadm join`.
///
/// # Errors
/// If the Kubernetes version is too old.
pub fn join(
    spec: &KubeadmConfigSpec,
    machine: &Machine,
    is_control_plane: bool,
) -> Result<String, String> {
    let version = ApiVersion::of(machine.spec.version.as_deref())?;
    Ok(crate::yaml::render(&join_configuration(
        spec,
        version,
        is_control_plane,
    )))
}

/// Fields of kubeadm's record of the cluster that follow the control plane. The others say what the cluster is, and stay.
const FOLLOWING: [&str; 10] = [
    "apiVersion",
    "kubernetesVersion",
    "imageRepository",
    "featureGates",
    "apiServer",
    "controllerManager",
    "scheduler",
    "etcd",
    "certificateValidityPeriod",
    "encryptionAlgorithm",
];

/// kubeadm's record of the cluster, by which machines join, as the control plane wants it for Kubernetes of `version`. What is
/// as it should be comes back unchanged.
///
/// # Errors
/// If the Kubernetes version is too old.
pub fn follow(record: &Value, spec: &KubeadmConfigSpec, version: &str) -> Result<Value, String> {
    let mut wanted = settings(spec, ApiVersion::of(Some(version))?);
    wanted["kubernetesVersion"] = json!(version);
    let mut record = record.clone();
    if let Some(record) = record.as_object_mut() {
        for field in FOLLOWING {
            match wanted[field].take() {
                Value::Null => record.remove(field),
                value => record.insert(field.to_owned(), value),
            };
        }
    }
    Ok(record)
}

fn wire<T: Serialize>(value: Option<&T>) -> Value {
    match value.map(serde_json::to_value) {
        Some(Ok(Value::Object(members))) => Value::Object(members),
        _ => json!({}),
    }
}

fn typed(value: &mut Value, version: ApiVersion, kind: &str) {
    value["apiVersion"] = json!(version.text());
    value["kind"] = json!(kind);
}

fn cluster_configuration(
    spec: &KubeadmConfigSpec,
    machine: &Machine,
    cluster: &Cluster,
    version: ApiVersion,
) -> Value {
    let mut config = settings(spec, version);
    config["clusterName"] = json!(cluster.name_any());
    if let Some(version) = &machine.spec.version {
        config["kubernetesVersion"] = json!(version);
    }
    if config["controlPlaneEndpoint"].is_null()
        && let Some(address) = cluster.address()
    {
        config["controlPlaneEndpoint"] = json!(address);
    }
    let network = cluster.spec.cluster_network.as_ref();
    let mut networking = Map::new();
    let ranges = [
        ("podSubnet", network.and_then(|n| n.pods.as_ref())),
        ("serviceSubnet", network.and_then(|n| n.services.as_ref())),
    ];
    for (field, ranges) in ranges {
        if let Some(ranges) = ranges {
            networking.insert(field.to_owned(), json!(ranges.cidr_blocks.join(",")));
        }
    }
    if let Some(domain) = network.and_then(|n| n.service_domain.as_ref()) {
        networking.insert("dnsDomain".to_owned(), json!(domain));
    }
    if !networking.is_empty() {
        config["networking"] = Value::Object(networking);
    }
    config
}

/// What users say of the components of a cluster, as kubeadm has it.
fn settings(spec: &KubeadmConfigSpec, version: ApiVersion) -> Value {
    let mut config = wire(spec.cluster_configuration.as_ref());
    typed(&mut config, version, "ClusterConfiguration");
    let days = [
        ("certificateValidityPeriodDays", "certificateValidityPeriod"),
        (
            "caCertificateValidityPeriodDays",
            "caCertificateValidityPeriod",
        ),
    ];
    for (from, to) in days {
        let days = config
            .as_object_mut()
            .and_then(|c| c.remove(from))
            .and_then(|d| d.as_i64());
        if let (Some(days), ApiVersion::V1Beta4) = (days, version) {
            config[to] = json!(format!("{}h0m0s", days * 24));
        }
    }
    for component in ["apiServer", "controllerManager", "scheduler"] {
        component_for(&mut config[component], version);
    }
    component_for(&mut config["etcd"]["local"], version);
    if version == ApiVersion::V1Beta3 {
        if let Some(config) = config.as_object_mut() {
            config.remove("encryptionAlgorithm");
        }
        let timeouts = spec
            .init_configuration
            .as_ref()
            .and_then(|i| i.timeouts.as_ref());
        if let Some(seconds) = timeouts.and_then(|t| t.control_plane_component_health_check_seconds)
        {
            config["apiServer"]["timeoutForControlPlane"] = json!(duration(seconds));
        }
    }
    without_nulls(&mut config);
    config
}

/// Arguments are a list in v1beta4 and a map before; environment variables are new in v1beta4.
fn component_for(component: &mut Value, version: ApiVersion) {
    if version == ApiVersion::V1Beta4 {
        return;
    }
    if let Some(component) = component.as_object_mut() {
        component.remove("extraEnvs");
        if let Some(args) = component.get_mut("extraArgs") {
            *args = as_map(args);
        }
    }
}

fn as_map(args: &Value) -> Value {
    let pairs = args.as_array().into_iter().flatten();
    pairs
        .filter_map(|arg| Some((arg["name"].as_str()?.to_owned(), arg["value"].clone())))
        .collect::<Map<_, _>>()
        .into()
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(without_nulls);
        members.retain(|_, v| !v.is_null() && v.as_object().is_none_or(|m| !m.is_empty()));
    }
}

fn duration(seconds: i32) -> String {
    format!("{}m{}s", seconds / 60, seconds % 60)
}

fn timeouts(timeouts: Option<&Timeouts>) -> Value {
    let Some(timeouts) = timeouts else {
        return Value::Null;
    };
    let fields = [
        (
            "controlPlaneComponentHealthCheck",
            timeouts.control_plane_component_health_check_seconds,
        ),
        ("kubeletHealthCheck", timeouts.kubelet_health_check_seconds),
        ("kubernetesAPICall", timeouts.kubernetes_api_call_seconds),
        ("etcdAPICall", timeouts.etcd_api_call_seconds),
        ("tlsBootstrap", timeouts.tls_bootstrap_seconds),
        ("discovery", timeouts.discovery_seconds),
    ];
    let set = fields
        .into_iter()
        .filter_map(|(name, seconds)| Some((name.to_owned(), json!(duration(seconds?)))));
    Value::Object(set.collect())
}

fn node_registration(registration: Option<&NodeRegistration>, version: ApiVersion) -> Value {
    let mut node = wire(registration);
    if version == ApiVersion::V1Beta3 {
        if let Some(args) = node.get_mut("kubeletExtraArgs") {
            *args = as_map(args);
        }
        if let Some(node) = node.as_object_mut() {
            node.remove("imagePullSerial");
        }
    }
    node
}

fn init_configuration(spec: &KubeadmConfigSpec, version: ApiVersion) -> Value {
    let wish = spec.init_configuration.as_ref();
    let mut config = wire(wish);
    typed(&mut config, version, "InitConfiguration");
    config["nodeRegistration"] =
        node_registration(wish.and_then(|w| w.node_registration.as_ref()), version);
    config["timeouts"] = match version {
        ApiVersion::V1Beta3 => Value::Null,
        ApiVersion::V1Beta4 => timeouts(wish.and_then(|w| w.timeouts.as_ref())),
    };
    for token in config["bootstrapTokens"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        let seconds = token
            .as_object_mut()
            .and_then(|t| t.remove("ttlSeconds"))
            .and_then(|s| s.as_i64());
        if let Some(seconds) = seconds {
            token["ttl"] = json!(format!("{seconds}s"));
        }
    }
    finish(&mut config)
}

fn join_configuration(
    spec: &KubeadmConfigSpec,
    version: ApiVersion,
    is_control_plane: bool,
) -> Value {
    let wish = spec.join_configuration.as_ref();
    let mut config = wire(wish);
    typed(&mut config, version, "JoinConfiguration");
    let mut node = node_registration(wish.and_then(|w| w.node_registration.as_ref()), version);
    if !is_control_plane {
        let uninitialized = Taint {
            key: labels::UNINITIALIZED_TAINT.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        match node["taints"].as_array_mut() {
            Some(taints) => taints.push(json!(uninitialized)),
            None => node["taints"] = json!([uninitialized]),
        }
    }
    config["nodeRegistration"] = node;
    let limits = wish.and_then(|w| w.timeouts.as_ref());
    config["timeouts"] = match version {
        ApiVersion::V1Beta3 => Value::Null,
        ApiVersion::V1Beta4 => timeouts(limits),
    };
    if version == ApiVersion::V1Beta3
        && let Some(seconds) = limits.and_then(|t| t.tls_bootstrap_seconds)
    {
        config["discovery"]["timeout"] = json!(duration(seconds));
    }
    // The kubeconfig itself is a file of its own.
    if let Some(file) = config["discovery"]["file"].as_object_mut() {
        file.remove("kubeConfig");
    }
    let mut config = finish(&mut config);
    if is_control_plane && config["controlPlane"].is_null() {
        config["controlPlane"] = json!({});
    }
    config
}

/// Leaves out what is empty, but not an empty list of taints, which means that there are none.
fn finish(config: &mut Value) -> Value {
    without_nulls(config);
    config.take()
}
