//! Worlds as text in, plans and statuses as text out.

use expect_test::{Expect, expect};

use super::ExtensionConfigController;
use crate::testing::{show, world};

const BASE: &str = "
config:
  metadata: {name: ext, uid: u1, generation: 1, resourceVersion: '7'}
  spec: {clientConfig: {url: 'https://extension.example.com'}}
";
const HANDLER: &str = "{name: first.ext, requestHook: {apiVersion: hooks.runtime.cluster.x-k8s.io/v1alpha1, hook: BeforeClusterCreate}, timeoutSeconds: 10, failurePolicy: Fail}";

fn check(overrides: &str, expect: Expect) {
    let world = world(BASE, overrides);
    expect.assert_eq(&show::<ExtensionConfigController>(&world));
}

#[test]
fn handlers_are_shown_and_stay_while_nothing_else_is_known() {
    check(
        &format!("discovery: {{Found: [{HANDLER}]}}"),
        expect![[r#"
        Discovered=True Discovered
        Paused=False NotPaused
        handlers:
        - failurePolicy: Fail
          name: first.ext
          requestHook:
            apiVersion: hooks.runtime.cluster.x-k8s.io/v1alpha1
            hook: BeforeClusterCreate
          timeoutSeconds: 10
    "#]],
    );
    let other = HANDLER.replace("BeforeClusterCreate", "UpdateMachine");
    check(
        &format!("discovery: {{Found: [{other}]}}"),
        expect![[r#"
        Discovered=True Discovered Handlers of these hooks are never called: UpdateMachine
        Paused=False NotPaused
        handlers:
        - failurePolicy: Fail
          name: first.ext
          requestHook:
            apiVersion: hooks.runtime.cluster.x-k8s.io/v1alpha1
            hook: UpdateMachine
          timeoutSeconds: 10
    "#]],
    );
    check(
        &format!(
            "{{config: {{status: {{handlers: [{HANDLER}]}}}}, discovery: {{Failed: nobody there}}}}"
        ),
        expect![[r#"
            wait NotDiscovered: nobody there
            again in 30s
            Discovered=False NotDiscovered nobody there
            Paused=False NotPaused
            handlers:
            - failurePolicy: Fail
              name: first.ext
              requestHook:
                apiVersion: hooks.runtime.cluster.x-k8s.io/v1alpha1
                hook: BeforeClusterCreate
              timeoutSeconds: 10
        "#]],
    );
    check(
        "discovery: {Found: []}",
        expect![[r#"
        Discovered=True Discovered
        Paused=False NotPaused
    "#]],
    );
}

#[test]
fn certificates_come_from_a_secret() {
    let named = |name: &str, rest: &str| {
        let annotation = format!("runtime.cluster.x-k8s.io/inject-ca-from-secret: {name}");
        format!("{{config: {{metadata: {{annotations: {{{annotation}}}}}}}{rest}}}")
    };
    let secret = |key: &str| {
        format!(", secret: {{metadata: {{name: ca, namespace: ns}}, data: {{{key}: QQ==}}}}")
    };
    check(
        &named("ca", ""),
        expect![[r#"
        wait NotDiscovered: annotation runtime.cluster.x-k8s.io/inject-ca-from-secret: "ca" must be the namespace of a Secret, / and its name
        Discovered=False NotDiscovered annotation runtime.cluster.x-k8s.io/inject-ca-from-secret: "ca" must be the namespace of a Secret, / and its name
        Paused=False NotPaused
    "#]],
    );
    check(
        &named("ns/ca", ""),
        expect![[r#"
        wait NotDiscovered: Secret ns/ca does not exist
        Discovered=False NotDiscovered Secret ns/ca does not exist
        Paused=False NotPaused
    "#]],
    );
    check(
        &named("ns/ca", &secret("tls.crt")),
        expect![[r#"
        wait NotDiscovered: Secret ns/ca has no ca.crt
        Discovered=False NotDiscovered Secret ns/ca has no ca.crt
        Paused=False NotPaused
    "#]],
    );
    check(
        &named("ns/ca", &secret("ca.crt")),
        expect![[r#"
        patch ExtensionConfig ext {"metadata":{"resourceVersion":"7"},"spec":{"clientConfig":{"caBundle":"QQ=="}}}
        wait NotDiscovered: spec.clientConfig.caBundle has just been taken from its Secret
        Discovered=False NotDiscovered spec.clientConfig.caBundle has just been taken from its Secret
        Paused=False NotPaused
    "#]],
    );
    let there = named(
        "ns/ca",
        &format!("{}, discovery: {{Found: []}}", secret("ca.crt")),
    );
    let there = there.replacen(
        "config: {",
        "config: {spec: {clientConfig: {caBundle: QQ==}}, ",
        1,
    );
    check(
        &there,
        expect![[r#"
        Discovered=True Discovered
        Paused=False NotPaused
    "#]],
    );
}

#[test]
fn a_paused_extension_is_left_alone() {
    check(
        "config: {metadata: {annotations: {cluster.x-k8s.io/paused: ''}}}",
        expect![[r#"
            wait Paused: Reconciliation is paused
            Paused=True Paused
        "#]],
    );
}
