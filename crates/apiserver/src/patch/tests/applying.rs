//! Server-side apply: ownership, conflicts, removal.

use expect_test::expect;

use super::{check, schema_of, yaml};

#[test]
fn applying_creates_and_owns() {
    check(
        "apply alice: {spec: {replicas: 1, name: a}}",
        &expect![[r#"
            {"spec":{"name":"a","replicas":1}}
            alice applied v1 at 1: .spec.name .spec.replicas
        "#]],
    );
}

#[test]
fn applying_less_removes_what_nobody_else_owns() {
    check(
        "apply alice: {metadata: {labels: {a: b}}, spec: {replicas: 1, name: a}}
         apply alice: {spec: {replicas: 1}}",
        &expect![[r#"
            {"spec":{"replicas":1}}
            alice applied v1 at 2: .spec.replicas
        "#]],
    );
}

#[test]
fn applying_the_same_again_changes_nothing() {
    check(
        "apply alice: {spec: {replicas: 1, zones: [a], containers: [{name: c, image: i}]}}
         apply alice: {spec: {replicas: 1, zones: [a], containers: [{name: c, image: i}]}}",
        &expect![[r#"
            2: nothing changed
            {"spec":{"containers":[{"image":"i","name":"c"}],"replicas":1,"zones":["a"]}}
            alice applied v1 at 1: .spec.replicas .spec.containers[name="c"] .spec.containers[name="c"].image .spec.containers[name="c"].name .spec.zones[="a"]
        "#]],
    );
}

#[test]
fn the_same_value_is_shared_and_stays_until_the_last_owner_lets_go() {
    check(
        "apply alice: {spec: {replicas: 1}}
         apply bob: {spec: {replicas: 1}}
         apply alice: {spec: {}}",
        &expect![[r#"
            {"spec":{"replicas":1}}
            bob applied v1 at 2: .spec.replicas
            alice applied v1 at 3: .spec
        "#]],
    );
    check(
        "apply alice: {spec: {replicas: 1}}
         apply bob: {spec: {replicas: 1}}
         apply alice: {spec: {}}
         apply bob: {spec: {paused: true}}",
        &expect![[r#"
            {"spec":{"paused":true}}
            alice applied v1 at 3: .spec
            bob applied v1 at 4: .spec.paused
        "#]],
    );
}

#[test]
fn another_value_is_a_conflict_until_forced() {
    check(
        "apply alice: {spec: {replicas: 1}}
         apply bob: {spec: {replicas: 2}}",
        &expect![[r#"
            2: 409 Apply failed with 1 conflict: conflict with "alice": .spec.replicas
            {"spec":{"replicas":1}}
            alice applied v1 at 1: .spec.replicas
        "#]],
    );
    check(
        "apply alice: {spec: {replicas: 1, name: a}}
         force bob: {spec: {replicas: 2}}",
        &expect![[r#"
            {"spec":{"name":"a","replicas":2}}
            alice applied v1 at 1: .spec.name
            bob applied v1 at 2: .spec.replicas
        "#]],
    );
    check(
        "apply alice: {spec: {replicas: 1}}
         force bob: {spec: {replicas: 2}}",
        &expect![[r#"
            {"spec":{"replicas":2}}
            bob applied v1 at 2: .spec.replicas
        "#]],
    );
}

#[test]
fn conflicts_name_every_owner_and_field() {
    check(
        "put bob: {spec: {replicas: 1, name: a, containers: [{name: c, image: i}]}}
         put bob/scale: {spec: {replicas: 3, name: a, containers: [{name: c, image: i}]}}
         apply alice: {spec: {replicas: 2, name: b, containers: [{name: c, image: j}]}}",
        &expect![[r#"
            3: 409 Apply failed with 3 conflicts: conflicts with "bob" using v1:
            - .spec.name
            - .spec.containers[name="c"].image
            conflicts with "bob" with subresource "scale" using v1:
            - .spec.replicas
            {"spec":{"containers":[{"image":"i","name":"c"}],"name":"a","replicas":3}}
            bob updated v1 at 1: .spec .spec.containers .spec.name .spec.containers[name="c"] .spec.containers[name="c"].image .spec.containers[name="c"].name
            bob/scale updated v1 at 2: .spec.replicas
        "#]],
    );
}

#[test]
fn an_update_takes_fields_silently_and_the_applier_conflicts_with_it() {
    check(
        "apply alice: {spec: {replicas: 1, name: a}}
         put bob: {spec: {replicas: 2, name: a}}
         apply alice: {spec: {replicas: 1, name: a}}",
        &expect![[r#"
            3: 409 Apply failed with 1 conflict: conflict with "bob" using v1: .spec.replicas
            {"spec":{"name":"a","replicas":2}}
            alice applied v1 at 1: .spec.name
            bob updated v1 at 2: .spec.replicas
        "#]],
    );
    check(
        "apply alice: {spec: {replicas: 1, name: a}}
         put bob: {spec: {replicas: 2, name: a}}
         apply alice: {spec: {name: a}}",
        &expect![[r#"
            3: nothing changed
            {"spec":{"name":"a","replicas":2}}
            alice applied v1 at 1: .spec.name
            bob updated v1 at 2: .spec.replicas
        "#]],
    );
}

#[test]
fn one_applier_may_use_several_versions() {
    check(
        "apply alice@v1: {spec: {replicas: 1, name: a}}
         apply alice@v1beta1: {apiVersion: v1beta1, spec: {replicas: 1}}",
        &expect![[r#"
            {"spec":{"replicas":1}}
            alice applied v1beta1 at 2: .spec.replicas
        "#]],
    );
}

#[test]
fn an_applier_that_owns_nothing_has_no_entry() {
    check(
        "apply alice: {spec: {replicas: 1}}
         apply alice: {}",
        &expect![[r#"
            {}
        "#]],
    );
}

#[test]
fn an_empty_object_is_a_value() {
    check(
        "apply alice: {spec: {config: {}}}
         apply bob: {spec: {config: {a: 1}}}
         apply alice: {spec: {}}",
        &expect![[r#"
            {"spec":{"config":{"a":1}}}
            bob applied v1 at 2: .spec.config.a
            alice applied v1 at 3: .spec
        "#]],
    );
}

#[test]
fn null_is_a_value() {
    check(
        "apply alice: {spec: {replicas: null, name: a}}",
        &expect![[r#"
            {"spec":{"name":"a","replicas":null}}
            alice applied v1 at 1: .spec.name .spec.replicas
        "#]],
    );
}

#[test]
fn atomic_maps_belong_to_one_manager() {
    check(
        "apply alice: {spec: {selector: {matchLabels: {a: b}}}}
         apply bob: {spec: {selector: {matchLabels: {c: d}}}}",
        &expect![[r#"
            2: 409 Apply failed with 1 conflict: conflict with "alice": .spec.selector
            {"spec":{"selector":{"matchLabels":{"a":"b"}}}}
            alice applied v1 at 1: .spec.selector
        "#]],
    );
    check(
        "apply alice: {spec: {selector: {matchLabels: {a: b}}}}
         force bob: {spec: {selector: {matchLabels: {c: d}}}}",
        &expect![[r#"
            {"spec":{"selector":{"matchLabels":{"c":"d"}}}}
            bob applied v1 at 2: .spec.selector
        "#]],
    );
}

#[test]
fn maps_of_maps_are_granular() {
    check(
        "apply alice: {spec: {nested: {a: {x: '1', y: '2'}, b: {z: '3'}}}}
         apply bob: {spec: {nested: {a: {w: '4'}}}}
         apply alice: {spec: {nested: {a: {x: '1'}}}}",
        &expect![[r#"
            {"spec":{"nested":{"a":{"w":"4","x":"1"}}}}
            bob applied v1 at 2: .spec.nested.a .spec.nested.a.w
            alice applied v1 at 3: .spec.nested.a .spec.nested.a.x
        "#]],
    );
}

#[test]
fn unknown_fields_below_preserve_unknown_are_deduced() {
    check(
        "apply alice: {spec: {config: {a: 1, list: [1, 2], deep: {x: true}}}}
         apply bob: {spec: {config: {deep: {y: false}}}}
         apply bob: {spec: {config: {list: [3]}}}",
        &expect![[r#"
            3: 409 Apply failed with 1 conflict: conflict with "alice": .spec.config.list
            {"spec":{"config":{"a":1,"deep":{"x":true,"y":false},"list":[1,2]}}}
            alice applied v1 at 1: .spec.config.a .spec.config.deep .spec.config.list .spec.config.deep.x
            bob applied v1 at 2: .spec.config.deep .spec.config.deep.y
        "#]],
    );
}

#[test]
fn embedded_objects_have_a_type_and_metadata() {
    check(
        "apply alice: {spec: {template: {apiVersion: v1, kind: Pod, metadata: {labels: {a: b}}}}}
         apply bob: {spec: {template: {surprise: true}}}",
        &expect![[r#"
            2: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec.template.surprise: field not declared in schema
            {"spec":{"template":{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"a":"b"}}}}}
            alice applied v1 at 1: .spec.template.apiVersion .spec.template.kind .spec.template.metadata.labels.a
        "#]],
    );
}

#[test]
fn a_value_may_change_its_shape_where_the_schema_allows() {
    check(
        "apply alice: {spec: {maxSurge: 1, config: {a: {b: c}}}}
         apply alice: {spec: {maxSurge: 25%, config: {a: [1]}}}
         apply alice: {spec: {maxSurge: 25%, config: {a: text}}}
         apply alice: {spec: {maxSurge: 25%, config: {a: {d: e}}}}",
        &expect![[r#"
            {"spec":{"config":{"a":{"d":"e"}},"maxSurge":"25%"}}
            alice applied v1 at 4: .spec.maxSurge .spec.config.a .spec.config.a.d
        "#]],
    );
}

#[test]
fn what_does_not_follow_the_schema_is_refused() {
    check(
        "apply alice: {metadata: {namespace: ns}, spec: {foo: 1}}
         apply alice@apps/v1: {apiVersion: apps/v1, spec: {replicas: one}}
         apply alice: {spec: {replicas: 1, name: 2, paused: yes please, args: {a: b}}}
         apply alice: {spec: {containers: [{name: a, image: [1]}, {name: a}]}}
         apply alice: {spec: {containers: [{image: a}]}}
         apply alice: {spec: {containers: [7]}}
         apply alice: {spec: {zones: [a, {b: c}]}}
         apply alice: {spec: {zones: [a, a]}}
         apply alice: {spec: [1]}",
        &expect![[r#"
            1: 500 failed to create typed patch object (ns/x; /v1, Kind=Thing): .spec.foo: field not declared in schema
            2: 500 failed to create typed patch object (/x; apps/v1, Kind=Thing): .spec.replicas: expected numeric (int or float), got string
            3: 500 failed to create typed patch object (/x; /v1, Kind=Thing): errors:
              .spec.args: expected list, got &{map[a:b]}
              .spec.name: expected string, got &value.valueUnstructured{Value:2}
              .spec.paused: expected boolean, got &{yes please}
            4: 500 failed to create typed patch object (/x; /v1, Kind=Thing): errors:
              .spec.containers[name="a"].image: expected string, got &value.valueUnstructured{Value:[]interface {}{1}}
              .spec.containers: duplicate entries for key [name="a"]
            5: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec.containers: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)
            6: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec.containers: element 0: associative list with keys may not have non-map elements
            7: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec.zones: element 1: associative list without keys has an element that's a map type
            8: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec.zones: duplicate entries for key [="a"]
            9: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec: expected map, got &{[1]}
            {}
        "#]],
    );
}

#[test]
fn the_configuration_must_be_of_the_request() {
    check(
        "apply alice: {apiVersion: v2, spec: {}}
         apply alice: {metadata: {managedFields: []}}
         apply alice: {spec: {replicas: 1}}
         apply alice: {kind: Other, spec: {replicas: 1}}",
        &expect![[r#"
            1: 400 Incorrect version specified in apply patch. Specified patch version: v2, expected: v1
            2: 400 metadata.managedFields must be nil
            4: 400 invalid object type: /v1, Kind=Other
            {"spec":{"replicas":1}}
            alice applied v1 at 3: .spec.replicas
        "#]],
    );
}

#[test]
fn system_metadata_belongs_to_nobody() {
    check(
        "apply alice: {metadata: {uid: u, resourceVersion: '1', namespace: ns, creationTimestamp: null, labels: {a: b}}}
         apply bob: {metadata: {uid: u, labels: {c: d}}}",
        &expect![[r#"
            {"metadata":{"labels":{"a":"b","c":"d"},"namespace":"ns","resourceVersion":"1","uid":"u"}}
            alice applied v1 at 1: .metadata.labels.a
            bob applied v1 at 2: .metadata.labels.c
        "#]],
    );
}

#[test]
fn the_main_endpoint_does_not_own_status() {
    check(
        "apply alice: {spec: {replicas: 1}, status: {replicas: 5}}
         put bob: {spec: {replicas: 2}, status: {replicas: 6}}",
        &expect![[r#"
            {"spec":{"replicas":2},"status":{"replicas":6}}
            bob updated v1 at 2: .spec.replicas
        "#]],
    );
}

#[test]
fn the_status_endpoint_owns_only_status() {
    check(
        "apply alice: {spec: {replicas: 1}}
         apply alice/status: {spec: {replicas: 1}, status: {conditions: [{type: Ready, status: 'True'}]}}
         apply bob/status: {status: {conditions: [{type: Ready, status: 'False'}]}}
         put bob/status: {spec: {replicas: 9}, status: {conditions: [{type: Ready, status: 'True'}], replicas: 1}}",
        &expect![[r#"
            3: 409 Apply failed with 1 conflict: conflict with "alice" with subresource "status": .status.conditions[type="Ready"].status
            {"spec":{"replicas":9},"status":{"conditions":[{"status":"True","type":"Ready"}],"replicas":1}}
            alice applied v1 at 1: .spec.replicas
            alice/status applied v1 at 2: .status.conditions[type="Ready"] .status.conditions[type="Ready"].status .status.conditions[type="Ready"].type
            bob/status updated v1 at 4: .status.replicas
        "#]],
    );
}

#[test]
fn status_is_ordinary_for_kinds_without_the_endpoint() {
    let mut story = super::Story::new(super::thing());
    story.has_status = false;
    story.tell("apply alice: {status: {replicas: 5}}");
    story.tell("put bob: {status: {replicas: 6}}");
    expect![[r#"
        {"status":{"replicas":6}}
        bob updated v1 at 2: .status.replicas
    "#]]
    .assert_eq(&story.show());
}

#[test]
fn a_list_that_became_atomic_is_owned_whole() {
    let granular = "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {
        set: {type: array, items: {type: string}, x-kubernetes-list-type: set},
        map: {type: object, additionalProperties: {type: string}}}}";
    let mut story = super::Story::new(schema_of(&yaml(granular)));
    story.tell("apply alice: {set: [a], map: {a: b}}");
    let atomic = granular
        .replace("list-type: set", "list-type: atomic")
        .replace("map: {", "map: {x-kubernetes-map-type: atomic, ");
    story.schema = schema_of(&yaml(&atomic));
    story.tell("apply bob: {set: [b], map: {a: b}}");
    story.tell("apply bob: {map: {a: b}}");
    expect![[r#"
        2: 409 Apply failed with 1 conflict: conflict with "alice": .set
        {"map":{"a":"b"},"set":["a"]}
        alice applied v1 at 1: .map .set
        bob applied v1 at 3: .map
    "#]]
    .assert_eq(&story.show());
}
