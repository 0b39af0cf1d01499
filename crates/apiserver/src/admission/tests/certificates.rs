use std::sync::Arc;

use expect_test::expect;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use super::{Write, world};
use crate::admission::{Admission, Chain, Request};
use crate::auth::Authorizer;
use crate::auth::tests::base64;
use crate::status::Status;

const CSR: &str = "certificatesigningrequests.certificates.k8s.io /x";
const APPROVAL: &str = "certificatesigningrequests/approval.certificates.k8s.io /x";
const STATUS: &str = "certificatesigningrequests/status.certificates.k8s.io /x";

fn asking(signer: &str, group: &str) -> Value {
    json!({
        "metadata": {"name": "x"},
        "spec": {
            "signerName": signer, "request": certificate_request("jane", group), "username": "admin", "uid": "7",
        },
    })
}

/// A request for the certificate of a user, as it stands in a spec.
pub(super) fn certificate_request(name: &str, group: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, group);
    let request = params
        .serialize_request(&KeyPair::generate().unwrap())
        .unwrap();
    base64(&request.pem().unwrap())
}

#[tokio::test]
async fn the_requester_is_who_asks() {
    let world = world();
    let ask = Write::create(CSR, asking("kubernetes.io/kube-apiserver-client", "devs"))
        .by("jane", &["devs"]);
    let made = ask.run(&world).await.unwrap();
    let mut spec = made["spec"].clone();
    spec["request"] = "…".into();
    expect![[r#"{"groups":["devs","system:authenticated"],"request":"…","signerName":"kubernetes.io/kube-apiserver-client","username":"jane"}"#]].assert_eq(&spec.to_string());
    // Nobody changes it later.
    let mut other = made.clone();
    other["spec"]["username"] = "admin".into();
    let kept = Write::update(CSR, made.clone(), other)
        .run(&world)
        .await
        .unwrap();
    assert_eq!(kept["spec"], made["spec"]);
}

/// A mutating webhook that hands requests to somebody else.
struct Thief;

#[async_trait::async_trait]
impl Admission for Thief {
    fn name(&self) -> &'static str {
        "Thief"
    }

    async fn admit(&self, _: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        object["spec"]["username"] = "admin".into();
        Ok(())
    }
}

#[tokio::test]
async fn a_later_plugin_does_not_change_the_requester() {
    let mut chain = Chain::builtin(&Arc::new(Authorizer::new()));
    chain.push(Arc::new(Thief));
    let ask = Write::create(CSR, asking("example.com/own", "devs")).by("jane", &["devs"]);
    let refused = ask.run_in(&chain, &world()).await.unwrap_err();
    expect![[r#"certificatesigningrequests.certificates.k8s.io "x" is forbidden: the requester was changed by admission: it must be who asks"#]].assert_eq(&refused.message);
}

#[tokio::test]
async fn nobody_becomes_master_by_certificate() {
    let world = world();
    let client = "kubernetes.io/kube-apiserver-client";
    Write::create(CSR, asking(client, "system:masters"))
        .check(&world, expect![[r#"403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"#]])
        .await;
    Write::create(CSR, asking("example.com/own", "system:masters"))
        .check(&world, expect!["allowed"])
        .await;
    let broken = json!({"spec": {"signerName": client, "request": base64("nonsense")}});
    Write::create(CSR, broken)
        .check(&world, expect![[r#"403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: unable to parse the request: certificate signing request: not PEM: want a block BEGIN CERTIFICATE REQUEST"#]])
        .await;
}

#[tokio::test]
async fn approving_and_signing_have_their_own_verbs() {
    let mut world = world();
    world
        .role("", "approver", json!([{
            "verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
            "resourceNames": ["kubernetes.io/kubelet-serving", "example.com/*"],
        }]))
        .bind("", "ClusterRole/approver", json!([{"kind": "User", "name": "jane"}]));
    let write = |what: &'static str, signer: &str| {
        let old = json!({"metadata": {"name": "x"}, "spec": {"signerName": signer}});
        let mut new = old.clone();
        new["status"] = json!({"certificate": "c", "conditions": [{"type": "Approved"}]});
        // The signer in the sent object does not count.
        new["spec"]["signerName"] = "example.com/a".into();
        Write::update(what, old, new).by("jane", &[])
    };
    write(APPROVAL, "kubernetes.io/kubelet-serving")
        .check(&world, expect!["allowed"])
        .await;
    write(APPROVAL, "example.com/b")
        .check(&world, expect!["allowed"])
        .await;
    write(APPROVAL, "kubernetes.io/kube-apiserver-client")
        .check(&world, expect![[r#"403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client""#]])
        .await;
    write(STATUS, "example.com/b")
        .check(&world, expect![[r#"403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to sign requests with signerName "example.com/b""#]])
        .await;
    let same = json!({"spec": {"signerName": "example.com/b"}, "status": {"certificate": "c"}});
    Write::update(STATUS, same.clone(), same)
        .by("jane", &[])
        .check(&world, expect!["allowed"])
        .await;
    write(STATUS, "example.com/b")
        .by("root", &["system:masters"])
        .check(&world, expect!["allowed"])
        .await;
}
