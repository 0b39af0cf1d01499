//! Webhooks for tests: functions behind a Service inside the process, and real HTTPS servers on loopback.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use apiserver::webhook::Handler;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::World;

/// A webhook that is a function from the request inside the review to the response without uid.
pub(crate) struct Hook<F>(pub(crate) F);

#[async_trait::async_trait]
impl<F: Fn(&Value) -> Value + Send + Sync> Handler for Hook<F> {
    async fn answer(&self, review: Value) -> Result<Value, String> {
        Ok(respond(&review, (self.0)(&review["request"])))
    }
}

/// The answer to a review.
pub(crate) fn respond(review: &Value, mut response: Value) -> Value {
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})
}

pub(crate) fn allow() -> Value {
    json!({"allowed": true})
}

pub(crate) fn deny(message: &str) -> Value {
    json!({"allowed": false, "status": {"message": message}})
}

/// Allows, with a JSON Patch.
pub(crate) fn patch(operations: Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

/// Registers a webhook in the process, reached at path `/<name>` of Service `hooks/hooks`.
pub(crate) fn serve(
    world: &World,
    name: &str,
    answer: impl Fn(&Value) -> Value + Send + Sync + 'static,
) {
    serve_handler(world, name, Arc::new(Hook(answer)));
}

pub(crate) fn serve_handler(world: &World, name: &str, handler: Arc<dyn Handler>) {
    let path = format!("/{name}");
    world
        .handlers
        .serve("test", ("hooks", "hooks", &path), handler);
}

/// A webhook for writes of ConfigMaps that is answered by [`serve`]`(name)`.
pub(crate) fn webhook(name: &str) -> Value {
    json!({
        "name": format!("{name}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "hooks", "name": "hooks", "path": format!("/{name}")}},
        "rules": [rule(&["CREATE", "UPDATE", "DELETE"], "", "v1", &["configmaps"])],
    })
}

pub(crate) fn rule(operations: &[&str], group: &str, version: &str, resources: &[&str]) -> Value {
    json!({"operations": operations, "apiGroups": [group], "apiVersions": [version], "resources": resources})
}

/// `webhook` with other members.
pub(crate) fn with(mut webhook: Value, members: Value) -> Value {
    for (key, value) in members.as_object().unwrap() {
        webhook[key] = value.clone();
    }
    webhook
}

pub(crate) const MUTATING: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub(crate) const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// Creates a configuration.
pub(crate) async fn configure(world: &World, path: &str, name: &str, webhooks: &[Value]) {
    let kind = if path == MUTATING {
        "MutatingWebhookConfiguration"
    } else {
        "ValidatingWebhookConfiguration"
    };
    world
        .post(
            path,
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name}, "webhooks": webhooks,
            }),
        )
        .await
        .ok();
}

/// How a server answers.
pub(crate) enum Reply {
    /// With this response to the review.
    Response(Value),
    /// With these bytes.
    Raw(u16, Vec<u8>),
}

/// A certificate authority of a test, and certificates of it.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// For `caBundle`.
    pub(crate) fn bundle(&self) -> String {
        STANDARD.encode(&self.pem)
    }

    fn serving(&self, name: &str) -> rustls::ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        config(certificate.der().clone(), &key)
    }
}

fn config(certificate: CertificateDer<'static>, key: &KeyPair) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// An HTTPS server on loopback.
pub(crate) struct HookServer {
    pub(crate) port: u16,
    /// Connections that were accepted.
    pub(crate) connections: Arc<AtomicUsize>,
    /// The names that clients asked for by SNI, and the paths with their queries.
    pub(crate) asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl HookServer {
    /// With a certificate for `name`, of `authority`.
    pub(crate) async fn start(
        authority: &Authority,
        name: &str,
        answer: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(authority.serving(name), answer).await
    }

    /// With a certificate that it signed itself; that is the second part.
    pub(crate) async fn self_signed(
        name: &str,
        answer: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> (Self, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let bundle = STANDARD.encode(certificate.pem());
        let server = Self::listen(config(certificate.der().clone(), &key), answer).await;
        (server, bundle)
    }

    async fn listen(
        tls: rustls::ServerConfig,
        answer: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            asked: Arc::default(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let (connections, asked) = (server.connections.clone(), server.asked.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                let (connections, asked) = (connections.clone(), asked.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    connections.fetch_add(1, Ordering::SeqCst);
                    let name = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (answer, asked, name) = (answer.clone(), asked.clone(), name.clone());
                        async move {
                            asked
                                .lock()
                                .unwrap()
                                .push((name, request.uri().to_string()));
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            Ok::<_, Infallible>(reply(&body, &*answer))
                        }
                    });
                    // Clients may go at any time.
                    _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }
}

fn reply(body: &Bytes, answer: &(impl Fn(&Value) -> Reply + ?Sized)) -> Response<Full<Bytes>> {
    let review: Value = serde_json::from_slice(body).unwrap();
    let (code, bytes) = match answer(&review) {
        Reply::Response(response) => (200, respond(&review, response).to_string().into_bytes()),
        Reply::Raw(code, bytes) => (code, bytes),
    };
    let mut response = Response::new(Full::new(bytes.into()));
    *response.status_mut() = code.try_into().unwrap();
    response
}
