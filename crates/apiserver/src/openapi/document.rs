//! A whole document: info, paths, components.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::components::Components;
use super::paths::Paths;
use super::{Version, root};
use crate::resource::Resource;

/// The document of `resources`: those of one group version for version 3, all for version 2.
pub(super) fn write(version: Version, resources: &[Arc<Resource>], git_version: &str) -> Value {
    let mut components = Components::new(version);
    let mut paths = Map::new();
    for resource in resources {
        let names = components.add(resource);
        let mut writer = Paths {
            root: root(&resource.group, &resource.version),
            version,
            resource,
            object: names.0,
            list: names.1,
            components: &mut components,
        };
        paths.extend(writer.write());
    }
    let components = components.finish();
    let info = json!({"title": "Kubernetes", "version": git_version});
    let bearer = json!({"BearerToken": {
        "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
    }});
    match version {
        Version::V3 => json!({
            "openapi": "3.0.0", "info": info, "paths": paths,
            "components": {"schemas": components, "securitySchemes": bearer},
        }),
        Version::V2 => json!({
            "swagger": "2.0", "info": info, "paths": paths, "definitions": components,
            "securityDefinitions": bearer, "security": [{"BearerToken": []}],
        }),
    }
}
