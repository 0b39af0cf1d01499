//! Check tests: a template and revisions in YAML → what becomes of them, as text.

use std::convert::Infallible;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::{Change, Plan};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// What the tests say of a history; the owner is `web`, which selects `app: web`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// The image of the present template.
    image: String,
    #[serde(default)]
    revisions: Vec<Line>,
    #[serde(default)]
    limit: Option<i32>,
    /// Revisions that pods are of.
    #[serde(default)]
    live: Vec<String>,
}

/// One revision.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Line {
    name: String,
    image: String,
    number: i64,
    app: String,
    owner: Option<String>,
    hash: Option<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            name: String::new(),
            image: "v1".into(),
            number: 1,
            app: "web".into(),
            owner: Some("uid-web".into()),
            hash: Some("hash".into()),
        }
    }
}

impl Line {
    fn build(&self) -> Arc<ControllerRevision> {
        let owners = self.owner.as_ref().map(
            |uid| json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": uid, "controller": true}]),
        );
        let mut template = json!(template(&self.image));
        template["$patch"] = "replace".into();
        let revision = json!({
            "metadata": {
                "name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name), "ownerReferences": owners,
                "labels": {"app": self.app, "controller-revision-hash": self.hash},
            },
            "data": {"spec": {"template": template}}, "revision": self.number,
        });
        let mut revision: ControllerRevision =
            serde_json::from_value(without_nulls(revision)).unwrap();
        revision.metadata.creation_timestamp = None;
        Arc::new(revision)
    }
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(map) = value["metadata"]["labels"].as_object_mut() {
        map.retain(|_, label| !label.is_null());
    }
    value
}

fn template(image: &str) -> PodTemplateSpec {
    let spec = json!({"containers": [{"name": "c", "image": image}]});
    serde_json::from_value(json!({"metadata": {"labels": {"app": "web"}}, "spec": spec})).unwrap()
}

fn check(yaml: &str, expect: &Expect) {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let meta: ObjectMeta = serde_json::from_value(json!({
        "name": "web", "namespace": "default", "uid": "uid-web", "annotations": {"kubernetes.io/change-cause": "because"},
    }))
    .unwrap();
    let selector = serde_json::from_value(json!({"matchLabels": {"app": "web"}})).unwrap();
    let template = template(&scene.image);
    let owner = Owner {
        keeper: Keeper {
            api_version: "apps/v1",
            kind: "DaemonSet",
            meta: &meta,
        },
        selector: &selector,
        template: &template,
        collisions: 0,
        hash_label: REVISION_LABEL,
    };
    let revisions = scene.revisions.iter().map(Line::build).collect();
    let history = History::of(revisions, &owner);
    let mut plan: Plan<Infallible> = Plan::default();
    keep(&history, &owner, &mut plan);
    let old = surplus(&history, &owner, scene.limit, false, |revision| {
        scene
            .live
            .iter()
            .any(|name| Some(name) == revision.metadata.name.as_ref())
    });
    let mut text = plan.to_string();
    for old in old {
        writeln!(text, "forget {}", old.metadata.name.as_deref().unwrap()).unwrap();
    }
    let now = current(&history, &owner);
    writeln!(
        text,
        "current {} {} number {}",
        now.name, now.hash, now.number
    )
    .unwrap();
    for change in &plan.changes {
        if let Change::Create(object) = change {
            let value = serde_json::to_string(object).unwrap();
            writeln!(text, "{value}").unwrap();
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn the_first_template_gets_the_first_revision() {
    check(
        "image: v1",
        &expect![[r#"
        create ControllerRevision default/web-7f8744f8
        current web-7f8744f8 7f8744f8 number 1
        {"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"annotations":{"kubernetes.io/change-cause":"because"},"labels":{"app":"web","controller-revision-hash":"7f8744f8"},"name":"web-7f8744f8","namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"web","uid":"uid-web"}]},"data":{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"v1","name":"c"}]}}}},"revision":1}
    "#]],
    );
}

#[test]
fn a_template_that_is_known_needs_nothing() {
    check(
        "{image: v2, revisions: [{name: a, image: v1}, {name: b, image: v2, number: 2}]}",
        &expect![[r#"
            current b hash number 2
        "#]],
    );
}

#[test]
fn a_template_that_comes_back_gets_a_new_number() {
    check(
        "{image: v1, revisions: [{name: a, image: v1}, {name: b, image: v2, number: 2}]}",
        &expect![[r#"
            patch ControllerRevision default/a {"metadata":{"uid":"uid-a"},"revision":3}
            current a hash number 3
        "#]],
    );
}

#[test]
fn of_two_revisions_with_the_same_template_the_later_counts() {
    check(
        "{image: v1, revisions: [{name: a, image: v1}, {name: b, image: v1, number: 2}]}",
        &expect![[r#"
            current b hash number 2
        "#]],
    );
}

#[test]
fn revisions_are_adopted_released_and_left_alone() {
    check(
        "image: v1
revisions:
- {name: orphan, image: v1, owner: null}
- {name: stray, image: v0, app: db}
- {name: foreign, image: v0, owner: somebody}",
        &expect![[r#"
            patch ControllerRevision default/orphan {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"web","uid":"uid-web"}],"uid":"uid-orphan"}}
            patch ControllerRevision default/stray {"metadata":{"ownerReferences":[],"uid":"uid-stray"}}
            current orphan hash number 1
        "#]],
    );
}

#[test]
fn a_revision_without_its_hash_gets_its_name_for_it() {
    check(
        "{image: v1, revisions: [{name: a, hash: null}]}",
        &expect![[r#"
            patch ControllerRevision default/a {"metadata":{"labels":{"controller-revision-hash":"a"},"uid":"uid-a"}}
            current a a number 1
        "#]],
    );
}

#[test]
fn old_revisions_go_beyond_the_limit_but_for_those_in_use() {
    check(
        "image: v5
limit: 1
live: [b]
revisions:
- {name: a, image: v1, number: 1}
- {name: b, image: v2, number: 2}
- {name: c, image: v3, number: 3}
- {name: d, image: v4, number: 4}
- {name: e, image: v5, number: 5}",
        &expect![[r#"
            forget a
            forget c
            current e hash number 5
        "#]],
    );
    check(
        "{image: v2, limit: 0, revisions: [{name: a, image: v1}, {name: b, image: v2, number: 2}]}",
        &expect![[r#"
            forget a
            current b hash number 2
        "#]],
    );
}

#[test]
fn taken_names_lead_to_others() {
    let meta = ObjectMeta {
        name: Some("x".repeat(300)),
        ..ObjectMeta::default()
    };
    let (selector, template) = (LabelSelector::default(), template("v1"));
    let owner = Owner {
        keeper: Keeper {
            api_version: "apps/v1",
            kind: "StatefulSet",
            meta: &meta,
        },
        selector: &selector,
        template: &template,
        collisions: 0,
        hash_label: "controller.kubernetes.io/hash",
    };
    let names: Vec<String> = (0..3).map(|taken| plan::name(&owner, taken)).collect();
    assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 253), "{names:?}");
}
