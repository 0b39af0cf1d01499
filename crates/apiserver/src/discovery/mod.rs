//! What the server tells clients about itself: groups, versions and resources, in the old documents (one per group
//! version) and in the aggregated one, the version, and the index of paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::resource::{Resource, Subresource};

pub(crate) mod priority;
mod version;

pub use priority::{Priority, compare_groups};
pub use version::compare_versions;

/// `Content-Type` of the aggregated documents. Clients decide by it how they read the body.
pub const AGGREGATED_CONTENT_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A finished answer that clients may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub body: Bytes,
    /// With its quotes, as it goes into the header.
    pub etag: String,
}

impl Document {
    /// A document of these bytes; its tag is their hash.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = format!("\"{}\"", hex::encode_upper(Sha256::digest(&body)));
        Self { body, etag }
    }

    /// Whether the client has this very document, so that 304 is the answer.
    #[must_use]
    pub fn is_known(&self, if_none_match: Option<&str>) -> bool {
        if_none_match.is_some_and(|tags| {
            let mut tags = tags.split(',').map(str::trim);
            tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
        })
    }
}

/// A group version that is answered by an extension server or another part of this process.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteVersion {
    pub group: Arc<str>,
    pub version: Arc<str>,
    pub priority: Priority,
    /// Its entry in aggregated documents (see [`version_entry`]); `None` until its server was asked for the first time.
    pub entry: Option<Arc<Value>>,
}

/// A group's versions, preferred first.
struct Group<'a> {
    name: &'a str,
    versions: Vec<Version<'a>>,
}

struct Version<'a> {
    name: &'a str,
    priority: Priority,
    source: Source<'a>,
}

enum Source<'a> {
    /// Resources by name.
    Own(Vec<&'a Resource>),
    Remote(&'a RemoteVersion),
}

/// All groups in order. Who is remote goes before what we would serve ourselves.
fn groups<'a>(resources: &'a [Arc<Resource>], remote: &'a [RemoteVersion]) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Version<'_>>> = BTreeMap::new();
    for remote in remote {
        let version = Version {
            name: &remote.version,
            priority: remote.priority,
            source: Source::Remote(remote),
        };
        let versions = groups.entry(&remote.group).or_default();
        versions.insert(&remote.version, version);
    }
    for resource in resources {
        let versions = groups.entry(&resource.group).or_default();
        let version = versions.entry(&resource.version);
        let version = version.or_insert_with(|| Version {
            name: &resource.version,
            priority: priority::builtin(&resource.group, &resource.version)
                .unwrap_or(priority::CUSTOM),
            source: Source::Own(vec![]),
        });
        if let Source::Own(resources) = &mut version.source {
            resources.push(resource);
        }
    }
    let mut groups: Vec<Group<'_>> = groups
        .into_iter()
        .map(|(name, versions)| {
            let mut versions: Vec<Version<'_>> = versions.into_values().collect();
            versions.sort_by(|a, b| priority::compare((a.priority, a.name), (b.priority, b.name)));
            for version in &mut versions {
                if let Source::Own(resources) = &mut version.source {
                    resources.sort_by(|a, b| a.plural.cmp(&b.plural));
                }
            }
            Group { name, versions }
        })
        .collect();
    let rank = |group: &Group<'_>| group.versions.iter().map(|v| v.priority.group).max();
    groups.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.name.cmp(b.name)));
    groups
}

/// `/api`: the versions of the core group. `server_address` is where the client reaches us, `host:port`.
#[must_use]
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: all groups but the core group.
#[must_use]
pub fn group_list(resources: &[Arc<Resource>], remote: &[RemoteVersion]) -> Value {
    let groups = groups(resources, remote);
    let named = groups.iter().filter(|group| !group.name.is_empty());
    let groups: Vec<Value> = named
        .map(|group| Value::Object(group_entry(group)))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`; `None` when nothing of the group is served.
#[must_use]
pub fn group(resources: &[Arc<Resource>], remote: &[RemoteVersion], name: &str) -> Option<Value> {
    let groups = groups(resources, remote);
    let found = groups.iter().find(|group| group.name == name)?;
    let mut entry = group_entry(found);
    entry.insert("kind".into(), "APIGroup".into());
    entry.insert("apiVersion".into(), "v1".into());
    Some(Value::Object(entry))
}

fn group_entry(group: &Group<'_>) -> Map<String, Value> {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let name = version.name;
            json!({"groupVersion": group_version(group.name, name), "version": name})
        })
        .collect();
    let mut entry = Map::new();
    entry.insert("name".into(), group.name.into());
    entry.insert(
        "preferredVersion".into(),
        versions.first().cloned().unwrap_or_default(),
    );
    entry.insert("versions".into(), versions.into());
    entry
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// `/api/v1` (empty `group`) and `/apis/<group>/<version>`; `None` when nothing of it is served.
#[must_use]
pub fn resource_list(resources: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let mut served: Vec<&Resource> = resources
        .iter()
        .map(|resource| &**resource)
        .filter(|resource| *resource.group == *group && *resource.version == *version)
        .collect();
    if served.is_empty() {
        return None;
    }
    served.sort_by(|a, b| a.plural.cmp(&b.plural));
    let mut entries = Vec::new();
    for resource in served {
        if !resource.verbs.is_empty() {
            entries.push(resource_entry(resource, resources));
        }
        let subresources = subresources(resource);
        entries.extend(
            subresources
                .into_iter()
                .map(|sub| subresource_entry(resource, sub)),
        );
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version(group, version), "resources": entries,
    }))
}

fn resource_entry(resource: &Resource, all: &[Arc<Resource>]) -> Value {
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    insert_names(&mut entry, resource);
    if resource.verbs.contains(&"watch") {
        entry["storageVersionHash"] = storage_version_hash(resource, all).into();
    }
    entry
}

/// Short names and categories, where there are any.
fn insert_names(entry: &mut Value, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
}

/// By name, but those of custom resources: they have the status first.
fn subresources(resource: &Resource) -> Vec<&Subresource> {
    let mut subresources: Vec<&Subresource> = resource.subresources.iter().collect();
    if resource.custom.is_none() {
        subresources.sort_by(|a, b| a.name.cmp(&b.name));
    }
    subresources
}

fn subresource_entry(resource: &Resource, sub: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, sub.name), "singularName": "",
        "namespaced": resource.namespaced, "kind": sub.kind, "verbs": sub.verbs,
    });
    if let Some((group, version)) = &sub.group_version {
        entry["group"] = json!(group);
        entry["version"] = json!(version);
    }
    entry
}

/// Tells clients when the version in which objects are stored changes; opaque to them.
fn storage_version_hash(resource: &Resource, all: &[Arc<Resource>]) -> String {
    let (group, version) = match &resource.custom {
        Some(custom) => (&*resource.group, &*custom.storage_version),
        None => all
            .iter()
            .filter(|other| other.storage == resource.storage)
            .map(|other| (&*other.group, &*other.version))
            .min_by(|a, b| compare_groups(a.0, b.0).then_with(|| compare_versions(a.1, b.1)))
            .unwrap_or((&resource.group, &resource.version)),
    };
    let hash = Sha256::digest(format!("{group}/{version}/{}", resource.kind));
    BASE64.encode(&hash[..8])
}

/// The whole of `/api` (`is_core`) or of `/apis` in one document of [`AGGREGATED_CONTENT_TYPE`].
#[must_use]
pub fn aggregated(
    resources: &[Arc<Resource>],
    remote: &[RemoteVersion],
    is_core: bool,
) -> Document {
    let groups = groups(resources, remote);
    let asked = groups
        .iter()
        .filter(|group| group.name.is_empty() == is_core);
    let items: Vec<Value> = asked
        .filter_map(|group| {
            let versions = group
                .versions
                .iter()
                .filter_map(|version| match &version.source {
                    Source::Own(resources) => Some(version_entry(version.name, resources)),
                    Source::Remote(remote) => Some((**remote.entry.as_ref()?).clone()),
                });
            let versions: Vec<Value> = versions.collect();
            // The core group has no name.
            let metadata = match group.name {
                "" => json!({}),
                name => json!({"name": name}),
            };
            (!versions.is_empty()).then(|| json!({"metadata": metadata, "versions": versions}))
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items,
    });
    Document::new(list.to_string())
}

/// A group version in aggregated documents, with what it serves now.
#[must_use]
pub fn version_entry(version: &str, resources: &[&Resource]) -> Value {
    let resources: Vec<Value> = resources
        .iter()
        .map(|resource| aggregated_entry(resource))
        .collect();
    json!({"version": version, "freshness": "Current", "resources": resources})
}

fn aggregated_entry(resource: &Resource) -> Value {
    let kind = |kind: &str, group_version: Option<&(Arc<str>, Arc<str>)>| {
        let (group, version) =
            group_version.map_or((&resource.group, &resource.version), |(g, v)| (g, v));
        json!({"group": group, "version": version, "kind": kind})
    };
    let mut entry = json!({
        "resource": resource.plural, "singularResource": resource.singular,
        "responseKind": kind(&resource.kind, None),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "verbs": resource.verbs,
    });
    insert_names(&mut entry, resource);
    if !resource.subresources.is_empty() {
        let entries = subresources(resource).into_iter().map(|sub| {
            json!({
                "subresource": sub.name, "responseKind": kind(&sub.kind, sub.group_version.as_ref()),
                "verbs": sub.verbs,
            })
        });
        entry["subresources"] = entries.collect();
    }
    entry
}

/// `/version` of a server that behaves like Kubernetes `git_version`, e.g. `v1.36.0`. `platform` is where it runs,
/// e.g. `linux/amd64`.
#[must_use]
pub fn server_version(git_version: &str, platform: &str) -> Value {
    let mut numbers = git_version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or("0").to_owned();
    let (major, minor) = (number(), number());
    // Clients want every field to be there; those that describe a Go build have no meaning here.
    json!({
        "major": major, "minor": minor, "gitVersion": git_version, "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": platform,
    })
}

/// `/`: the paths that can be asked, sorted.
#[must_use]
pub fn index(resources: &[Arc<Resource>], remote: &[RemoteVersion]) -> Value {
    let fixed = [
        "/.well-known/openid-configuration",
        "/api",
        "/apis",
        "/apis/",
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    let mut paths: Vec<String> = fixed.iter().map(|path| (*path).to_owned()).collect();
    for group in groups(resources, remote) {
        let root = if group.name.is_empty() {
            "/api".to_owned()
        } else {
            paths.push(format!("/apis/{}", group.name));
            format!("/apis/{}", group.name)
        };
        paths.extend(
            group
                .versions
                .iter()
                .map(|version| format!("{root}/{}", version.name)),
        );
    }
    paths.sort();
    json!({ "paths": paths })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{custom_resource, resource};

    fn world() -> Vec<Arc<Resource>> {
        let sub = |name: &str, kind: &str, group_version: Option<(&str, &str)>, verb| Subresource {
            name: name.into(),
            kind: kind.into(),
            group_version: group_version.map(|(group, version)| (group.into(), version.into())),
            verbs: vec![verb],
        };
        let mut pods = resource("", "v1", "pods", "Pod");
        pods.short_names = vec!["po".into()];
        pods.categories = vec!["all".into()];
        pods.subresources.push(sub(
            "eviction",
            "Eviction",
            Some(("policy", "v1")),
            "create",
        ));
        let mut namespaces = resource("", "v1", "namespaces", "Namespace");
        namespaces.namespaced = false;
        let mut reviews = resource(
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
        );
        reviews.verbs = vec!["create"];
        reviews.subresources.clear();
        let hpa = |version| {
            let plural = "horizontalpodautoscalers";
            resource("autoscaling", version, plural, "HorizontalPodAutoscaler")
        };
        [
            custom_resource("example.com", "v1alpha1", "shirts", "Shirt", &[]),
            custom_resource("example.com", "v1", "shirts", "Shirt", &[]),
            hpa("v1"),
            hpa("v2"),
            reviews,
            pods,
            namespaces,
        ]
        .map(Arc::new)
        .to_vec()
    }

    fn pretty(value: &Value) -> String {
        serde_json::to_string_pretty(value).expect("JSON")
    }

    #[test]
    fn groups_are_listed_in_lookup_order_with_their_preferred_version() {
        let lines: Vec<String> = group_list(&world(), &[])["groups"]
            .as_array()
            .expect("groups")
            .iter()
            .map(|group| {
                format!(
                    "{} {} {}",
                    group["name"], group["preferredVersion"]["groupVersion"], group["versions"]
                )
            })
            .collect();
        expect![[r#"
            "authorization.k8s.io" "authorization.k8s.io/v1" [{"groupVersion":"authorization.k8s.io/v1","version":"v1"}]
            "autoscaling" "autoscaling/v2" [{"groupVersion":"autoscaling/v2","version":"v2"},{"groupVersion":"autoscaling/v1","version":"v1"}]
            "example.com" "example.com/v1" [{"groupVersion":"example.com/v1","version":"v1"},{"groupVersion":"example.com/v1alpha1","version":"v1alpha1"}]"#]].assert_eq(&lines.join("\n"));
        expect![[r#"
            {
              "apiVersion": "v1",
              "kind": "APIGroup",
              "name": "example.com",
              "preferredVersion": {
                "groupVersion": "example.com/v1",
                "version": "v1"
              },
              "versions": [
                {
                  "groupVersion": "example.com/v1",
                  "version": "v1"
                },
                {
                  "groupVersion": "example.com/v1alpha1",
                  "version": "v1alpha1"
                }
              ]
            }"#]]
        .assert_eq(&pretty(
            &group(&world(), &[], "example.com").expect("served"),
        ));
        assert_eq!(group(&world(), &[], "none"), None);
    }

    #[test]
    fn a_group_version_lists_its_resources_and_their_subresources() {
        let lines = |group: &str, version: &str| {
            let list = resource_list(&world(), group, version).expect("served");
            let entries = list["resources"].as_array().cloned().unwrap_or_default();
            let lines: Vec<String> = entries.iter().map(Value::to_string).collect();
            format!("{}\n{}", list["groupVersion"], lines.join("\n"))
        };
        expect![[r#"
            "v1"
            {"kind":"Namespace","name":"namespaces","namespaced":false,"singularName":"namespace","storageVersionHash":"Q3oi5N2YM8M=","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]}
            {"kind":"Namespace","name":"namespaces/status","namespaced":false,"singularName":"","verbs":["get","patch","update"]}
            {"categories":["all"],"kind":"Pod","name":"pods","namespaced":true,"shortNames":["po"],"singularName":"pod","storageVersionHash":"xPOwRZ+Yhw8=","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]}
            {"group":"policy","kind":"Eviction","name":"pods/eviction","namespaced":true,"singularName":"","verbs":["create"],"version":"v1"}
            {"kind":"Pod","name":"pods/status","namespaced":true,"singularName":"","verbs":["get","patch","update"]}"#]].assert_eq(&lines("", "v1"));
        expect![[r#"
            "authorization.k8s.io/v1"
            {"kind":"SelfSubjectAccessReview","name":"selfsubjectaccessreviews","namespaced":true,"singularName":"selfsubjectaccessreview","verbs":["create"]}"#]].assert_eq(&lines("authorization.k8s.io", "v1"));
        assert_eq!(resource_list(&world(), "apps", "v1"), None);
    }

    #[test]
    fn versions_of_one_resource_share_the_storage_version_hash() {
        let hash = |version: &str| {
            let list = resource_list(&world(), "autoscaling", version).expect("served");
            list["resources"][0]["storageVersionHash"].clone()
        };
        assert_eq!(hash("v1"), hash("v2"));
        // `base64(sha256("/v1/Pod")[..8])`, as every real cluster says.
        let pods = resource_list(&world(), "", "v1").expect("served");
        let pods = pods["resources"].as_array().cloned().unwrap_or_default();
        let pod = pods
            .iter()
            .find(|entry| entry["name"] == "pods")
            .expect("pods");
        assert_eq!(pod["storageVersionHash"], "xPOwRZ+Yhw8=");
    }

    #[test]
    fn the_aggregated_documents_split_core_from_the_rest() {
        let read = |is_core| -> Value {
            serde_json::from_slice(&aggregated(&world(), &[], is_core).body).expect("JSON")
        };
        let core = read(true);
        let resources = &core["items"][0]["versions"][0]["resources"];
        let lines: Vec<String> = resources
            .as_array()
            .expect("resources")
            .iter()
            .map(Value::to_string)
            .collect();
        expect![[r#"
            "APIGroupDiscoveryList" "apidiscovery.k8s.io/v2"
            {"resource":"namespaces","responseKind":{"group":"","kind":"Namespace","version":"v1"},"scope":"Cluster","singularResource":"namespace","subresources":[{"responseKind":{"group":"","kind":"Namespace","version":"v1"},"subresource":"status","verbs":["get","patch","update"]}],"verbs":["create","delete","deletecollection","get","list","patch","update","watch"]}
            {"categories":["all"],"resource":"pods","responseKind":{"group":"","kind":"Pod","version":"v1"},"scope":"Namespaced","shortNames":["po"],"singularResource":"pod","subresources":[{"responseKind":{"group":"policy","kind":"Eviction","version":"v1"},"subresource":"eviction","verbs":["create"]},{"responseKind":{"group":"","kind":"Pod","version":"v1"},"subresource":"status","verbs":["get","patch","update"]}],"verbs":["create","delete","deletecollection","get","list","patch","update","watch"]}"#]].assert_eq(&format!(
            "{} {}\n{}",
            core["kind"],
            core["apiVersion"],
            lines.join("\n")
        ));

        let others = read(false);
        let lines: Vec<String> = others["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| {
                let versions = item["versions"].as_array().cloned().unwrap_or_default();
                let versions: Vec<String> =
                    versions.iter().map(|v| v["version"].to_string()).collect();
                format!("{} {}", item["metadata"]["name"], versions.join(" "))
            })
            .collect();
        expect![[r#"
            "authorization.k8s.io" "v1"
            "autoscaling" "v2" "v1"
            "example.com" "v1" "v1alpha1""#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn the_same_resources_have_the_same_tag_in_any_order() {
        let mut reversed = world();
        reversed.reverse();
        let document = aggregated(&world(), &[], false);
        assert_eq!(document, aggregated(&reversed, &[], false));
        assert!(document.is_known(Some(&document.etag)));
        assert!(document.is_known(Some(&format!("\"other\", W/{}", document.etag))));
        assert!(!document.is_known(Some("\"other\"")));
        assert!(!document.is_known(None));
        assert_ne!(document.etag, aggregated(&world()[1..], &[], false).etag);
    }

    #[test]
    fn the_server_introduces_itself() {
        expect![[r#"{"buildDate":"1970-01-01T00:00:00Z","compiler":"rustc","gitCommit":"","gitTreeState":"","gitVersion":"v1.36.0","goVersion":"","major":"1","minor":"36","platform":"linux/amd64"}"#]].assert_eq(&server_version("v1.36.0", "linux/amd64").to_string());
        expect![[r#"{"kind":"APIVersions","serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"127.0.0.1:6443"}],"versions":["v1"]}"#]].assert_eq(&api_versions("127.0.0.1:6443").to_string());
        expect![[r#"["/.well-known/openid-configuration","/api","/api/v1","/apis","/apis/","/apis/authorization.k8s.io","/apis/authorization.k8s.io/v1","/apis/autoscaling","/apis/autoscaling/v1","/apis/autoscaling/v2","/apis/example.com","/apis/example.com/v1","/apis/example.com/v1alpha1","/healthz","/livez","/openapi/v2","/openapi/v3","/openapi/v3/","/openid/v1/jwks","/readyz","/version"]"#]].assert_eq(&index(&world(), &[])["paths"].to_string());
    }
}
