use expect_test::{Expect, expect};
use jiff::Timestamp;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

use super::{World, base64, cluster, hours, now};
use crate::auth::authenticate::TokenSpec;
use crate::auth::pki::{CertificateRequest, SERVER_USAGES};
use crate::auth::token::Bound;
use crate::auth::{Authenticator, ClusterKeys, User};

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

pub(super) fn spec(account: &str) -> TokenSpec<'static> {
    TokenSpec {
        namespace: "default",
        service_account: bound(account),
        audiences: &[],
        pod: None,
        secret: None,
        node: None,
        lifetime_seconds: 3600,
        warn_after_seconds: None,
    }
}

fn bound(name: &str) -> Bound {
    Bound {
        name: name.into(),
        uid: format!("uid-{name}"),
    }
}

fn shown(user: &User) -> String {
    let extra: Vec<String> = user
        .extra
        .iter()
        .map(|(key, values)| match values[0].split_once('=') {
            Some((scheme, id)) => format!("{key}={scheme}=<{} characters>", id.len()),
            None => format!("{key}={}", values[0]),
        })
        .collect();
    format!(
        "{} uid={:?} groups={:?} extra={extra:?}",
        user.name, user.uid, user.groups
    )
}

fn check_token(auth: &Authenticator, world: &World, token: &str, at: Timestamp, want: Expect) {
    let audiences = auth.audiences().to_vec();
    let got = match auth.authenticate_token(world, token, &audiences, at) {
        Ok((user, _)) => shown(&user),
        Err(error) => error.to_string(),
    };
    want.assert_eq(&got);
    let header = auth.authenticate(world, None, Some(&format!("Bearer {token}")), at);
    assert_eq!(header.is_ok(), !got.starts_with('['));
}

#[test]
fn nobody_is_anonymous_and_a_wrong_credential_is_nobody() {
    let (_, auth) = cluster();
    let world = World::default();
    let anonymous = auth.authenticate(&world, None, None, now()).unwrap();
    expect![[r#"system:anonymous uid="" groups=["system:unauthenticated"] extra=[]"#]]
        .assert_eq(&shown(&anonymous));
    for header in [
        "Bearer nonsense",
        "Bearer ",
        "Basic YTpi",
        "",
        "Bearer a.b.c",
        "bearer é",
    ] {
        let refused = auth
            .authenticate(&world, None, Some(header), now())
            .unwrap_err();
        assert_eq!(
            (refused.code, &*refused.message),
            (401, "Unauthorized"),
            "{header}"
        );
    }
    let refused = auth.authenticate(&world, Some(b"not a certificate"), None, now());
    assert_eq!(refused.unwrap_err().code, 401);
}

#[test]
fn long_tokens_are_refused_unread() {
    let (_, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    // The token is good, but for its length.
    let many: Vec<String> = (0..2000).map(|n| format!("audience-{n}")).collect();
    let spec = TokenSpec {
        audiences: &many,
        ..spec("robot")
    };
    let token = auth.issue_token(spec, now()).unwrap();
    assert!(token.len() > 16 * 1024);
    let reviewed = auth.authenticate_token(&world, &token, &many[..1], now());
    expect!["[invalid bearer token, it is too long]"].assert_eq(&reviewed.unwrap_err().to_string());
}

#[test]
fn a_client_certificate_says_user_and_groups_while_it_is_valid() {
    let (keys, auth) = cluster();
    let world = World::default();
    let issued = keys
        .authority()
        .unwrap()
        .issue_client("jane", &["ops", "devs"], now(), hours(1))
        .unwrap();
    let cert = der(&issued.cert_pem);
    let at = |time| auth.authenticate(&world, Some(&cert), None, time).ok();
    // The second look is the cached one, and checks the time as well.
    let looks = [at(now()), at(now())].map(|user| shown(&user.unwrap()));
    assert_eq!(looks[0], looks[1]);
    expect![[r#"jane uid="" groups=["ops", "devs", "system:authenticated"] extra=["authentication.kubernetes.io/credential-id=X509SHA256=<64 characters>"]"#]].assert_eq(&looks[0]);
    assert_eq!(at(now() + hours(2)), None);
    assert_eq!(at(now() - hours(1)), None);
}

#[test]
fn certificates_of_others_are_refused() {
    let (keys, auth) = cluster();
    let world = World::default();
    let other = ClusterKeys::generate("hello", now()).unwrap();
    let foreign = other
        .authority()
        .unwrap()
        .issue_client("jane", &["system:masters"], now(), hours(1))
        .unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = params.self_signed(&key).unwrap();
    let server = keys
        .authority()
        .unwrap()
        .issue_server(&["kubernetes"], &[], now(), hours(1))
        .unwrap();
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = CertificateRequest::from_pem(&request).unwrap();
    let serving = keys
        .authority()
        .unwrap()
        .sign(&request, SERVER_USAGES, now(), hours(1))
        .unwrap();
    for (what, cert) in [
        ("another authority of the same name", der(&foreign.cert_pem)),
        ("self-signed", own.der().to_vec()),
        ("server", der(&server.cert_pem)),
        ("signed for serving", der(&serving)),
        ("the authority itself", der(&keys.ca_cert_pem)),
    ] {
        let refused = auth.authenticate(&world, Some(&cert), None, now());
        assert_eq!(refused.map_err(|s| s.code), Err(401), "{what}");
    }
}

#[test]
fn a_certificate_wins_and_a_token_helps_out() {
    let (keys, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    let token = format!("Bearer {}", auth.issue_token(spec("robot"), now()).unwrap());
    let good = keys
        .authority()
        .unwrap()
        .issue_client("jane", &[], now(), hours(1))
        .unwrap();
    let name = |cert: &[u8]| {
        auth.authenticate(&world, Some(cert), Some(&token), now())
            .unwrap()
            .name
    };
    assert_eq!(name(&der(&good.cert_pem)), "jane");
    assert_eq!(name(b"broken"), "system:serviceaccount:default:robot");
}

#[test]
fn a_service_account_token_holds_until_it_expires() {
    let (_, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    let token = auth.issue_token(spec("robot"), now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[
            r#"system:serviceaccount:default:robot uid="uid-robot" groups=["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] extra=["authentication.kubernetes.io/credential-id=JTI=<36 characters>"]"#
        ]],
    );
    check_token(
        &auth,
        &world,
        &token,
        now() + hours(2),
        expect!["[invalid bearer token, service account token has expired]"],
    );
    check_token(
        &auth,
        &world,
        &token,
        now() - hours(1),
        expect!["[invalid bearer token, service account token is not valid yet]"],
    );
}

#[test]
fn a_token_dies_with_its_account() {
    let (_, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    let token = auth.issue_token(spec("robot"), now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[
            r#"system:serviceaccount:default:robot uid="uid-robot" groups=["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] extra=["authentication.kubernetes.io/credential-id=JTI=<36 characters>"]"#
        ]],
    );
    let deleting = |uid: &str, at: &str| json!({"metadata": {"namespace": "default", "name": "robot", "uid": uid, "deletionTimestamp": at}});
    world.put(
        "serviceaccounts",
        deleting("uid-robot", "2026-06-01T11:59:30Z"),
    );
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[
            r#"system:serviceaccount:default:robot uid="uid-robot" groups=["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] extra=["authentication.kubernetes.io/credential-id=JTI=<36 characters>"]"#
        ]],
    );
    world.put(
        "serviceaccounts",
        deleting("uid-robot", "2026-06-01T11:58:00Z"),
    );
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[r#"[invalid bearer token, serviceaccount "robot" has been deleted]"#]],
    );
    world.put(
        "serviceaccounts",
        json!({"metadata": {"namespace": "default", "name": "robot", "uid": "new"}}),
    );
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![
            "[invalid bearer token, serviceaccount UID (new) does not match claim (uid-robot)]"
        ],
    );
    world.delete("serviceaccounts", "default", "robot");
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[r#"[invalid bearer token, serviceaccount "robot" not found]"#]],
    );
}

#[test]
fn a_bound_token_dies_with_its_pod() {
    let (_, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    world.put(
        "pods",
        json!({"metadata": {"namespace": "default", "name": "web", "uid": "uid-web"}}),
    );
    let token = TokenSpec {
        pod: Some(bound("web")),
        // The node beside a pod need not exist.
        node: Some(bound("worker-1")),
        ..spec("robot")
    };
    let token = auth.issue_token(token, now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[
            r#"system:serviceaccount:default:robot uid="uid-robot" groups=["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] extra=["authentication.kubernetes.io/credential-id=JTI=<36 characters>", "authentication.kubernetes.io/node-name=worker-1", "authentication.kubernetes.io/node-uid=uid-worker-1", "authentication.kubernetes.io/pod-name=web", "authentication.kubernetes.io/pod-uid=uid-web"]"#
        ]],
    );
    world.delete("pods", "default", "web");
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[r#"[invalid bearer token, pod "web" not found]"#]],
    );
    let token = TokenSpec {
        node: Some(bound("worker-1")),
        ..spec("robot")
    };
    let token = auth.issue_token(token, now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[r#"[invalid bearer token, node "worker-1" not found]"#]],
    );
    world.put(
        "nodes",
        json!({"metadata": {"name": "worker-1", "uid": "uid-worker-1"}}),
    );
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[
            r#"system:serviceaccount:default:robot uid="uid-robot" groups=["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] extra=["authentication.kubernetes.io/credential-id=JTI=<36 characters>", "authentication.kubernetes.io/node-name=worker-1", "authentication.kubernetes.io/node-uid=uid-worker-1"]"#
        ]],
    );
}

#[test]
fn tokens_for_others_by_others_or_tampered_with_are_refused() {
    let (keys, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    let vault = ["vault".to_owned()];
    let token = TokenSpec {
        audiences: &vault,
        ..spec("robot")
    };
    let token = auth.issue_token(token, now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![[
            r#"[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc.cluster.local"]]"#
        ]],
    );

    let elsewhere =
        Authenticator::new(&keys, "https://elsewhere", vec![super::ISSUER.into()]).unwrap();
    let token = elsewhere.issue_token(spec("robot"), now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect!["[invalid bearer token, it is of another issuer]"],
    );

    let (_, other) = cluster();
    let token = other.issue_token(spec("robot"), now()).unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect!["[invalid bearer token, its signature is not of this cluster]"],
    );

    let token = auth.issue_token(spec("robot"), now()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let longer = auth
        .issue_token(
            TokenSpec {
                lifetime_seconds: 99_999,
                ..spec("robot")
            },
            now(),
        )
        .unwrap();
    let swapped = format!(
        "{}.{}.{}",
        parts[0],
        longer.split('.').nth(1).unwrap(),
        parts[2]
    );
    check_token(
        &auth,
        &world,
        &swapped,
        now(),
        expect!["[invalid bearer token, its signature is not of this cluster]"],
    );

    use base64::Engine as _;
    let none = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let unsigned = format!("{none}.{}.", parts[1]);
    check_token(
        &auth,
        &world,
        &unsigned,
        now(),
        expect!["[invalid bearer token, its signature is not of this cluster]"],
    );
}

#[test]
fn a_legacy_token_holds_while_its_secret_has_it() {
    let (_, auth) = cluster();
    let mut world = World::default();
    world.account("default", "robot");
    let token = auth
        .issue_legacy_token("default", "robot-token", &bound("robot"))
        .unwrap();
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect!["[invalid bearer token, token has been invalidated]"],
    );
    let secret = |token: &str| {
        json!({
            "metadata": {"namespace": "default", "name": "robot-token"},
            "type": "kubernetes.io/service-account-token", "data": {"token": base64(token)},
        })
    };
    world.put("secrets", secret(&token));
    check_token(
        &auth,
        &world,
        &token,
        now() + hours(100_000),
        expect![[
            r#"system:serviceaccount:default:robot uid="uid-robot" groups=["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] extra=[]"#
        ]],
    );
    let mut marked = secret(&token);
    marked["metadata"]["labels"] =
        json!({"kubernetes.io/legacy-token-invalid-since": "2026-05-01"});
    world.put("secrets", marked);
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect![
            "[invalid bearer token, the token in secret default/robot-token for service account default/robot has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token]"
        ],
    );
    world.put("secrets", secret("another"));
    check_token(
        &auth,
        &world,
        &token,
        now(),
        expect!["[invalid bearer token, token has been invalidated]"],
    );
}

#[test]
fn bootstrap_tokens() {
    let (_, auth) = cluster();
    let check = |change: &[(&str, &str)], token: &str, want: Expect| {
        let mut data = json!({
            "token-id": base64("abcdef"), "token-secret": base64("0123456789abcdef"),
            "usage-bootstrap-authentication": base64("true"),
            "auth-extra-groups": base64("system:bootstrappers:kubeadm:default-node-token"),
            "expiration": base64("2026-06-01T13:00:00Z"),
        });
        for (key, value) in change {
            data[key] = base64(value).into();
        }
        let mut world = World::default();
        world.put(
            "secrets",
            json!({
                "metadata": {"namespace": "kube-system", "name": "bootstrap-token-abcdef"},
                "type": "bootstrap.kubernetes.io/token", "data": data,
            }),
        );
        check_token(&auth, &world, token, now(), want);
    };
    let good = "abcdef.0123456789abcdef";
    check(
        &[],
        good,
        expect![[
            r#"system:bootstrap:abcdef uid="" groups=["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"] extra=[]"#
        ]],
    );
    check(
        &[],
        "abcdef.0123456789abcdee",
        expect![[r#"[invalid bearer token, bootstrap token "abcdef" does not exist]"#]],
    );
    check(
        &[],
        "abcdee.0123456789abcdef",
        expect![[r#"[invalid bearer token, bootstrap token "abcdee" does not exist]"#]],
    );
    check(
        &[("token-id", "abcdee")],
        good,
        expect![[r#"[invalid bearer token, bootstrap token "abcdef" does not exist]"#]],
    );
    check(
        &[("expiration", "2026-06-01T12:00:00Z")],
        good,
        expect![[r#"[invalid bearer token, bootstrap token "abcdef" has expired]"#]],
    );
    check(
        &[("expiration", "soon")],
        good,
        expect![[r#"[invalid bearer token, bootstrap token "abcdef" has expired]"#]],
    );
    check(
        &[("usage-bootstrap-authentication", "false")],
        good,
        expect![[r#"[invalid bearer token, bootstrap token "abcdef" is not for authentication]"#]],
    );
    check(
        &[("auth-extra-groups", "system:masters")],
        good,
        expect![[
            r#"[invalid bearer token, bootstrap token "abcdef" has a group that does not start with system:bootstrappers:]"#
        ]],
    );
    check(
        &[("auth-extra-groups", "")],
        good,
        expect![[
            r#"system:bootstrap:abcdef uid="" groups=["system:bootstrappers", "system:authenticated"] extra=[]"#
        ]],
    );
}

#[test]
fn the_public_key_is_published() {
    let (_, auth) = cluster();
    let set = auth.key_set();
    let key = set["keys"][0].as_object().unwrap();
    let fields: Vec<&str> = key.keys().map(String::as_str).collect();
    expect![[r#"["alg", "crv", "kid", "kty", "use", "x", "y"] "ES256" "sig" "P-256""#]].assert_eq(
        &format!("{fields:?} {} {} {}", key["alg"], key["use"], key["crv"]),
    );
    let discovery = auth.discovery("https://127.0.0.1:6443/openid/v1/jwks");
    expect![[r#"
        {
          "id_token_signing_alg_values_supported": [
            "ES256"
          ],
          "issuer": "https://kubernetes.default.svc.cluster.local",
          "jwks_uri": "https://127.0.0.1:6443/openid/v1/jwks",
          "response_types_supported": [
            "id_token"
          ],
          "subject_types_supported": [
            "public"
          ]
        }"#]]
    .assert_eq(&format!("{discovery:#}"));
}
