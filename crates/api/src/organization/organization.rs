//! A tenant of the platform: the owner of one namespace, where its clusters and apps live.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::crd::{AGE_PATH, Column};
use crate::meta::{Condition, CrdExt, FieldError, schema};

/// The API group of organizations.
pub const GROUP: &str = "security.giantswarm.io";
/// What an organization's namespace is called, before the organization's name.
pub const NAMESPACE_PREFIX: &str = "org-";
/// Label: the organization that an object belongs to.
pub const ORGANIZATION_LABEL: &str = "giantswarm.io/organization";
/// The longest name: with the prefix it must be a name of a namespace.
pub const NAME_MAX: usize = 59;

/// Names that would look like somebody else's.
const REFUSED_PREFIXES: [&str; 6] = [
    "org-",
    "kube-",
    "default",
    "monitoring",
    "gatekeeper",
    "draughtsman",
];

/// What an organization should be: there is nothing to say but its name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "security.giantswarm.io",
    version = "v1alpha1",
    kind = "Organization",
    shortname = "org",
    shortname = "orgs",
    status = "OrganizationStatus",
    derive = "PartialEq"
)]
pub struct OrganizationSpec {}

/// What an organization is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The organization's namespace, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Conditions of an Organization.
pub mod conditions {
    /// The namespace exists and is the organization's own.
    pub const READY: &str = "Ready";
}

/// Reasons of the `Ready` condition of an Organization.
pub mod reasons {
    /// The organization's name cannot become a namespace of its own; it must be created anew under another name.
    pub const NAME_REFUSED: &str = "NameRefused";
    /// The namespace belongs to another organization by its label.
    pub const NAMESPACE_TAKEN: &str = "NamespaceTaken";
    /// The namespace of that name is still being removed; a new one is created afterwards.
    pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
    /// Deleting: clusters or apps in the namespace still exist. The message names them.
    pub const NAMESPACE_IN_USE: &str = "NamespaceInUse";
    /// Deleting: the namespace is empty of clusters and apps and on its way out.
    pub const NAMESPACE_DELETING: &str = "NamespaceDeleting";
}

const COLUMNS: &[Column] = &[
    ("Namespace", "string", ".status.namespace"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    Organization::crd().platform(COLUMNS)
}

impl Organization {
    /// The organization's namespace.
    #[must_use]
    pub fn namespace_name(&self) -> String {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        format!("{NAMESPACE_PREFIX}{name}")
    }
}

/// What is wrong with an Organization. There are no defaults.
#[must_use]
pub fn validate(new: &Organization) -> Vec<FieldError> {
    let name = new.metadata.name.as_deref().unwrap_or_default();
    let refuse = |detail: String| vec![FieldError::invalid("metadata.name", detail)];
    if name.len() > NAME_MAX {
        let chars = name.len();
        return refuse(format!(
            "is {chars} characters long; at most {NAME_MAX} leave room for the prefix {NAMESPACE_PREFIX:?}"
        ));
    }
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|c| is_edge(c) || c == '-');
    if !is_label {
        return refuse(format!(
            "{name:?} must be lower-case letters, digits and inner dashes, because it names a namespace"
        ));
    }
    if let Some(prefix) = REFUSED_PREFIXES.iter().find(|p| name.starts_with(**p)) {
        return refuse(format!(
            "{name:?} must not start with {prefix:?}, which is the platform's own"
        ));
    }
    vec![]
}
