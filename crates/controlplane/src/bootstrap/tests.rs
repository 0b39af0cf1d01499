//! Check tests: tokens and cluster-info → plan, as text.

use expect_test::{Expect, expect};
use k8s_openapi::ByteString;

use super::*;

fn token(id: &str, data: &[(&str, &str)]) -> Option<Token> {
    let mut all = vec![("token-id", id), ("token-secret", "0123456789abcdef")];
    all.extend(data);
    let data: BTreeMap<String, ByteString> = all
        .iter()
        .map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())))
        .collect();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE, "data": data,
        "metadata": {"name": format!("bootstrap-token-{id}"), "uid": "u"}});
    Token::read(&serde_json::from_value(secret).unwrap())
}

fn check(tokens: Vec<Option<Token>>, info: Option<&[(&str, &str)]>, expect: &Expect) {
    let info = info.map(|info| {
        info.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    });
    let world = World {
        tokens: tokens.into_iter().flatten().collect(),
        info,
    };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    expect.assert_eq(&BootstrapController::plan(&world, now).to_string());
}

const SIGNS: (&str, &str) = ("usage-bootstrap-signing", "true");

#[test]
fn cluster_info_is_signed_by_every_signing_token() {
    let tokens = vec![token("aaaaaa", &[SIGNS]), token("bbbbbb", &[])];
    check(
        tokens,
        Some(&[("kubeconfig", "K")]),
        &expect![[r#"
        patch ConfigMap kube-public/cluster-info {"data":{"jws-kubeconfig-aaaaaa":"eyJhbGciOiJIUzI1NiIsImtpZCI6ImFhYWFhYSJ9..td8SgVr1AUg1bcdOIzwJ9UibLS9EUnuXXNBv4aFaQlM"}}
    "#]],
    );
}

#[test]
fn stale_signatures_go() {
    check(
        vec![],
        Some(&[
            ("kubeconfig", "K"),
            ("jws-kubeconfig-cccccc", "x"),
            ("other", "y"),
        ]),
        &expect![[r#"
            patch ConfigMap kube-public/cluster-info {"data":{"jws-kubeconfig-cccccc":null}}
        "#]],
    );
    check(
        vec![token("aaaaaa", &[SIGNS])],
        Some(&[("jws-kubeconfig-aaaaaa", "x")]),
        &expect![[r#"
            patch ConfigMap kube-public/cluster-info {"data":{"jws-kubeconfig-aaaaaa":null}}
        "#]],
    );
}

#[test]
fn expired_tokens_go_and_the_next_is_waited_for() {
    let old = ("expiration", "2025-12-31T23:59:59Z");
    let later = ("expiration", "2026-01-01T06:00:00+01:00");
    let odd = ("expiration", "tomorrow");
    let tokens = vec![
        token("aaaaaa", &[SIGNS, old]),
        token("bbbbbb", &[later]),
        token("cccccc", &[SIGNS, odd]),
    ];
    check(
        tokens,
        Some(&[("kubeconfig", "K")]),
        &expect![[r#"
        delete Secret kube-system/bootstrap-token-aaaaaa
        delete Secret kube-system/bootstrap-token-cccccc
        again in 18000s
    "#]],
    );
}

#[test]
fn without_cluster_info_nothing_is_signed() {
    check(vec![token("aaaaaa", &[SIGNS])], None, &expect![[""]]);
}
