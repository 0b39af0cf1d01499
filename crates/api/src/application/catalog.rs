//! A catalog: a Helm repository to install charts from, with default values for all of them.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shapes::{self, Configs};
use crate::meta::crd::{AGE_PATH, Column};
use crate::meta::{Condition, CrdExt, FieldError, schema};

/// A Helm repository and its default values.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "application.giantswarm.io",
    version = "v1alpha1",
    kind = "Catalog",
    status = "CatalogStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct CatalogSpec {
    /// Name for people.
    #[serde(default)]
    pub title: String,
    /// What is in the catalog.
    #[serde(default)]
    pub description: String,
    /// A picture for user interfaces.
    #[serde(rename = "logoURL", default, skip_serializing_if = "Option::is_none")]
    pub logo_url: Option<String>,
    /// Deprecated: the repository, used if `repositories` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Repository>,
    /// Repositories with the same content, the preferred one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub repositories: Option<Vec<Repository>>,
    /// Values below those of every App from this catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Configs>,
}

/// Where charts are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repository {
    /// `helm`: an `index.yaml` and charts by HTTP, or a directory (`file:///…`) with charts, packed or not. `oci` is not
    /// supported.
    #[serde(rename = "type")]
    pub type_: String,
    /// Where it is: without `index.yaml`.
    #[serde(rename = "URL")]
    pub url: String,
}

/// What a catalog is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many apps the repository has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<i64>,
}

/// Conditions of a Catalog.
pub mod conditions {
    /// The index of a repository was read and has charts.
    pub const READY: &str = "Ready";
}

/// Reasons of the `Ready` condition of a Catalog.
pub mod reasons {
    /// No repository is named, or its type is not supported.
    pub const NO_REPOSITORY: &str = "NoRepository";
    /// The index is being read for the first time.
    pub const CATALOG_LOADING: &str = "CatalogLoading";
    /// No repository could be reached; what was read before is used further. Tried again with growing pauses.
    pub const CATALOG_UNREACHABLE: &str = "CatalogUnreachable";
    /// What the repository served is no index: not YAML, no entries, or beyond a limit.
    pub const INDEX_INVALID: &str = "IndexInvalid";
    /// The index has no charts.
    pub const CATALOG_EMPTY: &str = "CatalogEmpty";
}

const COLUMNS: &[Column] = &[
    ("Catalog URL", "string", ".spec.storage.URL"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    let mut crd = Catalog::crd().platform(COLUMNS);
    shapes::nullable(
        &mut crd,
        &["spec.config", "spec.repositories", "spec.logoURL"],
    );
    crd
}

impl Catalog {
    /// The repositories in the order in which they are tried.
    #[must_use]
    pub fn repositories(&self) -> &[Repository] {
        match &self.spec.repositories {
            Some(repositories) if !repositories.is_empty() => repositories,
            _ => self.spec.storage.as_slice(),
        }
    }
}

/// Fills what was left out: each of `storage` and `repositories` from the other, as clients read only one of them.
pub fn default(catalog: &mut Catalog) {
    let spec = &mut catalog.spec;
    let repositories = spec.repositories.get_or_insert_default();
    if repositories.is_empty() {
        repositories.extend(spec.storage.clone());
    }
    if spec.storage.is_none() {
        spec.storage = repositories.first().cloned();
    }
    if repositories.is_empty() {
        spec.repositories = None;
    }
}

/// What is wrong with a Catalog.
#[must_use]
pub fn validate(new: &Catalog) -> Vec<FieldError> {
    let mut errors = vec![];
    if new.repositories().is_empty() {
        errors.push(FieldError::required(
            "spec.repositories",
            "must name a repository: type helm and its URL",
        ));
    }
    for (at, repository) in new.repositories().iter().enumerate() {
        if repository.type_ != "helm" {
            let type_ = &repository.type_;
            errors.push(FieldError::invalid(
                format!("spec.repositories[{at}].type"),
                format!("{type_:?} is not supported, only \"helm\""),
            ));
        }
        let schemes = ["https://", "http://", "file:///"];
        if !schemes.iter().any(|s| repository.url.starts_with(s)) {
            let url = &repository.url;
            errors.push(FieldError::invalid(
                format!("spec.repositories[{at}].URL"),
                format!("{url:?} must start with https://, http:// or file:///"),
            ));
        }
    }
    shapes::check_configs("spec.config", new.spec.config.as_ref(), &mut errors);
    errors
}
