//! What an extension server says it serves, in either form of discovery, as an entry of aggregated discovery.
//!
//! Clients read discovery of the whole cluster as one document, into types: a member of the wrong type anywhere in it, and they
//! know of no group at all. So nothing is taken over that is not what it must be.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::remote::RemoteSpec;

/// Resources of a group version, subresources not counted.
const MAX_RESOURCES: usize = 1_000;

/// A kind, with the group version that it is of.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

/// One resource. What may be `null` is so in what Go writes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Resource {
    resource: String,
    #[serde(deserialize_with = "or_default")]
    response_kind: Kind,
    scope: String,
    singular_resource: String,
    #[serde(deserialize_with = "or_default")]
    verbs: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    short_names: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<Subresource>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Subresource {
    subresource: String,
    #[serde(deserialize_with = "or_default")]
    response_kind: Kind,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    accepted_types: Vec<Kind>,
    #[serde(deserialize_with = "or_default")]
    verbs: Vec<String>,
}

/// One line of the old form.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    name: String,
    singular_name: String,
    namespaced: bool,
    group: String,
    version: String,
    kind: String,
    #[serde(deserialize_with = "or_default")]
    verbs: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    short_names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    categories: Vec<String>,
}

/// The groups of an aggregated document, as far as one has to look into those of others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Groups {
    #[serde(deserialize_with = "or_default")]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    #[serde(deserialize_with = "or_default")]
    resources: Vec<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct List {
    #[serde(deserialize_with = "or_default")]
    resources: Vec<Listed>,
}

fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Our group version in an aggregated document; empty if it is not in it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn aggregated(spec: &RemoteSpec, document: Value) -> Result<Value, String> {
    let Groups { items } = decoded("the APIGroupDiscoveryList", document)?;
    let groups = items.into_iter();
    let mut versions = groups
        .filter(|group| group["metadata"]["name"] == *spec.group)
        .filter_map(|mut group| match group["versions"].take() {
            Value::Array(versions) => Some(versions),
            _ => None,
        })
        .flatten();
    let Some(found) = versions.find(|version| version["version"] == *spec.version) else {
        return entry(spec, vec![]);
    };
    let Version { resources } = decoded("its group version in discovery", found)?;
    entry(spec, resources)
}

/// The same from the old document of the group version.
///
/// # Errors
/// What is wrong with it.
pub(super) fn legacy(spec: &RemoteSpec, document: Value) -> Result<Value, String> {
    let List { resources: listed } = decoded("its APIResourceList", document)?;
    let mut resources: Vec<Resource> = vec![];
    for listed in listed {
        let (name, subresource) = listed.name.split_once('/').unwrap_or((&listed.name, ""));
        let or = |text: &str, ours: &str| if text.is_empty() { ours } else { text }.to_owned();
        let response_kind = Kind {
            group: or(&listed.group, &spec.group),
            version: or(&listed.version, &spec.version),
            kind: listed.kind.clone(),
        };
        let mut known = resources.iter().position(|r| r.resource == name);
        if known.is_none() && resources.len() < MAX_RESOURCES {
            let scope = if listed.namespaced {
                "Namespaced"
            } else {
                "Cluster"
            };
            // A resource may have subresources and no verb of its own.
            resources.push(Resource {
                resource: name.to_owned(),
                scope: scope.into(),
                ..Resource::default()
            });
            known = Some(resources.len() - 1);
        }
        let Some(known) = known.map(|at| &mut resources[at]) else {
            continue;
        };
        if subresource.is_empty() {
            known.response_kind = response_kind;
            known.singular_resource = listed.singular_name;
            known.verbs = listed.verbs;
            known.short_names = listed.short_names;
            known.categories = listed.categories;
        } else {
            known.subresources.push(Subresource {
                subresource: subresource.to_owned(),
                response_kind,
                accepted_types: vec![],
                verbs: listed.verbs,
            });
        }
    }
    entry(spec, resources)
}

fn decoded<T: for<'de> Deserialize<'de>>(what: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("{what} is malformed: {error}"))
}

fn entry(spec: &RemoteSpec, mut resources: Vec<Resource>) -> Result<Value, String> {
    resources.truncate(MAX_RESOURCES);
    for resource in &resources {
        let Resource {
            resource: name,
            scope,
            ..
        } = resource;
        if name.is_empty() {
            return Err("a resource in its discovery has no name".to_owned());
        }
        if !matches!(scope.as_str(), "Namespaced" | "Cluster") {
            return Err(format!(
                "the scope of {name:?} in its discovery is {scope:?}: want Namespaced or Cluster"
            ));
        }
        if resource
            .subresources
            .iter()
            .any(|s| s.subresource.is_empty())
        {
            return Err(format!(
                "a subresource of {name:?} in its discovery has no name"
            ));
        }
    }
    Ok(json!({"version": spec.version, "freshness": "Current", "resources": resources}))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn spec() -> RemoteSpec {
        RemoteSpec {
            name: "v1.example.com".into(),
            group: "example.com".into(),
            version: "v1".into(),
            namespace: "default".into(),
            service: "server".into(),
            port: 443,
            ca_bundle: [].into(),
            skips_verification: false,
        }
    }

    /// An aggregated document with these resources.
    fn document(resources: &Value) -> Value {
        let version = json!({"version": "v1", "freshness": "Stale", "resources": resources});
        json!({"items": [
            7,
            {"metadata": {"name": "other.com"}, "versions": [{"version": "v1", "resources": 7}]},
            {"metadata": {"name": "example.com"}, "versions": [{"version": "v2"}, version]},
        ]})
    }

    #[test]
    fn both_forms_of_discovery_give_the_same_entry() {
        let list = json!({"resources": [
            {"name": "shirts/status", "singularName": "", "namespaced": true, "kind": "Shirt", "verbs": ["get"]},
            {"name": "shirts", "singularName": "shirt", "namespaced": true, "kind": "Shirt",
                "verbs": ["get", "list"], "shortNames": ["sh"], "categories": null},
            {"name": "shirts/scale", "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1",
                "kind": "Scale", "verbs": ["get"]},
        ]});
        let entry = legacy(&spec(), list).unwrap();
        expect![[r#"{"freshness":"Current","resources":[{"resource":"shirts","responseKind":{"group":"example.com","kind":"Shirt","version":"v1"},"scope":"Namespaced","shortNames":["sh"],"singularResource":"shirt","subresources":[{"responseKind":{"group":"example.com","kind":"Shirt","version":"v1"},"subresource":"status","verbs":["get"]},{"responseKind":{"group":"autoscaling","kind":"Scale","version":"v1"},"subresource":"scale","verbs":["get"]}],"verbs":["get","list"]}],"version":"v1"}"#]]
        .assert_eq(&entry.to_string());
        let document = document(&entry["resources"]);
        assert_eq!(aggregated(&spec(), document).unwrap(), entry);
        // Clients rely on a kind.
        let bare =
            json!({"resource": "shirts", "scope": "Cluster", "responseKind": null, "more": 1});
        let entry = aggregated(&spec(), self::document(&json!([bare]))).unwrap();
        expect![[r#"[{"resource":"shirts","responseKind":{"group":"","kind":"","version":""},"scope":"Cluster","singularResource":"","verbs":[]}]"#]]
            .assert_eq(&entry["resources"].to_string());
    }

    #[test]
    fn what_clients_could_not_read_is_not_taken_over() {
        let good = json!({"resource": "a", "scope": "Cluster"});
        let mut said = vec![];
        for (member, value) in [
            ("resource", json!("")),
            ("resource", json!(1)),
            ("scope", json!("Everywhere")),
            ("verbs", json!("get")),
            ("verbs", json!([1])),
            ("shortNames", json!({})),
            ("responseKind", json!("Pod")),
            ("subresources", json!([{}])),
            ("subresources", json!([{"subresource": "b", "verbs": 1}])),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            let why = aggregated(&spec(), document(&json!([good, bad]))).unwrap_err();
            said.push(why);
        }
        for bad in [
            json!({"resources": {"a": 1}}),
            json!({"resources": ["a"]}),
            json!({"resources": [{"name": "a", "namespaced": "yes"}]}),
            json!({"resources": [{"name": "/status"}]}),
        ] {
            said.push(legacy(&spec(), bad).unwrap_err());
        }
        expect![[r#"
            a resource in its discovery has no name
            its group version in discovery is malformed: invalid type: integer `1`, expected a string
            the scope of "a" in its discovery is "Everywhere": want Namespaced or Cluster
            its group version in discovery is malformed: invalid type: string "get", expected a sequence
            its group version in discovery is malformed: invalid type: integer `1`, expected a string
            its group version in discovery is malformed: invalid type: map, expected a sequence
            its group version in discovery is malformed: invalid type: string "Pod", expected struct Kind
            a subresource of "a" in its discovery has no name
            its group version in discovery is malformed: invalid type: integer `1`, expected a sequence
            its APIResourceList is malformed: invalid type: map, expected a sequence
            its APIResourceList is malformed: invalid type: string "a", expected struct Listed
            its APIResourceList is malformed: invalid type: string "yes", expected a boolean
            a resource in its discovery has no name"#]].assert_eq(&said.join("\n"));
    }

    #[test]
    fn nothing_of_the_group_version_is_an_entry_without_resources() {
        let empty = json!({"version": "v1", "freshness": "Current", "resources": []});
        assert_eq!(aggregated(&spec(), json!({})).unwrap(), empty);
        assert_eq!(
            aggregated(&spec(), json!({"items": [{"metadata": 1}]})).unwrap(),
            empty
        );
        assert_eq!(aggregated(&spec(), document(&json!(null))).unwrap(), empty);
        assert_eq!(legacy(&spec(), json!({"resources": null})).unwrap(), empty);
    }

    #[test]
    fn resources_of_a_group_version_are_so_many() {
        let many: Vec<Value> = (0..=MAX_RESOURCES)
            .map(|at| json!({"name": format!("r{at}"), "resource": format!("r{at}"), "scope": "Cluster"}))
            .collect();
        for entry in [
            legacy(&spec(), json!({"resources": many})),
            aggregated(&spec(), document(&json!(many))),
        ] {
            let entry = entry.unwrap();
            assert_eq!(
                entry["resources"].as_array().map(Vec::len),
                Some(MAX_RESOURCES)
            );
        }
    }
}
