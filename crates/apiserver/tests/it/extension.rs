//! An extension server for tests: HTTPS on loopback, which knows its proxy by the ConfigMap that clusters publish.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::world::{World, now};

pub(crate) const GROUP: &str = "ext.example.com";
pub(crate) const APIS: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
pub(crate) const NAME: &str = "v1.ext.example.com";
pub(crate) const WIDGETS: &str = "/apis/ext.example.com/v1/namespaces/default/widgets";

/// How the server behaves; changed at any time.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Answers to paths, in place of what it usually answers.
    pub(crate) answers: HashMap<&'static str, (u16, Value)>,
    /// It only knows the old form of discovery.
    pub(crate) is_old: bool,
    /// Requests to this path are never answered.
    pub(crate) hung: Option<&'static str>,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /path?query`.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A running server.
#[derive(Clone)]
pub(crate) struct Extension {
    pub(crate) port: u16,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    /// What goes to those who watch.
    events: Arc<Mutex<Option<mpsc::Receiver<Bytes>>>>,
    pub(crate) send: mpsc::Sender<Bytes>,
    /// The certificate of who asked last.
    pub(crate) proxy: Arc<Mutex<Vec<u8>>>,
    /// Somebody asked what is never answered.
    pub(crate) hanging: Arc<Notify>,
    bundle: String,
}

/// Verifies at the time of the tests.
#[derive(Debug)]
struct AtTestTime(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AtTestTime {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let seconds = now().as_second().unsigned_abs();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        self.0.verify_client_cert(certificate, intermediates, time)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What a cluster publishes for extension servers.
pub(crate) async fn published(world: &World) -> Value {
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    world.get(path).await.ok()["data"].clone()
}

impl Extension {
    /// Starts a server that serves `world`, and nobody else.
    pub(crate) async fn start(world: &World) -> Self {
        let data = published(world).await;
        let proxies = data["requestheader-client-ca-file"].as_str().unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(proxies.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let bundle = STANDARD.encode(authority.self_signed(&authority_key).unwrap().pem());
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["server.default.svc".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(Arc::new(AtTestTime(verifier.build().unwrap())))
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (send, events) = mpsc::channel(16);
        let extension = Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            behaviour: Arc::default(),
            events: Arc::new(Mutex::new(Some(events))),
            send,
            proxy: Arc::default(),
            hanging: Arc::default(),
            bundle,
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(extension.clone().accept(listener, acceptor));
        extension
    }

    async fn accept(self, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (this, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let certificates = stream.get_ref().1.peer_certificates().unwrap();
                *this.proxy.lock().unwrap() = certificates[0].to_vec();
                let service = service_fn(move |request| this.clone().answer(request));
                // Clients may go at any time.
                _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    }

    async fn answer(
        self,
        mut request: Request<Incoming>,
    ) -> Result<Response<apiserver::rest::Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let line = format!("{} {}", request.method(), request.uri());
        let is_watch = request.uri().query().is_some_and(|q| q.contains("watch"));
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        if self.behaviour.lock().unwrap().hung == Some(&path) {
            (self.asked.lock().unwrap()).push(Asked {
                line,
                headers: parts.headers,
                body: Bytes::new(),
            });
            self.hanging.notify_one();
            return std::future::pending().await;
        }
        let full = |bytes: Bytes| Full::new(bytes).map_err(|n| match n {}).boxed_unsync();
        if path.ends_with("/early") {
            // Answered while the body is under way.
            tokio::spawn(body.collect());
            return Ok(Response::new(full("early".into())));
        }
        if path.ends_with("/broken") {
            return Ok(broken());
        }
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        (self.asked.lock().unwrap()).push(Asked {
            line,
            headers: parts.headers.clone(),
            body: body.clone(),
        });
        if path.ends_with("/shell") {
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut said = [0; 5];
                io.read_exact(&mut said).await.unwrap();
                io.write_all(&[b"you said ", &said[..]].concat())
                    .await
                    .unwrap();
            });
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = 101.try_into().unwrap();
            for (name, value) in [
                (header::CONNECTION, "Upgrade"),
                (header::UPGRADE, "SPDY/3.1"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return Ok(response);
        }
        if is_watch {
            let events = self.events.lock().unwrap().take().unwrap();
            let events = futures::stream::unfold(events, |mut events| async move {
                let bytes = events.recv().await?;
                Some((Ok(Frame::data(bytes)), events))
            });
            let body = StreamBody::new(events.boxed());
            return Ok(Response::new(body.boxed_unsync()));
        }
        let (code, content_type, value) = self.usual(&path, &parts.headers, &body);
        let mut response = Response::new(full(value.to_string().into()));
        *response.status_mut() = code.try_into().unwrap();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        if (300..400).contains(&code) {
            headers.insert(header::LOCATION, "https://elsewhere".parse().unwrap());
        }
        Ok(response)
    }

    fn usual(&self, path: &str, headers: &HeaderMap, body: &Bytes) -> (u16, &'static str, Value) {
        let json = "application/json";
        let behaviour = self.behaviour.lock().unwrap();
        if let Some((code, value)) = behaviour.answers.get(path) {
            return (*code, json, value.clone());
        }
        let kind = json!({"group": GROUP, "version": "v1", "kind": "Widget"});
        let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
        let is_aggregated = accept.is_some_and(|a| a.contains("APIGroupDiscoveryList"));
        match path {
            "/apis" if is_aggregated && !behaviour.is_old => {
                let resource = json!({
                    "resource": "widgets", "responseKind": kind, "scope": "Namespaced", "singularResource": "widget",
                    "verbs": ["create", "get", "list"], "shortNames": ["wd"],
                });
                let versions = json!([{"version": "v1", "resources": [resource]}]);
                let items = json!([{"metadata": {"name": GROUP}, "versions": versions}]);
                let content_type =
                    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                let list = json!({
                    "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items,
                });
                (200, content_type, list)
            }
            "/apis/ext.example.com/v1" => {
                let resource = json!({
                    "name": "widgets", "singularName": "widget", "namespaced": true, "kind": "Widget",
                    "verbs": ["create", "get", "list"], "shortNames": ["wd"],
                });
                let list = json!({
                    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "ext.example.com/v1",
                    "resources": [resource],
                });
                (200, json, list)
            }
            "/openapi/v2" => {
                let list = json!({"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/com.example.Widget"}}}}});
                let widget = json!({"type": "object", "properties": {"size": {"type": "integer"}},
                    "x-kubernetes-group-version-kind": [kind]});
                let document = json!({
                    "swagger": "2.0", "info": {"title": "ext"},
                    "paths": {WIDGETS: list, "/healthz/": {}},
                    "definitions": {"com.example.Widget": widget, "com.example.Unused": {}},
                });
                (200, json, document)
            }
            "/openapi/v3" => {
                let at = |path: &str| json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=ABC")});
                let key = "apis/ext.example.com/v1";
                (
                    200,
                    json,
                    json!({"paths": {key: at(key), "version": at("version")}}),
                )
            }
            "/openapi/v3/apis/ext.example.com/v1" => (
                200,
                json,
                json!({"openapi": "3.0.0", "info": {"title": "of the extension"}}),
            ),
            WIDGETS if !body.is_empty() => (201, json, serde_json::from_slice(body).unwrap()),
            WIDGETS => {
                let list =
                    json!({"kind": "WidgetList", "apiVersion": "ext.example.com/v1", "items": []});
                (200, json, list)
            }
            _ => (404, json, json!({"kind": "Status", "code": 404})),
        }
    }

    /// The APIService that leads to the server.
    pub(crate) fn api_service(&self) -> Value {
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME},
            "spec": {
                "group": GROUP, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 15,
                "caBundle": self.bundle, "service": {"namespace": "default", "name": "server"},
            },
        })
    }

    pub(crate) fn service(port: u16) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
            "spec": {"ports": [{"name": "https", "port": port}]},
        })
    }

    pub(crate) fn slice(port: u16, port_name: &str) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "server-1", "labels": {"kubernetes.io/service-name": "server"}},
            "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": port_name, "port": port}],
        })
    }

    /// Registers the server in `world` and waits until it is available.
    pub(crate) async fn register(&self, world: &World) {
        let services = "/api/v1/namespaces/default/services";
        world.post(services, Self::service(443)).await.ok();
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        world
            .post(slices, Self::slice(self.port, "https"))
            .await
            .ok();
        world.post(APIS, self.api_service()).await.ok();
        assert_eq!(
            settled(world, NAME, "Passed").await,
            "True Passed: all checks passed"
        );
    }

    /// The requests to paths of widgets.
    pub(crate) fn widgets(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|a| a.line.contains("/widgets"))
            .cloned()
            .collect()
    }
}

/// An answer with less than it promises; what there is goes out before that is found.
fn broken() -> Response<apiserver::rest::Body> {
    let piece = Ok(Frame::data(Bytes::from_static(b"{}")));
    let end = async {
        tokio::task::yield_now().await;
        Err("broken".into())
    };
    let pieces = futures::stream::iter([piece]).chain(futures::stream::once(end));
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    let length = header::HeaderValue::from_static("100");
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

/// Waits until the APIService is available or not for this reason; `status reason: message`.
pub(crate) async fn settled(world: &World, name: &str, reason: &str) -> String {
    let mut watch = world
        .watch(&format!(
            "{APIS}?watch=true&fieldSelector=metadata.name%3D{name}"
        ))
        .await;
    loop {
        let event = watch.next().await.unwrap();
        let condition = &event["object"]["status"]["conditions"][0];
        if condition["reason"] == reason {
            let text = |member: &str| condition[member].as_str().unwrap().to_owned();
            return format!("{} {reason}: {}", text("status"), text("message"));
        }
    }
}
