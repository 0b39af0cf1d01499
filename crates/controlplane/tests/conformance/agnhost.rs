//! What the image `agnhost` is to the tests of Kubernetes: a server in the cluster that answers reviews of admission and of
//! conversion, over TLS, behind a Service.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::sockets::Sockets;
use crate::world::Suite;

/// How long `/always-allow-delay-5s` takes.
const DELAY: Duration = Duration::from_secs(5);
/// Longer than anybody waits.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// The server behind a Service of the test's namespace.
pub(crate) struct Agnhost {
    /// PEM of the authority of its certificate, encoded for `caBundle`.
    pub(crate) bundle: String,
    service: &'static str,
    port: u16,
}

impl Agnhost {
    /// Starts it, with a Service of this name and port whose endpoint it is.
    pub(crate) async fn start(suite: &Suite, service: &'static str, port: u16) -> Self {
        let (tls, bundle) = certificate(&format!("{service}.{}.svc", suite.ns));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        suite.sockets.used();
        tokio::spawn(listen(listener, tls, suite.sockets.clone()));
        // There is no selector: no pod of the cluster is behind it.
        let ports = json!([{"protocol": "TCP", "port": port, "targetPort": port + 1}]);
        suite
            .namespaced("v1", "Service", "services")
            .create(json!({"metadata": {"name": service}, "spec": {"ports": ports}}))
            .await;
        let labels = json!({"kubernetes.io/service-name": service});
        suite
            .namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
            .create(json!({
                "metadata": {"name": service, "labels": labels}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "", "port": own}],
            }))
            .await;
        let bundle = STANDARD.encode(bundle);
        Self {
            bundle,
            service,
            port,
        }
    }

    /// The `clientConfig` that leads to a path of it.
    pub(crate) fn client_config(&self, suite: &Suite, path: &str) -> Value {
        let service =
            json!({"namespace": suite.ns, "name": self.service, "path": path, "port": self.port});
        json!({"service": service, "caBundle": self.bundle})
    }
}

/// A certificate for a name, and the PEM of its authority.
fn certificate(name: &str) -> (rustls::ServerConfig, String) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (config, pem)
}

async fn listen(listener: TcpListener, tls: rustls::ServerConfig, sockets: Sockets) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, sockets) = (acceptor.clone(), sockets.clone());
        tokio::spawn(async move {
            // Who does not trust the certificate goes.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| {
                let sockets = sockets.clone();
                async move { Ok::<_, Infallible>(respond(request, &sockets).await) }
            });
            // Clients may go at any time.
            _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(request: Request<Incoming>, sockets: &Sockets) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let asked = &review["request"];
    if path == "/always-allow-delay-5s" {
        sockets.sleep(DELAY).await;
    }
    if path == "/pods" && label(&asked["object"]) == "wait-forever" {
        sockets.sleep(FOREVER).await;
    }
    let response = match (review["kind"].as_str(), path.as_str()) {
        (Some("AdmissionReview"), path) => admit(path, asked),
        (Some("ConversionReview"), "/crdconvert") => Some(convert(asked)),
        _ => None,
    };
    let (code, answer) = match response {
        Some(mut response) => {
            response["uid"] = asked["uid"].clone();
            let (version, kind) = (&review["apiVersion"], &review["kind"]);
            let answer = json!({"apiVersion": version, "kind": kind, "response": response});
            (200, answer.to_string())
        }
        None => (404, String::new()),
    };
    let mut response = Response::new(Full::new(answer.into()));
    *response.status_mut() = code.try_into().unwrap();
    response
}

/// The label by which tests say what is to be denied.
fn label(object: &Value) -> &str {
    let label = &object["metadata"]["labels"]["webhook-e2e-test"];
    label.as_str().unwrap_or_default()
}

fn allow() -> Value {
    json!({"allowed": true})
}

/// Allows with a JSON Patch of one operation.
fn patch(op: &str, path: &str, value: Value) -> Value {
    let operations = json!([{"op": op, "path": path, "value": value}]).to_string();
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations)})
}

/// Denies with a message, else allows.
fn deny_if(denied: bool, message: &str) -> Value {
    if !denied {
        return allow();
    }
    json!({"allowed": false, "status": {"message": message}})
}

/// The response to a request for admission at a path; none, when nothing is there.
fn admit(path: &str, request: &Value) -> Option<Value> {
    let object = &request["object"];
    Some(match path {
        "/always-allow-delay-5s" => allow(),
        "/always-deny" => deny_if(true, "this webhook denies all requests"),
        "/add-label" => add_label(object),
        "/pods" => admit_pod(object),
        "/pods/attach" => admit_attachment(request),
        "/mutating-pods" => mutate_pod(object),
        "/configmaps" => admit_data(
            request,
            "the configmap contains unwanted key and value",
            "the configmap cannot be deleted because it contains unwanted key and value",
        ),
        "/custom-resource" => admit_data(
            request,
            "the custom resource contains unwanted data",
            "the custom resource cannot be deleted because it contains unwanted key and value",
        ),
        "/mutating-configmaps" | "/mutating-custom-resource" => mutate_data(object),
        "/crd" => deny_if(
            label(object) == "webhook-disallow",
            "the crd contains unwanted label",
        ),
        _ => return None,
    })
}

fn add_label(object: &Value) -> Value {
    let labels = object["metadata"]["labels"].as_object();
    match labels.filter(|labels| !labels.is_empty()) {
        None => patch("add", "/metadata/labels", json!({"added-label": "yes"})),
        Some(labels) if labels.get("added-label").is_none_or(|v| v != "yes") => {
            patch("add", "/metadata/labels/added-label", json!("yes"))
        }
        Some(_) => allow(),
    }
}

fn admit_pod(pod: &Value) -> Value {
    let mut faults = vec![];
    if label(pod) == "webhook-disallow" {
        faults.push("the pod contains unwanted label;");
    }
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        let name = container["name"].as_str().unwrap_or_default();
        if name.contains("webhook-disallow") {
            faults.push("the pod contains unwanted container name;");
        }
    }
    deny_if(!faults.is_empty(), &faults.join(" "))
}

fn admit_attachment(request: &Value) -> Value {
    let options = &request["object"];
    let is_it = request["name"] == "to-be-attached-pod"
        && request["subResource"] == "attach"
        && options["stdin"] == true
        && options["container"] == "container1";
    deny_if(
        is_it,
        "attaching to pod 'to-be-attached-pod' is not allowed",
    )
}

fn mutate_pod(pod: &Value) -> Value {
    let added = "webhook-added-init-container";
    let mut inits = pod["spec"]["initContainers"]
        .as_array()
        .into_iter()
        .flatten();
    if pod["metadata"]["name"] != "webhook-to-be-mutated" || inits.any(|c| c["name"] == added) {
        return allow();
    }
    let container = json!([{"image": "webhook-added-image", "name": added, "resources": {}}]);
    patch("add", "/spec/initContainers", container)
}

/// Denies what its `data` says may not be written, or not be deleted. Says so in the reason.
fn admit_data(request: &Value, unwanted: &str, undeletable: &str) -> Value {
    let is_deletion = request["operation"] == "DELETE";
    let object = &request[if is_deletion { "oldObject" } else { "object" }];
    let reason = match (object["data"]["webhook-e2e-test"].as_str(), is_deletion) {
        (Some("webhook-disallow"), false) => unwanted,
        (Some("webhook-nondeletable"), true) => undeletable,
        _ => return allow(),
    };
    json!({"allowed": false, "status": {"reason": reason}})
}

/// Adds the second stage to what has the first, and the first to what asks for it.
fn mutate_data(object: &Value) -> Value {
    let data = &object["data"];
    if data["mutation-stage-1"] == "yes" {
        return patch("add", "/data/mutation-stage-2", json!("yes"));
    }
    if data["mutation-start"] == "yes" {
        return patch("add", "/data/mutation-stage-1", json!("yes"));
    }
    allow()
}

/// Converts between `hostPort` of v1 and `host` and `port` of v2.
fn convert(request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let objects = request["objects"].as_array().unwrap();
    let converted: Result<Vec<Value>, String> = objects
        .iter()
        .map(|object| convert_one(object, wanted))
        .collect();
    match converted {
        Ok(objects) => {
            json!({"convertedObjects": objects, "result": {"status": "Success"}})
        }
        Err(message) => json!({"result": {"status": "Failure", "message": message}}),
    }
}

fn convert_one(object: &Value, wanted: &str) -> Result<Value, String> {
    let mut converted = object.clone();
    let fields = converted.as_object_mut().unwrap();
    match (object["apiVersion"].as_str(), wanted) {
        (Some("stable.example.com/v1"), "stable.example.com/v2") => {
            if let Some(both) = fields.remove("hostPort") {
                let (host, port) = both
                    .as_str()
                    .unwrap_or_default()
                    .split_once(':')
                    .ok_or(format!("invalid hostPort value `{both}`"))?;
                fields.insert("host".into(), json!(host));
                fields.insert("port".into(), json!(port));
            }
        }
        (Some("stable.example.com/v2"), "stable.example.com/v1") => {
            let (host, port) = (fields.remove("host"), fields.remove("port"));
            if host.is_some() || port.is_some() {
                let text = |value: &Option<Value>| {
                    let value = value.as_ref().and_then(Value::as_str);
                    value.unwrap_or_default().to_owned()
                };
                let both = format!("{}:{}", text(&host), text(&port));
                fields.insert("hostPort".into(), json!(both));
            }
        }
        (from, _) => return Err(format!("unexpected conversion from {from:?} to {wanted:?}")),
    }
    fields.insert("apiVersion".into(), json!(wanted));
    Ok(converted)
}
