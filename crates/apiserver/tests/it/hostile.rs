//! What extension servers, and users by their APIServices, may not do to a cluster and to the process.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::aggregation::{aggregated, connected, raw};
use crate::custom::{DEFINITIONS, definition};
use crate::extension::{APIS, Extension, WIDGETS, settled};
use crate::world::World;

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(10);

/// An extension server that says this of its resources, in the old form, is told of as stale.
async fn check_stale(list: Value) {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.behaviour.lock().unwrap().is_old = true;
    (extension.behaviour.lock().unwrap().answers).insert("/apis/ext.example.com/v1", (200, list));
    extension.register(&world).await;
    assert_eq!(
        aggregated(&world).await.last().unwrap(),
        "ext.example.com v1 Stale []"
    );
}

#[tokio::test]
async fn what_does_not_fit_into_the_room_of_a_cluster_is_left_out() {
    let long = "x".repeat(5_000);
    let resources = (0..1_000).map(|at| {
        json!({"name": format!("r{at}"), "singularName": "", "namespaced": true, "kind": "R", "verbs": [],
            "categories": [long]})
    });
    let list = json!({"kind": "APIResourceList", "resources": resources.collect::<Vec<_>>()});
    check_stale(list).await;
}

#[tokio::test]
async fn documents_that_are_too_long_are_not_read() {
    let list = json!({"kind": "APIResourceList", "resources": [], "more": "x".repeat(17 << 20)});
    check_stale(list).await;
}

#[tokio::test]
async fn extension_servers_beyond_the_limit_are_told_so() {
    let world = World::new().await;
    for at in 100..=228 {
        let group = format!("g{at}.example.com");
        let api_service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1.{group}")},
            "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
                "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "server"}},
        });
        world.post(APIS, api_service).await.ok();
    }
    assert_eq!(
        settled(&world, "v1.g228.example.com", "TooManyAPIServices").await,
        "False TooManyAPIServices: at most 128 extension API servers are supported"
    );
    settled(&world, "v1.g227.example.com", "ServiceNotFound").await;
}

#[tokio::test]
async fn malformed_discovery_of_one_server_spoils_nobody_elses() {
    let list = json!({"kind": "APIResourceList", "resources": [
        {"name": "widgets", "singularName": "", "namespaced": true, "kind": "Widget", "verbs": "all of them"},
    ]});
    check_stale(list).await;
}

#[tokio::test]
async fn nobody_waits_for_the_body_of_another_request() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    // The server answers, and the body goes on and on.
    let frame = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"piece")));
    let endless = futures::stream::iter([frame]).chain(futures::stream::pending());
    let request = Request::post(format!("{WIDGETS}/a/early")).body(StreamBody::new(endless));
    let response = world.service.clone().oneshot(request.unwrap()).await;
    let body = response.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "early");
    let next = tokio::time::timeout(LONG, world.get(WIDGETS)).await;
    assert_eq!(next.unwrap().code, 200);
}

#[tokio::test]
async fn a_server_that_never_ends_its_documents_delays_nothing_else() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.behaviour.lock().unwrap().hung = Some("/openapi/v3");
    // It is available before that is known.
    let registered = tokio::time::timeout(LONG, extension.register(&world)).await;
    registered.unwrap();
    extension.hanging.notified().await;
    let mut watch = world.watch(&format!("{APIS}?watch=true")).await;
    world.post(DEFINITIONS, definition()).await.ok();
    let told = async { while watch.line().await != "ADDED v1.example.com" {} };
    tokio::time::timeout(LONG, told).await.unwrap();
}

#[tokio::test]
async fn connections_become_nothing_that_may_carry_more_requests() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    let mut sender = connected(&world).await;
    for protocol in ["h2c", "HTTP/2.0", "websocket, h2c", "TLS/1.2"] {
        let request = Request::post(format!("{WIDGETS}/a/shell"))
            .header("host", "localhost")
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("http2-settings", "AAMAAABkAAQAAP__")
            .header("upgrade", protocol)
            .body(Full::new(Bytes::new()));
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{protocol}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let message = format!("the header Upgrade is {protocol:?}: want websocket or SPDY/3.1");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["message"], message);
    }
    // A server that answers with another protocol than it was asked for is not believed.
    let request = Request::post(format!("{WIDGETS}/a/shell"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .body(Full::new(Bytes::new()));
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 502);
    assert_eq!(extension.widgets().len(), 1);
}

#[tokio::test]
async fn a_server_that_never_begins_its_answer_is_given_up() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    extension.behaviour.lock().unwrap().hung = Some(WIDGETS);
    let watch = Request::get(format!("{WIDGETS}?watch=true")).body(Full::new(Bytes::new()));
    let asking = tokio::spawn(world.service.clone().oneshot(watch.unwrap()));
    extension.hanging.notified().await;
    tokio::time::pause();
    let response = asking.await.unwrap().unwrap();
    assert_eq!(response.status(), 503);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        "error trying to reach service: context deadline exceeded\n"
    );
}

#[tokio::test]
async fn who_waits_for_a_server_hears_when_the_cluster_goes() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    extension.behaviour.lock().unwrap().hung = Some(WIDGETS);
    let watch = Request::get(format!("{WIDGETS}?watch=true")).body(Full::new(Bytes::new()));
    let asking = tokio::spawn(world.service.clone().oneshot(watch.unwrap()));
    extension.hanging.notified().await;
    world.server.drop_cluster("test").await.unwrap();
    let response = tokio::time::timeout(LONG, asking).await.unwrap();
    assert_eq!(response.unwrap().unwrap().status(), 503);
}

#[tokio::test]
async fn only_requests_that_are_passed_on_may_last_for_another_protocol() {
    let world = World::new().await;
    world.post(DEFINITIONS, definition()).await.ok();
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    // A request that may last has no time to be checked.
    for path in [
        "/apis/example.com/v1/bees",
        "/version",
        "/apis/none.example.com/v1/nobody",
    ] {
        let (code, _, text) = raw(&world, &format!("{path}?timeout=nonsense"), &upgrade).await;
        assert_eq!(code, 400, "{path} {text}");
    }
}

#[tokio::test]
async fn requests_that_come_back_are_refused() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    let certificate = extension.proxy.lock().unwrap().clone();
    let mut codes = vec![];
    for path in [WIDGETS, "/api/v1/namespaces"] {
        let request = Request::get(path)
            .header("x-remote-user", "ada")
            .header("x-remote-group", "system:masters")
            .body(Full::new(Bytes::new()));
        let service = world.cluster.network_service(Some(certificate.clone()));
        let response = service.oneshot(request.unwrap()).await.unwrap();
        codes.push(response.status().as_u16());
    }
    assert_eq!(codes, [508, 200]);
    assert!(extension.widgets().is_empty());
}
