//! The app platform: catalogs of charts, apps that want a chart on a cluster, and what was installed.

pub mod app;
pub mod app_catalog_entry;
pub mod catalog;
pub mod chart;
mod shapes;

pub use app::{App, AppSpec, AppStatus};
pub use app_catalog_entry::{AppCatalogEntry, AppCatalogEntrySpec};
pub use catalog::{Catalog, CatalogSpec, CatalogStatus};
pub use chart::{Chart, ChartSpec, ChartStatus};
pub use shapes::{Configs, Install, NamespaceConfig, ObjectKey, Operation};

/// The API group of all these kinds.
pub const GROUP: &str = "application.giantswarm.io";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// The namespace of Charts on every cluster, and of internal catalogs.
pub const PLATFORM_NAMESPACE: &str = "giantswarm";
/// Where catalogs are looked for if an App does not say.
pub const CATALOG_NAMESPACES: [&str; 2] = ["default", PLATFORM_NAMESPACE];

/// Labels and annotations of the app platform.
pub mod labels {
    /// Label: the cluster that an object belongs to. Mandatory on Apps in an organization's namespace.
    pub const CLUSTER: &str = "giantswarm.io/cluster";
    /// Label: who writes the object.
    pub const MANAGED_BY: &str = "giantswarm.io/managed-by";
    /// Annotation: says that the object is written by the platform.
    pub const NOTES: &str = "giantswarm.io/notes";
    /// Label of Apps: which operator reconciles it; here there is one for all.
    pub const APP_OPERATOR_VERSION: &str = "app-operator.giantswarm.io/version";
    /// Label of Charts, always `1.0.0`.
    pub const CHART_OPERATOR_VERSION: &str = "chart-operator.giantswarm.io/version";
    /// Annotation of Charts: the name of the App that wants it.
    pub const APP_NAME: &str = "chart-operator.giantswarm.io/app-name";
    /// Annotation of Charts: the namespace of the App that wants it.
    pub const APP_NAMESPACE: &str = "chart-operator.giantswarm.io/app-namespace";
    /// Annotation of Charts: checksum of the values that were last applied.
    pub const VALUES_CHECKSUM: &str = "chart-operator.giantswarm.io/values-md5-checksum";
    /// Annotations with this prefix are copied from an App to its Chart.
    pub const CHART_OPERATOR_PREFIX: &str = "chart-operator.giantswarm.io/";
    /// Annotation of Apps: `"true"` stops all work on it.
    pub const APP_PAUSED: &str = "app-operator.giantswarm.io/paused";
    /// Annotation of Apps: until when (RFC 3339) neither configuration nor Chart is changed.
    pub const CORDON_UNTIL: &str = "app-operator.giantswarm.io/cordon-until";
    /// Annotation of Apps: why it is cordoned.
    pub const CORDON_REASON: &str = "app-operator.giantswarm.io/cordon-reason";
    /// Label of AppCatalogEntries and others: name of the catalog.
    pub const CATALOG: &str = "application.giantswarm.io/catalog";
    /// Label of Catalogs and AppCatalogEntries: stable, test, community, …
    pub const CATALOG_TYPE: &str = "application.giantswarm.io/catalog-type";
    /// Label of AppCatalogEntries: `"true"` on the newest version of an app.
    pub const LATEST: &str = "latest";
}
