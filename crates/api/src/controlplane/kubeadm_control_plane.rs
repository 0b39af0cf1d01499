//! The control plane of a cluster: a number of machines that kubeadm sets up, replaced one at a time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, CustomResourceExt, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::coredns::CoreDnsVersion;
use crate::bootstrap::KubeadmConfigSpec;
use crate::bootstrap::kubeadm_config::{check_spec, check_timeouts};
use crate::cluster::machine_set::MachineNaming;
use crate::cluster::rules;
use crate::condition_path;
use crate::meta::crd::{AGE_PATH, CLUSTER_NAME_PATH};
use crate::meta::{
    Condition, ContractRef, CrdExt, DeletionTimeouts, DeprecatedCondition, DeprecatedV1Beta1,
    FieldError, Gate, MachineTaint, ObjectMeta, VersionCount, labels, schema,
};

/// What a control plane should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "KubeadmControlPlane",
    shortname = "kcp",
    status = "KubeadmControlPlaneStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct KubeadmControlPlaneSpec {
    /// How many machines; odd unless etcd is somebody else's. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The Kubernetes version.
    #[schemars(length(min = 1, max = 256))]
    pub version: String,
    /// The machines.
    pub machine_template: MachineTemplate,
    /// How the machines boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeadm_config_spec: Option<KubeadmConfigSpec>,
    /// When and how machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How unhealthy machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Remediation>,
    /// How the machines are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_naming: Option<MachineNaming>,
}

/// What the machines are made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineTemplate {
    /// Labels and annotations of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The machines.
    pub spec: MachineTemplateSpec,
}

/// What the machines should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineTemplateSpec {
    /// The template of the machines in the infrastructure.
    pub infrastructure_ref: ContractRef,
    /// Further conditions that count for machines' `Ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::gates")]
    pub readiness_gates: Option<Vec<Gate>>,
    /// Limits on deleting machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionTimeouts>,
    /// Taints of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::machine_taints")]
    pub taints: Option<Vec<MachineTaint>>,
}

/// When and how machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Rollout {
    /// Before something happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RolloutBefore>,
    /// Machines that are older than this are replaced, once it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Time>,
    /// The strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RolloutStrategy>,
}

/// Before what machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct RolloutBefore {
    /// So many days before their certificates expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 7))]
    pub certificates_expiry_days: Option<i32>,
}

/// The strategy by which machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct RolloutStrategy {
    /// RollingUpdate is the only one.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["RollingUpdate"]))]
    pub type_: String,
    /// Bounds of the rolling update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Bounds of a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct RollingUpdate {
    /// How many machines there may be in excess: 1 (the default), or 0 with three replicas or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_surge: Option<IntOrString>,
}

/// How unhealthy machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Remediation {
    /// How often replacing one machine is tried again. Default: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retry: Option<i32>,
    /// Seconds between tries. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retry_period_seconds: Option<i32>,
    /// Seconds after which a new failure isn't a retry any more. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_healthy_period_seconds: Option<i32>,
}

/// What the control plane is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmControlPlaneStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far the first provisioning has come; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<KubeadmControlPlaneInitialization>,
    /// The machines' selector as text, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub selector: Option<String>,
    /// How many machines there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many of them are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// How many of them have what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_date_replicas: Option<i32>,
    /// How many of them have which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::versions")]
    pub versions: Option<Vec<VersionCount>>,
    /// The lowest version of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub version: Option<String>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// The last replacement of an unhealthy machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_remediation: Option<LastRemediation>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedStatus>>,
}

/// How far the first provisioning has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmControlPlaneInitialization {
    /// The first machine has set up the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_initialized: Option<bool>,
}

/// A replacement of an unhealthy machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRemediation {
    /// The machine.
    #[schemars(length(min = 1, max = 253))]
    pub machine: String,
    /// When.
    pub time: Time,
    /// How often it was tried.
    #[schemars(range(min = 0))]
    pub retry_count: i32,
}

/// What the v1beta1 contract showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedStatus {
    /// Conditions of the v1beta1 contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<DeprecatedCondition>>,
    /// How many machines had the new template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// How many machines were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many machines were missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,
    /// A terminal failure, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// A terminal failure, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10240))]
    pub failure_message: Option<String>,
}

/// Conditions of a KubeadmControlPlane.
pub mod conditions {
    /// Initialized, not deleting, certificates there, a majority of etcd healthy, and at least one machine with all components.
    pub const AVAILABLE: &str = "Available";
    /// The first machine has set up the cluster; never goes back.
    pub const INITIALIZED: &str = "Initialized";
    /// The certificate authorities are there. Once the cluster is set up, a missing one is never made anew.
    pub const CERTIFICATES_AVAILABLE: &str = "CertificatesAvailable";
    /// The members of etcd are healthy.
    pub const ETCD_CLUSTER_HEALTHY: &str = "EtcdClusterHealthy";
    /// The components on all machines run.
    pub const CONTROL_PLANE_COMPONENTS_HEALTHY: &str = "ControlPlaneComponentsHealthy";
    /// The `Ready` conditions of all machines.
    pub const MACHINES_READY: &str = "MachinesReady";
    /// The `UpToDate` conditions of all machines.
    pub const MACHINES_UP_TO_DATE: &str = "MachinesUpToDate";
    /// Some machines are being replaced by newer ones (negative).
    pub const ROLLING_OUT: &str = "RollingOut";
    /// There are fewer machines than there should be (negative).
    pub const SCALING_UP: &str = "ScalingUp";
    /// There are more machines than there should be (negative).
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// Some machines are being remediated (negative).
    pub const REMEDIATING: &str = "Remediating";
    /// The control plane is being deleted (negative).
    pub const DELETING: &str = "Deleting";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a KubeadmControlPlane.
pub mod reasons {
    /// Initialized is true.
    pub const INITIALIZED: &str = "Initialized";
    /// Initialized is false: kubeadm's ConfigMap isn't there yet.
    pub const NOT_INITIALIZED: &str = "NotInitialized";
    /// CertificatesAvailable is true.
    pub const CERTIFICATES_AVAILABLE: &str = "Available";
    /// CertificatesAvailable is false: a Secret is missing or unreadable.
    pub const CERTIFICATES_NOT_AVAILABLE: &str = "NotAvailable";
    /// EtcdClusterHealthy or ControlPlaneComponentsHealthy is true.
    pub const HEALTHY: &str = "Healthy";
    /// EtcdClusterHealthy or ControlPlaneComponentsHealthy is false.
    pub const NOT_HEALTHY: &str = "NotHealthy";
    /// EtcdClusterHealthy or ControlPlaneComponentsHealthy is unknown.
    pub const HEALTH_UNKNOWN: &str = "HealthUnknown";
    /// Deleting: machines of workers still exist.
    pub const WAITING_FOR_WORKERS_DELETION: &str = "WaitingForWorkersDeletion";
    /// Deleting: machines of the control plane still exist.
    pub const WAITING_FOR_MACHINE_DELETION: &str = "WaitingForMachineDeletion";
    /// The Cluster has no endpoint yet.
    pub const WAITING_FOR_CONTROL_PLANE_ENDPOINT: &str = "WaitingForControlPlaneEndpoint";
    /// A machine isn't healthy enough for another change.
    pub const CONTROL_PLANE_UNHEALTHY: &str = "ControlPlaneUnhealthy";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", CLUSTER_NAME_PATH),
    ("Available", "string", condition_path!("Available")),
    ("Desired", "integer", ".spec.replicas"),
    ("Current", "integer", ".status.replicas"),
    ("Ready", "integer", ".status.readyReplicas"),
    ("Available", "integer", ".status.availableReplicas"),
    ("Up-to-date", "integer", ".status.upToDateReplicas"),
    ("Paused~", "string", condition_path!("Paused")),
    (
        "Initialized",
        "boolean",
        ".status.initialization.controlPlaneInitialized",
    ),
    ("Age", "date", AGE_PATH),
    ("Version", "string", ".spec.version"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    KubeadmControlPlane::crd().cluster_api(COLUMNS)
}

impl KubeadmControlPlane {
    /// How many machines there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// How many machines there may be in excess while machines are replaced: 0 or 1.
    #[must_use]
    pub fn max_surge(&self) -> i32 {
        self.spec
            .rollout
            .as_ref()
            .and_then(|r| {
                r.strategy
                    .as_ref()?
                    .rolling_update
                    .as_ref()?
                    .max_surge
                    .as_ref()
            })
            .and_then(|surge| rules::scaled(surge, self.replicas(), true))
            .unwrap_or(1)
    }

    /// Whether the first machine has set up the cluster.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.status
            .as_ref()
            .and_then(|s| s.initialization.as_ref())
            .is_some_and(|i| i.control_plane_initialized == Some(true))
    }

    /// Whether etcd runs elsewhere.
    #[must_use]
    pub fn is_etcd_external(&self) -> bool {
        etcd(&self.spec).is_some_and(|e| e.external.is_some())
    }
}

fn etcd(spec: &KubeadmControlPlaneSpec) -> Option<&crate::bootstrap::kubeadm::Etcd> {
    spec.kubeadm_config_spec
        .as_ref()?
        .cluster_configuration
        .as_ref()?
        .etcd
        .as_ref()
}

/// Fills what was left out: one replica, the rolling update with a surge of 1, and the version's leading `v`.
pub fn default(control_plane: &mut KubeadmControlPlane) {
    let spec = &mut control_plane.spec;
    spec.replicas.get_or_insert(1);
    rules::default_version(&mut spec.version);
    let strategy = spec
        .rollout
        .get_or_insert_default()
        .strategy
        .get_or_insert_default();
    if strategy.type_.is_empty() {
        "RollingUpdate".clone_into(&mut strategy.type_);
    }
    strategy
        .rolling_update
        .get_or_insert_default()
        .max_surge
        .get_or_insert(IntOrString::Int(1));
}

/// What is wrong with a KubeadmControlPlane, also compared to what it was.
#[must_use]
pub fn validate(new: &KubeadmControlPlane, old: Option<&KubeadmControlPlane>) -> Vec<FieldError> {
    let mut errors = vec![];
    check_replicas(new, &mut errors);
    rules::check_version("spec.version", &new.spec.version, &mut errors);
    rules::check_naming(
        "spec.machineNaming.template",
        new.spec.machine_naming.as_ref(),
        &mut errors,
    );
    rules::check_metadata(
        "spec.machineTemplate.metadata",
        new.spec.machine_template.metadata.as_ref(),
        &mut errors,
    );
    rules::check_taints(
        "spec.machineTemplate.spec.taints",
        new.spec.machine_template.spec.taints.as_deref(),
        true,
        &mut errors,
    );
    if let Some(config) = &new.spec.kubeadm_config_spec {
        check_spec("spec.kubeadmConfigSpec", config, &mut errors);
        check_timeouts("spec.kubeadmConfigSpec", config, &mut errors);
        check_validity("spec", new.spec.rollout.as_ref(), config, &mut errors);
    }
    check_dns(new, old, &mut errors);
    if let Some(old) = old {
        check_change(new, old, &mut errors);
    }
    errors
}

/// CoreDNS only goes forward, over versions whose configuration is known, unless it is somebody else's.
fn check_dns(
    new: &KubeadmControlPlane,
    old: Option<&KubeadmControlPlane>,
    errors: &mut Vec<FieldError>,
) {
    let is_ours = !new.annotations().contains_key(labels::SKIP_COREDNS);
    let before = old.and_then(KubeadmControlPlane::dns_image_tag);
    let Some(tag) = new
        .dns_image_tag()
        .filter(|tag| is_ours && before != Some(*tag))
    else {
        return;
    };
    let path = format!("spec.kubeadmConfigSpec.{DNS_IMAGE_TAG}");
    let Some(to) = check_tag(&path, tag, errors) else {
        return;
    };
    if let Some(from) = before.and_then(CoreDnsVersion::parse)
        && let Err(why) = from.check_upgrade(to)
    {
        errors.push(FieldError::forbidden(path, why));
    }
}

impl KubeadmControlPlane {
    /// The tag of the image of CoreDNS, if it is said.
    #[must_use]
    pub fn dns_image_tag(&self) -> Option<&str> {
        dns_image_tag(self.spec.kubeadm_config_spec.as_ref()?)
    }
}

/// Where the tag of the image of CoreDNS is in a kubeadm config.
pub(super) const DNS_IMAGE_TAG: &str = "clusterConfiguration.dns.imageTag";

pub(super) fn dns_image_tag(config: &KubeadmConfigSpec) -> Option<&str> {
    let dns = config.cluster_configuration.as_ref()?.dns.as_ref()?;
    dns.image_tag.as_deref()
}

/// The version that a tag of CoreDNS names, or what is wrong with it.
pub(super) fn check_tag(
    path: &str,
    tag: &str,
    errors: &mut Vec<FieldError>,
) -> Option<CoreDnsVersion> {
    let version = CoreDnsVersion::parse(tag);
    if version.is_none() {
        let why = format!("{tag:?} must begin with a version of CoreDNS, such as v1.12.4");
        errors.push(FieldError::invalid(path, why));
    }
    version
}

fn check_replicas(new: &KubeadmControlPlane, errors: &mut Vec<FieldError>) {
    match new.spec.replicas {
        Some(replicas) if replicas <= 0 => {
            errors.push(FieldError::forbidden(
                "spec.replicas",
                "cannot be less than 1",
            ));
        }
        Some(replicas) if replicas % 2 == 0 && !new.is_etcd_external() => {
            errors.push(FieldError::forbidden(
                "spec.replicas",
                "cannot be an even number when etcd runs on the control plane machines",
            ));
        }
        _ => {}
    }
    let surge = new.spec.rollout.as_ref().and_then(|r| {
        r.strategy
            .as_ref()?
            .rolling_update
            .as_ref()?
            .max_surge
            .as_ref()
    });
    let path = "spec.rollout.strategy.rollingUpdate.maxSurge";
    match surge {
        None | Some(IntOrString::Int(1)) => {}
        Some(IntOrString::Int(0)) if new.replicas() >= 3 => {}
        Some(IntOrString::Int(0)) => {
            errors.push(FieldError::invalid(
                path,
                "must be 1 when there are fewer than 3 replicas",
            ));
        }
        Some(_) => errors.push(FieldError::invalid(path, "must be 0 or 1")),
    }
}

/// Certificates must be valid long enough; `path` is that of the spec.
pub(super) fn check_validity(
    path: &str,
    rollout: Option<&Rollout>,
    config: &KubeadmConfigSpec,
    errors: &mut Vec<FieldError>,
) {
    let cluster = config.cluster_configuration.as_ref();
    let leaf = cluster
        .and_then(|c| c.certificate_validity_period_days)
        .unwrap_or(365);
    let authority = cluster
        .and_then(|c| c.ca_certificate_validity_period_days)
        .unwrap_or(3650);
    if leaf > authority {
        errors.push(FieldError::invalid(
            format!("{path}.kubeadmConfigSpec.clusterConfiguration.certificateValidityPeriodDays"),
            format!("must be at most caCertificateValidityPeriodDays ({authority})"),
        ));
    }
    let before = rollout.and_then(|r| r.before.as_ref()?.certificates_expiry_days);
    if before.is_some_and(|days| days >= leaf) {
        errors.push(FieldError::invalid(
            format!("{path}.rollout.before.certificatesExpiryDays"),
            format!("must be less than the {leaf} days that certificates are valid"),
        ));
    }
}

/// What may change below `spec`; a path covers everything below it.
const CHANGEABLE: &[&str] = &[
    "replicas",
    "version",
    "rollout",
    "remediation",
    "machineNaming",
    "machineTemplate",
    "kubeadmConfigSpec.bootCommands",
    "kubeadmConfigSpec.preKubeadmCommands",
    "kubeadmConfigSpec.postKubeadmCommands",
    "kubeadmConfigSpec.files",
    "kubeadmConfigSpec.users",
    "kubeadmConfigSpec.ntp",
    "kubeadmConfigSpec.ignition",
    "kubeadmConfigSpec.diskSetup",
    "kubeadmConfigSpec.format",
    "kubeadmConfigSpec.mounts",
    "kubeadmConfigSpec.verbosity",
    "kubeadmConfigSpec.clusterConfiguration.etcd",
    "kubeadmConfigSpec.clusterConfiguration.dns",
    "kubeadmConfigSpec.clusterConfiguration.imageRepository",
    "kubeadmConfigSpec.clusterConfiguration.featureGates",
    "kubeadmConfigSpec.clusterConfiguration.apiServer",
    "kubeadmConfigSpec.clusterConfiguration.controllerManager",
    "kubeadmConfigSpec.clusterConfiguration.scheduler",
    "kubeadmConfigSpec.clusterConfiguration.certificateValidityPeriodDays",
    "kubeadmConfigSpec.clusterConfiguration.encryptionAlgorithm",
    "kubeadmConfigSpec.initConfiguration",
    "kubeadmConfigSpec.joinConfiguration",
];

fn check_change(
    new: &KubeadmControlPlane,
    old: &KubeadmControlPlane,
    errors: &mut Vec<FieldError>,
) {
    let json = |spec: &KubeadmControlPlaneSpec| serde_json::to_value(spec).unwrap_or_default();
    let mut changed = vec![];
    changed_paths("", &json(&old.spec), &json(&new.spec), &mut changed);
    for path in changed {
        let is_changeable = CHANGEABLE.iter().any(|c| {
            path == *c
                || path
                    .strip_prefix(c)
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        if !is_changeable {
            errors.push(FieldError::forbidden(
                format!("spec.{path}"),
                "cannot be changed",
            ));
        }
    }
    if new.is_etcd_external() != old.is_etcd_external() {
        errors.push(FieldError::forbidden(
            "spec.kubeadmConfigSpec.clusterConfiguration.etcd",
            "cannot be changed between local and external",
        ));
    }
    let (Some(from), Some(to)) = (
        rules::Version::parse(&old.spec.version),
        rules::Version::parse(&new.spec.version),
    ) else {
        return;
    };
    if to.major == from.major && to.minor > from.minor + 1 {
        errors.push(FieldError::forbidden(
            "spec.version",
            format!(
                "cannot go from {} to {}: minor versions cannot be skipped",
                old.spec.version, new.spec.version
            ),
        ));
    }
}

/// The deepest paths at which two JSON values differ.
fn changed_paths(path: &str, old: &Value, new: &Value, changed: &mut Vec<String>) {
    let empty = Map::new();
    let members = |v: &Value| match v {
        Value::Object(members) => Some(members.clone()),
        Value::Null => Some(empty.clone()),
        _ => None,
    };
    if old == new {
        return;
    }
    let (Some(before), Some(after)) = (members(old), members(new)) else {
        changed.push(path.to_owned());
        return;
    };
    if before.is_empty() && after.is_empty() {
        changed.push(path.to_owned());
    }
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let inner = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let null = Value::Null;
        changed_paths(
            &inner,
            before.get(key).unwrap_or(&null),
            after.get(key).unwrap_or(&null),
            changed,
        );
    }
}
