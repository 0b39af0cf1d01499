//! What a client sees of the server beside the objects: deadlines, revisions that have not come, warnings, health, and
//! watches over WebSocket.

use std::time::Duration;

use apiserver::auth::User;
use futures::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, handshake::client::Response};
use tower::ServiceExt;

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// A WebSocket client at the end of an HTTP/1.1 connection to `service`.
pub(crate) async fn websocket(
    service: apiserver::InProcess,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocketStream<DuplexStream>, Response), tungstenite::Error> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(service);
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(far), service)
        .with_upgrades();
    tokio::spawn(server);
    let mut request = format!("ws://localhost{path}")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    tokio_tungstenite::client_async(request, near).await
}

async fn text(world: &World, path: &str) -> (u16, String) {
    let request = Request::builder()
        .uri(path)
        .body(Full::new(bytes::Bytes::new()))
        .unwrap();
    let response = world.service.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn health_is_told_check_by_check() {
    let world = World::new().await;
    assert_eq!(text(&world, "/livez").await, (200, "ok".into()));
    assert_eq!(text(&world, "/readyz/etcd").await, (200, "ok".into()));
    assert_eq!(
        text(&world, "/readyz/poststarthook/rbac/bootstrap-roles").await,
        (200, "ok".into())
    );
    assert_eq!(text(&world, "/readyz/nothing").await.0, 404);
    let (_, told) = text(&world, "/readyz?verbose&exclude=etcd&exclude=nothing").await;
    expect_test::expect![[r#"
        [+]ping ok
        [+]log ok
        [+]etcd excluded: ok
        [+]etcd-readiness ok
        [+]informer-sync ok
        [+]poststarthook/crd-informer-synced ok
        [+]poststarthook/rbac/bootstrap-roles ok
        [+]poststarthook/apiservice-registration-controller ok
        [+]shutdown ok
        warn: some health checks cannot be excluded: no matches for "nothing"
        readyz check passed
    "#]]
    .assert_eq(&told);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_has_not_come_is_waited_for() {
    let world = World::new().await;
    let made = world.post(MAPS, config_map("a")).await.ok();
    let now: u64 = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let one = format!("{MAPS}/a?resourceVersion={}", now + 1);
    let list = format!("{MAPS}?resourceVersion={}", now + 1);
    let start = tokio::time::Instant::now();
    let late = world.get(&one).await;
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(
        late.refused(),
        format!(
            "504 Timeout: Timeout: Too large resource version: {}, current: {now}",
            now + 1
        )
    );
    let ((one, list), _) = tokio::join!(
        async { tokio::join!(world.get(&one), world.get(&list)) },
        world.post(MAPS, config_map("b")),
    );
    assert_eq!(one.ok()["metadata"]["name"], "a");
    assert_eq!(list.ok()["items"].as_array().unwrap().len(), 2);
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn parameters_of_the_whole_request_are_checked() {
    let world = World::new().await;
    world.post(MAPS, config_map("a")).await.ok();
    let one = format!("{MAPS}/a");
    assert_eq!(
        world.get(&format!("{one}?export=true")).await.refused(),
        "400 BadRequest: the export parameter, deprecated since v1.14, is no longer supported"
    );
    world
        .get(&format!("{one}?export=false&exact=true&timeout=10s"))
        .await
        .ok();
    assert_eq!(
        world.get(&format!("{one}?timeout=soon")).await.refused(),
        "400 BadRequest: invalid timeout specified in the request URL - time: invalid duration \"soon\""
    );
    let start = tokio::time::Instant::now();
    let late = world
        .get(&format!("{one}?resourceVersion=999999&timeout=250ms"))
        .await;
    assert_eq!(
        late.refused(),
        "504 Timeout: Timeout: request did not complete within the allotted timeout"
    );
    assert_eq!(start.elapsed(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn deprecated_kinds_are_warned_of_whatever_is_done() {
    let world = World::new().await;
    let path = "/api/v1/namespaces/default/endpoints";
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "a"}});
    let warning =
        "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
    for answer in [world.post(path, endpoints).await, world.get(path).await] {
        assert!(answer.code < 300);
        assert_eq!(answer.warnings, [warning]);
    }
    assert!(world.get(MAPS).await.warnings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn applied_scales_own_the_replicas() {
    let world = World::new().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": pod},
    });
    world.post(path, deployment).await.ok();
    let scale = |replicas: i64| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"},
            "spec": {"replicas": replicas},
        })
    };
    let door = format!("{path}/web/scale");
    let apply = async |name: &str, force: bool, body: Value| {
        let path = format!("{door}?fieldManager={name}&force={force}");
        world
            .send(
                Method::PATCH,
                &path,
                "application/apply-patch+yaml",
                body.to_string(),
            )
            .await
    };
    let refused = apply("scaler", false, scale(3)).await;
    assert_eq!(
        refused.refused(),
        "409 Conflict: Apply failed with 1 conflict: conflict with \"tests\" using apps/v1: .spec.replicas"
    );
    let scaled = apply("scaler", true, scale(3)).await.ok();
    assert_eq!(
        (&scaled["kind"], &scaled["spec"]["replicas"]),
        (&json!("Scale"), &json!(3))
    );
    let web = world.get(&format!("{path}/web")).await.ok();
    let entries = web["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry["manager"] == "scaler")
        .unwrap();
    assert_eq!(entry["operation"], "Apply");
    assert_eq!(entry["apiVersion"], "apps/v1");
    assert_eq!(entry["subresource"], "scale");
    assert_eq!(entry["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    // Others are told, through whatever door they come.
    let other = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 9},
    });
    let refused = world.apply(&format!("{path}/web"), other).await;
    assert_eq!(
        refused.refused(),
        "409 Conflict: Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\": .spec.replicas"
    );
    let wrong = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    assert_eq!(apply("scaler", true, wrong).await.code, 400);
    assert_eq!(apply("scaler", true, scale(-1)).await.code, 422);
}

#[tokio::test]
async fn events_come_over_a_websocket_one_a_message() {
    let world = World::new().await;
    world.post(MAPS, config_map("a")).await.ok();
    let path = format!("{MAPS}?watch=1&resourceVersion=0");
    let offered = [("sec-websocket-protocol", "base64.binary.k8s.io")];
    let (mut socket, response) = websocket(world.service.clone(), &path, &offered)
        .await
        .unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "base64.binary.k8s.io"
    );
    let mut next = async || {
        let message = socket.next().await.unwrap().unwrap();
        let event: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap();
        format!("{} {name}", event["type"].as_str().unwrap())
    };
    assert_eq!(next().await, "ADDED a");
    world.post(MAPS, config_map("b")).await.ok();
    assert_eq!(next().await, "ADDED b");
    socket
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_pong());
    world.server.drop_cluster("test").await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn a_websocket_may_bring_its_token_as_a_protocol() {
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer"}});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", account)
        .await
        .ok();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}],
    });
    world
        .post(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
            role,
        )
        .await
        .ok();
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = world
        .post(
            "/api/v1/namespaces/default/serviceaccounts/viewer/token",
            request,
        )
        .await
        .ok();
    let token = token["status"]["token"].as_str().unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, token);
    let path = format!("{MAPS}?watch=1");
    let door = world.cluster.network_service(None);
    let both = format!("base64url.bearer.authorization.k8s.io.{encoded}, base64.binary.k8s.io");
    let offered = [("sec-websocket-protocol", both.as_str())];
    let (_, response) = websocket(door.clone(), &path, &offered).await.unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "base64.binary.k8s.io"
    );
    let code = async |protocols: &str| {
        let offered = [("sec-websocket-protocol", protocols)];
        match websocket(door.clone(), &path, &offered).await {
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        code("base64url.bearer.authorization.k8s.io.eA, base64.binary.k8s.io").await,
        401
    );
    // Without one, the client is nobody.
    assert_eq!(code("base64.binary.k8s.io").await, 403);
    let nobody = world.seen_by(User::anonymous());
    assert_eq!(nobody.get(&path).await.code, 403);
}
