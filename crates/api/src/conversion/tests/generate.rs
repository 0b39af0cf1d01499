//! Random values that a schema allows.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

/// Fields of v1beta1 that hold durations.
fn is_duration(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with("timeout")
        || [
            "ttl",
            "minhealthyperiod",
            "retryperiod",
            "timeoutforcontrolplane",
        ]
        .contains(&name.as_str())
}

/// An object of a kind, with name and namespace.
pub(super) fn object(schema: &Value, api_version: &str, kind: &str) -> BoxedStrategy<Value> {
    let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
    let mut content = schema.clone();
    for member in ["apiVersion", "kind", "metadata"] {
        content["properties"]
            .as_object_mut()
            .unwrap()
            .remove(member);
    }
    let with_head = move |mut object: Value| {
        object["apiVersion"] = api_version.clone().into();
        object["kind"] = kind.clone().into();
        object["metadata"] = json!({"name": "a", "namespace": "ns"});
        object
    };
    value(&content, "").prop_map(with_head).boxed()
}

fn value(schema: &Value, name: &str) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-int-or-string"] == true {
        let percent = string_regex("[1-9]0%").unwrap().prop_map(Value::from);
        return prop_oneof![(1..9).prop_map(Value::from), percent].boxed();
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        let some = [json!("a"), json!(1), json!({"b": [null]}), json!([false])];
        return prop::sample::select(some.to_vec()).boxed();
    }
    if let Some(choices) = schema["enum"].as_array() {
        return prop::sample::select(choices.clone()).boxed();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "object" => members(schema, name),
        "array" => list(schema),
        "string" => text(schema, name),
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            (least..least + 9).prop_map(Value::from).boxed()
        }
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        other => panic!("{name}: {other}"),
    }
}

fn members(schema: &Value, name: &str) -> BoxedStrategy<Value> {
    let properties = schema["properties"].as_object();
    let refers = |p: &Map<String, Value>| {
        ["apiVersion", "kind", "fieldPath"]
            .iter()
            .all(|n| p.contains_key(*n))
    };
    if properties.is_some_and(refers) {
        if name == "nodeRef" {
            return Just(json!({"apiVersion": "v1", "kind": "Node", "name": "b"})).boxed();
        }
        return prop::sample::select(vec![
            json!({"apiVersion": "example.com/v1beta1", "kind": "Thing", "name": "b", "namespace": "ns"}),
            json!({"apiVersion": "example.com/v1beta1", "kind": "Other", "name": "c"}),
        ])
        .boxed();
    }
    let Some(properties) = properties else {
        let inner = value(&schema["additionalProperties"], "");
        let map = btree_map(string_regex("[a-z]{1,4}").unwrap(), inner, 0..3);
        return map
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed();
    };
    let required = |name: &String| {
        let all = schema["required"].as_array();
        all.is_some_and(|all| all.iter().any(|r| r == name))
    };
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = properties
        .iter()
        .map(|(name, schema)| {
            let name = name.clone();
            let is_required = required(&name);
            let named = value(schema, &name).prop_map(move |value| (name.clone(), value));
            if is_required {
                named.prop_map(Some).boxed()
            } else {
                prop::option::of(named).boxed()
            }
        })
        .collect();
    fields
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()))
        .boxed()
}

fn list(schema: &Value) -> BoxedStrategy<Value> {
    let least = usize::try_from(schema["minItems"].as_u64().unwrap_or(0)).unwrap();
    let keys: Vec<String> = (schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten())
    .map(|key| key.as_str().unwrap().to_owned())
    .collect();
    let is_named_once = schema["x-kubernetes-validations"].is_array();
    let keys = if is_named_once {
        vec!["name".to_owned()]
    } else {
        keys
    };
    vec(value(&schema["items"], ""), least..least + 3)
        .prop_map(move |mut items| {
            let mut seen = vec![];
            items.retain(|item: &Value| {
                let key: Vec<Value> = keys.iter().map(|key| item[key].clone()).collect();
                let is_new = keys.is_empty() || !seen.contains(&key);
                seen.push(key);
                is_new
            });
            Value::from(items)
        })
        .boxed()
}

fn text(schema: &Value, name: &str) -> BoxedStrategy<Value> {
    if schema["format"] == "date-time" {
        return prop::sample::select(vec![
            json!("2026-01-02T03:04:05Z"),
            json!("2027-01-02T03:04:05Z"),
        ])
        .boxed();
    }
    if is_duration(name) {
        let some = ["0s", "1s", "10m", "1h30m0s", "10m0s", "1.5s"].map(Value::from);
        return prop::sample::select(some.to_vec()).boxed();
    }
    let regex = match schema["pattern"].as_str() {
        Some(pattern) => pattern
            .trim_start_matches('^')
            .trim_end_matches('$')
            .to_owned(),
        None if schema["minLength"].as_u64().unwrap_or(0) > 0 => "[a-z]{1,3}".to_owned(),
        None => "[a-z]{0,3}".to_owned(),
    };
    let cut = |text: String| Value::from(text.chars().take(20).collect::<String>());
    string_regex(&regex).unwrap().prop_map(cut).boxed()
}

/// Any JSON.
pub(super) fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9./]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}
