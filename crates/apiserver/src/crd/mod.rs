//! CustomResourceDefinitions: their schemas, the resources that they bring, their validation and their status.
//!
//! CEL rules (`x-kubernetes-validations`) are compiled with the schema, and shared with it.

mod declare;
mod expressions;
mod keywords;
mod status;
mod structural;
mod validate;

pub use status::{Names, status_for};
pub use validate::validate;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::resource::{
    Column, Conversion, Custom, Generation, NameRule, Resource, ScalePaths, Strategy, Subresource,
};
use crate::schema::Schema;
use crate::schema::rules::RuleNode;
use crate::status::Cause;
use crate::webhook::ClientConfig;

/// Finalizer that holds a deleted definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What a definition means; equal definitions share it, in whatever logical cluster they are.
#[derive(Debug)]
pub struct Compiled {
    pub group: Arc<str>,
    pub plural: Arc<str>,
    pub kind: Arc<str>,
    pub namespaced: bool,
    /// In the order of the definition.
    pub versions: Vec<Version>,
    /// Version in which objects are stored.
    pub storage_version: Arc<str>,
    /// What keeps the schemas from being structural; empty for definitions that validation let in.
    pub violations: Vec<Cause>,
}

/// One version of a definition.
#[derive(Debug)]
pub struct Version {
    pub name: Arc<str>,
    pub is_served: bool,
    pub is_storage: bool,
    pub resource: Arc<Resource>,
}

impl Compiled {
    /// What `crd` means. Definitions with equal `spec` give the same value for as long as somebody keeps it.
    #[must_use]
    pub fn of(crd: &Value) -> Arc<Self> {
        static CACHE: LazyLock<Mutex<HashMap<[u8; 32], Weak<Compiled>>>> =
            LazyLock::new(Mutex::default);
        let key: [u8; 32] = Sha256::digest(crd["spec"].to_string()).into();
        let cached = CACHE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .and_then(Weak::upgrade);
        if let Some(compiled) = cached {
            return compiled;
        }
        let compiled = Arc::new(Self::compile(&crd["spec"]));
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgotten definitions leave their keys behind.
        if cache.len() > 64 && cache.len().is_power_of_two() {
            cache.retain(|_, compiled| compiled.strong_count() > 0);
        }
        match cache.get(&key).and_then(Weak::upgrade) {
            Some(first) => first,
            None => {
                cache.insert(key, Arc::downgrade(&compiled));
                compiled
            }
        }
    }

    /// The resources of the served versions.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.versions
            .iter()
            .filter(|version| version.is_served)
            .map(|version| &version.resource)
    }

    /// The version called `name`.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| &*version.name == name)
    }

    fn compile(spec: &Value) -> Self {
        let names = Names::requested(spec);
        let versions: Vec<&Value> = spec["versions"].as_array().into_iter().flatten().collect();
        let storage_version: Arc<str> = versions
            .iter()
            .find(|version| version["storage"] == true)
            .and_then(|version| version["name"].as_str())
            .unwrap_or_default()
            .into();
        let mut violations = Vec::new();
        let versions = versions
            .iter()
            .enumerate()
            .map(|(index, version)| {
                let schema = &version["schema"]["openAPIV3Schema"];
                let path = schema_path(spec, index);
                let (schema, mut causes) = if schema.is_object() {
                    structural::compile(schema, &path)
                } else {
                    (structural::open(), Vec::new())
                };
                // Rules are only read where everything else is right, as their types come from it.
                let mut rules = None;
                if causes.is_empty() {
                    (rules, causes) = expressions::compile(&schema, &path);
                }
                violations.extend(causes);
                Version {
                    name: text(&version["name"]),
                    is_served: version["served"] == true,
                    is_storage: version["storage"] == true,
                    resource: Arc::new(resource(
                        spec,
                        version,
                        &names,
                        (schema, rules),
                        &storage_version,
                    )),
                }
            })
            .collect();
        Self {
            group: text(&spec["group"]),
            plural: names.plural.as_str().into(),
            kind: names.kind.as_str().into(),
            namespaced: spec["scope"] == "Namespaced",
            versions,
            storage_version,
            violations,
        }
    }
}

/// Where Kubernetes says that the schema of a version stands: one place for all when they are equal.
fn schema_path(spec: &Value, index: usize) -> String {
    let versions: Vec<&Value> = spec["versions"].as_array().into_iter().flatten().collect();
    let are_equal = versions
        .windows(2)
        .all(|pair| pair[0]["schema"] == pair[1]["schema"]);
    if are_equal {
        "spec.validation.openAPIV3Schema".into()
    } else {
        format!("spec.versions[{index}].schema.openAPIV3Schema")
    }
}

fn text(value: &Value) -> Arc<str> {
    value.as_str().unwrap_or_default().into()
}

fn resource(
    spec: &Value,
    version: &Value,
    names: &Names,
    (schema, rules): (Schema, Option<Arc<RuleNode>>),
    storage_version: &Arc<str>,
) -> Resource {
    // In the order in which clients see them.
    let verbs = vec![
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "create",
        "update",
        "watch",
    ];
    let group = text(&spec["group"]);
    let subresource = |name: &str, kind: &str, group_version| Subresource {
        name: name.into(),
        kind: kind.into(),
        group_version,
        verbs: vec!["get", "patch", "update"],
    };
    let has_status = version["subresources"]["status"].is_object();
    let mut subresources = Vec::new();
    let scale = scale(&version["subresources"]["scale"]);
    if has_status {
        subresources.push(subresource("status", &names.kind, None));
    }
    if scale.is_some() {
        subresources.push(subresource(
            "scale",
            "Scale",
            Some(("autoscaling".into(), "v1".into())),
        ));
    }
    let list = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Resource {
        version: text(&version["name"]),
        plural: names.plural.as_str().into(),
        singular: names.singular.as_str().into(),
        kind: names.kind.as_str().into(),
        list_kind: names.list_kind.as_str().into(),
        short_names: list(&names.short_names),
        categories: list(&names.categories),
        namespaced: spec["scope"] == "Namespaced",
        verbs,
        subresources,
        storage: format!("{}.{group}", names.plural).into(),
        schema: Arc::new(schema),
        strategy: Strategy {
            generation: Generation::Spec,
            has_status,
            create_on_update: false,
            unconditional_update: false,
            graceful_delete: false,
            delete_returns_object: false,
            orphan_by_default: false,
            names: NameRule::Subdomain,
        },
        columns: columns(&version["additionalPrinterColumns"]),
        custom: Some(Arc::new(Custom {
            conversion: conversion(&spec["conversion"]),
            storage_version: storage_version.clone(),
            deprecation_warning: deprecation_warning(version, &group, &names.kind),
            scale,
            selectable_fields: version["selectableFields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|field| text(&field["jsonPath"]))
                .collect(),
            rules,
        })),
        group,
    }
}

fn conversion(conversion: &Value) -> Option<Conversion> {
    let webhook = &conversion["webhook"];
    let versions = webhook["conversionReviewVersions"].as_array();
    let versions = versions.into_iter().flatten().filter_map(Value::as_str);
    (conversion["strategy"] == "Webhook").then(|| Conversion {
        client: ClientConfig::of(&webhook["clientConfig"]),
        review_versions: versions.map(Into::into).collect(),
    })
}

fn deprecation_warning(version: &Value, group: &str, kind: &str) -> Option<Arc<str>> {
    if version["deprecated"] != true {
        return None;
    }
    Some(match version["deprecationWarning"].as_str() {
        Some(warning) => warning.into(),
        None => format!("{group}/{} {kind} is deprecated", text(&version["name"])).into(),
    })
}

fn scale(scale: &Value) -> Option<ScalePaths> {
    scale.is_object().then(|| {
        (
            text(&scale["specReplicasPath"]),
            text(&scale["statusReplicasPath"]),
            scale["labelSelectorPath"]
                .as_str()
                .filter(|path| !path.is_empty())
                .map(Arc::from),
        )
    })
}

fn columns(columns: &Value) -> Vec<Column> {
    columns
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| Column {
            name: text(&column["name"]),
            ty: text(&column["type"]),
            format: text(&column["format"]),
            description: text(&column["description"]),
            priority: column["priority"].as_i64().unwrap_or_default(),
            json_path: text(&column["jsonPath"]),
        })
        .collect()
}

#[cfg(test)]
mod tests;
