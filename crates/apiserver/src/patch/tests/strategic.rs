//! Strategic merge patch.

use expect_test::{Expect, expect};

use super::{schema_of, thing, yaml};
use crate::patch::strategic;
use crate::schema::Schema;

fn check(target: &str, patch: &str, expected: &Expect) {
    check_with(&thing(), target, patch, expected);
}

fn check_with(schema: &Schema, target: &str, patch: &str, expected: &Expect) {
    let text = match strategic(&yaml(target), &yaml(patch), schema) {
        Ok(value) => value.to_string(),
        Err(status) => {
            let cause = status
                .details
                .as_ref()
                .map(|details| format!(": {}", details["causes"][0]["message"]));
            format!(
                "{} {}{}",
                status.code,
                status.message,
                cause.unwrap_or_default()
            )
        }
    };
    expected.assert_eq(&text);
}

#[test]
fn objects_are_merged_and_nulls_remove() {
    check(
        "{metadata: {labels: {a: b, c: d}}, spec: {replicas: 1, name: a}}",
        "{metadata: {labels: {a: null, e: f}}, spec: {replicas: 2, paused: null}}",
        &expect![[r#"{"metadata":{"labels":{"c":"d","e":"f"}},"spec":{"name":"a","replicas":2}}"#]],
    );
}

#[test]
fn lists_with_a_merge_key_are_merged_item_by_item() {
    check(
        "{spec: {containers: [{name: a, image: i, env: [{name: X, value: '1'}]}, {name: b, image: j}]}}",
        "{spec: {containers: [{name: b, image: k}, {name: a, env: [{name: Z, value: '2'}]}]}}",
        &expect![[
            r#"{"spec":{"containers":[{"image":"k","name":"b"},{"env":[{"name":"Z","value":"2"},{"name":"X","value":"1"}],"image":"i","name":"a"}]}}"#
        ]],
    );
}

#[test]
fn new_items_come_without_nulls_and_directives() {
    check(
        "{spec: {containers: [{name: a}]}}",
        "{spec: {containers: [{name: b, image: null, $setElementOrder/env: [{name: X}], env: [{name: X, $patch: delete}]}]}}",
        &expect![[r#"{"spec":{"containers":[{"env":[],"name":"b"},{"name":"a"}]}}"#]],
    );
    check(
        "{}",
        "{spec: {$retainKeys: [name], name: x, replicas: null, selector: {$patch: delete}}}",
        &expect![[r#"{"spec":{"name":"x"}}"#]],
    );
}

#[test]
fn other_lists_are_replaced() {
    check(
        "{spec: {args: [a, b], zones: [a]}}",
        "{spec: {args: [c], zones: [b]}}",
        &expect![[r#"{"spec":{"args":["c"],"zones":["b"]}}"#]],
    );
}

#[test]
fn lists_of_primitives_with_merge_are_sets() {
    check(
        "{metadata: {finalizers: [a, b]}}",
        "{metadata: {finalizers: [c, b, c]}}",
        &expect![[r#"{"metadata":{"finalizers":["c","a","b"]}}"#]],
    );
    check(
        "{metadata: {finalizers: [a, b]}}",
        "{metadata: {$deleteFromPrimitiveList/finalizers: [a, z]}}",
        &expect![[r#"{"metadata":{"finalizers":["b"]}}"#]],
    );
    check(
        "{metadata: {finalizers: [a, b]}}",
        "{metadata: {$deleteFromPrimitiveList/finalizers: [a], finalizers: [c], $setElementOrder/finalizers: [c, b]}}",
        &expect![[r#"{"metadata":{"finalizers":["c","b"]}}"#]],
    );
}

#[test]
fn objects_can_be_replaced_and_deleted() {
    check(
        "{spec: {selector: {matchLabels: {a: b}}, replicas: 1}}",
        "{spec: {selector: {$patch: replace, matchLabels: {c: d}}}}",
        &expect![[r#"{"spec":{"replicas":1,"selector":{"matchLabels":{"c":"d"}}}}"#]],
    );
    check(
        "{spec: {selector: {matchLabels: {a: b}}}}",
        "{spec: {selector: {$patch: delete}}}",
        &expect![[r#"{"spec":{"selector":{}}}"#]],
    );
    check(
        "{spec: {selector: {matchLabels: {a: b}}}}",
        "{spec: {selector: {$patch: merge, matchLabels: {c: d}}}}",
        &expect![[r#"{"spec":{"selector":{"matchLabels":{"a":"b","c":"d"}}}}"#]],
    );
    check(
        "{spec: {replicas: 1}}",
        "{$patch: replace, spec: {name: x}}",
        &expect![[r#"{"spec":{"name":"x"}}"#]],
    );
    check("{spec: {replicas: 1}}", "{$patch: delete}", &expect!["{}"]);
}

#[test]
fn items_can_be_deleted_and_lists_replaced() {
    check(
        "{spec: {containers: [{name: a}, {name: b}, {name: c}]}}",
        "{spec: {containers: [{name: b, $patch: delete}, {name: z, $patch: delete}, {name: d}]}}",
        &expect![[r#"{"spec":{"containers":[{"name":"d"},{"name":"a"},{"name":"c"}]}}"#]],
    );
    check(
        "{spec: {containers: [{name: a}, {name: b}]}}",
        "{spec: {containers: [{name: c}, {$patch: replace}, {name: a, image: i}]}}",
        &expect![[r#"{"spec":{"containers":[{"name":"c"},{"image":"i","name":"a"}]}}"#]],
    );
    check(
        "{spec: {containers: [{name: a}]}}",
        "{spec: {containers: [{$patch: replace}]}}",
        &expect![[r#"{"spec":{"containers":[]}}"#]],
    );
}

#[test]
fn element_order_is_set() {
    check(
        "{spec: {containers: [{name: a}, {name: b}, {name: c}]}}",
        "{spec: {$setElementOrder/containers: [{name: c}, {name: a}]}}",
        &expect![[r#"{"spec":{"containers":[{"name":"b"},{"name":"c"},{"name":"a"}]}}"#]],
    );
    check(
        "{spec: {containers: [{name: a}, {name: server}, {name: b}, {name: c}]}}",
        "{spec: {$setElementOrder/containers: [{name: new}, {name: c}, {name: a}, {name: b}], containers: [{name: new, image: i}, {name: c, image: j}]}}",
        &expect![[
            r#"{"spec":{"containers":[{"image":"i","name":"new"},{"name":"server"},{"image":"j","name":"c"},{"name":"a"},{"name":"b"}]}}"#
        ]],
    );
    check(
        "{spec: {}}",
        "{spec: {$setElementOrder/containers: [{name: b}, {name: a}], containers: [{name: b}, {name: a}]}}",
        &expect![[r#"{"spec":{"containers":[{"name":"b"},{"name":"a"}]}}"#]],
    );
    check(
        "{spec: {}}",
        "{spec: {$setElementOrder/containers: [{name: b}]}}",
        &expect![[r#"{"spec":{}}"#]],
    );
    check(
        "{spec: {containers: [{name: a}, {name: b}]}}",
        "{spec: {$setElementOrder/containers: [{name: a}], containers: [{name: b, $patch: delete}]}}",
        &expect![[r#"{"spec":{"containers":[{"name":"a"}]}}"#]],
    );
    check(
        "{spec: {containers: []}}",
        "{spec: {$setElementOrder/containers: []}}",
        &expect![[r#"{"spec":{"containers":[]}}"#]],
    );
}

#[test]
fn ports_merge_by_their_first_key() {
    check(
        "{spec: {containers: [{name: a, ports: [{containerPort: 80, name: http}]}]}}",
        "{spec: {containers: [{name: a, ports: [{containerPort: 80, protocol: TCP}, {containerPort: 443}]}]}}",
        &expect![[
            r#"{"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"http","protocol":"TCP"},{"containerPort":443}]}]}}"#
        ]],
    );
}

#[test]
fn keys_that_are_not_retained_go() {
    let schema = schema_of(&yaml(
        "{type: object, properties: {strategy: {type: object, x-kubernetes-patch-strategy: retainKeys, properties: {
            type: {type: string}, rollingUpdate: {type: object}}}, selector: {type: object, x-kubernetes-patch-strategy: replace}}}",
    ));
    check_with(
        &schema,
        "{strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}",
        "{strategy: {$retainKeys: [type], type: Recreate}}",
        &expect![[r#"{"strategy":{"type":"Recreate"}}"#]],
    );
    check_with(
        &schema,
        "{strategy: {type: RollingUpdate}}",
        "{strategy: {$retainKeys: [type], type: Recreate, rollingUpdate: {}}}",
        &expect![[
            r#"422 the server rejected our request due to an error in our request: "patch content doesn't match retainKeys list: \"rollingUpdate\" is not in it""#
        ]],
    );
    check_with(
        &schema,
        "{strategy: {}}",
        "{strategy: {$retainKeys: type}}",
        &expect!["400 invalid patch format of retainKeys: must be a list of field names"],
    );
    check_with(
        &schema,
        "{selector: {a: b}}",
        "{selector: {c: d}}",
        &expect![[r#"{"selector":{"c":"d"}}"#]],
    );
}

#[test]
fn fields_that_change_their_type_are_replaced() {
    check(
        "{spec: {maxSurge: 1, config: {a: 1}}}",
        "{spec: {maxSurge: 10%, config: [1, {$patch: delete}]}}",
        &expect![[r#"{"spec":{"config":[1],"maxSurge":"10%"}}"#]],
    );
}

#[test]
fn malformed_patches_are_refused() {
    let target = "{metadata: {finalizers: [a]}, spec: {containers: [{name: a}], replicas: 1}}";
    check(
        target,
        "[]",
        &expect!["400 invalid JSON document: a strategic merge patch must be an object"],
    );
    check(
        target,
        "{spec: {$patch: shuffle}}",
        &expect!["400 unknown patch type: shuffle in map: map[$patch:shuffle]"],
    );
    check(
        target,
        "{spec: {$patch: 7}}",
        &expect!["400 unknown patch type: 7 in map: map[$patch:7]"],
    );
    check(
        target,
        "{spec: {containers: [{image: x}]}}",
        &expect!["400 map: map[image:x] does not contain declared merge key: name"],
    );
    check(
        target,
        "{spec: {containers: [x]}}",
        &expect!["400 list element types are not identical"],
    );
    check(
        target,
        "{spec: {containers: [{name: x, $patch: merge}]}}",
        &expect!["400 merging lists cannot yet be specified in the patch"],
    );
    check(
        target,
        "{spec: {containers: [{$patch: delete}]}}",
        &expect!["400 map: map[$patch:delete] does not contain declared merge key: name"],
    );
    check(
        "{metadata: {finalizers: []}}",
        "{metadata: {finalizers: [[a]]}}",
        &expect![[
            r#"422 the server rejected our request due to an error in our request: "lists of lists are not supported""#
        ]],
    );
    check(
        target,
        "{metadata: {$deleteFromPrimitiveList: [a]}}",
        &expect![[
            r#"400 invalid patch format of primitive list: "$deleteFromPrimitiveList" must be $deleteFromPrimitiveList/<field>"#
        ]],
    );
    check(
        target,
        "{metadata: {$deleteFromPrimitiveList/finalizers: a}}",
        &expect![
            "400 invalid patch format of primitive list: $deleteFromPrimitiveList/finalizers must be a list"
        ],
    );
}

#[test]
fn malformed_orders_are_refused() {
    let target = "{spec: {containers: [{name: a}], replicas: 1}}";
    check(
        target,
        "{spec: {$setElementOrder/containers: a}}",
        &expect![
            "400 invalid patch format of setElementOrder list: $setElementOrder/containers must be a list"
        ],
    );
    check(
        target,
        "{spec: {$setElementOrder/replicas: [a]}}",
        &expect![
            "400 invalid patch format of setElementOrder list: $setElementOrder/replicas is about a field that is no list"
        ],
    );
    check(
        target,
        "{spec: {$setElementOrder: [a]}}",
        &expect![[
            r#"400 invalid patch format of setElementOrder list: "$setElementOrder" must be $setElementOrder/<field>"#
        ]],
    );
    check(
        target,
        "{spec: {$setElementOrder/containers: [{name: a}, {name: b}], containers: [{name: b}, {name: a}]}}",
        &expect![
            "400 invalid patch format of setElementOrder list: $setElementOrder/containers must name the items of the patch in their order"
        ],
    );
}
