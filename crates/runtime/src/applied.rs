//! Whether a server-side apply would change nothing, told from the object's own managed fields. Pure.

use serde_json::{Map, Value};

/// Whether `object` holds all that `config` says, and `manager` owns exactly these fields: then applying `config` again
/// would be a request for nothing. When in doubt the answer is no.
pub(crate) fn is_applied(object: &Value, config: &Value, manager: &str, subresource: &str) -> bool {
    let Some(owned) = fields_of(object, config, manager, subresource) else {
        return false;
    };
    let mut config = config.clone();
    if let Some(config) = config.as_object_mut() {
        config.remove("apiVersion");
        config.remove("kind");
        if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
            // What names the object is nobody's field.
            for key in [
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
            ] {
                metadata.remove(key);
            }
            if metadata.is_empty() {
                config.remove("metadata");
            }
        }
    }
    holds(owned, &config, object)
}

/// Whether `config` says nothing of the status, and `manager` has not said anything either.
pub(crate) fn says_nothing(object: &Value, config: &Value, manager: &str) -> bool {
    let is_empty = config["status"].as_object().is_none_or(Map::is_empty);
    is_empty && fields_of(object, config, manager, "status").is_none()
}

fn fields_of<'a>(
    object: &'a Value,
    config: &Value,
    manager: &str,
    subresource: &str,
) -> Option<&'a Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let entry = entries.iter().find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"].as_str().unwrap_or_default() == subresource
            && entry["apiVersion"] == config["apiVersion"]
    })?;
    Some(&entry["fieldsV1"])
}

/// `owned` is a node of `fieldsV1`: `f:<field>`, `k:<keys>` and `v:<value>` lead to children, a node without children is
/// owned as a whole.
fn holds(owned: &Value, config: &Value, object: &Value) -> bool {
    let none = Map::new();
    let children = owned.as_object().unwrap_or(&none);
    let children = || children.iter().filter(|(key, _)| *key != ".");
    if children().next().is_none() {
        return is_within(config, object);
    }
    match config {
        Value::Object(map) => {
            children().count() == map.values().filter(|v| !v.is_null()).count()
                && children().all(|(key, child)| {
                    let Some(field) = key.strip_prefix("f:") else {
                        return false;
                    };
                    match (map.get(field), object.get(field)) {
                        (Some(config), Some(object)) => holds(child, config, object),
                        _ => false,
                    }
                })
        }
        Value::Array(items) => {
            children().count() == items.len()
                && children().all(|(key, child)| match_item(key, child, items, object))
        }
        _ => false,
    }
}

/// Finds the item that `key` means in both lists, and compares.
fn match_item(key: &str, child: &Value, items: &[Value], object: &Value) -> bool {
    let Some(objects) = object.as_array() else {
        return false;
    };
    if let Some(value) = key.strip_prefix("v:") {
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        return items.contains(&value) && objects.contains(&value);
    }
    let keys: Option<Map<String, Value>> = key
        .strip_prefix("k:")
        .and_then(|keys| serde_json::from_str(keys).ok());
    let Some(keys) = keys else { return false };
    // A key that the configuration leaves out was defaulted.
    let item = items.iter().find(|item| {
        keys.iter()
            .all(|(k, v)| item.get(k).is_none_or(|have| have == v))
    });
    let found = objects
        .iter()
        .find(|item| keys.iter().all(|(k, v)| item.get(k) == Some(v)));
    match (item, found) {
        // The keys are children too when the configuration names them; a defaulted key is owned without being named.
        (Some(item), Some(found)) => {
            let mut item = item.clone();
            if let Some(map) = item.as_object_mut() {
                for (key, value) in &keys {
                    let is_owned = child.get(format!("f:{key}")).is_some();
                    match map.get(key) {
                        None if is_owned => _ = map.insert(key.clone(), value.clone()),
                        Some(_) if !is_owned => _ = map.remove(key),
                        Some(_) | None => {}
                    }
                }
            }
            holds(child, &item, found)
        }
        _ => false,
    }
}

/// `config` is part of `object`: maps may hold more, lists are the same in length and order.
fn is_within(config: &Value, object: &Value) -> bool {
    match (config, object) {
        (Value::Object(config), Value::Object(object)) => config
            .iter()
            .filter(|(_, value)| !value.is_null())
            .all(|(key, value)| object.get(key).is_some_and(|have| is_within(value, have))),
        (Value::Array(config), Value::Array(object)) => {
            config.len() == object.len() && config.iter().zip(object).all(|(a, b)| is_within(a, b))
        }
        _ => config == object,
    }
}

/// Removes nulls: in an apply they would claim fields that aren't there.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"app": "web", "other": "1"}, "managedFields": [
                {"manager": "apiary-x", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:replicas": {},
                        "f:args": {},
                        "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}}},
                        "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
                        "f:set": {"v:\"a\"": {}}
                    }
                }},
            ]},
            "spec": {
                "replicas": 2,
                "args": ["a", "b"],
                "containers": [{"name": "side"}, {"name": "c", "image": "i", "pullPolicy": "Always"}],
                "ports": [{"port": 80, "protocol": "TCP"}],
                "set": ["z", "a"],
            },
        })
    }

    fn config() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {
                "replicas": 2,
                "args": ["a", "b"],
                "containers": [{"name": "c", "image": "i"}],
                "ports": [{"port": 80}],
                "set": ["a"],
                "nothing": null,
            },
        })
    }

    fn check(change: impl FnOnce(&mut Value), expect: bool) {
        let mut config = config();
        change(&mut config);
        assert_eq!(
            is_applied(&object(), &config, "apiary-x", ""),
            expect,
            "{config:#}"
        );
    }

    #[test]
    fn the_same_configuration_is_applied() {
        check(|_| {}, true);
    }

    #[test]
    fn anything_else_is_not() {
        check(|c| c["spec"]["replicas"] = json!(3), false);
        check(|c| c["spec"]["args"] = json!(["b", "a"]), false);
        check(|c| c["spec"]["args"] = json!(["a", "b", "c"]), false);
        check(|c| c["spec"]["containers"][0]["image"] = json!("j"), false);
        check(
            |c| c["spec"]["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d"}]),
            false,
        );
        check(|c| c["spec"]["set"] = json!(["b"]), false);
        check(|c| c["metadata"]["labels"]["more"] = json!("1"), false);
        check(|c| c["apiVersion"] = json!("apps/v2"), false);
        // Less than before: the server has to remove it.
        check(
            |c| _ = c["spec"].as_object_mut().unwrap().remove("replicas"),
            false,
        );
        check(
            |c| _ = c["metadata"].as_object_mut().unwrap().remove("labels"),
            false,
        );
    }

    #[test]
    fn other_managers_and_subresources_do_not_count() {
        assert!(!is_applied(&object(), &config(), "apiary-y", ""));
        assert!(!is_applied(&object(), &config(), "apiary-x", "status"));
    }

    #[test]
    fn nothing_is_said_only_if_nothing_was() {
        let object = json!({"metadata": {"name": "m", "managedFields": [
            {"manager": "other", "operation": "Apply", "apiVersion": "a/v1", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "me", "operation": "Apply", "apiVersion": "a/v1", "fieldsV1": {"f:spec": {}}},
        ]}});
        let config = |status: Value| json!({"apiVersion": "a/v1", "metadata": {"name": "m"}, "status": status});
        assert!(says_nothing(&object, &config(json!({})), "me"));
        assert!(says_nothing(&object, &config(Value::Null), "me"));
        assert!(!says_nothing(&object, &config(json!({"phase": "x"})), "me"));
        // What was said has to be taken back.
        assert!(!says_nothing(&object, &config(json!({})), "other"));
    }
}
