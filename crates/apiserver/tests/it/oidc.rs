//! Tokens of other issuers, which are asked for their keys over TLS on the loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::Security;
use apiserver::auth::{Authentication, ClusterKeys};
use bytes::Bytes;
use expect_test::expect;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::world::{World, now};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// A key of an issuer.
struct Key {
    id: &'static str,
    algorithm: Algorithm,
    encoding: EncodingKey,
}

impl Key {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let of = match algorithm {
            Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let pem = KeyPair::generate_for(of).unwrap().serialize_pem();
        let encoding = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        Self {
            id,
            algorithm,
            encoding: encoding.unwrap(),
        }
    }

    fn public(&self) -> Value {
        let mut public = Jwk::from_encoding_key(&self.encoding, self.algorithm).unwrap();
        public.common.key_id = Some(self.id.into());
        json!(public)
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.id.into()),
            ..Header::new(self.algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }
}

/// An issuer that listens.
struct Issuer {
    url: String,
    authority: String,
    keys: Arc<Mutex<Vec<Value>>>,
    /// Spaces before what it says of itself, and before its keys.
    padding: Arc<Mutex<[usize; 2]>>,
    /// How often it was asked for its keys.
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Self {
        let now = Timestamp::now();
        let authority = ClusterKeys::generate("issuer", now).unwrap();
        let issued = authority
            .authority()
            .unwrap()
            .issue_server(
                &["localhost"],
                &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
                now,
                SignedDuration::from_hours(1),
            )
            .unwrap();
        let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!(
            "https://127.0.0.1:{}",
            listener.local_addr().unwrap().port()
        );
        let issuer = Self {
            authority: authority.ca_cert_pem.clone(),
            keys: Arc::new(Mutex::new(keys.iter().map(|key| key.public()).collect())),
            padding: Arc::default(),
            asked: Arc::default(),
            url,
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let (keys, asked, url) = (
            issuer.keys.clone(),
            issuer.asked.clone(),
            issuer.url.clone(),
        );
        let padding = issuer.padding.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keys, asked, url) = (keys.clone(), asked.clone(), url.clone());
                let padding = padding.clone();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not believe the certificate goes away.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let answer = service_fn(move |request: Request<Incoming>| {
                        let [of_discovery, of_keys] = *padding.lock().unwrap();
                        let (code, answer, padding) = match request.uri().path() {
                            "/.well-known/openid-configuration" => {
                                let keys = format!("{url}/keys");
                                (200, json!({"issuer": url, "jwks_uri": keys}), of_discovery)
                            }
                            "/keys" => {
                                asked.fetch_add(1, Ordering::SeqCst);
                                (200, json!({"keys": *keys.lock().unwrap()}), of_keys)
                            }
                            _ => (404, Value::Null, 0),
                        };
                        let body = " ".repeat(padding) + &answer.to_string();
                        let body = Full::new(Bytes::from(body));
                        let answer = Response::builder().status(code).body(body);
                        std::future::ready(answer)
                    });
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                    // Clients close as they like.
                    served.unwrap_or_default();
                });
            }
        });
        issuer
    }

    /// A configuration with this issuer and what else is said of it, in JSON.
    fn config(&self, more: Value) -> String {
        let mut jwt = json!({
            "issuer": {"url": self.url, "certificateAuthority": self.authority, "audiences": ["apiary"]},
            "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}},
        });
        for (field, value) in more.as_object().unwrap() {
            jwt[field] = value.clone();
        }
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [jwt],
        })
        .to_string()
    }

    /// Claims that are good for an hour.
    fn claims(&self, more: Value) -> Value {
        let mut claims = json!({
            "iss": self.url, "aud": "apiary", "sub": "jane", "exp": now().as_second() + 3600,
        });
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        claims
    }
}

/// A world that believes by this configuration.
async fn believing(config: &str) -> (World, Arc<Authentication>) {
    let authentication = Arc::new(Authentication::new(config).unwrap());
    let kept = authentication.clone();
    let security = Security {
        authentication: Some(Arc::new(move |_| Some(authentication.clone()))),
        ..Security::default()
    };
    (World::guarded(security).await, kept)
}

/// Code and answer of a request over the network.
async fn ask(world: &World, token: Option<&str>, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = Request::builder().uri(path);
    if body.is_some() {
        request = request
            .method("POST")
            .header("content-type", "application/json");
    }
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = body.map_or(Bytes::new(), |body| body.to_string().into());
    let service = world.cluster.network_service(None);
    let response = service
        .oneshot(request.body(Full::new(body)).unwrap())
        .await
        .unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

/// Who the server takes the bearer of the token for.
async fn who(world: &World, token: &str) -> String {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    match ask(world, Some(token), REVIEWS, Some(body)).await {
        (201, answer) => answer["status"]["userInfo"].to_string(),
        (code, answer) => format!("{code} {}", answer["message"].as_str().unwrap_or_default()),
    }
}

/// Why a token is refused.
async fn why(world: &World, token: &str) -> String {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let status = world.post(TOKEN_REVIEWS, body).await.ok()["status"].take();
    status["error"]
        .as_str()
        .map_or(status.to_string(), str::to_owned)
}

#[tokio::test]
async fn tokens_of_an_issuer_are_believed() {
    let (ec, rsa) = (
        Key::new("ec", Algorithm::ES256),
        Key::new("rsa", Algorithm::RS256),
    );
    let issuer = Issuer::start(&[&ec, &rsa]).await;
    let mappings = json!({"claimMappings": {
        "username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "roles", "prefix": "role:"},
        "uid": {"claim": "id"},
    }});
    let (world, _) = believing(&issuer.config(mappings)).await;
    let claims = issuer
        .claims(json!({"roles": ["a", "b"], "id": "7", "jti": "x", "aud": ["other", "apiary"]}));
    let expected = expect![[
        r#"{"extra":{"authentication.kubernetes.io/credential-id":["JTI=x"]},"groups":["role:a","role:b","system:authenticated"],"uid":"7","username":"oidc:jane"}"#
    ]];
    for key in [&ec, &rsa, &ec] {
        expected.assert_eq(&who(&world, &key.sign(&claims)).await);
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": ec.sign(&claims)}});
    let review = world.post(TOKEN_REVIEWS, body).await.ok();
    assert_eq!(
        review["status"]["audiences"],
        json!(["https://kubernetes.default.svc.cluster.local"])
    );
    let stranger = Key::new("ec", Algorithm::ES256);
    let time = now().as_second();
    let mut text = String::new();
    for (key, more) in [
        (&stranger, json!({})),
        (&ec, json!({"exp": time - 1})),
        (&ec, json!({"exp": null})),
        (&ec, json!({"nbf": time + 301})),
        (&ec, json!({"aud": "other"})),
        (&ec, json!({"sub": ""})),
        (&ec, json!({"sub": null, "id": "7"})),
        (&ec, json!({"id": "7", "roles": [1]})),
    ] {
        let token = key.sign(&issuer.claims(more));
        assert!(who(&world, &token).await.starts_with("401"));
        text += &why(&world, &token).await;
        text += "\n";
    }
    expect![[r#"
        [invalid bearer token, its signature is by none of the issuer's keys]
        [invalid bearer token, it has expired]
        [invalid bearer token, it never expires: claim exp is missing]
        [invalid bearer token, it is not valid yet]
        [invalid bearer token, it is for another audience: want one of ["apiary"]]
        [invalid bearer token, an empty username is not allowed]
        [invalid bearer token, parse username claim "sub": claim not present]
        [invalid bearer token, groups claim: it must be a string or a list of strings]
    "#]]
    .assert_eq(&text);
    let unsigned = ec.sign(&claims).rsplit_once('.').unwrap().0.to_owned() + ".";
    assert!(who(&world, &unsigned).await.starts_with("401"));
}

#[tokio::test]
async fn expressions_make_and_check_users() {
    let key = Key::new("k", Algorithm::ES256);
    let issuer = Issuer::start(&[&key]).await;
    let config = issuer.config(json!({
        "claimValidationRules": [
            {"claim": "hd", "requiredValue": "example.com"},
            {"expression": "claims.level >= 2", "message": "the level is too low"},
            {"expression": "claims.email_verified == true"},
        ],
        "claimMappings": {
            "username": {"expression": "claims.email.split('@')[0]"},
            "groups": {"expression": "claims.roles.map(r, 'role:' + r)"},
            "uid": {"expression": "string(claims.id)"},
            "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
        },
        "userValidationRules": [
            {"expression": "!user.username.startsWith('system:')", "message": "that name is taken"},
            {"expression": "user.groups.all(g, !g.contains('admin'))"},
        ],
    }));
    let (world, _) = believing(&config).await;
    let claims = |more: Value| {
        let mut claims = issuer.claims(json!({
            "hd": "example.com", "level": 3, "email_verified": true, "email": "jane@example.com",
            "roles": ["dev"], "id": 7, "tenant": ["t", ""],
        }));
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        key.sign(&claims)
    };
    expect![[r#"{"extra":{"example.com/tenant":["t"]},"groups":["role:dev","system:authenticated"],"uid":"7","username":"jane"}"#]]
        .assert_eq(&who(&world, &claims(json!({}))).await);
    let mut text = String::new();
    for more in [
        json!({"hd": "example.org"}),
        json!({"level": 1}),
        json!({"email_verified": false}),
        json!({"email": "system:admin@example.com"}),
        json!({"roles": ["admin"]}),
        json!({"email": 7}),
    ] {
        let token = claims(more);
        assert!(who(&world, &token).await.starts_with("401"));
        text += &why(&world, &token).await;
        text += "\n";
    }
    expect![[r#"
        [invalid bearer token, required claim hd value does not match]
        [invalid bearer token, validation expression 'claims.level >= 2' failed: the level is too low]
        [invalid bearer token, validation expression 'claims.email_verified == true' failed]
        [invalid bearer token, validation expression '!user.username.startsWith('system:')' failed: that name is taken]
        [invalid bearer token, validation expression 'user.groups.all(g, !g.contains('admin'))' failed]
        [invalid bearer token, error evaluating username claim expression: no such overload]
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn new_keys_are_found_and_unknown_ones_make_no_storm() {
    let (old, new) = (
        Key::new("old", Algorithm::ES256),
        Key::new("new", Algorithm::ES256),
    );
    let issuer = Issuer::start(&[&old]).await;
    let (world, _) = believing(&issuer.config(json!({}))).await;
    let claims = issuer.claims(json!({}));
    assert!(who(&world, &old.sign(&claims)).await.contains("oidc:jane"));
    *issuer.keys.lock().unwrap() = vec![new.public()];
    // Just asked: whoever comes with an unknown key has to wait.
    for n in 0..20 {
        let token = new.sign(&issuer.claims(json!({"jti": n.to_string()})));
        assert!(who(&world, &token).await.starts_with("401"));
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let all = (0..20).map(|n| {
        let token = new.sign(&issuer.claims(json!({"jti": n.to_string()})));
        let world = &world;
        async move { who(world, &token).await }
    });
    for who in futures::future::join_all(all).await {
        assert!(who.contains("oidc:jane"), "{who}");
    }
    assert_eq!(
        issuer.asked.load(Ordering::SeqCst),
        2,
        "all at once ask once"
    );
    let token = old.sign(&issuer.claims(json!({"jti": "again"})));
    assert!(
        who(&world, &token).await.starts_with("401"),
        "what was taken back"
    );
}

#[tokio::test]
async fn a_configuration_is_replaced_while_the_server_runs() {
    let key = Key::new("k", Algorithm::ES256);
    let (one, two) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let (world, authentication) = believing(&one.config(json!({}))).await;
    let tokens = [
        key.sign(&one.claims(json!({}))),
        key.sign(&two.claims(json!({}))),
    ];
    assert!(who(&world, &tokens[0]).await.contains("oidc:jane"));
    assert!(who(&world, &tokens[1]).await.starts_with("401"));
    assert!(!authentication.replace(&one.config(json!({}))).unwrap());
    assert!(authentication.replace(&two.config(json!({}))).unwrap());
    assert!(who(&world, &tokens[0]).await.starts_with("401"));
    assert!(who(&world, &tokens[1]).await.contains("oidc:jane"));
    let wrong = two.config(json!({"claimMappings": {"username": {"claim": "sub"}}}));
    assert_eq!(
        authentication.replace(&wrong).unwrap_err().to_string(),
        "authentication configuration: jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set, and may be an empty string"
    );
    assert!(who(&world, &tokens[1]).await.contains("oidc:jane"));
    let metrics = world.get("/metrics").await.ok();
    let line =
        "apiserver_authentication_config_controller_automatic_reloads_total{status=\"failure\"} 1";
    assert!(metrics.as_str().unwrap().contains(line));
}

#[tokio::test]
async fn an_issuer_that_cannot_prove_who_it_is_is_not_believed() {
    let key = Key::new("k", Algorithm::ES256);
    let (issuer, other) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let mut config: Value = serde_json::from_str(&issuer.config(json!({}))).unwrap();
    config["jwt"][0]["issuer"]["certificateAuthority"] = json!(other.authority);
    let (world, authentication) = believing(&config.to_string()).await;
    let token = key.sign(&issuer.claims(json!({})));
    let refused = why(&world, &token).await;
    assert!(refused.contains("TLS"), "{refused}");
    // Discovery of one issuer says nothing about another.
    let mut config: Value = serde_json::from_str(&issuer.config(json!({}))).unwrap();
    config["jwt"][0]["issuer"]["discoveryURL"] =
        json!(format!("{}/.well-known/openid-configuration", other.url));
    config["jwt"][0]["issuer"]["certificateAuthority"] = json!(other.authority);
    authentication.replace(&config.to_string()).unwrap();
    let refused = why(&world, &token).await;
    assert!(refused.contains("is of another issuer"), "{refused}");
}

#[tokio::test]
async fn anonymous_requests_can_be_refused_or_kept_to_some_paths() {
    let config = |anonymous: Value| {
        json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "anonymous": anonymous})
        .to_string()
    };
    let (world, authentication) = believing(&config(json!({"enabled": true}))).await;
    let codes = async || {
        let mut codes = vec![];
        for path in ["/healthz", "/version", "/api"] {
            codes.push(ask(&world, None, path, None).await.0);
        }
        codes
    };
    assert_eq!(codes().await, [200, 200, 403]);
    let only = json!({"enabled": true, "conditions": [{"path": "/healthz"}]});
    authentication.replace(&config(only)).unwrap();
    assert_eq!(codes().await, [200, 401, 401]);
    authentication
        .replace(&config(json!({"enabled": false})))
        .unwrap();
    assert_eq!(codes().await, [401, 401, 401]);
    let (code, _) = ask(&world, Some("nonsense"), "/healthz", None).await;
    assert_eq!(code, 401);
}

#[tokio::test]
async fn documents_of_an_issuer_have_a_length_and_a_number_of_keys() {
    const LONG: usize = 1 << 20;
    let (key, other) = (
        Key::new("k", Algorithm::ES256),
        Key::new("other", Algorithm::ES256),
    );
    for (padding, expected) in [
        ([LONG - 1024, LONG - 1024], "authenticated"),
        (
            [LONG, 0],
            "openid-configuration: the document is too long: it may have 1048576 bytes",
        ),
        (
            [0, LONG],
            "keys: the document is too long: it may have 1048576 bytes",
        ),
    ] {
        let issuer = Issuer::start(&[&key]).await;
        *issuer.padding.lock().unwrap() = padding;
        let (world, _) = believing(&issuer.config(json!({}))).await;
        let said = why(&world, &key.sign(&issuer.claims(json!({})))).await;
        assert!(said.contains(expected), "{padding:?}: {said}");
    }
    // Further keys are not looked at.
    for (count, expected) in [(255, "authenticated"), (256, "none of the issuer's keys")] {
        let mut keys = vec![&other; count];
        keys.push(&key);
        let issuer = Issuer::start(&keys).await;
        let (world, _) = believing(&issuer.config(json!({}))).await;
        let said = why(&world, &key.sign(&issuer.claims(json!({})))).await;
        assert!(said.contains(expected), "{count} others: {said}");
    }
}

#[tokio::test]
async fn long_tokens_of_an_issuer_are_refused_unread() {
    let key = Key::new("k", Algorithm::ES256);
    let issuer = Issuer::start(&[&key]).await;
    let (world, _) = believing(&issuer.config(json!({}))).await;
    for (length, is_read) in [(32 * 1024, true), (64 * 1024, false)] {
        let more = json!({"more": "x".repeat(length)});
        let said = why(&world, &key.sign(&issuer.claims(more))).await;
        assert_eq!(said.contains("authenticated"), is_read, "{length}: {said}");
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let issuer = Issuer {
        url: format!("https://{}", listener.local_addr().unwrap()),
        authority: ClusterKeys::generate("issuer", Timestamp::now())
            .unwrap()
            .ca_cert_pem,
        keys: Arc::default(),
        padding: Arc::default(),
        asked: Arc::default(),
    };
    let (world, _) = believing(&issuer.config(json!({}))).await;
    let token = Key::new("k", Algorithm::ES256).sign(&issuer.claims(json!({})));
    let refused = why(&world, &token).await;
    assert!(refused.contains("no answer within 10 s"), "{refused}");
}
