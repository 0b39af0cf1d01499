//! The wish to have a chart of a catalog installed on a cluster, with values from several layers. Apps live on the
//! management cluster.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shapes::{self, Configs, Install, NamespaceConfig, ObjectKey, Operation};
use super::{PLATFORM_NAMESPACE, labels};
use crate::meta::crd::{AGE_PATH, Column};
use crate::meta::{Condition, CrdExt, FieldError, schema};
use crate::organization::organization::NAMESPACE_PREFIX;

/// The longest name of an App: it becomes the name of a Helm release.
pub const NAME_MAX: usize = 53;
/// Priority of an extra configuration that has none.
pub const DEFAULT_PRIORITY: i32 = 25;
/// Priority of `spec.config` among extra configurations.
pub const CLUSTER_PRIORITY: i32 = 50;
/// Priority of `spec.userConfig` among extra configurations.
pub const USER_PRIORITY: i32 = 100;
/// The highest priority of an extra configuration.
pub const MAX_PRIORITY: i32 = 150;

/// Which chart is wanted where, and with which values.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "application.giantswarm.io",
    version = "v1alpha1",
    kind = "App",
    status = "AppStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// Name of the Catalog.
    pub catalog: String,
    /// Namespace of the Catalog. Default: `default` or `giantswarm`, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_namespace: Option<String>,
    /// Values on the level of the cluster, above those of the Catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Configs>,
    /// More layers of values, each at its place by priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name", "namespace"]))]
    pub extra_configs: Option<Vec<ExtraConfig>>,
    /// How the chart is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// The cluster.
    pub kube_config: KubeConfig,
    /// Name of the chart in the Catalog.
    pub name: String,
    /// Namespace on the cluster; cannot be changed.
    pub namespace: String,
    /// Metadata of that namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_config: Option<NamespaceConfig>,
    /// How the release is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Operation>,
    /// How the release is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninstall: Option<Operation>,
    /// How the release is upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Operation>,
    /// Values of the user, above those of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_config: Option<Configs>,
    /// Version of the chart; a leading `v` does not matter.
    pub version: String,
}

/// Which cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeConfig {
    /// This cluster.
    pub in_cluster: bool,
    /// Deprecated: for information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<KubeConfigContext>,
    /// The Secret that has the cluster's kubeconfig, under key `kubeConfig` or `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectKey>,
}

/// For information only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KubeConfigContext {
    /// Name of a context.
    #[serde(default)]
    pub name: String,
}

/// A layer of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtraConfig {
    /// `configMap` or `secret`.
    #[serde(default = "config_map", skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["configMap", "secret"]))]
    pub kind: String,
    /// Name of the ConfigMap or Secret.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Where it stands: up to 50 below `spec.config`, up to 100 below `spec.userConfig`, up to 150 above all.
    #[serde(default = "default_priority")]
    #[schemars(range(min = 1, max = 150))]
    pub priority: i32,
}

fn config_map() -> String {
    "configMap".to_owned()
}

fn default_priority() -> i32 {
    DEFAULT_PRIORITY
}

/// What became of the wish.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    /// Version of what the chart installed.
    #[serde(default)]
    pub app_version: String,
    /// The Helm release.
    #[serde(default)]
    pub release: AppRelease,
    /// Version of the chart that is installed. It stays while a problem holds back the next one.
    #[serde(default)]
    pub version: String,
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A Helm release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppRelease {
    /// When it was last deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_deployed: Option<String>,
    /// Why it is in its state, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Helm's state of the release, or the platform's own; see [`statuses`].
    pub status: String,
}

/// Words of `status.release.status` besides those of Helm (`deployed`, `failed`, `pending-install`, `uninstalling`, …).
pub mod statuses {
    /// The release is installed in the wanted version.
    pub const DEPLOYED: &str = "deployed";
    /// The last operation failed.
    pub const FAILED: &str = "failed";
    /// There is no release, and something holds it back.
    pub const NOT_INSTALLED: &str = "not-installed";
    /// Something that the App names does not exist, or the App itself is not valid.
    pub const RESOURCE_NOT_FOUND: &str = "resource-not-found";
    /// The ConfigMaps could not be merged.
    pub const CONFIGMAP_MERGE_FAILED: &str = "configmap-merge-failed";
    /// The Secrets could not be merged.
    pub const SECRET_MERGE_FAILED: &str = "secret-merge-failed";
    /// No index of the Catalog could be read.
    pub const INDEX_NOT_FOUND: &str = "index-not-found";
    /// The Catalog's index has no charts.
    pub const CATALOG_EMPTY: &str = "catalog-empty";
    /// The Catalog has no chart of that name.
    pub const APP_NOT_FOUND: &str = "app-not-found";
    /// The Catalog has the chart, but not in that version.
    pub const APP_VERSION_NOT_FOUND: &str = "app-version-not-found";
    /// The chart could not be fetched.
    pub const CHART_PULL_FAILED: &str = "chart-pull-failed";
    /// The chart could not be rendered, or the cluster refused an object of it.
    pub const INVALID_MANIFEST: &str = "invalid-manifest";
    /// The values break the chart's schema.
    pub const VALUES_SCHEMA_VIOLATION: &str = "values-schema-violation";
    /// An object of the chart belongs to another release.
    pub const ALREADY_EXISTS: &str = "already-exists";
    /// Changes are held back by annotation.
    pub const CORDONED: &str = "cordoned";
    /// The time until which changes are held back is not readable.
    pub const CORDON_FAILED: &str = "cordon-failed";
}

/// Conditions of an App.
pub mod conditions {
    /// The release is deployed on the cluster with the wanted version and values.
    pub const READY: &str = "Ready";
}

/// Reasons of the `Ready` condition of an App.
pub mod reasons {
    /// The App contradicts itself or the rules for Apps; the message says where.
    pub const INVALID: &str = "Invalid";
    /// Changes are stopped by annotation `app-operator.giantswarm.io/paused`.
    pub const PAUSED: &str = "Paused";
    /// Changes are held back by annotation `app-operator.giantswarm.io/cordon-until`.
    pub const CORDONED: &str = "Cordoned";
    /// Annotation `app-operator.giantswarm.io/cordon-until` is no time; changes are held back.
    pub const CORDON_INVALID: &str = "CordonInvalid";
    /// There is no Catalog of that name.
    pub const CATALOG_NOT_FOUND: &str = "CatalogNotFound";
    /// The Catalog's index has not been read yet.
    pub const CATALOG_NOT_READY: &str = "CatalogNotReady";
    /// The Catalog has no charts.
    pub const CATALOG_EMPTY: &str = "CatalogEmpty";
    /// The Catalog has no chart of that name.
    pub const APP_NOT_FOUND: &str = "AppNotFound";
    /// The Catalog has the chart, but not in that version.
    pub const VERSION_NOT_FOUND: &str = "VersionNotFound";
    /// A ConfigMap or Secret with values does not exist.
    pub const CONFIG_NOT_FOUND: &str = "ConfigNotFound";
    /// Values are not readable: not YAML, no map, or not under exactly one key.
    pub const CONFIG_INVALID: &str = "ConfigInvalid";
    /// The Secret with the cluster's kubeconfig does not exist (yet).
    pub const KUBECONFIG_NOT_FOUND: &str = "KubeconfigNotFound";
    /// The kubeconfig is not usable.
    pub const KUBECONFIG_INVALID: &str = "KubeconfigInvalid";
    /// The cluster does not answer (yet).
    pub const CLUSTER_UNREACHABLE: &str = "ClusterUnreachable";
    /// The cluster of the App is being deleted: nothing is changed on it any more.
    pub const CLUSTER_DELETING: &str = "ClusterDeleting";
    /// The release or its Chart belongs to another App.
    pub const RELEASE_TAKEN: &str = "ReleaseTaken";
    /// The chart could not be fetched, or is no chart.
    pub const CHART_PULL_FAILED: &str = "ChartPullFailed";
    /// The chart could not be rendered; the message has file and line.
    pub const RENDER_FAILED: &str = "RenderFailed";
    /// The values break the chart's schema.
    pub const VALUES_INVALID: &str = "ValuesInvalid";
    /// The cluster refused an object, or an operation took too long.
    pub const RELEASE_FAILED: &str = "ReleaseFailed";
    /// A hook failed or did not end in time.
    pub const HOOK_FAILED: &str = "HookFailed";
    /// The release is being installed.
    pub const INSTALLING: &str = "Installing";
    /// The release is being upgraded.
    pub const UPGRADING: &str = "Upgrading";
    /// Somebody else works on the release with Helm.
    pub const RELEASE_BUSY: &str = "ReleaseBusy";
    /// The chart is being fetched.
    pub const CHART_LOADING: &str = "ChartLoading";
    /// Deleting: the release is being removed.
    pub const UNINSTALLING: &str = "Uninstalling";
}

const COLUMNS: &[Column] = &[
    ("Desired Version~", "string", ".spec.version"),
    ("Installed Version", "string", ".status.version"),
    ("Created At", "date", AGE_PATH),
    ("Last Deployed", "date", ".status.release.lastDeployed"),
    ("Status", "string", ".status.release.status"),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    let mut crd = App::crd().platform(COLUMNS);
    crd["spec"]["versions"][0]["additionalPrinterColumns"][0]["priority"] = json!(1);
    let fields = [
        "spec.catalogNamespace",
        "spec.config",
        "spec.extraConfigs",
        "spec.install",
        "spec.kubeConfig.context",
        "spec.kubeConfig.secret",
        "spec.namespaceConfig",
        "spec.rollback",
        "spec.uninstall",
        "spec.upgrade",
        "spec.userConfig",
        "status.release.lastDeployed",
    ];
    shapes::nullable(&mut crd, &fields);
    crd
}

impl App {
    /// The name of the App's cluster by its label, or of its namespace where that is the cluster's.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        let label = self
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(labels::CLUSTER));
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        label.map_or(namespace, String::as_str)
    }

    /// Lives in an organization's namespace and goes to a workload cluster.
    #[must_use]
    pub fn is_org_managed(&self) -> bool {
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        !self.spec.kube_config.in_cluster && namespace.starts_with(NAMESPACE_PREFIX)
    }

    /// The Secret with the kubeconfig of the App's cluster; `None` for this cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<ObjectKey> {
        if self.spec.kube_config.in_cluster {
            return None;
        }
        let named = ObjectKey::named(self.spec.kube_config.secret.as_ref());
        Some(named.cloned().unwrap_or_else(|| ObjectKey {
            name: format!("{}-kubeconfig", self.cluster_name()),
            namespace: self.metadata.namespace.clone().unwrap_or_default(),
        }))
    }

    /// The version without a leading `v`.
    #[must_use]
    pub fn version(&self) -> &str {
        let version = self.spec.version.as_str();
        version.strip_prefix('v').unwrap_or(version)
    }

    /// The name of the Helm release and of the Chart: on a workload cluster the App's name without the cluster's.
    #[must_use]
    pub fn release_name(&self) -> &str {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        if self.spec.kube_config.in_cluster {
            return name;
        }
        let cluster = self.cluster_name();
        let cut = |name: &str, rest: Option<&str>| rest.is_some_and(|r| !r.is_empty() && r != name);
        let prefix = name
            .strip_prefix(cluster)
            .and_then(|rest| rest.strip_prefix('-'));
        let name = if cut(name, prefix) {
            prefix.unwrap_or(name)
        } else {
            name
        };
        let suffix = name
            .strip_suffix(cluster)
            .and_then(|rest| rest.strip_suffix('-'));
        if cut(name, suffix) {
            suffix.unwrap_or(name)
        } else {
            name
        }
    }
}

/// Fills what was left out and follows from the rest: the kubeconfig of a workload cluster, priorities, the label that
/// in-cluster Apps carry.
pub fn default(app: &mut App) {
    if app.spec.kube_config.in_cluster {
        let labels = app.metadata.labels.get_or_insert_default();
        let version = labels
            .entry(labels::APP_OPERATOR_VERSION.to_owned())
            .or_default();
        if version.is_empty() {
            "0.0.0".clone_into(version);
        }
    } else if let Some(secret) = app.kubeconfig() {
        let cluster = app.cluster_name().to_owned();
        app.spec.kube_config.secret = Some(secret);
        let context = app.spec.kube_config.context.get_or_insert_default();
        if context.name.is_empty() {
            context.name = cluster;
        }
    }
    for extra in app.spec.extra_configs.iter_mut().flatten() {
        if extra.kind.is_empty() {
            extra.kind = config_map();
        }
        if extra.priority == 0 {
            extra.priority = DEFAULT_PRIORITY;
        }
    }
}

/// What is wrong with an App in itself, also compared to what it was. Whether what it names exists is not asked: that may
/// come later.
#[must_use]
pub fn validate(new: &App, old: Option<&App>) -> Vec<FieldError> {
    let mut errors = vec![];
    let meta = &new.metadata;
    let (spec, namespace) = (&new.spec, meta.namespace.as_deref().unwrap_or_default());
    let name = meta.name.as_deref().unwrap_or_default();
    let annotation = meta
        .annotations
        .as_ref()
        .and_then(|a| a.get(labels::APP_NAMESPACE));
    if let Some(value) = annotation.filter(|v| *v != namespace) {
        let key = labels::APP_NAMESPACE;
        let detail = format!("wrong `{value}` namespace for the `{key}` annotation");
        errors.push(FieldError::invalid(
            format!("metadata.annotations[{key}]"),
            detail,
        ));
    }
    let has_cluster = meta
        .labels
        .as_ref()
        .is_some_and(|l| l.contains_key(labels::CLUSTER));
    if new.is_org_managed() && !has_cluster {
        let key = labels::CLUSTER;
        errors.push(FieldError::required(
            "metadata.labels",
            format!("label `{key}` not found"),
        ));
    }
    for (field, value) in [
        ("catalog", &spec.catalog),
        ("name", &spec.name),
        ("version", &spec.version),
        ("namespace", &spec.namespace),
    ] {
        if value.is_empty() {
            errors.push(FieldError::required(
                format!("spec.{field}"),
                "must not be empty",
            ));
        }
    }
    shapes::check_configs("spec.config", spec.config.as_ref(), &mut errors);
    shapes::check_configs("spec.userConfig", spec.user_config.as_ref(), &mut errors);
    let secret = spec.kube_config.secret.as_ref();
    shapes::check_key(
        "spec.kubeConfig.secret",
        "kubeconfig secret",
        secret,
        &mut errors,
    );
    if name.len() > NAME_MAX {
        let chars = name.len();
        errors.push(FieldError::invalid(
            "metadata.name",
            format!("name `{name}` is {chars} chars and exceeds max length of {NAME_MAX} chars"),
        ));
    }
    let target = &spec.namespace;
    if spec.kube_config.in_cluster && namespace != PLATFORM_NAMESPACE && namespace != target {
        errors.push(FieldError::forbidden(
            "spec.namespace",
            format!("target namespace {target} is not allowed for in-cluster apps"),
        ));
    }
    check_user_config(new, &mut errors);
    if let Some(old) = old.filter(|old| old.spec.namespace != *target) {
        let before = &old.spec.namespace;
        errors.push(FieldError::forbidden(
            "spec.namespace",
            format!(
                "target namespace for app `{name}` cannot be changed from `{before}` to `{target}`"
            ),
        ));
    }
    errors
}

/// Apps of the catalog `default` have user values of a fixed name.
fn check_user_config(app: &App, errors: &mut Vec<FieldError>) {
    let Some(configs) = &app.spec.user_config else {
        return;
    };
    if app.spec.catalog != "default" {
        return;
    }
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let short = if app.is_org_managed() {
        name
    } else {
        let rest = name.strip_prefix(app.cluster_name());
        rest.and_then(|r| r.strip_prefix('-')).unwrap_or(name)
    };
    let kinds = [
        ("configmap", "configMap", "values", &configs.config_map),
        ("secret", "secret", "secrets", &configs.secret),
    ];
    for (what, field, suffix, key) in kinds {
        let Some(key) = ObjectKey::named(key.as_ref()) else {
            continue;
        };
        let wanted = format!("{name}-user-{suffix}");
        if key.name != wanted && key.name != format!("{short}-user-{suffix}") {
            errors.push(FieldError::invalid(
                format!("spec.userConfig.{field}.name"),
                format!("user {what} must be named `{wanted}` for app in default catalog"),
            ));
        }
    }
}
