//! JSON Patch and JSON Merge Patch.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::patch::{json as json_patch, merge};

fn show(result: Result<Value, crate::status::Status>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(status) => {
            let cause = status
                .details
                .as_ref()
                .map(|details| details["causes"][0]["message"].to_string());
            format!(
                "{} {} {} {}",
                status.code,
                status.reason,
                status.message,
                cause.unwrap_or_default()
            )
        }
    }
}

fn check(target: &Value, patch: &Value, expected: &Expect) {
    expected.assert_eq(&show(json_patch(target, patch.to_string().as_bytes())));
}

#[test]
fn operations_apply_in_order() {
    check(
        &json!({"a": [1, 2], "b": {"c": "d"}}),
        &json!([
            {"op": "test", "path": "/b/c", "value": "d"},
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "add", "path": "/a/0", "value": 0},
            {"op": "remove", "path": "/a/1"},
            {"op": "replace", "path": "/b/c", "value": null},
            {"op": "copy", "from": "/a", "path": "/e"},
            {"op": "move", "from": "/b", "path": "/f~1g"}
        ]),
        &expect![[r#"{"a":[0,2,3],"e":[0,2,3],"f/g":{"c":null}}"#]],
    );
}

#[test]
fn operations_that_do_not_fit_are_unprocessable() {
    let target = json!({"a": 1});
    check(
        &target,
        &json!([{"op": "test", "path": "/a", "value": 2}]),
        &expect![[
            r#"422 Invalid the server rejected our request due to an error in our request "operation 0 of the JSON Patch at path \"/a\": value did not match""#
        ]],
    );
    check(
        &target,
        &json!([{"op": "remove", "path": "/b"}]),
        &expect![[
            r#"422 Invalid the server rejected our request due to an error in our request "operation 0 of the JSON Patch at path \"/b\": path is invalid""#
        ]],
    );
    check(
        &target,
        &json!([{"op": "add", "path": "/b/c", "value": 1}]),
        &expect![[
            r#"422 Invalid the server rejected our request due to an error in our request "operation 0 of the JSON Patch at path \"/b/c\": path is invalid""#
        ]],
    );
    check(
        &target,
        &json!([{"op": "move", "from": "/b", "path": "/c"}]),
        &expect![[
            r#"422 Invalid the server rejected our request due to an error in our request "operation 0 of the JSON Patch at path \"/c\": \"from\" path is invalid""#
        ]],
    );
}

#[test]
fn what_is_no_patch_is_refused() {
    check(
        &json!({}),
        &json!({"a": 1}),
        &expect![
            "400 BadRequest error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp "
        ],
    );
    check(
        &json!({}),
        &json!([{"op": "tickle", "path": "/a"}]),
        &expect![[
            r#"422 Invalid the server rejected our request due to an error in our request "operation 0 of the JSON Patch is invalid: unknown variant `tickle`, expected one of `add`, `remove`, `replace`, `move`, `copy`, `test`""#
        ]],
    );
    check(
        &json!({}),
        &json!([{"op": "remove", "path": "/a"}, 7]),
        &expect![
            "400 BadRequest error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp "
        ],
    );
    expect!["400 BadRequest error decoding patch: unexpected end of JSON input "]
        .assert_eq(&show(json_patch(&json!({}), b"[")));
}

#[test]
fn operations_are_bounded() {
    let operation = json!({"op": "test", "path": "", "value": {}});
    let full = Value::Array(vec![operation.clone(); 10_000]);
    check(&json!({}), &full, &expect!["{}"]);
    check(
        &json!({}),
        &Value::Array(vec![operation; 10_001]),
        &expect![
            "413 RequestEntityTooLarge Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001 "
        ],
    );
}

#[test]
fn copies_are_bounded() {
    let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    check(
        &json!({"a": ["xxxxxxxxxxxxxxxx"]}),
        &Value::Array(vec![double; 64]),
        &expect![
            "413 RequestEntityTooLarge Request entity too large: the copies of the JSON patch add more than 3145728 bytes "
        ],
    );
}

#[test]
fn nesting_is_bounded() {
    let nest = [
        json!({"op": "add", "path": "/b", "value": {}}),
        json!({"op": "move", "from": "/a", "path": "/b/a"}),
        json!({"op": "move", "from": "/b", "path": "/a"}),
    ];
    let patch = |times: usize| Value::Array(nest.iter().cycle().take(3 * times).cloned().collect());
    assert!(json_patch(&json!({"a": {}}), patch(110).to_string().as_bytes()).is_ok());
    check(
        &json!({"a": {}}),
        &patch(200),
        &expect![
            "400 BadRequest the patched object is nested too deeply: at most 120 levels are allowed "
        ],
    );
}

#[test]
fn moving_back_and_forth_is_not_nesting() {
    let there = json!({"op": "move", "from": "/a", "path": "/b/c"});
    let back = json!({"op": "move", "from": "/b/c", "path": "/a"});
    let patch: Vec<Value> = [there, back].iter().cycle().take(1000).cloned().collect();
    check(
        &json!({"a": {"x": 1}, "b": {}}),
        &Value::Array(patch),
        &expect![[r#"{"a":{"x":1},"b":{}}"#]],
    );
}

#[test]
fn shifting_long_lists_is_bounded() {
    let target = json!({"a": vec![0; 100_000]});
    let insert = json!({"op": "add", "path": "/a/0", "value": 0});
    check(
        &target,
        &Value::Array(vec![insert; 1000]),
        &expect![
            "413 RequestEntityTooLarge Request entity too large: the JSON patch inserts into and removes from long lists too often "
        ],
    );
}

#[test]
fn merging_replaces_lists_and_removes_nulls() {
    let merged = merge(
        &json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "text"}),
        &json!({"a": {"b": null, "f": {"g": null, "h": 3}}, "d": [3], "e": {"i": null}}),
    );
    expect![[r#"{"a":{"c":2,"f":{"h":3}},"d":[3],"e":{}}"#]].assert_eq(&merged.to_string());
    assert_eq!(merge(&json!({"a": 1}), &json!([1])), json!([1]));
    assert_eq!(merge(&json!(null), &json!({"a": null})), json!({}));
}
