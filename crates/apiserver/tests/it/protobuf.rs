//! Protobuf answers: what clients of generated types and metadata informers ask for first.

use apiserver::schema::{ContentType, Expected, FieldValidation, decode_as};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::custom;
use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TYPED: &str = "application/vnd.kubernetes.protobuf,application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Code, content type and body.
type Raw = (u16, String, Vec<u8>);

async fn ask(world: &World, method: Method, path: &str, accept: &str, body: Value) -> Raw {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept)
        .header("content-type", "application/json")
        .body(Full::new(bytes::Bytes::from(body.to_string())))
        .unwrap();
    let response = world.service.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let ty = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, ty, bytes.to_vec())
}

/// A document as the JSON that it means; `message` is its type, e.g. `api.core.v1.ConfigMap`.
fn read(document: &[u8], message: &str, api_version: &str) -> Value {
    let expected = Expected::message(&format!("io.k8s.{message}"), api_version);
    let decoded = decode_as(
        &expected,
        ContentType::Protobuf,
        document,
        FieldValidation::Strict,
    );
    decoded.unwrap().value
}

fn map(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"a": "b"}},
        "data": {"k": "v".repeat(300)}, "binaryData": {"b": "/wA="},
    })
}

#[tokio::test(start_paused = true)]
async fn objects_lists_and_statuses_come_as_protobuf_to_those_who_ask() {
    let world = World::new().await;
    let (code, ty, body) = ask(&world, Method::POST, MAPS, TYPED, map("a")).await;
    assert_eq!((code, ty.as_str()), (201, PROTOBUF));
    let created = read(&body, "api.core.v1.ConfigMap", "v1");
    let one = format!("{MAPS}/a");
    assert_eq!(created, world.get(&one).await.ok());
    let (_, ty, body) = ask(
        &world,
        Method::GET,
        &one,
        "application/vnd.kubernetes.protobuf, */*",
        json!({}),
    )
    .await;
    assert_eq!(ty, PROTOBUF);
    assert_eq!(read(&body, "api.core.v1.ConfigMap", "v1"), created);

    let (_, ty, body) = ask(&world, Method::GET, MAPS, TYPED, json!({})).await;
    assert_eq!(ty, PROTOBUF);
    let mut listed = read(&body, "api.core.v1.ConfigMapList", "v1");
    for item in listed["items"].as_array_mut().unwrap() {
        item["apiVersion"] = "v1".into();
        item["kind"] = "ConfigMap".into();
    }
    assert_eq!(listed, world.get(MAPS).await.ok());

    let (code, ty, body) = ask(&world, Method::POST, MAPS, TYPED, map("a")).await;
    assert_eq!((code, ty.as_str()), (409, PROTOBUF));
    let status = read(&body, "apimachinery.pkg.apis.meta.v1.Status", "v1");
    assert_eq!(status["reason"], "AlreadyExists");
    assert_eq!(status["details"]["name"], "a");
    let (_, ty, body) = ask(&world, Method::DELETE, &one, TYPED, json!({})).await;
    assert_eq!(ty, PROTOBUF);
    let status = read(&body, "apimachinery.pkg.apis.meta.v1.Status", "v1");
    assert_eq!(status["details"]["uid"], created["metadata"]["uid"]);
    // A Table has no message.
    let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io";
    let (_, ty, _) = ask(&world, Method::GET, MAPS, table, json!({})).await;
    assert_eq!(ty, "application/json");
}

#[tokio::test(start_paused = true)]
async fn events_of_both_groups_come_as_their_own_messages() {
    let world = World::new().await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "default"}, "message": "hello",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "Started", "type": "Normal",
    });
    world
        .post("/api/v1/namespaces/default/events", event)
        .await
        .ok();
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let (_, ty, body) = ask(&world, Method::GET, path, TYPED, json!({})).await;
    assert_eq!(ty, PROTOBUF);
    let list = read(&body, "api.events.v1.EventList", "events.k8s.io/v1");
    assert_eq!(list["items"][0]["note"], "hello");
}

/// Splits a stream into events: type and document.
fn frames(mut stream: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut events = vec![];
    while !stream.is_empty() {
        let (length, rest) = stream.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (event, rest) = rest.split_at(length);
        let (ty, object) = event[2..].split_at(event[1].into());
        // The object is in a message in a message, behind two tags and lengths.
        let start = object
            .windows(4)
            .position(|bytes| bytes == b"k8s\0")
            .unwrap();
        events.push((
            String::from_utf8(ty.to_vec()).unwrap(),
            object[start..].to_vec(),
        ));
        stream = rest;
    }
    events
}

#[tokio::test(start_paused = true)]
async fn watches_are_frames() {
    let world = World::new().await;
    world.post(MAPS, map("a")).await.ok();
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    );
    let (code, ty, body) = ask(&world, Method::GET, &path, TYPED, json!({})).await;
    assert_eq!(
        (code, ty.as_str()),
        (200, "application/vnd.kubernetes.protobuf;stream=watch")
    );
    let events = frames(&body);
    let types: Vec<&str> = events.iter().map(|(ty, _)| ty.as_str()).collect();
    assert_eq!(types[..2], ["ADDED", "BOOKMARK"]);
    assert_eq!(
        read(&events[0].1, "api.core.v1.ConfigMap", "v1"),
        world.get(&format!("{MAPS}/a")).await.ok()
    );
    let bookmark = read(&events[1].1, "api.core.v1.ConfigMap", "v1");
    assert_eq!(
        bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );

    let path = format!("{MAPS}?watch=1&timeoutSeconds=1");
    let (_, ty, body) = ask(&world, Method::GET, &path, METADATA, json!({})).await;
    assert_eq!(ty, "application/vnd.kubernetes.protobuf;stream=watch");
    let message = "apimachinery.pkg.apis.meta.v1.PartialObjectMetadata";
    let event = &frames(&body)[0].1;
    assert_eq!(
        read(event, message, "meta.k8s.io/v1")["metadata"]["name"],
        "a"
    );
}

#[tokio::test(start_paused = true)]
async fn of_custom_resources_the_metadata_alone_is_protobuf() {
    let world = World::new().await;
    world
        .post(custom::DEFINITIONS, custom::definition())
        .await
        .ok();
    let path = "/apis/example.com/v1/namespaces/default/bees";
    let bee = json!({"apiVersion": "example.com/v1", "kind": "Bee", "metadata": {"name": "a"}, "spec": {"name": "a"}});
    world.post(path, bee).await.ok();
    let (_, ty, _) = ask(&world, Method::GET, path, TYPED, json!({})).await;
    assert_eq!(ty, "application/json");
    let (code, _, body) = ask(&world, Method::GET, path, PROTOBUF, json!({})).await;
    let status = read(&body, "apimachinery.pkg.apis.meta.v1.Status", "v1");
    assert_eq!(code, 406);
    assert_eq!(
        status["message"],
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    let (_, ty, body) = ask(&world, Method::GET, path, METADATA, json!({})).await;
    assert_eq!(ty, PROTOBUF);
    let message = "apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList";
    let list = read(&body, message, "meta.k8s.io/v1");
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
}
