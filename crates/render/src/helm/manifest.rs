//! Rendered text to manifests: splitting it into documents, telling hooks from objects, and the order of installation.

use super::{Error, Hook, HookEvent, Object};
use crate::yaml;
use regex::Regex;
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Kinds in the order of installation; others come after them, by name.
const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// The order in which Helm installs kinds.
pub fn install_order(a: &str, b: &str) -> Ordering {
    order(a, b, |kind| INSTALL_ORDER.iter().position(|k| *k == kind))
}

/// Kinds in the order of removal; others come after them, by name.
const UNINSTALL_ORDER: [&str; 38] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "Ingress",
    "IngressClass",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "Pod",
    "DaemonSet",
    "RoleBindingList",
    "RoleBinding",
    "RoleList",
    "Role",
    "ClusterRoleBindingList",
    "ClusterRoleBinding",
    "ClusterRoleList",
    "ClusterRole",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "ConfigMap",
    "SecretList",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "Namespace",
    "PriorityClass",
];

/// The order in which Helm removes kinds.
pub fn uninstall_order(a: &str, b: &str) -> Ordering {
    order(a, b, |kind| UNINSTALL_ORDER.iter().position(|k| *k == kind))
}

fn order(a: &str, b: &str, place: impl Fn(&str) -> Option<usize>) -> Ordering {
    match (place(a), place(b)) {
        (Some(x), Some(y)) => x.cmp(&y),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

static SEPARATOR: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant that a test compiles")]
    Regex::new(r"(?:^|\s*\n)---\s*").expect("the pattern is valid")
});

/// Splits rendered text into its documents.
fn split(text: &str) -> Vec<String> {
    SEPARATOR
        .split(text.trim_start())
        .filter(|d| !d.trim().is_empty())
        .map(|d| d.trim_start().to_string())
        .collect()
}

/// One document of the rendered text.
pub(super) struct Manifest {
    pub(super) path: String,
    pub(super) content: String,
    pub(super) kind: String,
    pub(super) parsed: Json,
}

fn text_at<'j>(json: &'j Json, path: &[&str]) -> &'j str {
    path.iter()
        .try_fold(json, |j, key| j.get(key))
        .and_then(Json::as_str)
        .unwrap_or_default()
}

/// Sorts the rendered files into hooks and plain manifests, each in the order of installation.
pub(super) fn sort(files: &BTreeMap<String, String>) -> Result<(Vec<Hook>, Vec<Manifest>), Error> {
    let (mut hooks, mut manifests) = (Vec::new(), Vec::new());
    for (path, text) in files {
        if path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with('_'))
        {
            continue;
        }
        for content in split(text) {
            let refuse = |why: String| Error::Manifest {
                path: path.clone(),
                why,
            };
            let parsed = yaml::first(&content)
                .map_err(|e| refuse(format!("error converting YAML to JSON: yaml: {e}")))?;
            if !matches!(parsed, Json::Object(_) | Json::Null) {
                let what = match &parsed {
                    Json::Array(_) => "array",
                    Json::String(_) => "string",
                    Json::Bool(_) => "bool",
                    _ => "number",
                };
                let target = "Go value of type util.SimpleHead";
                let cause =
                    format!("while decoding JSON: json: cannot unmarshal {what} into {target}");
                return Err(refuse(format!("error unmarshaling JSON: {cause}")));
            }
            let annotation = |key: &str| {
                parsed
                    .get("metadata")?
                    .get("annotations")?
                    .get(key)
                    .map(scalar)
            };
            let kind = text_at(&parsed, &["kind"]).to_string();
            let Some(types) = annotation("helm.sh/hook") else {
                manifests.push(Manifest {
                    path: path.clone(),
                    content,
                    kind,
                    parsed,
                });
                continue;
            };
            let events: Option<Vec<HookEvent>> = types.split(',').map(HookEvent::parse).collect();
            // A hook for an event that is unknown is passed over.
            let Some(events) = events else { continue };
            let list = |key| annotation(key).map(|s| words(&s)).unwrap_or_default();
            hooks.push(Hook {
                name: text_at(&parsed, &["metadata", "name"]).to_string(),
                kind,
                path: path.clone(),
                events,
                weight: annotation("helm.sh/hook-weight")
                    .and_then(|w| w.parse().ok())
                    .unwrap_or(0),
                delete_policies: list("helm.sh/hook-delete-policy"),
                output_log_policies: list("helm.sh/hook-output-log-policy"),
                last_run: super::HookExecution::default(),
                manifest: content,
            });
        }
    }
    hooks.sort_by(|a, b| install_order(&a.kind, &b.kind));
    manifests.sort_by(|a, b| install_order(&a.kind, &b.kind));
    Ok((hooks, manifests))
}

fn scalar(json: &Json) -> String {
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_string)
}

fn words(list: &str) -> Vec<String> {
    list.split(',').map(|w| w.trim().to_lowercase()).collect()
}

/// The objects of manifests; a list becomes its items.
pub(super) fn objects(manifests: Vec<Manifest>) -> Vec<Object> {
    let mut out = Vec::new();
    for manifest in manifests {
        let source = manifest.path;
        match manifest.parsed {
            Json::Object(mut map)
                if manifest.kind.ends_with("List")
                    && map.get("items").is_some_and(Json::is_array) =>
            {
                if let Some(Json::Array(items)) = map.remove("items") {
                    out.extend(items.into_iter().map(|value| Object {
                        source: source.clone(),
                        value,
                    }));
                }
            }
            Json::Object(map) => out.push(Object {
                source,
                value: Json::Object(map),
            }),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split() {
        assert_eq!(
            split("---\na: 1\n---\n\nb: 2\n--- \n# c\n"),
            ["a: 1", "b: 2", "# c\n"]
        );
        assert_eq!(split("\n\n---apiVersion: v1\n"), ["apiVersion: v1\n"]);
        assert!(split(" \n---\n \n").is_empty());
    }

    #[test]
    fn kinds_are_ordered() {
        let mut kinds = vec![
            "Widget",
            "Deployment",
            "Namespace",
            "Aardvark",
            "Service",
            "ConfigMap",
        ];
        kinds.sort_by(|a, b| install_order(a, b));
        assert_eq!(
            kinds,
            [
                "Namespace",
                "ConfigMap",
                "Service",
                "Deployment",
                "Aardvark",
                "Widget"
            ]
        );
        kinds.sort_by(|a, b| uninstall_order(a, b));
        assert_eq!(
            kinds,
            [
                "Service",
                "Deployment",
                "ConfigMap",
                "Namespace",
                "Aardvark",
                "Widget"
            ]
        );
    }
}
