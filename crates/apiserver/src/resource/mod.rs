//! What the server knows of a resource: names, verbs, subresources, columns, and the few switches in which kinds
//! differ (the "strategy"). Built-in resources come from a table, custom ones from their CustomResourceDefinition.

mod autoscaler;
mod builtin;
mod convert;

pub use builtin::builtin;
pub use convert::convert;

use std::sync::Arc;

use crate::schema::Schema;
use crate::schema::rules::RuleNode;
use crate::webhook::ClientConfig;

/// One served resource of one API version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Empty for the core group.
    pub group: Arc<str>,
    pub version: Arc<str>,
    pub plural: Arc<str>,
    pub singular: Arc<str>,
    pub kind: Arc<str>,
    pub list_kind: Arc<str>,
    pub short_names: Vec<Arc<str>>,
    pub categories: Vec<Arc<str>>,
    pub namespaced: bool,
    pub verbs: Vec<&'static str>,
    pub subresources: Vec<Subresource>,
    /// Key of the objects in the store, `<plural>.<group>`, shared by all versions (and by both event groups).
    pub storage: Arc<str>,
    pub schema: Arc<Schema>,
    pub strategy: Strategy,
    /// Columns of `kubectl get` beside the name; empty means Name and Age.
    pub columns: Vec<Column>,
    /// Set for resources that a CustomResourceDefinition brought.
    pub custom: Option<Arc<Custom>>,
}

/// One subresource, e.g. `status` or `scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    pub name: Arc<str>,
    /// Kind of the body, with its group and version when they are not the resource's.
    pub kind: Arc<str>,
    pub group_version: Option<(Arc<str>, Arc<str>)>,
    pub verbs: Vec<&'static str>,
}

/// Where kinds differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    pub generation: Generation,
    /// The main endpoint leaves `status` alone, `/status` leaves everything else alone.
    pub has_status: bool,
    /// PUT creates a missing object.
    pub create_on_update: bool,
    /// PUT without a resourceVersion is allowed.
    pub unconditional_update: bool,
    /// DELETE waits for the grace period (pods).
    pub graceful_delete: bool,
    /// DELETE answers with the object instead of a Status.
    pub delete_returns_object: bool,
    /// A delete without a propagation policy orphans the dependents.
    pub orphan_by_default: bool,
    pub names: NameRule,
}

/// When `metadata.generation` grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    Never,
    /// On a change of anything but `metadata` and `status`.
    Spec,
    /// As `Spec`, and on a change of the annotations (deployments).
    SpecAndAnnotations,
}

/// Which names a kind allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain, 253 characters.
    Subdomain,
    /// RFC 1123 label, 63 characters.
    Label,
    /// RFC 1035 label, 63 characters.
    Label1035,
    /// Anything that is one path segment (RBAC).
    PathSegment,
    /// An IP address in its canonical form.
    Address,
}

/// One column of a Table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Arc<str>,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: Arc<str>,
    pub format: Arc<str>,
    pub description: Arc<str>,
    /// 0 always shown, 1 and more with `-o wide`.
    pub priority: i64,
    /// Kubernetes' simple JSONPath into the object (custom resources); empty for built-in printers.
    pub json_path: Arc<str>,
}

/// JSON paths of the scale subresource: spec replicas, status replicas, label selector.
pub type ScalePaths = (Arc<str>, Arc<str>, Option<Arc<str>>);

/// Who converts objects between versions, other than by name.
#[derive(Clone, Debug)]
pub struct Conversion {
    pub(crate) client: ClientConfig,
    /// Versions of `ConversionReview` that the webhook understands, in its order.
    pub(crate) review_versions: Vec<Box<str>>,
}

/// What only custom resources have.
#[derive(Clone, Debug)]
pub struct Custom {
    /// Version in which objects are stored; without a conversion only `apiVersion` differs.
    pub storage_version: Arc<str>,
    /// Shown as a `Warning` header.
    pub deprecation_warning: Option<Arc<str>>,
    /// `spec.conversion` of strategy `Webhook`.
    pub conversion: Option<Conversion>,
    pub scale: Option<ScalePaths>,
    /// JSON paths usable in field selectors.
    pub selectable_fields: Vec<Arc<str>>,
    /// `x-kubernetes-validations`, compiled.
    pub(crate) rules: Option<Arc<RuleNode>>,
}

impl Resource {
    /// `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether `api_version` (`v1`, `apps/v1`) is the resource's.
    #[must_use]
    pub fn is_version(&self, api_version: &str) -> bool {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        *self.group == *group && *self.version == *version
    }

    /// What clients are warned of when they use the resource at this version.
    #[must_use]
    pub fn deprecation(&self) -> Option<String> {
        match &self.custom {
            Some(custom) => custom.deprecation_warning.as_deref().map(str::to_owned),
            None => builtin::deprecation(self),
        }
    }

    /// The subresource called `name`.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| &*s.name == name)
    }
}
