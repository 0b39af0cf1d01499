//! Defaults and validation of the platform's kinds: manifest in, what is filled and what is found out.

use expect_test::{Expect, expect};
use serde::de::DeserializeOwned;

use crate::application::{App, Catalog, app, catalog};
use crate::meta::FieldError;
use crate::organization::{Organization, organization};

fn parse<K: DeserializeOwned>(yaml: &str) -> K {
    serde_saphyr::from_str(yaml).unwrap()
}

fn lines(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn named(name: &str) -> Organization {
    parse(&format!(
        "{{apiVersion: security.giantswarm.io/v1alpha1, kind: Organization, metadata: {{name: {name}}}, spec: {{}}}}"
    ))
}

#[test]
fn organizations_have_names_that_become_namespaces() {
    let long = "a".repeat(60);
    let names = ["acme", "org-acme", "kube-x", "Acme", "a.b", "x-", &long];
    let found: String = names
        .iter()
        .map(|name| {
            let found = lines(&organization::validate(&named(name)));
            format!("{name}: {found}\n")
        })
        .collect();
    expect![[r#"
        acme: 
        org-acme: metadata.name: Invalid value: "org-acme" must not start with "org-", which is the platform's own

        kube-x: metadata.name: Invalid value: "kube-x" must not start with "kube-", which is the platform's own

        Acme: metadata.name: Invalid value: "Acme" must be lower-case letters, digits and inner dashes, because it names a namespace

        a.b: metadata.name: Invalid value: "a.b" must be lower-case letters, digits and inner dashes, because it names a namespace

        x-: metadata.name: Invalid value: "x-" must be lower-case letters, digits and inner dashes, because it names a namespace

        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: metadata.name: Invalid value: is 60 characters long; at most 59 leave room for the prefix "org-"

    "#]]
    .assert_eq(&found);
}

fn check_app(namespace: &str, name: &str, labels: &str, spec: &str, expect: &Expect) {
    let mut new: App = parse(&format!(
        "{{apiVersion: application.giantswarm.io/v1alpha1, kind: App, metadata: {{name: {name}, namespace: {namespace}, \
         labels: {{{labels}}}}}, spec: {{catalog: acme, name: hello, version: v1.0.0, namespace: hello, {spec}}}}}"
    ));
    app::default(&mut new);
    let found = lines(&app::validate(&new, None));
    let kubeconfig = serde_json::to_string(&new.spec.kube_config).unwrap();
    let text = format!(
        "release {} version {}\n{kubeconfig}\n{found}",
        new.release_name(),
        new.version()
    );
    expect.assert_eq(&text);
}

#[test]
fn apps_of_organizations_get_the_kubeconfig_of_their_cluster() {
    check_app(
        "org-acme",
        "prod-hello",
        "giantswarm.io/cluster: prod",
        "kubeConfig: {inCluster: false}",
        &expect![[r#"
            release hello version 1.0.0
            {"inCluster":false,"context":{"name":"prod"},"secret":{"name":"prod-kubeconfig","namespace":"org-acme"}}
        "#]],
    );
}

#[test]
fn apps_of_organizations_need_a_cluster() {
    check_app(
        "org-acme",
        "hello",
        "",
        "kubeConfig: {inCluster: false, context: {name: x}, secret: {name: k, namespace: ''}}",
        &expect![[r#"
            release hello version 1.0.0
            {"inCluster":false,"context":{"name":"x"},"secret":{"name":"k","namespace":""}}
            metadata.labels: Required value: label `giantswarm.io/cluster` not found
            spec.kubeConfig.secret.namespace: Required value: namespace is not specified for kubeconfig secret `k`
        "#]],
    );
}

#[test]
fn in_cluster_apps_stay_in_their_namespace() {
    check_app(
        "org-acme",
        "hello",
        "",
        "kubeConfig: {inCluster: true}, userConfig: {configMap: {name: x, namespace: y}}",
        &expect![[r#"
            release hello version 1.0.0
            {"inCluster":true}
            spec.namespace: Forbidden: target namespace hello is not allowed for in-cluster apps
        "#]],
    );
    check_app(
        "giantswarm",
        &"x".repeat(54),
        "",
        "kubeConfig: {inCluster: true}, config: {secret: {name: x, namespace: ''}}",
        &expect![[r#"
            release xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx version 1.0.0
            {"inCluster":true}
            spec.config.secret.namespace: Required value: namespace is not specified for secret `x`
            metadata.name: Invalid value: name `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is 54 chars and exceeds max length of 53 chars
        "#]],
    );
}

#[test]
fn apps_of_the_default_catalog_have_user_values_of_a_fixed_name() {
    let app = |name: &str| -> App {
        parse(&format!(
            "{{apiVersion: application.giantswarm.io/v1alpha1, kind: App, metadata: {{name: prod-hello, namespace: prod}}, \
             spec: {{catalog: default, name: hello, version: 1.0.0, namespace: hello, kubeConfig: {{inCluster: false}}, \
             userConfig: {{configMap: {{name: {name}, namespace: prod}}}}}}}}"
        ))
    };
    for good in ["prod-hello-user-values", "hello-user-values"] {
        assert_eq!(app::validate(&app(good), None), []);
    }
    expect![[r#"
        spec.userConfig.configMap.name: Invalid value: user configmap must be named `prod-hello-user-values` for app in default catalog
    "#]].assert_eq(&lines(&app::validate(&app("mine"), None)));
    let mut moved = app("hello-user-values");
    moved.spec.namespace = "elsewhere".to_owned();
    let old = app("hello-user-values");
    expect![[r#"
        spec.namespace: Forbidden: target namespace for app `prod-hello` cannot be changed from `hello` to `elsewhere`
    "#]].assert_eq(&lines(&app::validate(&moved, Some(&old))));
}

#[test]
fn names_of_releases_lose_the_name_of_the_cluster() {
    for (name, release) in [
        ("abc-coredns", "coredns"),
        ("coredns-abc", "coredns"),
        ("coredns", "coredns"),
        ("abc", "abc"),
        ("abcd-x", "abcd-x"),
    ] {
        let app: App = parse(&format!(
            "{{apiVersion: application.giantswarm.io/v1alpha1, kind: App, metadata: {{name: {name}, namespace: org-a, labels: \
             {{giantswarm.io/cluster: abc}}}}, spec: {{catalog: c, name: n, version: v, namespace: n, kubeConfig: {{inCluster: \
             false}}}}}}"
        ));
        assert_eq!(app.release_name(), release);
    }
}

#[test]
fn catalogs_name_a_repository() {
    let parse_catalog = |spec: &str| -> Catalog {
        parse(&format!(
            "{{apiVersion: application.giantswarm.io/v1alpha1, kind: Catalog, metadata: {{name: c}}, spec: {{{spec}}}}}"
        ))
    };
    let mut old = parse_catalog("storage: {type: helm, URL: 'https://acme.example/charts'}");
    catalog::default(&mut old);
    assert_eq!(old.repositories().len(), 1);
    assert_eq!(catalog::validate(&old), []);
    let mut text = lines(&catalog::validate(&parse_catalog("title: none")));
    let bad = parse_catalog("repositories: [{type: oci, URL: 'oci://x'}]");
    text.push_str(&lines(&catalog::validate(&bad)));
    expect![[r#"
        spec.repositories: Required value: must name a repository: type helm and its URL
        spec.repositories[0].type: Invalid value: "oci" is not supported, only "helm"
        spec.repositories[0].URL: Invalid value: "oci://x" must start with https://, http:// or file:///
    "#]].assert_eq(&text);
}
