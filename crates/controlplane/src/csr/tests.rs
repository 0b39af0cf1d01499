//! Check tests: request and conditions → plan, as text.

use expect_test::{Expect, expect};

use super::*;

/// A node's request as made by its key; `subject` is `CN` or `CN/O,O`, `hosts` are DNS names.
fn request(subject: &str, hosts: &[&str]) -> CertificateRequest {
    let (name, groups) = subject.split_once('/').unwrap_or((subject, ""));
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(hosts).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    for group in groups.split(',').filter(|group| !group.is_empty()) {
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, group);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    CertificateRequest::from_pem(&pem).unwrap()
}

fn world(
    signer: &str,
    usages: &[&str],
    conditions: &[(&str, &str)],
    request: CertificateRequest,
) -> World {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, at)| json!({"type": kind, "status": "True", "lastUpdateTime": at}))
        .collect();
    let csr = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "csr-1", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"request": "", "signerName": signer, "usages": usages, "username": "system:bootstrap:abcdef"},
        "status": {"conditions": conditions},
    });
    World {
        csr: serde_json::from_value(csr).unwrap(),
        request: Ok(request),
        approval: None,
        expires: None,
    }
}

fn check(world: &World, now: &str, expect: &Expect) {
    expect.assert_eq(&CsrController::plan(world, now.parse().unwrap()).to_string());
}

const SOON: &str = "2026-01-01T00:10:00Z";
const APPROVED: (&str, &str) = ("Approved", "2026-01-01T00:05:00Z");
const CLIENT: &[&str] = &["digital signature", "client auth"];
const SERVING: &[&str] = &["digital signature", "server auth"];

fn node() -> CertificateRequest {
    request("system:node:n1/system:nodes", &[])
}

#[test]
fn who_may_have_it_gets_it_approved() {
    let mut world = world(rules::KUBELET_CLIENT, CLIENT, &[], node());
    check(
        &world,
        SOON,
        &expect![[r#"
        again in 85800s
    "#]],
    );
    world.approval = Some("Auto approving kubelet client certificate after SubjectAccessReview.");
    check(
        &world,
        SOON,
        &expect![[r#"
        patch CertificateSigningRequest csr-1/approval {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:10:00Z","lastUpdateTime":"2026-01-01T00:10:00Z","message":"Auto approving kubelet client certificate after SubjectAccessReview.","reason":"AutoApproved","status":"True","type":"Approved"}]}}
        again in 85800s
    "#]],
    );
}

#[test]
fn permissions_depend_on_who_asks() {
    let permissions = |world: &World| {
        let request = world.request.as_ref().unwrap();
        let names: Vec<&str> = rules::permissions(&world.csr, request)
            .iter()
            .map(|p| p.0)
            .collect();
        names.join(" ")
    };
    let mut world = world(rules::KUBELET_CLIENT, CLIENT, &[], node());
    assert_eq!(permissions(&world), "nodeclient");
    world.csr.spec.username = Some("system:node:n1".to_owned());
    assert_eq!(permissions(&world), "selfnodeclient nodeclient");
    world.csr.spec.signer_name = rules::API_CLIENT.to_owned();
    assert_eq!(permissions(&world), "");
    world.csr.spec.signer_name = rules::KUBELET_CLIENT.to_owned();
    world.request = Ok(request("system:node:n1/system:nodes,system:masters", &[]));
    assert_eq!(permissions(&world), "");
}

#[test]
fn what_is_approved_is_signed_by_the_signers_rules() {
    let check = |signer, usages, request, expect: &Expect| {
        check(&world(signer, usages, &[APPROVED], request), SOON, expect);
    };
    check(
        rules::KUBELET_CLIENT,
        CLIENT,
        node(),
        &expect![[r#"
        act Sign
        again in 3300s
    "#]],
    );
    check(
        rules::KUBELET_CLIENT,
        CLIENT,
        request("system:node:n1/system:nodes", &["n1"]),
        &expect![[r#"
            patch CertificateSigningRequest csr-1/status {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastUpdateTime":"2026-01-01T00:05:00Z","status":"True","type":"Approved"},{"lastTransitionTime":"2026-01-01T00:10:00Z","lastUpdateTime":"2026-01-01T00:10:00Z","message":"DNS and IP alternative names are not allowed","reason":"SignerValidationFailure","status":"True","type":"Failed"}]}}
            again in 3300s
        "#]],
    );
    check(
        rules::KUBELET_CLIENT,
        CLIENT,
        request("admin/system:nodes", &[]),
        &expect![[r#"
            patch CertificateSigningRequest csr-1/status {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastUpdateTime":"2026-01-01T00:05:00Z","status":"True","type":"Approved"},{"lastTransitionTime":"2026-01-01T00:10:00Z","lastUpdateTime":"2026-01-01T00:10:00Z","message":"the subject's common name must be system:node:<name>","reason":"SignerValidationFailure","status":"True","type":"Failed"}]}}
            again in 3300s
        "#]],
    );
    check(
        rules::KUBELET_SERVING,
        SERVING,
        node(),
        &expect![[r#"
        patch CertificateSigningRequest csr-1/status {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastUpdateTime":"2026-01-01T00:05:00Z","status":"True","type":"Approved"},{"lastTransitionTime":"2026-01-01T00:10:00Z","lastUpdateTime":"2026-01-01T00:10:00Z","message":"at least one DNS or IP alternative name is needed","reason":"SignerValidationFailure","status":"True","type":"Failed"}]}}
        again in 3300s
    "#]],
    );
    check(
        rules::KUBELET_SERVING,
        SERVING,
        request("system:node:n1/system:nodes", &["n1"]),
        &expect![[r#"
            act Sign
            again in 3300s
        "#]],
    );
    check(
        rules::API_CLIENT,
        SERVING,
        request("ann/dev", &[]),
        &expect![[r#"
            patch CertificateSigningRequest csr-1/status {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastUpdateTime":"2026-01-01T00:05:00Z","status":"True","type":"Approved"},{"lastTransitionTime":"2026-01-01T00:10:00Z","lastUpdateTime":"2026-01-01T00:10:00Z","message":"usages must be \"client auth\" with \"digital signature\" and, for RSA keys, \"key encipherment\", and no others; got [\"digital signature\", \"server auth\"]","reason":"SignerValidationFailure","status":"True","type":"Failed"}]}}
            again in 3300s
        "#]],
    );
    check(
        rules::API_CLIENT,
        CLIENT,
        request("ann/dev", &[]),
        &expect![[r#"
            act Sign
            again in 3300s
        "#]],
    );
    check(
        "example.com/own",
        CLIENT,
        request("ann", &[]),
        &expect![[r#"
            again in 3300s
        "#]],
    );
}

#[test]
fn what_is_over_is_cleared_away() {
    let pending = world(rules::API_CLIENT, CLIENT, &[], node());
    check(
        &pending,
        "2026-01-01T23:59:59Z",
        &expect![[r#"
        again in 1s
    "#]],
    );
    check(
        &pending,
        "2026-01-02T00:00:00Z",
        &expect![[r#"
        delete CertificateSigningRequest csr-1
    "#]],
    );
    let denied = world(
        rules::API_CLIENT,
        CLIENT,
        &[("Denied", "2026-01-01T00:05:00Z")],
        node(),
    );
    check(
        &denied,
        SOON,
        &expect![[r#"
        again in 3300s
    "#]],
    );
    check(
        &denied,
        "2026-01-01T01:05:00Z",
        &expect![[r#"
        delete CertificateSigningRequest csr-1
    "#]],
    );
}

#[test]
fn a_lifetime_has_bounds() {
    let mut world = world(rules::API_CLIENT, CLIENT, &[], node());
    assert_eq!(
        rules::lifetime(&world.csr),
        SignedDuration::from_hours(8760)
    );
    world.csr.spec.expiration_seconds = Some(3600);
    assert_eq!(rules::lifetime(&world.csr), SignedDuration::from_hours(1));
    world.csr.spec.expiration_seconds = Some(-1);
    assert_eq!(rules::lifetime(&world.csr), SignedDuration::from_mins(10));
}
