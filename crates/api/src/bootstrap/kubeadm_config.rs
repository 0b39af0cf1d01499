//! How one machine boots with kubeadm.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta as Metadata;
use kube::{CustomResource, CustomResourceExt, Resource};
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::kubeadm::{ClusterConfiguration, InitConfiguration, JoinConfiguration, Timeouts};
use crate::condition_path;
use crate::meta::crd::{AGE_PATH, CLUSTER_NAME_PATH};
use crate::meta::{
    Condition, CrdExt, DeprecatedCondition, DeprecatedV1Beta1, FieldError, OptionalSpec, SecretKey,
    schema,
};

/// How a machine should boot.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "KubeadmConfig",
    root = "Definition",
    status = "KubeadmConfigStatus",
    namespaced
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmConfigSpec {
    /// Settings of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_configuration: Option<ClusterConfiguration>,
    /// Settings of the first control plane machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_configuration: Option<InitConfiguration>,
    /// Settings of a machine that joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_configuration: Option<JoinConfiguration>,
    /// Files on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub files: Option<Vec<File>>,
    /// Disks of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_setup: Option<DiskSetup>,
    /// Mounts of the machine, as fields of fstab; with ignition: device or label of a filesystem, mount point, options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 1, max = 100), inner(length(min = 1, max = 512)))
    )]
    pub mounts: Option<Vec<Vec<String>>>,
    /// Commands that run very early at every boot. Ignition has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 10240)))]
    pub boot_commands: Option<Vec<String>>,
    /// Commands that run before kubeadm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 10240)))]
    pub pre_kubeadm_commands: Option<Vec<String>>,
    /// Commands that run after kubeadm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 10240)))]
    pub post_kubeadm_commands: Option<Vec<String>>,
    /// Users of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub users: Option<Vec<User>>,
    /// Time servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ntp: Option<Ntp>,
    /// The format of the bootstrap data. ignition is what Flatcar reads, in version 2.3 of its spec. Default: cloud-config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["cloud-config", "ignition"]))]
    pub format: Option<String>,
    /// The log level of kubeadm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<i32>,
    /// Settings of the ignition format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignition: Option<Ignition>,
}

/// A file on the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// The absolute path.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// The owner, as in `root:root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub owner: Option<String>,
    /// The permissions, as in `0640`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub permissions: Option<String>,
    /// How `content` is encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["base64", "gzip", "gzip+base64"]))]
    pub encoding: Option<String>,
    /// Whether the content is added to what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<bool>,
    /// The content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10240))]
    pub content: Option<String>,
    /// Where the content comes from otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_from: Option<ContentFrom>,
    /// Whether the content is a Go template over `.controlPlane.version`. Default: Raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Raw", "Template"]))]
    pub content_format: Option<String>,
}

/// Where a content comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContentFrom {
    /// A key of a Secret.
    pub secret: SecretKey,
}

/// A user of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The login name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub gecos: Option<String>,
    /// Further groups, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub groups: Option<String>,
    /// The home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub home_dir: Option<String>,
    /// Whether the login is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive: Option<bool>,
    /// The login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub shell: Option<String>,
    /// The hash of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub passwd: Option<String>,
    /// Where the hash of the password comes from otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passwd_from: Option<ContentFrom>,
    /// The first group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub primary_group: Option<String>,
    /// Whether login by password is impossible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_password: Option<bool>,
    /// The rule for sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub sudo: Option<String>,
    /// Public keys for login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 2048)))]
    pub ssh_authorized_keys: Option<Vec<String>>,
}

/// Time servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Ntp {
    /// The servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 512)))]
    pub servers: Option<Vec<String>>,
    /// Whether the machine asks them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Disks of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct DiskSetup {
    /// Partitions that are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub partitions: Option<Vec<Partition>>,
    /// Filesystems that are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub filesystems: Option<Vec<Filesystem>>,
}

/// A disk to partition: with one partition, or by a layout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.layout),has(self.diskLayout)].filter(x,x==true).size() == 1",
    "message": "exactly one of layout and diskLayout must be set",
}]))]
pub struct Partition {
    /// The device.
    #[schemars(length(min = 1, max = 256))]
    pub device: String,
    /// Whether one partition takes the whole device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<bool>,
    /// Whether a partition table that is there is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// The kind of partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["mbr", "gpt"]))]
    pub table_type: Option<String>,
    /// The partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub disk_layout: Option<Vec<PartitionLayout>>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionLayout {
    /// Its share of the device.
    #[schemars(range(min = 1, max = 100))]
    pub percentage: i32,
    /// Its type: Linux, LinuxSwap, LinuxRAID, LVM, Fat32, NTFS, LinuxExtended or a GUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36), extend("x-kubernetes-validations" = [{
        "rule": "self.matches('^(Linux|LinuxSwap|LinuxRAID|LVM|Fat32|NTFS|LinuxExtended|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$')",
        "message": "must be Linux, LinuxSwap, LinuxRAID, LVM, Fat32, NTFS, LinuxExtended or a GPT partition type GUID",
    }]))]
    pub partition_type: Option<String>,
}

/// A filesystem that is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filesystem {
    /// The device.
    #[schemars(length(min = 1, max = 256))]
    pub device: String,
    /// The kind of filesystem.
    #[schemars(length(min = 1, max = 128))]
    pub filesystem: String,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub label: Option<String>,
    /// The partition, or auto, any or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub partition: Option<String>,
    /// Whether a filesystem that is there is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// The kind of filesystem that is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "replaceFS")]
    #[schemars(length(min = 1, max = 128))]
    pub replace_fs: Option<String>,
    /// Options of the command that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub extra_opts: Option<Vec<String>>,
}

/// Settings of the ignition format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Ignition {
    /// A Container Linux config that is merged in; what it says comes before what is made from other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_linux_config: Option<ContainerLinuxConfig>,
}

/// A Container Linux config.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ContainerLinuxConfig {
    /// The config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32768))]
    pub additional_config: Option<String>,
    /// Whether unknown fields and files without a mode are errors. Default: false; unknown fields are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// What became of the bootstrap data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmConfigStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How far the work has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<KubeadmConfigInitialization>,
    /// The Secret with the bootstrap data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub data_secret_name: Option<String>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedStatus>>,
}

/// How far the work has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct KubeadmConfigInitialization {
    /// The Secret with the bootstrap data is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_secret_created: Option<bool>,
}

/// What the v1beta1 contract showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedStatus {
    /// Conditions of the v1beta1 contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<DeprecatedCondition>>,
    /// A terminal failure, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_reason: Option<String>,
    /// A terminal failure, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10240))]
    pub failure_message: Option<String>,
}

/// Conditions of a KubeadmConfig.
pub mod conditions {
    /// Summary of DataSecretAvailable and CertificatesAvailable.
    pub const READY: &str = "Ready";
    /// The Secret with the bootstrap data is there.
    pub const DATA_SECRET_AVAILABLE: &str = "DataSecretAvailable";
    /// The cluster's certificates that the machine needs are there.
    pub const CERTIFICATES_AVAILABLE: &str = "CertificatesAvailable";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a KubeadmConfig.
pub mod reasons {
    /// DataSecretAvailable: the cluster's infrastructure is not there yet, or another machine initializes the control plane.
    pub const NOT_AVAILABLE: &str = "NotAvailable";
    /// DataSecretAvailable: a file or password names a Secret that is not there, or a configuration that cannot work.
    pub const READING_FAILED: &str = "InternalError";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", CLUSTER_NAME_PATH),
    ("Paused~", "string", condition_path!("Paused")),
    (
        "Data secret created",
        "string",
        ".status.initialization.dataSecretCreated",
    ),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    Definition::crd().cluster_api(COLUMNS).spec_may_be_missing()
}

/// How a machine boots. Unlike the derived type, this one reads and writes objects without a spec, which are allowed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct KubeadmConfig {
    #[serde(default)]
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: KubeadmConfigSpec,
    pub status: Option<KubeadmConfigStatus>,
}

impl Serialize for KubeadmConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("apiVersion", &Self::api_version(&()))?;
        object.serialize_entry("kind", &Self::kind(&()))?;
        object.serialize_entry("metadata", &self.metadata)?;
        if self.spec != KubeadmConfigSpec::default() {
            object.serialize_entry("spec", &self.spec)?;
        }
        if let Some(status) = &self.status {
            object.serialize_entry("status", status)?;
        }
        object.end()
    }
}

impl Resource for KubeadmConfig {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        Definition::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        Definition::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        Definition::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        Definition::plural(dt)
    }

    fn meta(&self) -> &Metadata {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }
}

impl KubeadmConfig {
    /// Whether the Secret with the bootstrap data is there.
    #[must_use]
    pub fn is_data_secret_created(&self) -> bool {
        self.status
            .as_ref()
            .and_then(|s| s.initialization.as_ref())
            .is_some_and(|i| i.data_secret_created == Some(true))
    }
}

/// What is wrong with a KubeadmConfig. There are no defaults.
#[must_use]
pub fn validate(new: &KubeadmConfig, _old: Option<&KubeadmConfig>) -> Vec<FieldError> {
    let mut errors = vec![];
    check_spec("spec", &new.spec, &mut errors);
    errors
}

/// Checks that hold wherever the spec is embedded.
pub fn check_spec(path: &str, spec: &KubeadmConfigSpec, errors: &mut Vec<FieldError>) {
    let mut paths = std::collections::BTreeSet::new();
    for (i, file) in spec.files.iter().flatten().enumerate() {
        let path = format!("{path}.files[{i}]");
        if file.content.is_some() && file.content_from.is_some() {
            errors.push(FieldError::invalid(
                &path,
                "only one of content and contentFrom may be set",
            ));
        }
        if !paths.insert(&file.path) {
            errors.push(FieldError::invalid(
                format!("{path}.path"),
                format!("{:?} occurs more than once", file.path),
            ));
        }
    }
    for (i, user) in spec.users.iter().flatten().enumerate() {
        if user.passwd.is_some() && user.passwd_from.is_some() {
            errors.push(FieldError::invalid(
                format!("{path}.users[{i}]"),
                "only one of passwd and passwdFrom may be set",
            ));
        }
    }
    for (i, partition) in spec
        .disk_setup
        .iter()
        .flat_map(|d| d.partitions.iter().flatten())
        .enumerate()
    {
        let total: i32 = partition
            .disk_layout
            .iter()
            .flatten()
            .map(|l| l.percentage.clamp(0, 101))
            .sum();
        if total > 100 {
            errors.push(FieldError::invalid(
                format!("{path}.diskSetup.partitions[{i}].diskLayout"),
                format!("percentages add up to {total}; at most 100 is possible"),
            ));
        }
    }
    let user = spec
        .join_configuration
        .as_ref()
        .and_then(|j| j.discovery.as_ref()?.file.as_ref()?.kube_config.as_ref())
        .map(|kubeconfig| &kubeconfig.user);
    if user.is_some_and(|u| u.auth_provider.is_some() && u.exec.is_some()) {
        errors.push(FieldError::invalid(
            format!("{path}.joinConfiguration.discovery.file.kubeConfig.user"),
            "only one of authProvider and exec may be set",
        ));
    }
    if spec.format.as_deref() == Some("ignition") {
        check_ignition(path, spec, errors);
    } else if spec.ignition.is_some() {
        errors.push(FieldError::forbidden(
            format!("{path}.ignition"),
            "may be set only if format is ignition",
        ));
    }
}

/// Checks of a spec that is for `init` and for `join`: v1beta1 has one timeout for both.
pub fn check_timeouts(path: &str, spec: &KubeadmConfigSpec, errors: &mut Vec<FieldError>) {
    let seconds = |timeouts: Option<&Timeouts>| {
        timeouts.and_then(|t| t.control_plane_component_health_check_seconds)
    };
    let init = spec.init_configuration.as_ref();
    let join = spec.join_configuration.as_ref();
    let init = seconds(init.and_then(|i| i.timeouts.as_ref()));
    let join = seconds(join.and_then(|j| j.timeouts.as_ref()));
    if init != join {
        let shown = |seconds: Option<i32>| seconds.map_or("not set".to_owned(), |s| s.to_string());
        errors.push(FieldError::invalid(
            format!("{path}.joinConfiguration.timeouts.controlPlaneComponentHealthCheckSeconds"),
            format!(
                "is {}, but {} in initConfiguration; both must be the same",
                shown(join),
                shown(init)
            ),
        ));
    }
}

/// What Ignition cannot say.
fn check_ignition(path: &str, spec: &KubeadmConfigSpec, errors: &mut Vec<FieldError>) {
    let mut forbid = |field: String, why: &str| {
        let why = format!("cannot be used if format is ignition: {why}");
        errors.push(FieldError::forbidden(format!("{path}.{field}"), why));
    };
    for (i, file) in spec.files.iter().flatten().enumerate() {
        if file
            .encoding
            .as_ref()
            .is_some_and(|e| e.starts_with("gzip"))
        {
            forbid(format!("files[{i}].encoding"), "use base64");
        }
    }
    for (i, user) in spec.users.iter().flatten().enumerate() {
        if user.inactive == Some(true) {
            forbid(format!("users[{i}].inactive"), "leave the user out");
        }
    }
    if spec.boot_commands.is_some() {
        forbid("bootCommands".to_owned(), "use preKubeadmCommands");
    }
    let disks = spec.disk_setup.iter();
    for (i, partition) in disks
        .clone()
        .flat_map(|d| d.partitions.iter().flatten())
        .enumerate()
    {
        let field = format!("diskSetup.partitions[{i}]");
        if partition.table_type.as_deref().is_some_and(|t| t != "gpt") {
            forbid(format!("{field}.tableType"), "only gpt is possible");
        }
        let layout = partition.disk_layout.as_deref().unwrap_or_default();
        if !matches!(
            layout,
            [] | [PartitionLayout {
                percentage: 100,
                ..
            }]
        ) {
            forbid(
                format!("{field}.diskLayout"),
                "only one partition of 100 percent is possible",
            );
        }
    }
    for (i, filesystem) in disks
        .flat_map(|d| d.filesystems.iter().flatten())
        .enumerate()
    {
        let field = format!("diskSetup.filesystems[{i}]");
        if filesystem.replace_fs.is_some() {
            forbid(format!("{field}.replaceFS"), "use overwrite");
        }
        if filesystem.partition.is_some() {
            forbid(format!("{field}.partition"), "name the partition in device");
        }
    }
}
