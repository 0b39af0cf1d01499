//! Files on machines: their order, where their contents come from, and templates.

use expect_test::expect;

use super::super::KubeadmConfigController;
use super::{CONTROL_PLANE, INITIALIZED, LOCKED, TOKEN, certified, document};
use crate::testing::show;

fn paths(overrides: &[&str]) -> String {
    let document = document(overrides);
    let paths = document
        .lines()
        .filter_map(|l| l.trim_start_matches(['-', ' ']).strip_prefix("path: "));
    paths.collect::<Vec<_>>().join("\n")
}

#[test]
fn certificates_come_before_files_and_kubeadm_comes_last() {
    let files = "config: {spec: {files: [{path: /z}, {path: /a}], clusterConfiguration: {certificatesDir: /pki}}}";
    expect![[r#"
        /pki/ca.crt
        /pki/ca.key
        /pki/etcd/ca.crt
        /pki/etcd/ca.key
        /pki/front-proxy-ca.crt
        /pki/front-proxy-ca.key
        /pki/sa.pub
        /pki/sa.key
        /z
        /a
        /run/kubeadm/kubeadm.yaml
        /run/cluster-api/placeholder"#]]
    .assert_eq(&paths(&[CONTROL_PLANE, LOCKED, files]));
    let file = "config: {spec: {joinConfiguration: {discovery: {file: {kubeConfigPath: /etc/discovery.yaml, kubeConfig: {user: {exec: {command: login}}}}}}}}";
    expect![[r#"
        /z
        /a
        /etc/discovery.yaml
        /run/kubeadm/kubeadm-join-config.yaml
        /run/cluster-api/placeholder"#]]
    .assert_eq(&paths(&[INITIALIZED, files, file]));
}

#[test]
fn a_secret_that_is_missing_is_a_condition() {
    let file = "config: {spec: {files: [{path: /a, contentFrom: {secret: {name: s, key: k}}}]}}";
    let gone = certified(&[INITIALIZED, TOKEN, file]);
    expect![[r#"
        wait InternalError: file /a: Secret s does not exist
        Ready=False NotReady * DataSecretAvailable: file /a: Secret s does not exist
        DataSecretAvailable=False InternalError file /a: Secret s does not exist
        CertificatesAvailable=True Available
        Paused=False NotPaused
    "#]]
    .assert_eq(&show::<KubeadmConfigController>(&gone));
    let no_key = certified(&[INITIALIZED, TOKEN, file, "secrets: {s: {other: x}}"]);
    let shown = show::<KubeadmConfigController>(&no_key);
    expect![[r#"wait InternalError: file /a: Secret s has no text under key "k""#]]
        .assert_eq(shown.lines().next().unwrap());
}

/// What a template becomes in a cluster whose control plane has a version, and in one without.
fn expanded(template: &str) -> String {
    let file = format!(
        "config: {{spec: {{files: [{{path: /a, contentFormat: Template, content: {template:?}}}]}}}}"
    );
    let versions = ["control_plane_version: v1.37.1", "{}"];
    let shown = versions.map(|version| {
        let document = document(&[INITIALIZED, TOKEN, &file, version]);
        let begin = document.split_once("write_files:\n- content: ");
        let content = begin.and_then(|(_, rest)| rest.split_once("\n  path:"));
        content.map_or(document.clone(), |(content, _)| format!("{content}\n"))
    });
    format!("{template}\n{}", shown.concat())
}

#[test]
fn templates_know_the_version_of_the_control_plane() {
    let mut text = String::new();
    for template in [
        "kubelet {{ .controlPlane.version }}",
        "{{ with .controlPlane }}{{ .version | trimPrefix \"v\" }}{{ else }}none{{ end }}",
        "{{ .other }}",
        "{{ now }}",
        "{{ if }}",
        "{{ fail \"no\" }}",
        "{{ range until 3000000 }}a{{ end }}",
        "{{ repeat 1100000 \"a\" }}",
    ] {
        text += &expanded(template);
    }
    expect![[r#"
        kubelet {{ .controlPlane.version }}
        kubelet v1.37.1
        wait InternalError: file /a: template: tpl:1:24: executing "tpl" at <.controlPlane.version>: nil pointer evaluating interface {}.version
        {{ with .controlPlane }}{{ .version | trimPrefix "v" }}{{ else }}none{{ end }}
        "1.37.1"
        none
        {{ .other }}
        <no value>
        <no value>
        {{ now }}
        wait InternalError: file /a: template: tpl:1: function "now" not defined
        wait InternalError: file /a: template: tpl:1: function "now" not defined
        {{ if }}
        wait InternalError: file /a: template: tpl:1: missing value for if
        wait InternalError: file /a: template: tpl:1: missing value for if
        {{ fail "no" }}
        wait InternalError: file /a: template: tpl:1:3: executing "tpl" at <fail "no">: error calling fail: no
        wait InternalError: file /a: template: tpl:1:3: executing "tpl" at <fail "no">: error calling fail: no
        {{ range until 3000000 }}a{{ end }}
        wait InternalError: file /a: template: tpl:1:9: executing "tpl" at <until 3000000>: error calling until: rendering took more than 100000 steps
        wait InternalError: file /a: template: tpl:1:9: executing "tpl" at <until 3000000>: error calling until: rendering took more than 100000 steps
        {{ repeat 1100000 "a" }}
        wait InternalError: file /a: the template expands to 1100000 bytes, more than 1048576
        wait InternalError: file /a: the template expands to 1100000 bytes, more than 1048576
    "#]].assert_eq(&text);
}

#[test]
fn a_template_from_a_secret_is_not_shown() {
    let file = "{secrets: {s: {good: 'v={{ .controlPlane.version }}', bad: '{{ .hunter2 \"'}}, control_plane_version: '1.37.1'}";
    let from = |key: &str| {
        let spec = format!(
            "config: {{spec: {{files: [{{path: /a, contentFormat: Template, contentFrom: {{secret: {{name: s, key: {key}}}}}}}]}}}}"
        );
        document(&[INITIALIZED, TOKEN, file, &spec])
    };
    assert!(
        from("good").contains("content: v=v1.37.1\n"),
        "{}",
        from("good")
    );
    expect![[r#"
        wait InternalError: file /a: the template cannot be expanded; what is wrong is not shown, because it comes from a Secret
    "#]].assert_eq(&from("bad"));
}
