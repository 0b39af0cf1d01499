//! Webhooks over the network: TLS, certificates, Services, connections, and answers that are too much or too little.

use std::sync::atomic::Ordering;

use expect_test::expect;
use serde_json::{Value, json};

use crate::hook::{
    Authority, HookServer, MUTATING, Reply, VALIDATING, allow, configure, deny, webhook, with,
};
use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// A webhook at a URL.
fn at(url: &str, bundle: &str) -> Value {
    with(
        webhook("web"),
        json!({"clientConfig": {"url": url, "caBundle": bundle}}),
    )
}

/// The refusal of a write, with the port of the server out of it.
async fn refusal(world: &World, server: &HookServer) -> String {
    let refused = world.post(MAPS, map("m")).await.refused();
    refused.replace(&server.port.to_string(), "PORT")
}

#[tokio::test]
async fn a_url_is_called_over_tls_and_connections_are_kept() {
    let world = World::new().await;
    let authority = Authority::new();
    let server = HookServer::start(&authority, "localhost", |_| Reply::Response(allow())).await;
    let url = format!("https://localhost:{}/validate", server.port);
    configure(&world, VALIDATING, "c", &[at(&url, &authority.bundle())]).await;
    for name in ["a", "b", "c"] {
        world.post(MAPS, map(name)).await.ok();
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let asked = server.asked.lock().unwrap().clone();
    let one = ("localhost".to_owned(), "/validate?timeout=10s".to_owned());
    assert_eq!(asked, [one.clone(), one.clone(), one]);
}

#[tokio::test]
async fn a_service_is_asked_for_by_its_name_at_its_endpoints() {
    let world = World::new().await;
    let authority = Authority::new();
    let server = HookServer::start(&authority, "hook.default.svc", |_| {
        Reply::Response(deny("heard"))
    })
    .await;
    let reference =
        json!({"namespace": "default", "name": "hook", "path": "/validate", "port": 8443});
    let client = json!({"clientConfig": {"service": reference, "caBundle": authority.bundle()}});
    configure(&world, VALIDATING, "c", &[with(webhook("web"), json!({
        "clientConfig": client["clientConfig"], "rules": [{
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
        }],
    }))])
    .await;
    let mut said = vec![refusal(&world, &server).await];
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"name": "https", "port": 8443, "targetPort": 9443}]}});
    world
        .post("/api/v1/namespaces/default/services", service)
        .await
        .ok();
    said.push(refusal(&world, &server).await);
    let slice = |target: Value| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
            "endpoints": [{"addresses": ["127.0.0.1"], "targetRef": target}],
            "ports": [{"name": "https", "port": server.port}],
        })
    };
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let pod = json!({"kind": "Pod", "name": "p", "namespace": "default"});
    world.post(slices, slice(pod)).await.ok();
    said.push(refusal(&world, &server).await);
    world.delete(&format!("{slices}/hook-1")).await.ok();
    world.post(slices, slice(Value::Null)).await.ok();
    said.push(refusal(&world, &server).await);
    expect![[r#"
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: Post "https://hook.default.svc:8443/validate?timeout=10s": service "hook" not found
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: Post "https://hook.default.svc:8443/validate?timeout=10s": no endpoints available for service "hook"
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: Post "https://hook.default.svc:8443/validate?timeout=10s": the endpoints of service "hook" are simulated pods: nothing answers there
        400 -: admission webhook "web.example.com" denied the request: heard"#]].assert_eq(&said.join("\n"));
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [(
            "hook.default.svc".to_owned(),
            "/validate?timeout=10s".to_owned()
        )]
    );
}

#[tokio::test]
async fn the_certificate_must_come_from_the_bundle_and_a_new_bundle_counts_at_once() {
    let world = World::new().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let server = HookServer::start(&authority, "localhost", |_| Reply::Response(allow())).await;
    let url = format!("https://localhost:{}/", server.port);
    configure(&world, VALIDATING, "c", &[at(&url, &other.bundle())]).await;
    let mut said = vec![refusal(&world, &server).await];
    let path = format!("{VALIDATING}/c");
    let right = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": authority.bundle()}]);
    world
        .send(
            http::Method::PATCH,
            &path,
            "application/json-patch+json",
            right.to_string(),
        )
        .await
        .ok();
    world.post(MAPS, map("m")).await.ok();
    world.delete(&format!("{MAPS}/m")).await.ok();
    // The certificate is for a name, not for the address.
    let by_address = format!("https://127.0.0.1:{}/", server.port);
    let wrong =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": by_address}]);
    world
        .send(
            http::Method::PATCH,
            &path,
            "application/json-patch+json",
            wrong.to_string(),
        )
        .await
        .ok();
    said.push(refusal(&world, &server).await);
    expect![[r#"
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: Post "https://localhost:PORT/?timeout=10s": tls: failed to verify certificate: x509: certificate signed by unknown authority
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: Post "https://127.0.0.1:PORT/?timeout=10s": tls: failed to verify certificate: x509: certificate is valid for localhost, not 127.0.0.1"#]].assert_eq(&said.join("\n"));
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_bundle() {
    let world = World::new().await;
    let (server, bundle) = HookServer::self_signed("localhost", |_| Reply::Response(allow())).await;
    let url = format!("https://localhost:{}/", server.port);
    configure(&world, MUTATING, "c", &[at(&url, &bundle)]).await;
    world.post(MAPS, map("m")).await.ok();
    let (stranger, _) = HookServer::self_signed("localhost", |_| Reply::Response(allow())).await;
    let url = format!("https://localhost:{}/", stranger.port);
    configure(&world, MUTATING, "d", &[at(&url, &bundle)]).await;
    let refused = world.post(MAPS, map("n")).await.refused();
    assert!(
        refused.contains("tls: failed to verify certificate"),
        "{refused}"
    );
}

#[tokio::test]
async fn failures_of_the_network_and_of_http_are_told() {
    let world = World::new().await;
    let authority = Authority::new();
    let replies: Vec<fn(&Value) -> Reply> = vec![
        |_| Reply::Raw(404, b"nothing here".to_vec()),
        |_| Reply::Raw(500, b"out of bees".to_vec()),
        |_| Reply::Raw(200, b"<html>".to_vec()),
        |_| Reply::Raw(200, b"{}".to_vec()),
        |_| {
            Reply::Raw(
                200,
                json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": "other", "allowed": true}})
                .to_string()
                .into_bytes(),
            )
        },
        |_| Reply::Raw(200, vec![b' '; 16 * 1024 * 1024 + 1]),
        |review| {
            Reply::Raw(
                200,
                json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v2",
            "response": {"uid": review["request"]["uid"], "allowed": true}})
                .to_string()
                .into_bytes(),
            )
        },
    ];
    let mut said = vec![];
    for reply in replies {
        let server = HookServer::start(&authority, "localhost", reply).await;
        let url = format!("https://localhost:{}/", server.port);
        configure(&world, VALIDATING, "c", &[at(&url, &authority.bundle())]).await;
        let line = refusal(&world, &server).await;
        said.push(match line.split_once("expected response.uid=") {
            Some((head, _)) => format!("{head}expected response.uid=…"),
            None => line,
        });
        world.delete(&format!("{VALIDATING}/c")).await.ok();
    }
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    configure(
        &world,
        VALIDATING,
        "c",
        &[at(
            &format!("https://127.0.0.1:{port}/"),
            &authority.bundle(),
        )],
    )
    .await;
    let refused = world.post(MAPS, map("m")).await.refused();
    said.push(refused.replace(&port.to_string(), "PORT"));
    expect![[r#"
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: the server could not find the requested resource
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: an error on the server ("out of bees") has prevented the request from succeeding
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: couldn't get version/kind; json parse error: expected value at line 1 column 1
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": received invalid webhook response: webhook response was absent
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": received invalid webhook response: expected response.uid=…
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: the answer is larger than 16777216 bytes
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v2, Kind=AdmissionReview
        500 InternalError: Internal error occurred: failed calling webhook "web.example.com": failed to call webhook: Post "https://127.0.0.1:PORT/?timeout=10s": dial tcp 127.0.0.1:PORT: connect: connection refused"#]].assert_eq(&said.join("\n"));
}
