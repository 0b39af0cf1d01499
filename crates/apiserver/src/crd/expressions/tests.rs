//! Schemas with rules and objects in, causes out.

use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::crd::Compiled;
use crate::resource::Resource;
use crate::status::Cause;

fn definition(spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

fn resource(crd: &Value) -> Arc<Resource> {
    let compiled = Compiled::of(crd);
    assert_eq!(compiled.violations, vec![]);
    compiled.versions[0].resource.clone()
}

fn shown(causes: &[Cause]) -> String {
    let lines = causes
        .iter()
        .map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message));
    lines.collect::<Vec<_>>().join("\n")
}

/// What is wrong with the definition.
fn refused(spec: &str, expected: &Expect) {
    expected.assert_eq(&shown(&Compiled::of(&definition(spec)).violations));
}

fn object(spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec})
}

/// What is wrong with an object.
fn check(schema: &str, new: &str, old: Option<&str>, expected: &Expect) {
    let resource = resource(&definition(schema));
    let old = old.map(object);
    let causes = crate::schema::rules::validate(
        resource.custom.as_ref().unwrap().rules.as_ref().unwrap(),
        &object(new),
        old.as_ref(),
    );
    expected.assert_eq(&shown(&causes));
}

const BASIC: &str = "
type: object
x-kubernetes-validations:
- rule: self.min <= self.max
  message: min must not be above max
  fieldPath: .min
- rule: '!has(self.name) || self.name.startsWith(\"a\")'
  messageExpression: '\"name is \" + self.name'
  reason: FieldValueForbidden
properties:
  min: {type: integer}
  max: {type: integer}
  name: {type: string, maxLength: 10, x-kubernetes-validations: [{rule: self.size() < 5, reason: FieldValueDuplicate}]}
  at: {type: string, format: date-time, x-kubernetes-validations: [{rule: \"self > timestamp('2020-01-01T00:00:00Z')\"}]}
  port: {x-kubernetes-int-or-string: true, x-kubernetes-validations: [{rule: 'type(self) == int ? self > 0 : self == \"http\"'}]}
  a-b: {type: object, properties: {namespace: {type: string}}, x-kubernetes-validations: [{rule: \"!has(self.__namespace__) || self.__namespace__ != 'x'\"}]}
";

#[test]
fn rules_are_evaluated() {
    check(BASIC, "{min: 1, max: 2, name: abc}", None, &expect![[""]]);
    check(
        BASIC,
        "{min: 3, max: 2, name: b}",
        None,
        &expect![[r#"
        FieldValueInvalid spec.min: Invalid value: min must not be above max
        FieldValueForbidden spec: Forbidden: name is b"#]],
    );
    check(
        BASIC,
        "{min: 1, max: 2, name: abcdef}",
        None,
        &expect![[r#"FieldValueDuplicate spec.name: Duplicate value: "abcdef""#]],
    );
    check(
        BASIC,
        "{min: 1}",
        None,
        &expect![[
            r#"FieldValueInvalid spec: Invalid value: "object": no such key: max evaluating rule: min must not be above max"#
        ]],
    );
    check(
        BASIC,
        "{min: 1, max: 1, at: '2019-01-01T00:00:00Z', port: 0, a-b: {namespace: x}}",
        None,
        &expect![[r#"
            FieldValueInvalid spec.a-b: Invalid value: failed rule: !has(self.__namespace__) || self.__namespace__ != 'x'
            FieldValueInvalid spec.at: Invalid value: "2019-01-01T00:00:00Z": failed rule: self > timestamp('2020-01-01T00:00:00Z')
            FieldValueInvalid spec.port: Invalid value: 0: failed rule: type(self) == int ? self > 0 : self == "http""#]],
    );
    check(
        BASIC,
        "{min: 1, max: 1, at: '2021-01-01T00:00:00Z', port: http, a-b: {namespace: z}}",
        None,
        &expect![""],
    );
}

const CHANGES: &str = "
type: object
properties:
  fixed: {type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: is immutable}]}
  grows: {type: integer, x-kubernetes-validations: [{rule: '!oldSelf.hasValue() || self >= oldSelf.value()', optionalOldSelf: true}]}
  list:
    type: array
    maxItems: 10
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [name]
    items:
      type: object
      required: [name]
      x-kubernetes-validations: [{rule: self.value >= oldSelf.value, message: must not shrink}]
      properties: {name: {type: string}, value: {type: integer}}
  map:
    type: object
    additionalProperties: {type: integer, x-kubernetes-validations: [{rule: self == oldSelf}]}
";

#[test]
fn rules_on_changes_need_something_that_changed() {
    let old = "{fixed: a, grows: 2, list: [{name: x, value: 3}, {name: y, value: 1}], map: {k: 1}}";
    check(CHANGES, old, None, &expect![[""]]);
    check(CHANGES, old, Some(old), &expect![[""]]);
    check(
        CHANGES,
        "{fixed: b, grows: 1, list: [{name: y, value: 0}, {name: z, value: 0}, {name: x, value: 3}], map: {k: 2, l: 1}}",
        Some(old),
        &expect![[r#"
            FieldValueInvalid spec.fixed: Invalid value: "b": is immutable
            FieldValueInvalid spec.grows: Invalid value: 1: failed rule: !oldSelf.hasValue() || self >= oldSelf.value()
            FieldValueInvalid spec.list[0]: Invalid value: must not shrink
            FieldValueInvalid spec.map[k]: Invalid value: 2: failed rule: self == oldSelf"#]],
    );
    check(CHANGES, "{grows: 1}", Some("{}"), &expect![[""]]);
}

#[test]
fn what_did_not_change_may_stay_wrong() {
    let schema = "
type: object
x-kubernetes-validations: [{rule: self.other > 0, message: other must be positive}]
properties:
  other: {type: integer}
  name: {type: string, x-kubernetes-validations: [{rule: self.size() < 3}]}
  list: {type: array, maxItems: 5, items: {type: integer, x-kubernetes-validations: [{rule: self < 5}]}}
";
    let old = "{other: 0, name: long, list: [9]}";
    check(schema, old, Some(old), &expect![[""]]);
    check(
        schema,
        "{other: -1, name: long, list: [9]}",
        Some(old),
        &expect!["FieldValueInvalid spec: Invalid value: other must be positive"],
    );
    check(
        schema,
        "{other: 0, name: longer, list: [9, 1]}",
        Some(old),
        &expect![[r#"
            FieldValueInvalid spec: Invalid value: other must be positive
            FieldValueInvalid spec.list[0]: Invalid value: 9: failed rule: self < 5
            FieldValueInvalid spec.name: Invalid value: "longer": failed rule: self.size() < 3"#]],
    );
}

#[test]
fn lists_compare_as_they_are_declared() {
    let schema = "
type: object
x-kubernetes-validations:
- rule: self.set == oldSelf.set
- rule: self.map == oldSelf.map
- rule: (self.set + oldSelf.set).size() == 2
- rule: self.plain == oldSelf.plain
  message: plain lists are in order
properties:
  set: {type: array, maxItems: 5, x-kubernetes-list-type: set, items: {type: string, maxLength: 9}}
  plain: {type: array, maxItems: 5, items: {type: string, maxLength: 9}}
  map:
    type: array
    maxItems: 5
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [k]
    items: {type: object, required: [k], properties: {k: {type: string, maxLength: 9}, v: {type: integer}}}
";
    check(
        schema,
        "{set: [a, b], plain: [a, b], map: [{k: x, v: 1}, {k: z}]}",
        Some("{set: [b, a], plain: [b, a], map: [{k: z}, {k: x, v: 1}]}"),
        &expect!["FieldValueInvalid spec: Invalid value: plain lists are in order"],
    );
}

#[test]
fn duplicates_may_stay_where_there_were_some() {
    let schema = "{type: object, properties: {set: {type: array, x-kubernetes-list-type: set, items: {type: string}}}}";
    let resource = resource(&definition(schema));
    let causes = |new: &str, old: &str| {
        let causes = crate::schema::validate(&resource, &object(new), Some(&object(old)));
        let of_set = causes
            .into_iter()
            .filter(|cause| cause.field.starts_with("spec.set"));
        shown(&of_set.collect::<Vec<_>>())
    };
    assert_eq!(causes("{set: [a, a, b]}", "{set: [a, a]}"), "");
    let found = causes("{set: [a, a]}", "{set: [a]}");
    assert_eq!(
        found,
        "FieldValueDuplicate spec.set[1]: Duplicate value: \"a\""
    );
}

#[test]
fn embedded_resources_have_rules() {
    let schema = "
type: object
properties:
  template:
    type: object
    x-kubernetes-embedded-resource: true
    x-kubernetes-preserve-unknown-fields: true
    x-kubernetes-validations: [{rule: \"self.kind == 'Pod' && self.metadata.name.startsWith('p')\"}]
";
    check(
        schema,
        "{template: {apiVersion: v1, kind: Pod, metadata: {name: p}}}",
        None,
        &expect![""],
    );
    check(
        schema,
        "{template: {apiVersion: v1, kind: Pod, metadata: {name: q}}}",
        None,
        &expect![
            "FieldValueInvalid spec.template: Invalid value: failed rule: self.kind == 'Pod' && self.metadata.name.startsWith('p')"
        ],
    );
}

#[test]
fn evaluation_has_a_budget() {
    let schema = "
type: object
properties:
  list:
    type: array
    maxItems: 100
    items:
      type: integer
      x-kubernetes-validations:
      - rule: lists.range(200).distinct().size() == 200 + self - self
      - rule: lists.range(200).distinct().size() == 200 + self - self
";
    let list: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    check(
        schema,
        &format!("{{list: [{}]}}", list.join(", ")),
        None,
        &expect![[
            r#"FieldValueInvalid spec.list[62]: Invalid value: "integer": validation failed due to running out of cost budget, no further validation rules will be run"#
        ]],
    );
}

#[test]
fn rules_that_cannot_be_are_refused() {
    refused(
        "{type: object, x-kubernetes-validations: [{rule: self.nope > 0}, {rule: '1 + 1'}, {rule: self.a ==, fieldPath: .a}], properties: {a: {type: string}}}",
        &expect![[r#"
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: {"rule":"self.nope > 0"}: compilation failed: ERROR: <input>:1:5: undefined field 'nope'
             | self.nope > 0
             | ....^
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].rule: Invalid value: {"rule":"1 + 1"}: cel expression must evaluate to a bool
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[2].rule: Invalid value: {"fieldPath":".a","rule":"self.a =="}: compilation failed: ERROR: <input>:1:10: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | self.a ==
             | .........^"#]],
    );
    refused(
        "{type: object, x-kubernetes-validations: [{rule: 'true', messageExpression: '1'}, {rule: 'true', messageExpression: 'x'}, {rule: 'true', optionalOldSelf: true}], properties: {a: {type: string}}}",
        &expect![[r#"
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].messageExpression: Invalid value: {"messageExpression":"1","rule":"true"}: messageExpression must evaluate to a string
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].messageExpression: Invalid value: {"messageExpression":"x","rule":"true"}: messageExpression compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in container '')
             | x
             | ^
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[2].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"#]],
    );
    refused(
        "{type: object, x-kubernetes-validations: [{rule: 'true', fieldPath: .b}, {rule: 'true', fieldPath: ' '}], properties: {a: {type: string}}}",
        &expect![[r#"
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].fieldPath: Invalid value: " ": must be non-empty if specified
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].fieldPath: Invalid value: ".b": must be a valid path"#]],
    );
    refused(
        "{type: array, items: {type: object, properties: {a: {type: string, x-kubernetes-validations: [{rule: self == oldSelf}]}}}}",
        &expect![[r#"
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].items.properties[a].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            FieldValueInvalid spec.validation.openAPIV3Schema.properties[spec].items.properties[a].x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within spec.validation.openAPIV3Schema.properties[spec]
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].items.properties[a].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"#]],
    );
    refused(
        "{type: array, items: {x-kubernetes-preserve-unknown-fields: true}, x-kubernetes-validations: [{rule: 'true'}]}",
        &expect![
            "InternalError spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations: Internal error: internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
        ],
    );
}

#[test]
fn rules_that_could_cost_too_much_are_refused() {
    refused(
        "{type: array, items: {type: string}, x-kubernetes-validations: [{rule: 'self.all(a, self.all(b, a == b))'}]}",
        &expect![[r#"
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"#]],
    );
    refused(
        "{type: array, items: {type: string, x-kubernetes-validations: [{rule: 'self.matches(\"^a+$\")'}]}}",
        &expect![[r#"
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].items.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"#]],
    );
    refused(
        "{type: array, maxItems: 100, items: {type: string, maxLength: 100, x-kubernetes-validations: [{rule: 'self.matches(\"^a+$\")'}]}}",
        &expect![[""]],
    );
    let many = "{rule: 'self.all(a, a.size() < 5)'}, ".repeat(30);
    refused(
        &format!(
            "{{type: array, maxItems: 1000000, items: {{type: string, maxLength: 100}}, x-kubernetes-validations: [{many}]}}"
        ),
        &expect![[r#"
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[2].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[3].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            FieldValueForbidden spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of 1.8x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"#]],
    );
}
