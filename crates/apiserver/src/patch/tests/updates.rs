//! Bookkeeping of writes that are not applies.

use expect_test::expect;
use serde_json::{Value, json};

use super::{Story, check, object, thing};
use crate::patch::{is_same, record_update};

#[test]
fn creating_owns_everything() {
    check(
        "put bob: {metadata: {labels: {a: b}}, spec: {replicas: 1, containers: [{name: c, image: i}]}}",
        &expect![[r#"
            {"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i","name":"c"}],"replicas":1}}
            bob updated v1 at 1: .spec .metadata.labels .metadata.labels.a .spec.containers .spec.replicas .spec.containers[name="c"] .spec.containers[name="c"].image .spec.containers[name="c"].name
        "#]],
    );
}

#[test]
fn changing_owns_what_changed() {
    check(
        "put bob: {spec: {replicas: 1, name: a, zones: [a, b]}}
         put carol: {spec: {replicas: 2, name: a, zones: [b, c]}}",
        &expect![[r#"
            {"spec":{"name":"a","replicas":2,"zones":["b","c"]}}
            bob updated v1 at 1: .spec .spec.name .spec.zones .spec.zones[="b"]
            carol updated v1 at 2: .spec.replicas .spec.zones[="c"]
        "#]],
    );
}

#[test]
fn changing_nothing_leaves_times_alone() {
    check(
        "put bob: {spec: {replicas: 1}}
         put carol: {spec: {replicas: 1}}
         put bob: {metadata: {resourceVersion: '7'}, spec: {replicas: 1}}",
        &expect![[r#"
            2: nothing changed
            {"metadata":{"resourceVersion":"7"},"spec":{"replicas":1}}
            bob updated v1 at 1: .spec .spec.replicas
        "#]],
    );
}

#[test]
fn removed_fields_leave_all_owners() {
    check(
        "put bob: {spec: {replicas: 1, name: a}}
         apply alice: {spec: {replicas: 1, paused: true}}
         put carol: {spec: {name: a, paused: true}}",
        &expect![[r#"
            {"spec":{"name":"a","paused":true}}
            alice applied v1 at 2: .spec.paused
            bob updated v1 at 1: .spec .spec.name
        "#]],
    );
}

#[test]
fn the_same_manager_has_one_entry_per_subresource_and_version() {
    check(
        "put bob: {spec: {replicas: 1}}
         put bob@v2: {spec: {replicas: 1, name: a}}
         put bob/scale: {spec: {replicas: 2, name: a}}
         put bob: {spec: {replicas: 2, name: b}}",
        &expect![[r#"
            {"spec":{"name":"b","replicas":2}}
            bob/scale updated v1 at 3: .spec.replicas
            bob updated v1 at 4: .spec .spec.name
        "#]],
    );
}

#[test]
fn writes_without_a_manager_are_of_unknown() {
    check(
        "put : {spec: {replicas: 1}}",
        &expect![[r#"
        {"spec":{"replicas":1}}
        unknown updated v1 at 1: .spec .spec.replicas
    "#]],
    );
}

#[test]
fn one_empty_entry_clears_the_list() {
    check(
        "put bob: {spec: {replicas: 1}}
         put bob: {metadata: {managedFields: [{}]}, spec: {replicas: 1}}
         put bob: {spec: {replicas: 2}}",
        &expect![[r#"
            {"spec":{"replicas":2}}
        "#]],
    );
}

#[test]
fn an_empty_or_unreadable_list_keeps_the_old_one() {
    check(
        "put bob: {spec: {replicas: 1}}
         put bob: {metadata: {managedFields: []}, spec: {replicas: 1}}
         put bob: {metadata: {managedFields: [{manager: x, operation: Seize, apiVersion: v1, fieldsType: FieldsV1}]}, spec: {replicas: 1}}",
        &expect![[r#"
            2: nothing changed
            3: nothing changed
            {"spec":{"replicas":1}}
            bob updated v1 at 1: .spec .spec.replicas
        "#]],
    );
}

#[test]
fn a_list_of_the_client_replaces_the_old_one_but_not_through_a_subresource() {
    let list = "[{manager: eve, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {'f:spec': {'f:name': {}}}}]";
    check(
        &format!(
            "put bob: {{spec: {{replicas: 1, name: a}}}}
             put bob: {{metadata: {{managedFields: {list}}}, spec: {{replicas: 1, name: a}}}}"
        ),
        &expect![[r#"
            {"spec":{"name":"a","replicas":1}}
            eve updated v1 at ?: .spec.name
        "#]],
    );
    check(
        &format!(
            "put bob: {{spec: {{replicas: 1, name: a}}}}
             put bob/scale: {{metadata: {{managedFields: {list}}}, spec: {{replicas: 1, name: a}}}}"
        ),
        &expect![[r#"
            2: nothing changed
            {"spec":{"name":"a","replicas":1}}
            bob updated v1 at 1: .spec .spec.name .spec.replicas
        "#]],
    );
}

#[test]
fn untracked_objects_stay_untracked_until_they_are_applied() {
    check(
        "untracked -: {spec: {replicas: 1}}
         put bob: {spec: {replicas: 2, name: a}}",
        &expect![[r#"
            {"spec":{"name":"a","replicas":2}}
        "#]],
    );
    check(
        "untracked -: {spec: {replicas: 1, name: a}, status: {replicas: 1}}
         apply alice: {spec: {replicas: 1, paused: true}}",
        &expect![[r#"
            {"spec":{"name":"a","paused":true,"replicas":1},"status":{"replicas":1}}
            alice applied v1 at 2: .spec.paused .spec.replicas
            before-first-apply updated v1 at 2: .spec .spec.name .spec.replicas
        "#]],
    );
    check(
        "untracked -: {spec: {replicas: 1}}
         apply alice: {spec: {replicas: 2}}",
        &expect![[r#"
            2: 409 Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .spec.replicas
            {"spec":{"replicas":1}}
        "#]],
    );
}

#[test]
fn an_object_that_says_nothing_is_owned_by_nobody() {
    check(
        "apply alice: {spec: {containers: []}}
         apply alice: {spec: {containers: []}}",
        &expect![[r#"
            2: nothing changed
            {"spec":{"containers":[]}}
        "#]],
    );
}

#[test]
fn the_oldest_of_many_updaters_are_merged() {
    let mut story = Story::new(thing());
    for writer in 1..=13 {
        let version = if writer % 4 == 0 { "v2" } else { "v1" };
        let labels: Vec<String> = (1..=writer).map(|label| format!("l{label}: x")).collect();
        story.tell(&format!(
            "put w{writer:02}@{version}: {{metadata: {{labels: {{{}}}}}}}",
            labels.join(", ")
        ));
    }
    expect![[r#"
        {"metadata":{"labels":{"l1":"x","l10":"x","l11":"x","l12":"x","l13":"x","l2":"x","l3":"x","l4":"x","l5":"x","l6":"x","l7":"x","l8":"x","l9":"x"}}}
        w04 updated v2 at 4: .metadata.labels.l4
        ancient-changes updated v1 at 5: .metadata.labels .metadata.labels.l1 .metadata.labels.l2 .metadata.labels.l3 .metadata.labels.l5
        w06 updated v1 at 6: .metadata.labels.l6
        w07 updated v1 at 7: .metadata.labels.l7
        w08 updated v2 at 8: .metadata.labels.l8
        w09 updated v1 at 9: .metadata.labels.l9
        w10 updated v1 at 10: .metadata.labels.l10
        w11 updated v1 at 11: .metadata.labels.l11
        w12 updated v2 at 12: .metadata.labels.l12
        w13 updated v1 at 13: .metadata.labels.l13
    "#]].assert_eq(&story.show());
}

#[test]
fn items_without_a_name_leave_the_bookkeeping_as_it_was() {
    check(
        "put bob: {spec: {replicas: 1}}
         put carol: {spec: {replicas: 2, containers: [{image: x}]}}",
        &expect![[r#"
            {"spec":{"containers":[{"image":"x"}],"replicas":2}}
            bob updated v1 at 1: .spec .spec.replicas
        "#]],
    );
}

#[test]
fn the_stored_form_is_that_of_kubernetes() {
    let mut value = object(
        "{metadata: {labels: {a: b}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}], zones: [z]}}",
    );
    let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let manager = super::Manager {
        name: "kubectl",
        api_version: "v1",
        subresource: "",
        has_status: true,
        now,
        versions: &crate::patch::OneForm,
    };
    record_update(None, &mut value, &thing(), &manager);
    expect![[r#"
        [
          {
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
              "f:metadata": {
                "f:labels": {
                  ".": {},
                  "f:a": {}
                }
              },
              "f:spec": {
                ".": {},
                "f:containers": {
                  ".": {},
                  "k:{\"name\":\"c\"}": {
                    ".": {},
                    "f:name": {},
                    "f:ports": {
                      ".": {},
                      "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                        ".": {},
                        "f:containerPort": {}
                      }
                    }
                  }
                },
                "f:zones": {
                  ".": {},
                  "v:\"z\"": {}
                }
              }
            },
            "manager": "kubectl",
            "operation": "Update",
            "time": "2026-01-02T03:04:05Z"
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&value["metadata"]["managedFields"]).unwrap());
}

#[test]
fn a_write_is_the_same_if_only_times_differ() {
    let entry = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time});
    let object = |entries: Vec<Value>| json!({"metadata": {"name": "x", "managedFields": entries}, "spec": {"a": 1}});
    let one = object(vec![entry("a", "1"), entry("b", "2")]);
    assert!(is_same(
        &one,
        &object(vec![entry("a", "3"), entry("b", "2")])
    ));
    assert!(is_same(
        &one,
        &object(vec![entry("b", "2"), entry("a", "3")])
    ));
    assert!(!is_same(
        &one,
        &object(vec![entry("a", "1"), entry("c", "2")])
    ));
    assert!(!is_same(&one, &object(vec![entry("a", "1")])));
    let mut other = one.clone();
    other["spec"]["a"] = 2.into();
    assert!(!is_same(&one, &other));
}
