//! Small resources for the unit tests of this crate.

use std::sync::Arc;

use crate::resource::{Custom, Generation, NameRule, Resource, Strategy, Subresource};
use crate::schema::Schema;

/// The eight verbs of ordinary kinds.
pub(crate) const ALL_VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// A built-in namespaced kind with `/status` and an empty schema.
pub(crate) fn resource(group: &str, version: &str, plural: &str, kind: &str) -> Resource {
    let storage = if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    };
    Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        verbs: ALL_VERBS.to_vec(),
        subresources: vec![Subresource {
            name: "status".into(),
            kind: kind.into(),
            group_version: None,
            verbs: vec!["get", "patch", "update"],
        }],
        storage: storage.into(),
        schema: Arc::new(Schema::default()),
        strategy: Strategy {
            generation: Generation::Spec,
            has_status: true,
            create_on_update: false,
            unconditional_update: true,
            graceful_delete: false,
            delete_returns_object: false,
            orphan_by_default: false,
            names: NameRule::Subdomain,
        },
        columns: Vec::new(),
        custom: None,
    }
}

/// A cluster-scoped custom resource.
pub(crate) fn custom_resource(
    group: &str,
    version: &str,
    plural: &str,
    kind: &str,
    selectable: &[&str],
) -> Resource {
    Resource {
        namespaced: false,
        custom: Some(Arc::new(Custom {
            conversion: None,
            storage_version: version.into(),
            deprecation_warning: None,
            scale: None,
            selectable_fields: selectable.iter().map(|path| (*path).into()).collect(),
            rules: None,
        })),
        ..resource(group, version, plural, kind)
    }
}
