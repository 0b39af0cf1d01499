//! Path elements and field sets.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::patch::path::{Element, compare};
use crate::patch::set::Set;

/// Parses `FieldsV1`; shows its paths and its canonical form.
fn check(fields: &Value, expected: &Expect) {
    let text = match Set::parse(fields) {
        Err(error) => error,
        Ok(set) => {
            let mut text = String::new();
            set.each(&mut |path| {
                text.push_str(path);
                text.push('\n');
            });
            text + &set.to_json().to_string()
        }
    };
    expected.assert_eq(&text);
}

#[test]
fn fields_are_read_and_printed() {
    check(
        &json!({"f:spec": {".": {}, "f:replicas": {}, "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}),
        &expect![[r#"
            .spec
            .spec.replicas
            .spec.containers[name="c"]
            .spec.containers[name="c"].image
            {"f:spec":{".":{},"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}},"f:replicas":{}}}"#]],
    );
    check(
        &json!({"f:zones": {"v:\"a\"": {}, "v:1": {}, "v:true": {}, "i:3": {}}}),
        &expect![[r#"
            .zones[=1]
            .zones[="a"]
            .zones[=true]
            .zones[3]
            {"f:zones":{"i:3":{},"v:\"a\"":{},"v:1":{},"v:true":{}}}"#]],
    );
    check(&json!({}), &expect!["{}"]);
}

#[test]
fn keys_are_printed_in_canonical_order() {
    check(
        &json!({"k:{ \"protocol\" : \"TCP\", \"containerPort\" :80 }": {}}),
        &expect![[r#"
            [containerPort=80,protocol="TCP"]
            {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{}}"#]],
    );
}

#[test]
fn elements_of_unknown_kinds_are_dropped() {
    check(
        &json!({"f:a": {}, "z:future": {"f:b": {}}}),
        &expect![[r#"
            .a
            {"f:a":{}}"#]],
    );
}

#[test]
fn what_is_no_field_set_is_refused() {
    check(&json!([]), &expect!["fieldsV1 must consist of objects"]);
    check(
        &json!({"f:a": 1}),
        &expect!["fieldsV1 must consist of objects"],
    );
    check(
        &json!({"f": {}}),
        &expect![[r#"path element "f" must be at least 2 characters long"#]],
    );
    check(
        &json!({"abc": {}}),
        &expect![[r#"path element "abc" has no colon after its kind"#]],
    );
    check(
        &json!({"é": {}}),
        &expect![[r#"path element "é" has no colon after its kind"#]],
    );
    check(
        &json!({"k:[]": {}}),
        &expect![[
            r#"path element "k:[]": invalid type: sequence, expected a map at line 1 column 0"#
        ]],
    );
    check(
        &json!({"v:{": {}}),
        &expect![[r#"path element "v:{": EOF while parsing an object at line 1 column 1"#]],
    );
    check(
        &json!({"v:1 2": {}}),
        &expect![[r#"path element "v:1 2": trailing characters at line 1 column 3"#]],
    );
    check(
        &json!({"i:x": {}}),
        &expect![[r#"path element "i:x": invalid digit found in string"#]],
    );
}

fn set(fields: &Value) -> Set {
    Set::parse(fields).unwrap()
}

#[test]
fn sets_are_combined_part_by_part() {
    let a = set(&json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}, "f:c": {"f:z": {}}}));
    let b = set(&json!({"f:a": {"f:y": {}}, "f:b": {"f:w": {}}, "f:c": {}}));
    expect![[
        r#"{"f:a":{".":{},"f:x":{},"f:y":{}},"f:b":{".":{},"f:w":{}},"f:c":{".":{},"f:z":{}}}"#
    ]]
    .assert_eq(&a.clone().union(&b).to_json().to_string());
    expect![[r#"{"f:a":{"f:y":{}}}"#]].assert_eq(&a.clone().intersection(&b).to_json().to_string());
    expect![[r#"{"f:a":{".":{},"f:x":{}},"f:b":{},"f:c":{"f:z":{}}}"#]]
        .assert_eq(&a.clone().difference(&b).to_json().to_string());
    expect![[r#"{"f:b":{"f:w":{}},"f:c":{}}"#]]
        .assert_eq(&b.clone().difference(&a).to_json().to_string());
    expect![[r#"{"f:a":{".":{},"f:x":{}},"f:b":{}}"#]]
        .assert_eq(&a.without_trees(&b).to_json().to_string());
}

#[test]
fn a_change_touches_stored_fields_it_meets() {
    let stored = json!({"f:spec": {"f:a": {}, "f:list": {"k:{\"name\":\"c\"}": {"f:image": {}}}}});
    for (changed, touches) in [
        (json!({"f:spec": {"f:a": {}}}), true),
        (json!({"f:spec": {"f:b": {}}}), false),
        (json!({"f:spec": {"f:list": {}}}), true),
        (
            json!({"f:spec": {"f:list": {"k:{\"name\":\"d\"}": {"f:image": {}}}}}),
            false,
        ),
        (json!({"f:status": {}}), false),
    ] {
        assert_eq!(set(&changed).touches(&stored), touches, "{changed}");
    }
}

#[test]
fn values_are_ordered_by_type_and_then_by_value() {
    let mut values = vec![
        json!(null),
        json!({"a": 1}),
        json!([1]),
        json!(true),
        json!("b"),
        json!(2),
        json!(1.5),
        json!(9_007_199_254_740_993_u64),
        json!(9_007_199_254_740_992.0),
        json!("a"),
        json!(false),
        json!([1, 0]),
        json!({"a": 0, "b": 1}),
        json!(-1),
    ];
    values.sort_by(compare);
    expect![[r#"[-1,1.5,2,9007199254740992.0,9007199254740993,"a","b",false,true,[1],[1,0],{"a":0,"b":1},{"a":1},null]"#]].assert_eq(&Value::Array(values).to_string());
    assert_eq!(
        Element::Item(Box::new(json!(1))),
        Element::Item(Box::new(json!(1.0)))
    );
}
