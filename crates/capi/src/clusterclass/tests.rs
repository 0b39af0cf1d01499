//! Worlds as text in, plans and statuses as text out.

use expect_test::{Expect, expect};

use super::ClusterClassController;
use crate::testing::{show, world};

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
