//! Custom resources in several versions that differ in more than their name: converted by webhooks and inside the process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::webhook::{Converter, Handler};
use expect_test::expect;
use serde_json::{Value, json};

use crate::hook::{Authority, HookServer, Reply, serve_handler};
use crate::world::World;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/example.com/v1/namespaces/default/bees";
const V2: &str = "/apis/example.com/v2/namespaces/default/bees";

/// In `v1` a bee has `spec.wings: "4"`, in `v2` `spec.wingCount: 4`; `stored` is stored.
fn definition(stored: &str, conversion: Value) -> Value {
    let version = |name: &str, spec: Value| {
        json!({
            "name": name, "served": true, "storage": name == stored, "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": if name == "v1" { ".spec.wings" } else { ".spec.wingCount" }}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": spec},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}},
        })
    };
    let versions = [
        version("v1", json!({"wings": {"type": "string"}})),
        version(
            "v2",
            json!({"wingCount": {"type": "integer"}, "color": {"type": "string", "default": "yellow"}}),
        ),
    ];
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bees.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "bees", "kind": "Bee"},
            "versions": versions, "conversion": conversion,
        },
    })
}

fn by_webhook() -> Value {
    json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "hooks", "name": "hooks", "path": "/convert"}},
    }})
}

fn bee(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Bee", "metadata": {"name": name}, "spec": spec})
}

/// What the versions mean.
fn converted(mut object: Value, api_version: &str) -> Value {
    let spec = object["spec"].clone();
    object["spec"] = if api_version.ends_with("/v1") {
        json!({"wings": spec["wingCount"].as_i64().unwrap_or(0).to_string()})
    } else {
        let wings: i64 = spec["wings"].as_str().unwrap_or("0").parse().unwrap();
        json!({"wingCount": wings})
    };
    object["apiVersion"] = api_version.into();
    object["metadata"]["annotations"]["converted"] = "yes".into();
    object
}

/// A conversion webhook that can be made to err.
#[derive(Default)]
struct Hook {
    /// Numbers of objects in the reviews so far.
    counts: Mutex<Vec<usize>>,
    /// What is done to the answer.
    mischief: Mutex<Option<fn(&mut Value)>>,
    /// How long an answer takes.
    delay: Mutex<Duration>,
}

#[async_trait::async_trait]
impl Handler for Hook {
    async fn answer(&self, review: Value) -> Result<Value, String> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let request = &review["request"];
        let objects = request["objects"].as_array().unwrap();
        self.counts.lock().unwrap().push(objects.len());
        let to = request["desiredAPIVersion"].as_str().unwrap();
        let done: Vec<Value> = objects.iter().map(|o| converted(o.clone(), to)).collect();
        let mut answer = json!({
            "apiVersion": review["apiVersion"], "kind": review["kind"],
            "response": {"uid": request["uid"], "convertedObjects": done, "result": {"status": "Success"}},
        });
        if let Some(mischief) = *self.mischief.lock().unwrap() {
            mischief(&mut answer);
        }
        Ok(answer)
    }
}

async fn world_with_hook(stored: &str) -> (World, Arc<Hook>) {
    let world = World::new().await;
    let hook = Arc::new(Hook::default());
    serve_handler(&world, "convert", hook.clone());
    world
        .post(DEFINITIONS, definition(stored, by_webhook()))
        .await
        .ok();
    (world, hook)
}

#[tokio::test(start_paused = true)]
async fn objects_are_stored_in_one_version_and_shown_in_all() {
    let (world, _) = world_with_hook("v2").await;
    let made = world
        .post(V1, bee("v1", "maja", json!({"wings": "4"})))
        .await
        .ok();
    assert_eq!(
        (&made["apiVersion"], &made["spec"]),
        (&json!("example.com/v1"), &json!({"wings": "4"}))
    );
    let shown = world.get(&format!("{V2}/maja")).await.ok();
    assert_eq!(shown["spec"], json!({"wingCount": 4, "color": "yellow"}));
    assert_eq!(shown["metadata"]["uid"], made["metadata"]["uid"]);
    let changed = world
        .merge(&format!("{V2}/maja"), json!({"spec": {"wingCount": 6}}))
        .await
        .ok();
    assert_eq!(changed["spec"]["wingCount"], 6);
    let shown = world.get(&format!("{V1}/maja")).await.ok();
    assert_eq!(shown["spec"], json!({"wings": "6"}));
    let applied = world
        .apply(
            &format!("{V1}/maja"),
            bee("v1", "maja", json!({"wings": "6"})),
        )
        .await
        .ok();
    assert_eq!(applied["spec"]["wings"], "6");
    let gone = world.delete(&format!("{V1}/maja")).await;
    assert_eq!(gone.code, 200);
}

#[tokio::test(start_paused = true)]
async fn lists_are_converted_in_batches_where_needed() {
    let (world, hook) = world_with_hook("v2").await;
    for n in 0..3 {
        world
            .post(V2, bee("v2", &format!("old-{n}"), json!({"wingCount": n})))
            .await
            .ok();
    }
    // From now on the other version is stored; what is there stays as it is.
    let path = format!("{DEFINITIONS}/bees.example.com");
    let versions = definition("v1", by_webhook())["spec"]["versions"].clone();
    world
        .merge(&path, json!({"spec": {"versions": versions}}))
        .await
        .ok();
    for n in 3..5 {
        let wings = json!({"wings": n.to_string()});
        world
            .post(V1, bee("v1", &format!("new-{n}"), wings))
            .await
            .ok();
    }
    hook.counts.lock().unwrap().clear();
    let wings = |list: Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|b| b["spec"]["wings"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(wings(world.get(V1).await.ok()), ["3", "4", "0", "1", "2"]);
    let page = world.get(&format!("{V1}?limit=3")).await.ok();
    assert_eq!(wings(page), ["3", "4", "0"]);
    let selected = world
        .get(&format!("{V1}?fieldSelector=spec.wings%3D1"))
        .await
        .ok();
    assert_eq!(wings(selected), ["1"]);
    assert_eq!(*hook.counts.lock().unwrap(), [3, 1, 3]);
    let stored = world.get(&path).await.ok();
    assert_eq!(stored["status"]["storedVersions"], json!(["v2", "v1"]));
}

#[tokio::test(start_paused = true)]
async fn reviews_have_a_bounded_number_of_objects_and_bytes() {
    let (world, hook) = world_with_hook("v2").await;
    for n in 0..501 {
        let name = format!("small-{n}");
        world.post(V2, bee("v2", &name, json!({}))).await.ok();
    }
    hook.counts.lock().unwrap().clear();
    world.get(V1).await.ok();
    assert_eq!(*hook.counts.lock().unwrap(), [500, 1]);
    world.delete(V2).await.ok();
    for n in 0..18 {
        let mut large = bee("v2", &format!("large-{n}"), json!({}));
        large["metadata"]["annotations"] = json!({"large": "x".repeat(250 << 10)});
        world.post(V2, large).await.ok();
    }
    hook.counts.lock().unwrap().clear();
    world.get(V1).await.ok();
    assert_eq!(*hook.counts.lock().unwrap(), [16, 2]);
}

#[tokio::test(start_paused = true)]
async fn watches_show_the_version_that_was_asked_for() {
    let (world, hook) = world_with_hook("v2").await;
    world
        .post(V1, bee("v1", "maja", json!({"wings": "4"})))
        .await
        .ok();
    let mut watching = world.watch(&format!("{V1}?watch=true")).await;
    let spec = |event: Option<Value>| event.unwrap()["object"]["spec"].clone();
    assert_eq!(spec(watching.next().await), json!({"wings": "4"}));
    let path = format!("{V2}/maja");
    world
        .merge(&path, json!({"spec": {"wingCount": 5}}))
        .await
        .ok();
    assert_eq!(spec(watching.next().await), json!({"wings": "5"}));
    *hook.mischief.lock().unwrap() = Some(|answer| answer["response"] = Value::Null);
    world
        .merge(&path, json!({"spec": {"wingCount": 6}}))
        .await
        .ok();
    let event = watching.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["message"]),
        (
            &json!("ERROR"),
            &json!("conversion webhook for example.com/v2, Kind=Bee failed: no response provided")
        )
    );
    assert!(watching.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_event_does_not_wait_for_the_conversion_of_the_next() {
    let (world, hook) = world_with_hook("v2").await;
    let mut watching = world.watch(&format!("{V1}?watch=true")).await;
    for name in ["maja", "willi"] {
        world.post(V2, bee("v2", name, json!({}))).await.ok();
    }
    let takes = Duration::from_secs(5);
    *hook.delay.lock().unwrap() = takes;
    let start = tokio::time::Instant::now();
    assert_eq!(watching.line().await, "ADDED maja");
    assert_eq!(start.elapsed(), takes);
    assert_eq!(watching.line().await, "ADDED willi");
    assert_eq!(start.elapsed(), 2 * takes);
}

#[tokio::test(start_paused = true)]
async fn what_a_conversion_may_not_do_is_refused() {
    let (world, hook) = world_with_hook("v2").await;
    world
        .post(V2, bee("v2", "maja", json!({"wingCount": 4})))
        .await
        .ok();
    let mischiefs: [fn(&mut Value); 9] = [
        |answer| {
            answer["response"]["result"] =
                json!({"status": "Failure", "message": "too many wings"});
        },
        |answer| answer["response"]["result"] = json!({}),
        |answer| answer["response"]["uid"] = "x".into(),
        |answer| answer["response"]["convertedObjects"] = json!([]),
        |answer| answer["response"]["convertedObjects"][0]["apiVersion"] = "example.com/v2".into(),
        |answer| answer["response"]["convertedObjects"][0]["kind"] = "Wasp".into(),
        |answer| answer["response"]["convertedObjects"][0]["metadata"]["name"] = "willy".into(),
        |answer| answer["response"]["convertedObjects"][0]["metadata"]["labels"] = json!({"-": ""}),
        |answer| answer["kind"] = "AdmissionReview".into(),
    ];
    let mut said = vec![];
    for mischief in mischiefs {
        *hook.mischief.lock().unwrap() = Some(mischief);
        let refused = world.get(&format!("{V1}/maja")).await.refused();
        said.push(match refused.split_once("response.uid=") {
            Some((head, _)) => format!("{head}response.uid=…"),
            None => refused,
        });
    }
    expect![[r#"
        500 -: conversion webhook for example.com/v2, Kind=Bee failed: too many wings
        500 -: conversion webhook for example.com/v2, Kind=Bee failed: response.result.status was '', not 'Success'
        500 -: conversion webhook for example.com/v2, Kind=Bee failed: expected response.uid=…
        500 -: conversion webhook for example.com/v2, Kind=Bee returned 0 objects, expected 1
        500 -: conversion webhook for example.com/v2, Kind=Bee returned invalid converted object at index 0: invalid groupVersion (expected example.com/v1, received example.com/v2)
        500 -: conversion webhook for example.com/v2, Kind=Bee returned invalid converted object at index 0: invalid kind (expected Bee, received Wasp)
        500 -: conversion webhook for example.com/v2, Kind=Bee returned invalid converted object at index 0: must have the same name: maja != willy
        500 -: conversion webhook for example.com/v2, Kind=Bee returned invalid converted object at index 0: metadata.labels: Invalid value: "-": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        500 -: conversion webhook for example.com/v2, Kind=Bee failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=AdmissionReview"#]].assert_eq(&said.join("\n"));
    // Other metadata is simply kept.
    *hook.mischief.lock().unwrap() = Some(|answer| {
        answer["response"]["convertedObjects"][0]["metadata"]["finalizers"] = json!(["a.b/c"]);
        answer["response"]["convertedObjects"][0]["metadata"]["annotations"] = json!({"kept": "x"});
    });
    let shown = world.get(&format!("{V1}/maja")).await.ok();
    assert_eq!(
        (
            &shown["metadata"]["annotations"],
            shown["metadata"].get("finalizers")
        ),
        (&json!({"kept": "x"}), None)
    );
    // A definition can go, even if its webhook is useless.
    *hook.mischief.lock().unwrap() = Some(|answer| *answer = Value::Null);
    let path = format!("{DEFINITIONS}/bees.example.com");
    world.delete(&path).await.ok();
    let gone = async {
        while world.get(&path).await.code != 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
}

struct InProcess;

impl Converter for InProcess {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        if object["spec"]["wingCount"] == 13 {
            return Err("thirteen wings".into());
        }
        Ok(converted(object, api_version))
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_process_converts_as_well() {
    let world = World::new().await;
    world
        .handlers
        .convert("test", "example.com", "Bee", Arc::new(InProcess));
    world
        .post(DEFINITIONS, definition("v2", json!({"strategy": "None"})))
        .await
        .ok();
    world
        .post(V1, bee("v1", "maja", json!({"wings": "4"})))
        .await
        .ok();
    let shown = world.get(&format!("{V2}/maja")).await.ok();
    assert_eq!(shown["spec"]["wingCount"], 4);
    let status = world
        .merge(
            &format!("{V1}/maja/status"),
            json!({"status": {"seen": true}}),
        )
        .await
        .ok();
    assert_eq!(
        (&status["spec"]["wings"], &status["status"]["seen"]),
        (&json!("4"), &json!(true))
    );
    world
        .post(V2, bee("v2", "odd", json!({"wingCount": 13})))
        .await
        .ok();
    assert_eq!(
        world.get(V1).await.refused(),
        "500 -: conversion webhook for example.com/v2, Kind=Bee failed: thirteen wings"
    );
}

#[tokio::test]
async fn a_conversion_webhook_is_called_over_tls() {
    let world = World::new().await;
    let authority = Authority::new();
    let server = HookServer::start(&authority, "localhost", |review| {
        let to = review["request"]["desiredAPIVersion"].as_str().unwrap();
        let objects = review["request"]["objects"].as_array().unwrap();
        let done: Vec<Value> = objects.iter().map(|o| converted(o.clone(), to)).collect();
        Reply::Response(json!({"convertedObjects": done, "result": {"status": "Success"}}))
    })
    .await;
    let conversion = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {
            "url": format!("https://localhost:{}/convert", server.port), "caBundle": authority.bundle(),
        },
    }});
    world
        .post(DEFINITIONS, definition("v2", conversion))
        .await
        .ok();
    world
        .post(V1, bee("v1", "maja", json!({"wings": "4"})))
        .await
        .ok();
    assert_eq!(
        world.get(&format!("{V2}/maja")).await.ok()["spec"]["wingCount"],
        4
    );
    assert_eq!(server.asked.lock().unwrap()[0].1, "/convert?timeout=30s");
}

#[tokio::test(start_paused = true)]
async fn a_conversion_must_say_where_it_is() {
    let world = World::new().await;
    let wrong = [
        json!({"strategy": "Webhook"}),
        json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1", "v1"], "clientConfig": {
            "url": "http://localhost/"}}}),
        json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v3"], "clientConfig": {
            "service": {"namespace": "a", "name": "", "port": 0}}}}),
        json!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}),
    ];
    let mut said = vec![];
    for conversion in wrong {
        let refused = world
            .post(DEFINITIONS, definition("v2", conversion))
            .await
            .refused();
        said.push(refused.split_once("is invalid: ").unwrap().1.to_owned());
    }
    expect![[r#"
        [spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook, spec.conversion.conversionReviewVersions: Required value]
        [spec.conversion.webhookClientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path], spec.conversion.conversionReviewVersions[1]: Invalid value: "v1": duplicate version]
        [spec.conversion.webhookClientConfig.service.name: Required value, spec.conversion.webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive, spec.conversion.conversionReviewVersions: Invalid value: ["v3"]: must include at least one of v1, v1beta1]
        spec.conversion.webhook: Forbidden: should not be set when strategy is not set to Webhook"#]].assert_eq(&said.join("\n"));
}
