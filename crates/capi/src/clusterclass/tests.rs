//! Worlds as text in, plans and statuses as text out.

use expect_test::{Expect, expect};

use serde_json::{Value, json};

use super::discover::read;
use super::{ClusterClassController, World};
use crate::hook::Unanswered;
use crate::testing::{now, show, world};

const CLASS: &str = "
class:
  metadata: {name: small, namespace: acme, uid: c1, generation: 1}
  spec:
    infrastructure:
      templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalClusterTemplate, name: small}
    controlPlane:
      templateRef: {apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlaneTemplate, name: small}
    variables:
    - {name: size, required: true, schema: {openAPIV3Schema: {type: integer}}}
templates:
- apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
  kind: LocalClusterTemplate
  metadata: {name: small, namespace: acme, uid: t1, resourceVersion: '1'}
- apiVersion: controlplane.cluster.x-k8s.io/v1beta2
  kind: KubeadmControlPlaneTemplate
  metadata:
    name: small
    namespace: acme
    uid: t2
    ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: ClusterClass, name: small, uid: c1}]
";

fn check(overrides: &str, expect: &Expect) {
    expect.assert_eq(&show::<ClusterClassController>(&world(CLASS, overrides)));
}

#[test]
fn templates_are_owned_and_variables_are_shown() {
    check(
        "{}",
        &expect![[r#"
        patch LocalClusterTemplate acme/small {"metadata":{"labels":{},"ownerReferences":[{"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"ClusterClass","name":"small","uid":"c1"}],"resourceVersion":"1"}}
        VariablesReady=True VariablesReady
        RefVersionsUpToDate=True RefVersionsUpToDate
        Paused=False NotPaused
        variables:
        - definitions:
          - from: inline
            required: true
            schema:
              openAPIV3Schema:
                type: integer
          definitionsConflict: false
          name: size
    "#]],
    );
}

#[test]
fn missing_templates_are_named() {
    check(
        "templates: []",
        &expect![[r#"
        VariablesReady=True VariablesReady
        RefVersionsUpToDate=False TemplateNotFound * spec.infrastructure.templateRef: LocalClusterTemplate small does not exist
            * spec.controlPlane.templateRef: KubeadmControlPlaneTemplate small does not exist
        Paused=False NotPaused
        variables:
        - definitions:
          - from: inline
            required: true
            schema:
              openAPIV3Schema:
                type: integer
          definitionsConflict: false
          name: size
    "#]],
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    check(
        "
class: {spec: {
  infrastructure: {templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta1}},
  patches: [{name: a, external: {generatePatchesExtension: x}}, {name: b, enabledIf: '{{ if }}'}, {name: c, enabledIf: '{{ now }}'}],
  variables: [{name: v, required: false, schema: {openAPIV3Schema: {type: integer, x-kubernetes-validations: [{rule: self +}]}}}]}}",
        &expect![[r#"
            patch LocalClusterTemplate acme/small {"metadata":{"labels":{},"ownerReferences":[{"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"ClusterClass","name":"small","uid":"c1"}],"resourceVersion":"1"}}
            VariablesReady=False VariablesReconcileFailed * spec.patches[1].enabledIf: Invalid value: is no template: template: tpl:1: missing value for if
                * spec.patches[2].enabledIf: Invalid value: is no template: template: tpl:1: function "now" not defined
                * spec.variables[0].schema.openAPIV3Schema.x-kubernetes-validations[0].rule: Invalid value: ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
                 | self +
                 | ......^
            RefVersionsUpToDate=False RefVersionsNotUpToDate * spec.infrastructure.templateRef.apiVersion: infrastructure.cluster.x-k8s.io/v1beta1 should be infrastructure.cluster.x-k8s.io/v1beta2
            Paused=False NotPaused
            variables:
            - definitions:
              - from: inline
                required: false
                schema:
                  openAPIV3Schema:
                    type: integer
                    x-kubernetes-validations:
                    - rule: self +
              definitionsConflict: false
              name: v
        "#]],
    );
}

#[test]
fn a_paused_class_is_left_alone() {
    check(
        "class: {metadata: {annotations: {cluster.x-k8s.io/paused: ''}}}",
        &expect![[r#"
            wait Paused: Reconciliation is paused
            Paused=True Paused
        "#]],
    );
}

/// A class with a patch whose extension defines variables.
const ASKED: &str = "class: {spec: {patches: [{name: more, external: {generatePatchesExtension: g.ext, discoverVariablesExtension: d.ext}}]}}";

fn variable(name: &str, schema: &Value) -> Value {
    json!({"name": name, "required": true, "schema": {"openAPIV3Schema": schema}})
}

#[test]
fn extensions_define_variables() {
    let mut asked: World = world(CLASS, ASKED);
    let failed = || {
        Err(Unanswered {
            why: "DiscoverVariables d.ext: no answer within 10 s".to_owned(),
            until: now(),
        })
    };
    let mut say = |discovered| {
        asked.discovered.insert("more".to_owned(), discovered);
        let shown = show::<ClusterClassController>(&asked);
        let begin = shown.find("VariablesReady").unwrap_or_default();
        let end = shown.find("RefVersions").unwrap_or_default();
        let mut text = shown[begin..end].to_owned();
        let variables = asked.variables();
        for variable in &variables {
            let from: Vec<&str> = variable
                .definitions
                .iter()
                .map(|d| d.from.as_str())
                .collect();
            text += &format!("{}: by {}\n", variable.name, from.join(", "));
        }
        let known = json!({"variables": variables});
        asked.class.status = serde_json::from_value(known).unwrap();
        text
    };
    expect![[r#"
        VariablesReady=False VariablesReconcileFailed * patch "more": DiscoverVariables d.ext: no answer within 10 s
        size: by inline
    "#]].assert_eq(&say(failed()));
    let string = json!({"type": "string"});
    let integer = json!({"type": "integer"});
    let answer = json!({"variables": [variable("zone", &string), variable("size", &integer)]});
    expect![[r#"
        VariablesReady=True VariablesReady
        size: by inline, more
        zone: by more
    "#]]
    .assert_eq(&say(Ok(read(&answer).unwrap())));
    // What is known stays.
    expect![[r#"
        VariablesReady=False VariablesReconcileFailed * patch "more": DiscoverVariables d.ext: no answer within 10 s
        size: by inline, more
        zone: by more
    "#]].assert_eq(&say(failed()));
    let answer = json!({"variables": [variable("size", &string)]});
    expect![[r#"
        VariablesReady=False VariablesReconcileFailed * variable "size" is defined in different ways: by inline, more
        size: by inline, more
    "#]].assert_eq(&say(Ok(read(&answer).unwrap())));
}

#[test]
fn variables_of_an_answer_are_checked() {
    let mut text = String::new();
    let many: Vec<Value> = (0..1001)
        .map(|i| variable(&format!("v{i}"), &json!({})))
        .collect();
    for variables in [
        json!({}),
        json!([{"name": "a"}]),
        json!([variable("builtin", &json!({"type": "string"}))]),
        json!([variable("a", &json!({"type": "other"}))]),
        json!([variable(
            "a",
            &json!({"type": "string", "x-kubernetes-validations": [{"rule": "self."}]})
        )]),
        json!(many),
    ] {
        let answer = json!({"variables": variables});
        let why = read(&answer).unwrap_err();
        text += &format!("{}\n", why.lines().next().unwrap_or_default());
    }
    assert_eq!(read(&json!({})), Ok(vec![]));
    expect![[r#"
        variables of the answer: invalid type: map, expected a sequence
        variables of the answer: missing field `required`
        the answer cannot be used: variables[0].name: Invalid value: "builtin" is the name of what every patch knows; choose another one
        the answer cannot be used: variables[0].schema.openAPIV3Schema.type: Invalid value: "other" must be one of object, array, string, integer, number, boolean
        the answer cannot be used: variables[0].schema.openAPIV3Schema.x-kubernetes-validations[0].rule: Invalid value: ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting IDENTIFIER
        the answer has 1001 variables; 1000 are allowed
    "#]].assert_eq(&text);
}

#[test]
fn variables_that_are_too_many_together_are_said() {
    let mut asked: World = world(CLASS, ASKED);
    let many: Vec<Value> = (0..1000)
        .map(|i| variable(&format!("v{i}"), &json!({"type": "string"})))
        .collect();
    let many = read(&json!({"variables": many})).unwrap();
    asked.discovered.insert("more".to_owned(), Ok(many));
    let shown = show::<ClusterClassController>(&asked);
    let said = shown
        .lines()
        .find(|line| line.starts_with("VariablesReady"));
    assert_eq!(
        said,
        Some(
            "VariablesReady=False VariablesReconcileFailed * there are 1001 variables; 1000 are allowed"
        )
    );
    assert!(!shown.contains("name: v999"), "the status holds 1000");
}
