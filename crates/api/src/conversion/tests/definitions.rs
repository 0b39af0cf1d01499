//! v1beta1 as definitions show it.

use serde_json::Value;

use crate::conversion::KINDS;

fn definition(kind: &str) -> Value {
    let mut all = crate::crds().into_iter();
    all.find(|crd| crd["spec"]["names"]["kind"] == kind)
        .unwrap()
}

#[test]
fn v1beta2_is_stored_and_v1beta1_is_served_with_a_warning() {
    for kind in KINDS {
        let crd = definition(kind.kind);
        let versions = crd["spec"]["versions"].as_array().unwrap();
        let flags: Vec<String> = versions
            .iter()
            .map(|v| {
                format!(
                    "{} {} {} {}",
                    v["name"], v["served"], v["storage"], v["deprecated"]
                )
            })
            .collect();
        assert_eq!(
            flags,
            [
                r#""v1beta2" true true null"#,
                r#""v1beta1" true false true"#
            ],
            "{}",
            kind.kind
        );
        let labels = &crd["metadata"]["labels"];
        assert_eq!(labels["cluster.x-k8s.io/v1beta1"], "v1beta1");
        assert_eq!(labels["cluster.x-k8s.io/v1beta2"], "v1beta2");
    }
    let local = definition("LocalCluster");
    assert_eq!(local["spec"]["versions"].as_array().unwrap().len(), 1);
}

/// Every field can be explained, but for those of types of Kubernetes that v1beta2 doesn't explain either.
#[test]
fn every_field_of_v1beta1_has_a_description() {
    let mut without = vec![];
    for kind in KINDS {
        let crd = definition(kind.kind);
        let schema = &crd["spec"]["versions"][1]["schema"]["openAPIV3Schema"];
        undescribed(&schema["properties"]["spec"], "spec", &mut without);
        undescribed(&schema["properties"]["status"], "status", &mut without);
    }
    without.retain(|path| !path.contains("extraEnvs") && !path.contains("openAPIV3Schema"));
    without.sort();
    without.dedup();
    assert_eq!(without, Vec::<String>::new());
}

fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
    if !schema.is_object() {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if property["description"].as_str().is_none_or(str::is_empty) {
            found.push(path.clone());
        }
        undescribed(property, &path, found);
    }
    for (inner, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        undescribed(&schema[inner], &format!("{path}{mark}"), found);
    }
}
