//! The key for the cluster's Secrets: made once, and never again.

use expect_test::expect;

use super::{check, machine, machines};

const WANTED: &str = "control_plane: {spec: {kubeadmConfigSpec: {files: [{path: /e.yaml, contentFrom: {secret: {name: hello-encryption-provider-config, key: encryption}}}]}}}";

#[test]
fn the_key_is_made_before_the_first_machine() {
    check(
        &[WANTED],
        &expect![[r#"
            act GenerateEncryptionKey
            wait NotAvailable: Making Secret hello-encryption-provider-config
        "#]],
    );
}

#[test]
fn a_key_that_was_switched_on_later_is_made_then() {
    check(
        &[WANTED, &machines(&[machine("n1", "{}")])],
        &expect![[r#"
            act GenerateEncryptionKey
            apply Machine acme/n1
            wait NotAvailable: Making Secret hello-encryption-provider-config
        "#]],
    );
}

#[test]
fn a_key_that_machines_have_is_never_made_again() {
    check(
        &[
            WANTED,
            &machines(&[machine("n1", "{}")]),
            "parts: {n1: {has_encryption_key: true}}",
        ],
        &expect![[r#"
            apply Machine acme/n1
            wait NotAvailable: Secret hello-encryption-provider-config is missing; what is in etcd can be read with no other key: restore it
        "#]],
    );
}

#[test]
fn other_files_need_no_key() {
    let plan = |more: &str| super::plan::plan(&super::certified(&[more]), super::now()).to_string();
    let other = WANTED.replace("hello-encryption", "other-encryption");
    for without in [&*other, &format!("{{has_encryption_key: true, {WANTED}}}")] {
        let plan = plan(without);
        assert!(!plan.contains("GenerateEncryptionKey"), "{plan}");
        assert!(!plan.contains("NotAvailable"), "{plan}");
    }
}
