//! Every CustomResourceDefinition against its golden file and, where the kind is Cluster API's, against the reference:
//! one line per field with everything but descriptions.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crds")
}

#[test]
fn definitions_are_as_checked_in() {
    for crd in crate::crds() {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let yaml = serde_saphyr::to_string(&crd).unwrap();
        expect_test::expect_file![folder().join(format!("{plural}.yaml"))].assert_eq(&yaml);
    }
}

#[test]
fn definitions_agree_with_the_reference() {
    for crd in crate::crds() {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let group = crd["spec"]["group"].as_str().unwrap();
        // The reference is Cluster API's; the kinds of the local provider are our own.
        if group.ends_with("cluster.x-k8s.io") && !plural.starts_with("local") {
            let reference = folder().join(format!("reference/{plural}.txt"));
            let wanted = std::fs::read_to_string(reference).unwrap();
            let found = facts(&crd);
            let missing: Vec<_> = wanted
                .lines()
                .filter(|l| !found.lines().any(|f| f == *l))
                .collect();
            let excess: Vec<_> = found
                .lines()
                .filter(|l| !wanted.lines().any(|w| w == *l))
                .collect();
            assert!(
                missing.is_empty() && excess.is_empty(),
                "{plural}\nmissing:\n{}\nexcess:\n{}",
                missing.join("\n"),
                excess.join("\n")
            );
            assert_eq!(found, wanted, "{plural}: order");
        }
    }
}

fn facts(crd: &Value) -> String {
    let version = &crd["spec"]["versions"][0];
    let mut lines = vec![];
    walk(&version["schema"]["openAPIV3Schema"], "", &mut lines);
    lines.sort();
    let mut out = lines.join("\n");
    out.push('\n');
    writeln!(out, "names {}", sorted(&crd["spec"]["names"])).unwrap();
    writeln!(out, "scope {}", crd["spec"]["scope"].as_str().unwrap()).unwrap();
    let none = Value::Object(Map::new());
    writeln!(
        out,
        "subresources {}",
        sorted(version.get("subresources").unwrap_or(&none))
    )
    .unwrap();
    for column in version["additionalPrinterColumns"].as_array().unwrap() {
        writeln!(out, "column {}", sorted(column)).unwrap();
    }
    out
}

fn walk(schema: &Value, path: &str, lines: &mut Vec<String>) {
    let mut own = schema.as_object().unwrap().clone();
    for nested in ["description", "properties", "items", "additionalProperties"] {
        own.remove(nested);
    }
    if own
        .get("x-kubernetes-list-type")
        .is_some_and(|t| t == "atomic")
    {
        own.remove("x-kubernetes-list-type");
    }
    for unordered in ["required", "enum"] {
        if let Some(Value::Array(items)) = own.get_mut(unordered) {
            items.sort_by_key(ToString::to_string);
        }
    }
    if let Some(Value::Array(rules)) = own.get_mut("x-kubernetes-validations") {
        for rule in rules {
            *rule = rule["rule"].take();
        }
    }
    let shown = if path.is_empty() { "." } else { path };
    lines.push(format!("{shown} {}", sorted(&Value::Object(own))));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), lines);
    }
    if schema.get("items").is_some() {
        walk(&schema["items"], &format!("{path}[]"), lines);
    }
    if schema
        .get("additionalProperties")
        .is_some_and(Value::is_object)
    {
        walk(
            &schema["additionalProperties"],
            &format!("{path}{{}}"),
            lines,
        );
    }
}

/// JSON with sorted keys, however the map keeps them.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<_> = members.keys().collect();
            keys.sort();
            let inner: Vec<_> = keys
                .iter()
                .map(|k| {
                    format!(
                        "{}:{}",
                        Value::from(k.as_str()),
                        sorted(&members[k.as_str()])
                    )
                })
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(sorted).collect::<Vec<_>>().join(",")
        ),
        other => other.to_string(),
    }
}
