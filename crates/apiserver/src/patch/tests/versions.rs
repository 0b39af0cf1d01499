//! Owners that write one object at two versions, whose fields have other names.

use std::sync::Arc;

use expect_test::expect;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Story, schema_of, yaml};
use crate::patch::{Manager, Versions, apply, record_update};
use crate::schema::Schema;

/// What `v1` calls `spec.wings` and writes as text is the number `spec.wingCount` in `v2`, which is stored.
#[derive(Debug)]
struct Forms {
    v1: Arc<Schema>,
    v2: Arc<Schema>,
}

impl Forms {
    fn new() -> Self {
        let schema = |field: &str, ty: &str| {
            let mut spec = json!({"color": {"type": "string"}, "name": {"type": "string"}});
            spec[field] = json!({"type": ty});
            Arc::new(schema_of(&json!({"type": "object", "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
                "spec": {"type": "object", "properties": spec},
            }})))
        };
        Self {
            v1: schema("wings", "string"),
            v2: schema("wingCount", "integer"),
        }
    }

    fn schema(&self, version: &str) -> Arc<Schema> {
        if version == "v1" {
            self.v1.clone()
        } else {
            self.v2.clone()
        }
    }
}

fn converted(mut object: Value, version: &str) -> Value {
    let Some(spec) = object["spec"].as_object_mut() else {
        object["apiVersion"] = version.into();
        return object;
    };
    if version == "v1" {
        if let Some(count) = spec.remove("wingCount") {
            spec.insert("wings".into(), count.to_string().into());
        }
    } else if let Some(wings) = spec.remove("wings") {
        let count: i64 = wings.as_str().unwrap().parse().unwrap();
        spec.insert("wingCount".into(), count.into());
    }
    object["apiVersion"] = version.into();
    object
}

impl Versions for Forms {
    fn show(&self, object: &Value, api_version: &str) -> Option<(Value, Arc<Schema>)> {
        Some((
            converted(object.clone(), api_version),
            self.schema(api_version),
        ))
    }
}

/// What the object is as v2, and who owns what, after lines `VERB MANAGER@VERSION: SPEC`.
fn told(lines: &[&str]) -> String {
    let forms = Forms::new();
    let mut story = Story::new(schema_of(&json!({})));
    for line in lines {
        story.second += 1;
        let (head, spec) = line.split_once(": ").unwrap();
        let (verb, who) = head.split_once(' ').unwrap();
        let (name, version) = who.split_once('@').unwrap();
        let manager = Manager {
            name,
            api_version: version,
            subresource: "",
            has_status: true,
            now: Timestamp::from_second(story.second).unwrap(),
            versions: &forms,
        };
        let live = story.live.take();
        let shown = live.clone().map(|live| converted(live, version));
        let schema = forms.schema(version);
        let mut object = json!({"apiVersion": version, "kind": "Bee", "metadata": {"name": "x"}, "spec": yaml(spec)});
        let result = if verb == "put" {
            record_update(shown.as_ref(), &mut object, &schema, &manager);
            Ok(object)
        } else {
            apply(shown.as_ref(), &object, &schema, &manager, verb == "force")
        };
        story.live = live;
        story.take(result.map(|new| converted(new, "v2")));
    }
    story.show()
}

#[test]
fn what_a_manager_no_longer_names_at_another_version_goes() {
    expect![[r#"
        {"spec":{"name":"maja"}}
        m applied v2 at 2: .spec.name
    "#]]
    .assert_eq(&told(&[
        "apply m@v1: {wings: '4', name: maja}",
        "apply m@v2: {name: maja}",
    ]));
}

#[test]
fn what_somebody_else_has_at_another_version_stays() {
    expect![[r#"
        {"spec":{"color":"red","wingCount":4}}
        n applied v2 at 2: .spec.wingCount
        m applied v1 at 4: .spec.color
    "#]]
    .assert_eq(&told(&[
        "apply m@v1: {wings: '4', name: maja}",
        "apply n@v2: {wingCount: 4}",
        "apply m@v2: {name: maja}",
        "apply m@v1: {color: red}",
    ]));
}

#[test]
fn conflicts_are_found_across_versions() {
    expect![[r#"
        2: 409 Apply failed with 1 conflict: conflict with "m": .spec.wings
        4: nothing changed
        {"spec":{"name":"maja","wingCount":6}}
        m applied v1 at 1: .spec.name
        n applied v2 at 3: .spec.wingCount
    "#]]
    .assert_eq(&told(&[
        "apply m@v1: {wings: '4', name: maja}",
        "apply n@v2: {wingCount: 6}",
        "force n@v2: {wingCount: 6}",
        "apply m@v1: {name: maja}",
    ]));
}

#[test]
fn updates_take_fields_from_owners_at_other_versions() {
    expect![[r#"
        {"spec":{"name":"maja","wingCount":8}}
        m applied v1 at 1: .spec.name
        hand updated v1 at 3: .spec.wings
    "#]]
    .assert_eq(&told(&[
        "apply m@v1: {wings: '4', name: maja}",
        "put hand@v2: {wingCount: 6, name: maja}",
        "put hand@v1: {wings: '8', name: maja}",
    ]));
}

#[test]
fn the_same_again_changes_nothing() {
    expect![[r#"
        3: nothing changed
        5: nothing changed
        {"spec":{"name":"maja","wingCount":4}}
        n applied v2 at 2: .spec.name
        m applied v2 at 4: .spec.wingCount
    "#]]
    .assert_eq(&told(&[
        "apply m@v1: {wings: '4'}",
        "apply n@v2: {name: maja}",
        "apply m@v1: {wings: '4'}",
        "apply m@v2: {wingCount: 4}",
        "apply m@v2: {wingCount: 4}",
    ]));
}
