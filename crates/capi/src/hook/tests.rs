//! What extensions answer, how it is understood, and calls over HTTPS to a server of this test.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use api::cluster::Cluster;
use api::runtime::ExtensionConfig;
use api::runtime::extension_config::ServiceRef;
use expect_test::{Expect, expect};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::answer::Said;
use super::call::{path, send};
use super::memory::{self, Memory};
use super::place::{addresses, behind};
use super::{API_VERSION, Answer, Hook, Question, Registered, discovered, discovery, of_namespace};
use crate::testing::now;

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap()
}

/// What a server answers to a request at a path.
fn answer(path: &str, request: &Value) -> Response<Full<Bytes>> {
    let text = |status: StatusCode, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "elsewhere" => {
            let mut response = text(StatusCode::FOUND, String::new());
            let place = "https://169.254.169.254/".parse().unwrap();
            response.headers_mut().insert("location", place);
            response
        }
        "broken" => text(StatusCode::INTERNAL_SERVER_ERROR, "no\ndisk".into()),
        "words" => text(StatusCode::OK, "all is well".into()),
        "large" => text(StatusCode::OK, " ".repeat(5 << 20)),
        _ => text(StatusCode::OK, json!([path, request]).to_string()),
    }
}

async fn serve(connection: tokio::net::TcpStream, acceptor: TlsAcceptor) {
    let Ok(stream) = acceptor.accept(connection).await else {
        return;
    };
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let path = request.uri().to_string();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap();
        Ok::<_, Infallible>(answer(path.split('?').next().unwrap_or_default(), &body))
    });
    let served = hyper::server::conn::http1::Builder::new();
    // A client that has had enough may go at any time.
    drop(served.serve_connection(TokioIo::new(stream), service).await);
}

/// Starts a server whose certificate is for `ext.acme.svc`; returns where it is, and the certificate of its authority.
async fn start(tasks: &runtime::Tasks) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let names = vec!["ext.acme.svc".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&own, &issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("extension", async move {
        while let Ok((connection, _)) = listener.accept().await {
            serve(connection, acceptor.clone()).await;
        }
    });
    (address, authority)
}

#[tokio::test]
async fn extensions_are_called_over_https_and_nothing_else() {
    let tasks = runtime::Tasks::new();
    let (address, authority) = start(&tasks).await;
    let (_, other) = start(&tasks).await;
    // The Service's port is another one than that of its endpoints.
    let place = |name: &str| {
        let service = ServiceRef {
            namespace: "acme".to_owned(),
            name: name.to_owned(),
            path: Some("/base/".to_owned()),
            port: Some(8443),
        };
        behind(&service, vec![address])
    };
    let request = json!({"kind": "BeforeClusterCreateRequest"});
    let mut text = String::new();
    let right = place("ext");
    for (place, bundle, handler) in [
        (&right, &authority, ""),
        (&right, &authority, "first"),
        (&right, &authority, "elsewhere"),
        (&right, &authority, "broken"),
        (&right, &authority, "words"),
        (&right, &authority, "large"),
        (&right, &other, "first"),
        (&place("other"), &authority, "first"),
        (&right, &"nonsense".to_owned(), "first"),
    ] {
        let path = path("BeforeClusterCreate", handler);
        let said = send(place, bundle.as_bytes(), &path, (&request, 5)).await;
        let said = said.map_or_else(|why| why, |answer| answer.to_string());
        writeln!(text, "{said}").unwrap();
    }
    expect![[r#"
        ["/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate",{"kind":"BeforeClusterCreateRequest"}]
        ["/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/first",{"kind":"BeforeClusterCreateRequest"}]
        POST https://ext.acme.svc/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/elsewhere: the answer is 302 Found, and redirects are not followed; spec.clientConfig must name the place itself
        POST https://ext.acme.svc/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/broken: the answer is 500 Internal Server Error, not 200: "no disk"
        POST https://ext.acme.svc/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/words: the answer is no JSON: expected value at line 1 column 1
        POST https://ext.acme.svc/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/large: the answer, 200 OK, has more than 4194304 bytes
        POST https://ext.acme.svc/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/first: error sending request: client error (Connect): invalid peer certificate: BadSignature
        POST https://other.acme.svc/base/hooks.runtime.cluster.x-k8s.io/v1alpha1/beforeclustercreate/first: error sending request: client error (Connect): invalid peer certificate: certificate not valid for name "other.acme.svc"; certificate is only valid for DnsName("ext.acme.svc")
        spec.clientConfig.caBundle cannot be used: it has no certificate
    "#]].assert_eq(&text);
}

#[test]
fn answers_of_several_handlers_become_one() {
    let mut text = String::new();
    let mut show = |hook: Hook, answers: &[&str]| {
        let said = answers.iter().enumerate().map(|(index, answer)| {
            let answer: Value = yaml(answer);
            (format!("h{index}.ext"), Said::read(hook, &answer))
        });
        let answer = Answer::of(hook, said.collect(), now());
        writeln!(text, "{answer:?}").unwrap();
    };
    let create = Hook::BeforeClusterCreate;
    show(create, &[]);
    show(
        create,
        &[
            "status: Success",
            "{status: Success, retryAfterSeconds: 0, message: fine}",
        ],
    );
    show(
        create,
        &[
            "{status: Success, retryAfterSeconds: 30, message: the network is not there}",
            "{apiVersion: hooks.runtime.cluster.x-k8s.io/v1alpha1, kind: BeforeClusterCreateResponse, status: Success, retryAfterSeconds: 5}",
            "{status: Success}",
        ],
    );
    show(
        Hook::AfterControlPlaneInitialized,
        &["{status: Success, retryAfterSeconds: 30}"],
    );
    for wrong in [
        "[]",
        "{}",
        "{status: Good}",
        "{status: Failure, message: \"no\\ndatabase\"}",
        "{status: Failure}",
        "{status: Success, retryAfterSeconds: -1}",
        "{status: Success, retryAfterSeconds: soon}",
        "{status: Success, retryAfterSeconds: 2147483648}",
        "{status: Success, kind: DiscoveryResponse}",
        "{status: Success, apiVersion: v1}",
    ] {
        show(create, &["{status: Success, retryAfterSeconds: 5}", wrong]);
    }
    expect![[r#"
        Go
        Go
        Wait { lines: ["h0.ext: the network is not there", "h1.ext: it gives no reason"], until: 2026-01-02T03:04:10Z }
        Go
        Failed { lines: ["h1.ext: the answer must be a JSON object"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: status of the answer must be Success or Failure"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: status of the answer must be Success or Failure"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: the extension failed: no database"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: the extension failed: it gives no reason"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: retryAfterSeconds of the answer must be a whole number from 0 to 2147483647"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: retryAfterSeconds of the answer must be a whole number from 0 to 2147483647"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: retryAfterSeconds of the answer must be a whole number from 0 to 2147483647"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: kind of the answer must be BeforeClusterCreateResponse"], until: 2026-01-02T03:04:35Z }
        Failed { lines: ["h1.ext: apiVersion of the answer must be hooks.runtime.cluster.x-k8s.io/v1alpha1"], until: 2026-01-02T03:04:35Z }
    "#]].assert_eq(&text);
}

#[test]
fn extensions_are_asked_about_the_namespaces_that_they_select() {
    let config = |name: &str, rest: &str| -> Arc<ExtensionConfig> {
        let hook = format!("{{apiVersion: {API_VERSION}, hook: BeforeClusterCreate}}");
        let other = format!("{{apiVersion: {API_VERSION}, hook: UpdateMachine}}");
        let handlers = format!(
            "[{{name: b.{name}, requestHook: {hook}}}, {{name: a.{name}, requestHook: {other}}}]"
        );
        Arc::new(yaml(&format!(
            "{{metadata: {{name: {name}, uid: {name}}}, spec: {{clientConfig: {{url: 'https://a'}}{rest}}}, status: {{handlers: {handlers}}}}}"
        )))
    };
    let configs = [
        config("z", ", namespaceSelector: {}"),
        config(
            "y",
            ", namespaceSelector: {matchLabels: {stage: production}}",
        ),
        config("x", ""),
    ];
    let names = |labels: &str| {
        let found = of_namespace(&configs, &yaml(labels));
        let names = found.iter().map(|r| r.handler.name.clone());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("{stage: production}"), "b.x b.y b.z");
    assert_eq!(names("{stage: test}"), "b.x b.z");

    // What was answered is known until it is time, or something changes.
    let cluster: Cluster = yaml("{metadata: {name: c, uid: u1, generation: 1}, spec: {}}");
    let question = Question {
        hook: Hook::BeforeClusterCreate,
        about: json!({}),
    };
    let all = of_namespace(&configs, &yaml("{}"));
    let all: Vec<&Registered> = all.iter().collect();
    let memory = Memory::default();
    let about = memory::about(&cluster, &question, &all);
    let until = now() + SignedDuration::from_secs(5);
    let answer = Answer::Wait {
        lines: vec![],
        until,
    };
    memory.keep(about.clone(), &answer, now());
    assert_eq!(memory.recall(&about, now()), Some(answer));
    assert_eq!(memory.recall(&about, until), None);
    let mut changed = cluster.clone();
    changed.metadata.generation = Some(2);
    let other = memory::about(&changed, &question, &all);
    assert_eq!(memory.recall(&other, now()), None);
    let fewer = memory::about(&cluster, &question, &all[1..]);
    assert_eq!(memory.recall(&fewer, now()), None);
    memory.keep(about.clone(), &Answer::Go, now());
    assert_eq!(memory.recall(&about, now()), None);
}

#[test]
fn what_extensions_say_is_cut() {
    let told = super::answer::told(&format!(" a\nb{}", "é".repeat(600)));
    assert_eq!(told.chars().count(), 513);
    assert!(told.starts_with("a bé") && told.ends_with("é…"));
}

fn check_discovery(handlers: &[&str], expect: Expect) {
    let mut text = String::new();
    for handlers in handlers {
        let answer = yaml(&format!("{{status: Success, handlers: {handlers}}}"));
        match discovery::handlers("ext", &answer) {
            Err(why) => writeln!(text, "{why}").unwrap(),
            Ok(found) => {
                for handler in &found {
                    let line = serde_json::to_string(handler).unwrap();
                    writeln!(text, "{line}").unwrap();
                }
                writeln!(text, "said: {:?}", discovered(&found)).unwrap();
            }
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn handlers_are_checked_and_filled() {
    let hook = |name: &str, hook: &str, rest: &str| {
        let hook = format!("{{apiVersion: hooks.runtime.cluster.x-k8s.io/v1alpha1, hook: {hook}}}");
        format!("{{name: {name}, requestHook: {hook}{rest}}}")
    };
    let good = hook("first", "BeforeClusterCreate", "");
    let full = hook(
        "all",
        "UpdateMachine",
        ", timeoutSeconds: 30, failurePolicy: Ignore",
    );
    check_discovery(
        &[
            "null",
            &format!("[{good}, {full}]"),
            "{}",
            &format!("[{good}, {good}]"),
            &format!("[{}]", hook("a.b", "BeforeClusterCreate", "")),
            &format!("[{}]", hook("a", "BeforeLunch", "")),
            &format!(
                "[{}]",
                hook("a", "BeforeClusterCreate", ", timeoutSeconds: 31")
            ),
            &format!(
                "[{}]",
                hook("a", "BeforeClusterCreate", ", timeoutSeconds: 0")
            ),
            &format!(
                "[{}]",
                hook("a", "BeforeClusterCreate", ", failurePolicy: Maybe")
            ),
            "[{name: a, requestHook: {apiVersion: v1, hook: BeforeClusterCreate}}, {}]",
            &format!("[{}]", vec!["{}"; 13].join(", ")),
            &format!("[{}]", vec!["{}"; 513].join(", ")),
        ],
        expect![[r#"
            said: ""
            {"name":"all.ext","requestHook":{"apiVersion":"hooks.runtime.cluster.x-k8s.io/v1alpha1","hook":"UpdateMachine"},"timeoutSeconds":30,"failurePolicy":"Ignore"}
            {"name":"first.ext","requestHook":{"apiVersion":"hooks.runtime.cluster.x-k8s.io/v1alpha1","hook":"BeforeClusterCreate"},"timeoutSeconds":10,"failurePolicy":"Fail"}
            said: "Handlers of these hooks are never called: UpdateMachine"
            handlers of the answer must be a list
            the answer cannot be used: handlers[1].name: there is another "first"
            the answer cannot be used: handlers[0].name: "a.b" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create
            the answer cannot be used: handlers[0].requestHook.hook: "BeforeLunch" must be a hook such as BeforeClusterCreate
            the answer cannot be used: handlers[0].timeoutSeconds: must be a whole number from 1 to 30
            the answer cannot be used: handlers[0].timeoutSeconds: must be a whole number from 1 to 30
            the answer cannot be used: handlers[0].failurePolicy: must be Ignore or Fail
            the answer cannot be used: handlers[0].requestHook.apiVersion: "v1" must be hooks.runtime.cluster.x-k8s.io/v1alpha1; handlers[1].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create
            the answer cannot be used: handlers[0].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[1].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[2].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[3].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[4].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[5].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[6].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[7].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[8].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; handlers[9].name: "" must be a DNS label: up to 63 lower case letters, digits and -, such as before-create; 3 more
            the answer has 513 handlers; 512 are allowed
        "#]],
    );
}

#[test]
fn services_lead_to_programs_and_not_to_simulated_pods() {
    let service: Service =
        yaml("{spec: {ports: [{name: web, port: 443}, {name: other, port: 8443}]}}");
    let slice = |endpoints: &str| -> Arc<EndpointSlice> {
        let ports = "[{name: web, port: 9443}]";
        Arc::new(yaml(&format!(
            "{{addressType: IPv4, ports: {ports}, endpoints: {endpoints}}}"
        )))
    };
    let wanted = |port: Option<i32>| ServiceRef {
        namespace: "acme".into(),
        name: "ext".into(),
        path: None,
        port,
    };
    let program =
        slice("[{addresses: [127.0.0.1]}, {addresses: [127.0.0.2], conditions: {ready: false}}]");
    let pods = slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}]");
    let mut text = String::new();
    for found in [
        addresses(
            &wanted(None),
            Some(&service),
            &[pods.clone(), program.clone()],
        ),
        addresses(&wanted(Some(8443)), Some(&service), &[program]),
        addresses(&wanted(Some(1)), Some(&service), &[]),
        addresses(&wanted(None), Some(&service), &[pods]),
        addresses(&wanted(None), None, &[]),
    ] {
        writeln!(text, "{found:?}").unwrap();
    }
    expect![[r#"
        Ok([127.0.0.1:9443])
        Err("Service acme/ext has no endpoints that are ready; an EndpointSlice with the address of the program makes one")
        Err("Service acme/ext has no port 1")
        Err("the endpoints of Service acme/ext are simulated pods, and nothing answers there; use spec.clientConfig.url, or an EndpointSlice with the address of a program")
        Err("Service acme/ext does not exist")
    "#]].assert_eq(&text);
}
