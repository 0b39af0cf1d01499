//! What layers of values come to.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{app, layer};
use crate::app::values::{self, Kind, Layer};

/// Layers by the names in the App and the Catalog; objects by name and content.
fn check_values(catalog: Value, spec: &Value, objects: &[(&str, &str)], expect: &Expect) {
    let app = app(&json!({"spec": spec}));
    let catalog = serde_json::from_value(catalog).unwrap();
    let find = |name: &str| {
        objects
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, yaml)| *yaml)
    };
    let layers = values::layers(Some(&catalog), &app.spec);
    let names: Vec<String> = layers
        .iter()
        .map(|(kind, key)| format!("{kind} {}", key.name))
        .collect();
    let layers: Vec<Layer> = layers
        .iter()
        .map(|(kind, key)| layer(*kind, &key.name, find(&key.name)))
        .collect();
    let result = match values::merge(&layers) {
        Ok(merged) => {
            let show =
                |value: &Option<Value>| value.as_ref().map_or("none".to_owned(), Value::to_string);
            let all = Value::Object(merged.all());
            format!(
                "configmap {}\nsecret {}\nall {all}\n",
                show(&merged.config_map),
                show(&merged.secret)
            )
        }
        Err(problem) => format!("missing={} {}\n", problem.is_missing, problem.message),
    };
    expect.assert_eq(&format!("{}\n{result}", names.join(", ")));
}

fn key(name: &str) -> Value {
    json!({"name": name, "namespace": "org-acme"})
}

#[test]
fn nothing_named_is_no_values() {
    check_values(
        json!({}),
        &json!({}),
        &[],
        &expect![[r#"

        configmap none
        secret none
        all {}
    "#]],
    );
    let empty = json!({"config": {"configMap": {"name": "", "namespace": ""}}});
    check_values(
        json!({}),
        &empty,
        &[],
        &expect![[r#"

        configmap none
        secret none
        all {}
    "#]],
    );
}

#[test]
fn layers_lie_over_each_other_by_priority() {
    let extra = |name: &str, priority: i32| json!({"kind": "configMap", "name": name, "namespace": "org-acme", "priority": priority});
    let spec = json!({
        "config": {"configMap": key("cluster")},
        "userConfig": {"configMap": key("user")},
        "extraConfigs": [
            extra("top", 101), extra("at100", 100), extra("at50", 50), extra("none", 0), extra("low2", 1), extra("low1", 1),
        ],
    });
    let names = [
        "catalog", "cluster", "user", "top", "at100", "at50", "none", "low1", "low2",
    ];
    let objects: Vec<(&str, String)> = names
        .iter()
        .map(|n| (*n, format!("last: {n}\n{n}: 1")))
        .collect();
    let objects: Vec<(&str, &str)> = objects.iter().map(|(n, y)| (*n, y.as_str())).collect();
    check_values(
        json!({"configMap": key("catalog")}),
        &spec,
        &objects,
        &expect![[r#"
        configmap catalog, configmap low2, configmap low1, configmap none, configmap at50, configmap cluster, configmap at100, configmap user, configmap top
        configmap {"at100":1,"at50":1,"catalog":1,"cluster":1,"last":"top","low1":1,"low2":1,"none":1,"top":1,"user":1}
        secret none
        all {"at100":1,"at50":1,"catalog":1,"cluster":1,"last":"top","low1":1,"low2":1,"none":1,"top":1,"user":1}
    "#]],
    );
}

#[test]
fn higher_layers_win_also_with_nothing() {
    let spec =
        json!({"config": {"configMap": key("cluster")}, "userConfig": {"configMap": key("user")}});
    let objects = [
        (
            "cluster",
            "a: {b: 1, c: [1, 2]}\nd: true\ne: text\nf: {g: 1}\nh: 1",
        ),
        ("user", "a: {c: [3]}\nd: false\ne: ''\nf: 0\nh: null"),
    ];
    check_values(
        json!({}),
        &spec,
        &objects,
        &expect![[r#"
        configmap cluster, configmap user
        configmap {"a":{"b":1,"c":[3]},"d":false,"e":"","f":0,"h":null}
        secret none
        all {"a":{"b":1,"c":[3]},"d":false,"e":"","f":0,"h":null}
    "#]],
    );
}

#[test]
fn secrets_beat_configmaps() {
    let spec = json!({"userConfig": {"configMap": key("user")}});
    let objects = [
        ("user", "a: user\nb: user"),
        ("catalog-secret", "a: secret"),
    ];
    check_values(
        json!({"secret": key("catalog-secret")}),
        &spec,
        &objects,
        &expect![[r#"
        configmap user, secret catalog-secret
        configmap {"a":"user","b":"user"}
        secret {"a":"secret"}
        all {"a":"secret","b":"user"}
    "#]],
    );
}

#[test]
fn unreadable_layers_are_named() {
    let spec = json!({"userConfig": {"configMap": key("user")}});
    check_values(
        json!({}),
        &spec,
        &[],
        &expect![[r#"
        configmap user
        missing=true configmap `user` in namespace `org-acme` not found
    "#]],
    );
    check_values(
        json!({}),
        &spec,
        &[("user", "a: {")],
        &expect![[r#"
        configmap user
        missing=false configmap `user` in namespace `org-acme`: values are not YAML: unclosed bracket '{' at line 1, column 4
    "#]],
    );
    check_values(
        json!({}),
        &spec,
        &[("user", "- a")],
        &expect![[r#"
        configmap user
        missing=false configmap `user` in namespace `org-acme`: values must be a map, from names to values
    "#]],
    );
    check_values(
        json!({}),
        &spec,
        &[("user", "")],
        &expect![[r#"
        configmap user
        configmap {}
        secret none
        all {}
    "#]],
    );
    let mut two = layer(Kind::Secret, "two", Some("a: 1"));
    two.data
        .as_mut()
        .unwrap()
        .insert("other".to_owned(), vec![]);
    expect!["expected secret `two` to have only one key but got 2"]
        .assert_eq(&values::merge(&[two]).err().unwrap().message);
}
