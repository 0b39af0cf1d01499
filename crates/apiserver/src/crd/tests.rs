use super::*;
use crate::schema::validate::validate_node;
use crate::schema::{ContentType, FieldValidation, decode, default, fields};
use expect_test::{Expect, expect};
use serde_json::json;

/// A definition whose one version has the schema of `spec` written in YAML.
fn definition(spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]},
            "conversion": {"strategy": "None"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": {"type": "object",
                    "x-kubernetes-preserve-unknown-fields": true}}}},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.replicas"}],
            }],
        },
    })
}

fn shown(causes: &[Cause]) -> String {
    let lines: Vec<String> = causes
        .iter()
        .map(|c| format!("{}: {}", c.field, c.message))
        .collect();
    lines.join("\n")
}

fn check_definition(crd: &Value, old: Option<&Value>, expected: Expect) {
    expected.assert_eq(&shown(&validate(crd, old)));
}

const SPEC: &str = r#"
type: object
required: [replicas]
properties:
  replicas: {type: integer, minimum: 1, maximum: 9}
  name: {type: string, pattern: '^[a-z]+$', maxLength: 5, minLength: 2, default: abc}
  mode: {type: string, enum: [Fast, Slow]}
  when: {type: string, format: date-time}
  size: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}], pattern: '^([0-9]+|[0-9]+%)$'}
  maybe: {type: string, nullable: true}
  tags: {type: array, x-kubernetes-list-type: set, items: {type: string}, maxItems: 3}
  ports:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [port, protocol]
    items:
      type: object
      required: [port]
      properties:
        port: {type: integer, format: int32}
        protocol: {type: string, default: TCP}
  labels: {type: object, additionalProperties: {type: string}, minProperties: 1}
  open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {known: {type: integer}}}
  template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
  nested: {type: object, default: {}, properties: {depth: {type: integer, default: 3}}}
oneOf:
- required: [mode]
- required: [when]
not: {properties: {replicas: {enum: [7]}}}
"#;

fn thing(spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "b"}, "spec": spec})
}

fn check_object(spec: &str, old: Option<&str>, expected: Expect) {
    let compiled = Compiled::of(&definition(SPEC));
    let schema = &compiled.versions[0].resource.schema;
    expected.assert_eq(&shown(&validate_node(
        &thing(spec),
        schema,
        old.map(thing).as_ref(),
    )));
}

#[test]
fn good_definitions_pass_and_bring_a_resource() {
    let crd = definition(SPEC);
    check_definition(&crd, None, expect![[""]]);
    let compiled = Compiled::of(&crd);
    let resource = compiled.served().next().unwrap();
    assert_eq!(&*resource.storage, "things.example.com");
    assert_eq!(resource.columns[0].json_path.as_ref(), ".spec.replicas");
    assert!(resource.strategy.has_status && resource.subresource("scale").is_some());
    let mut copy = crd;
    copy["metadata"]["uid"] = "other".into();
    assert!(
        Arc::ptr_eq(&compiled, &Compiled::of(&copy)),
        "equal definitions are shared"
    );
}

#[test]
fn expressions_do_not_stand_inside_of_other_rules() {
    let rule = "x-kubernetes-validations: [{rule: self.replicas > 1}]";
    let rows = [
        "allOf: [B]",
        "anyOf: [B]",
        "oneOf: [B]",
        "not: B",
        "anyOf: [{properties: {replicas: B}}]",
    ]
    .map(|keyword| {
        let schema = "type: object\nproperties: {replicas: {type: integer}}\nKEYWORD"
            .replace("KEYWORD", keyword)
            .replace('B', &format!("{{{rule}}}"));
        shown(&validate(&definition(&schema), None))
    });
    expect![[r#"
        spec.validation.openAPIV3Schema.properties[spec].allOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural
        spec.validation.openAPIV3Schema.properties[spec].anyOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural
        spec.validation.openAPIV3Schema.properties[spec].oneOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural
        spec.validation.openAPIV3Schema.properties[spec].not.x-kubernetes-validations: Forbidden: must be empty to be structural
        spec.validation.openAPIV3Schema.properties[spec].anyOf[0].properties[replicas].x-kubernetes-validations: Forbidden: must be empty to be structural"#]].assert_eq(&rows.join("\n"));
}

#[test]
fn objects_are_checked_with_kubernetes_words() {
    check_object("{replicas: 1, mode: Fast}", None, expect![""]);
    check_object(
        "{replicas: x, mode: 5}",
        None,
        expect![[r#"
        spec.mode: Invalid value: "integer": spec.mode in body must be of type string: "integer"
        spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#]],
    );
    check_object(
        "{replicas: 0, mode: Maybe, name: A, when: soon}",
        None,
        expect![[r#"
            spec.mode: Unsupported value: "Maybe": supported values: "Fast", "Slow"
            spec.name: Invalid value: "A": spec.name in body should be at least 2 chars long
            spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1
            spec.when: Invalid value: "soon": spec.when in body must be of type date-time: "soon"
            spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#]],
    );
    check_object(
        "{replicas: 10, name: abcdefg}",
        None,
        expect![[r#"
        spec.name: Too long: may not be more than 5 bytes
        spec.replicas: Invalid value: 10: spec.replicas in body should be less than or equal to 9
        spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid
        spec.mode: Required value"#]],
    );
    check_object(
        "{replicas: 7, mode: Fast, size: true, maybe: null, name: null}",
        None,
        expect![[r#"
            spec.name: Invalid value: "null": spec.name in body must be of type string: "null"
            spec.size: Invalid value: "boolean": spec.size in body must be of type integer,string: "boolean"
            spec: Invalid value: "": "spec" must not validate the schema (not)"#]],
    );
    check_object(
        "{mode: Fast, size: 10x, tags: [a, a, b, c], labels: {}}",
        None,
        expect![[r#"
            spec.labels: Invalid value: {}: spec.labels in body should have at least 1 properties
            spec.replicas: Required value
            spec.size: Invalid value: "10x": spec.size in body should match '^([0-9]+|[0-9]+%)$'
            spec.tags: Too many: 4: must have at most 3 items
            spec: Invalid value: "": "spec" must not validate the schema (not)
            spec.tags[1]: Duplicate value: "a""#]],
    );
    check_object(
        "{replicas: 1, mode: Fast, ports: [{port: 1}, {port: 1, protocol: TCP}, {}, {port: 3000000000}]}",
        None,
        expect![[r#"
            spec.ports[2].port: Required value
            spec.ports[3].port: Invalid value: 3000000000: spec.ports[3].port in body must be of type int32: 3000000000
            spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}"#]],
    );
    check_object(
        "{replicas: 1, mode: Fast, template: {kind: X}, open: {known: x, other: 1}, labels: {a: 1}}",
        None,
        expect![[r#"
            spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"
            spec.open.known: Invalid value: "string": spec.open.known in body must be of type integer: "string"
            spec.template.apiVersion: Required value: must not be empty"#]],
    );
    check_object(
        "{replicas: 1.5, mode: Fast, nested: []}",
        None,
        expect![[r#"
        spec.nested: Invalid value: "array": spec.nested in body must be of type object: "array"
        spec.replicas: Invalid value: "number": spec.replicas in body must be of type integer: "number""#]],
    );
}

#[test]
fn unchanged_parts_may_stay_wrong() {
    check_object(
        "{replicas: 0, mode: Fast, name: A}",
        Some("{replicas: 0, mode: Fast}"),
        expect![[
            r#"spec.name: Invalid value: "A": spec.name in body should be at least 2 chars long"#
        ]],
    );
    check_object(
        "{replicas: 1, mode: Fast, ports: [{port: 1, protocol: TCP}, {port: x, protocol: UDP}]}",
        Some("{replicas: 1, mode: Fast, ports: [{port: x, protocol: UDP}]}"),
        expect![""],
    );
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    let compiled = Compiled::of(&definition(SPEC));
    let resource = &compiled.versions[0].resource;
    let body = thing(
        "{replicas: 1, x: 1, nested: null, open: {a: {b: 1}}, template: {apiVersion: v1, kind: X, metadata: {name: a}, z: 1}, ports: [{port: 1, q: 1}]}",
    );
    let mut decoded = decode(
        resource,
        ContentType::Json,
        body.to_string().as_bytes(),
        FieldValidation::Warn,
    )
    .unwrap();
    default(resource, &mut decoded.value);
    expect![[r#"{"name":"abc","nested":{"depth":3},"open":{"a":{"b":1}},"ports":[{"port":1,"protocol":"TCP"}],"replicas":1,"template":{"apiVersion":"v1","kind":"X","metadata":{"name":"a"},"z":1}}"#]].assert_eq(&decoded.value["spec"].to_string());
    expect![[r#"["unknown field \"spec.ports[0].q\"", "unknown field \"spec.x\""]"#]]
        .assert_eq(&format!("{:?}", decoded.warnings));
    let error = decode(resource, ContentType::Json, b"{\"kind\":\"Thing\",\"apiVersion\":\"example.com/v1\",\"metadata\":{\"labels\":[],\"x\":1}}", FieldValidation::Strict).unwrap_err();
    expect![[r#"Thing in version "v1" cannot be handled as a Thing: json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"#]].assert_eq(&error.message);
    let error = decode(
        resource,
        ContentType::Json,
        b"{\"apiVersion\":\"example.com/v1\"}",
        FieldValidation::Strict,
    )
    .unwrap_err();
    expect![[r#"Object 'Kind' is missing in '{"apiVersion":"example.com/v1"}'"#]]
        .assert_eq(&error.message);
    assert_eq!(
        decode(
            resource,
            ContentType::Protobuf,
            b"k8s\0",
            FieldValidation::Ignore
        )
        .unwrap_err()
        .code,
        415
    );
    assert_eq!(fields::check_fields(resource, &thing("{y: 1}")), ["spec.y"]);
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    for (spec, expected) in [
        (
            "{}",
            expect![
                "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields"
            ],
        ),
        (
            "{type: object, properties: {a: {}}, additionalProperties: {type: string}}",
            expect![[r#"
                spec.validation.openAPIV3Schema.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive
                spec.validation.openAPIV3Schema.properties[spec].properties[a].type: Required value: must not be empty for specified object fields"#]],
        ),
        (
            "{type: array}",
            expect![
                "spec.validation.openAPIV3Schema.properties[spec].items: Required value: must be specified"
            ],
        ),
        (
            "{type: object, anyOf: [{type: string, description: x, properties: {a: {minimum: 1}}}]}",
            expect![[r#"
                spec.validation.openAPIV3Schema.properties[spec].anyOf[0].description: Forbidden: must be empty to be structural
                spec.validation.openAPIV3Schema.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural"#]],
        ),
        (
            "{type: string, pattern: '('}",
            expect![[
                r#"spec.validation.openAPIV3Schema.properties[spec].pattern: Invalid value: "(": must be a valid regular expression, but isn't: unclosed group"#
            ]],
        ),
        (
            "{type: array, items: {type: object, properties: {a: {type: string}}}, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [a, b]}",
            expect![[r#"
                spec.validation.openAPIV3Schema.properties[spec].items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
                spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-list-map-keys: Invalid value: ["a","b"]: entries must all be names of item properties"#]],
        ),
        (
            "{type: object, default: {a: 1}, properties: {b: {type: integer, default: x}}}",
            expect![[r#"
                spec.validation.openAPIV3Schema.properties[spec].default: Invalid value: {"a":1}: must not have unknown fields
                spec.validation.openAPIV3Schema.properties[spec].properties[b].default: Invalid value: "string":  in body must be of type integer: "string""#]],
        ),
        (
            "{type: thing, uniqueItems: true, $ref: x}",
            expect![[r#"
            spec.validation.openAPIV3Schema.properties[spec].$ref: Forbidden: $ref is not supported
            spec.validation.openAPIV3Schema.properties[spec].type: Unsupported value: "thing": supported values: "array", "boolean", "integer", "number", "object", "string"
            spec.validation.openAPIV3Schema.properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"#]],
        ),
        (
            "{type: object, x-kubernetes-embedded-resource: true, properties: {kind: {type: integer}}}",
            expect![[
                r#"spec.validation.openAPIV3Schema.properties[spec].properties[kind].type: Invalid value: "integer": must be string"#
            ]],
        ),
        (
            "{type: object, x-kubernetes-validations: [{rule: ''}, {rule: \"a\\nb\", reason: X}]}",
            expect![[r#"
                spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Required value: rule is not specified
                spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].message: Required value: message must be specified if rule contains line breaks
                spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].reason: Unsupported value: "X": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired""#]],
        ),
    ] {
        check_definition(&definition(spec), None, expected);
    }
    let mut crd = definition("{type: object}");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] =
        json!({"type": "object", "properties": {"labels": {"type": "object"}}});
    check_definition(
        &crd,
        None,
        expect![
            "spec.validation.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        ],
    );
}

#[test]
fn the_rest_of_a_definition_is_checked() {
    let mut crd = definition("{type: object}");
    crd["spec"]["group"] = "batch.k8s.io".into();
    crd["spec"]["scope"] = "Some".into();
    crd["spec"]["names"]["kind"] = "ThingList".into();
    crd["spec"]["names"]["shortNames"] = json!(["Th"]);
    crd["spec"]["conversion"] = json!({"strategy": "Webhook"});
    crd["spec"]["preserveUnknownFields"] = true.into();
    let version = &mut crd["spec"]["versions"][0];
    version["storage"] = false.into();
    version["name"] = "1".into();
    version["subresources"]["scale"]["specReplicasPath"] = "spec[0]".into();
    version["additionalPrinterColumns"] = json!([{"type": "text", "name": "", "jsonPath": ""}]);
    version["selectableFields"] = json!([{"jsonPath": ".metadata.name"}, {"jsonPath": ".spec"}]);
    check_definition(
        &crd,
        None,
        expect![[r#"
        metadata.name: Invalid value: "things.example.com": must be spec.names.plural+"."+spec.group
        spec.scope: Unsupported value: "Some": supported values: "Cluster", "Namespaced"
        spec.versions[0].name: Invalid value: "1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.versions[0].subresources.scale.specReplicasPath: Invalid value: "spec[0]": must be a simple json path starting with .
        spec.versions[0].additionalPrinterColumns[0].name: Required value
        spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string
        spec.versions[0].additionalPrinterColumns[0].JSONPath: Required value
        spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".metadata.name": must not point to fields in metadata
        spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".metadata.name": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.
        spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.
        spec.versions: Invalid value: [{"additionalPrinterColumns":[{"jsonPath":"","name":"","type":"text"}],"name":"1","schema":{"openAPIV3Schema":{"properties":{"spec":{"type":"object"},"status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}},"type":"object"}},"selectableField…: must have exactly one version marked as storage version
        spec.names.shortNames[0]: Invalid value: "Th": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.names.listKind: Invalid value: "ThingList": kind and listKind may not be the same
        spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook
        spec.conversion.conversionReviewVersions: Required value
        spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead
        metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111"#]],
    );
}

#[test]
fn what_objects_are_stored_under_does_not_change() {
    let mut old = definition("{type: object}");
    old["status"] = json!({"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1", "v0"]});
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    new["spec"]["names"]["plural"] = "stuffs".into();
    check_definition(
        &new,
        Some(&old),
        expect![[r#"
        metadata.name: Invalid value: "things.example.com": must be spec.names.plural+"."+spec.group
        status.storedVersions[1]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions
        spec.names.plural: Invalid value: "stuffs": field is immutable
        spec.scope: Invalid value: "Cluster": field is immutable"#]],
    );
}

#[test]
fn names_are_given_to_who_comes_first() {
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut crd = definition("{type: object}");
    let other = Names {
        plural: "others".into(),
        short_names: vec!["th".into()],
        kind: "Other".into(),
        ..Names::default()
    };
    crd["status"] = status_for(&crd, std::slice::from_ref(&other), now);
    expect![[r#"{"acceptedNames":{"kind":"Thing","listKind":"ThingList","plural":"things","singular":"thing"},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"\"th\" is already in use","reason":"ShortNamesConflict","status":"False","type":"NamesAccepted"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"not all names are accepted","reason":"NotAccepted","status":"False","type":"Established"}],"storedVersions":["v1"]}"#]].assert_eq(&crd["status"].to_string());
    let later: jiff::Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    crd["status"] = status_for(&crd, &[], later);
    expect![[r#"{"acceptedNames":{"kind":"Thing","listKind":"ThingList","plural":"things","shortNames":["th"],"singular":"thing"},"conditions":[{"lastTransitionTime":"2026-01-02T00:00:00Z","message":"no conflicts found","reason":"NoConflicts","status":"True","type":"NamesAccepted"},{"lastTransitionTime":"2026-01-02T00:00:00Z","message":"the initial names have been accepted","reason":"InitialNamesAccepted","status":"True","type":"Established"}],"storedVersions":["v1"]}"#]].assert_eq(&crd["status"].to_string());
    assert_eq!(
        status_for(&crd, &[other], "2026-01-03T00:00:00Z".parse().unwrap()),
        crd["status"],
        "nothing is taken back"
    );
}

#[test]
fn protected_groups_say_where_they_were_approved() {
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut crd = definition("{}");
    crd["spec"]["group"] = "x.k8s.io".into();
    expect![[r#"[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"no conflicts found","reason":"NoConflicts","status":"True","type":"NamesAccepted"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"the initial names have been accepted","reason":"InitialNamesAccepted","status":"True","type":"Established"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields","reason":"Violations","status":"True","type":"NonStructuralSchema"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111","reason":"MissingAnnotation","status":"False","type":"KubernetesAPIApprovalPolicyConformant"}]"#]].assert_eq(&status_for(&crd, &[], now)["conditions"].to_string());
}
