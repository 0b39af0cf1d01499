//! Custom resources of two versions, between which a server in the cluster converts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::agnhost::Agnhost;
use crate::crd::{define, definition, definitions};
use crate::kind::Kind;
use crate::sockets::Waiting;
use crate::world::{Suite, Watching, names, revision};

const GROUP: &str = "stable.example.com";
const CRD: &str = "e2e-tests.stable.example.com";

/// A version with fields that are texts, by which objects can be chosen.
fn version(name: &str, fields: &[&str], storage: bool) -> Value {
    let properties: Value = fields
        .iter()
        .map(|field| ((*field).to_owned(), json!({"type": "string"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let selectable: Vec<Value> = fields
        .iter()
        .map(|field| json!({"jsonPath": format!(".{field}")}))
        .collect();
    json!({
        "name": name, "served": true, "storage": storage, "selectableFields": selectable,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    })
}

/// Both versions, one of which is stored.
fn versions(stored: &str) -> Value {
    json!([
        version("v1", &["hostPort"], stored == "v1"),
        version("v2", &["host", "port"], stored == "v2"),
    ])
}

/// The kind at a version.
fn at<'a>(suite: &'a Suite, version: &str) -> Kind<'a> {
    suite.namespaced(&format!("{GROUP}/{version}"), "E2e-test", "e2e-tests")
}

/// Defines the kind, which is converted by a server in the cluster. From then on, time is held: watches convert as well.
async fn start(suite: &Suite) -> Waiting {
    let agnhost = Agnhost::start(suite, "e2e-test-crd-conversion-webhook", 9443).await;
    let config = agnhost.client_config(suite, "/crdconvert");
    let webhook = json!({"clientConfig": config, "conversionReviewVersions": ["v1", "v1beta1"]});
    let mut crd = definition(GROUP, "e2e-tests", "E2e-test", "Namespaced", &[], json!({}));
    crd["spec"]["versions"] = versions("v1");
    crd["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
    define(suite, crd).await;
    let waiting = suite.sockets.wait().unwrap();
    // What can be created as what is not stored is converted.
    at(suite, "v2")
        .create(json!({"metadata": {"name": "stub"}}))
        .await;
    at(suite, "v2").delete("stub").await;
    waiting
}

fn assert_is_first(object: &Value) {
    assert_eq!(object["apiVersion"], format!("{GROUP}/v1"));
    assert_eq!(object["hostPort"], "localhost:8080");
    assert_eq!((object.get("host"), object.get("port")), (None, None));
}

fn assert_is_second(object: &Value) {
    assert_eq!(object["apiVersion"], format!("{GROUP}/v2"));
    assert_eq!(object["host"], "localhost");
    assert_eq!(object["port"], "8080");
    assert_eq!(object.get("hostPort"), None);
}

fn object(name: &str) -> Value {
    json!({"metadata": {"name": name}, "hostPort": "localhost:8080"})
}

#[tokio::test(start_paused = true)]
async fn customresourceconversionwebhook_should_be_able_to_convert_from_cr_v1_to_cr_v2() {
    let suite = Suite::new().await;
    let _waiting = start(&suite).await;
    at(&suite, "v1").create(object("cr-instance-1")).await;
    assert_is_second(&at(&suite, "v2").get("cr-instance-1").await);
}

#[tokio::test(start_paused = true)]
async fn customresourceconversionwebhook_should_be_able_to_convert_a_non_homogeneous_list_of_crs() {
    let suite = Suite::new().await;
    let _waiting = start(&suite).await;
    at(&suite, "v1").create(object("cr-instance-1")).await;
    definitions(&suite)
        .update(CRD, |crd| crd["spec"]["versions"] = versions("v2"))
        .await;
    at(&suite, "v1").create(object("cr-instance-2")).await;
    for (version, assert_is) in [
        ("v1", assert_is_first as fn(&Value)),
        ("v2", assert_is_second),
    ] {
        let list = at(&suite, version).list("").await;
        assert_eq!(names(&list), ["cr-instance-1", "cr-instance-2"]);
        list["items"].as_array().unwrap().iter().for_each(assert_is);
    }
}

/// Passes over events until as many objects were added and deleted; their names must be these.
async fn sees(watch: &mut Watching, ty: &str, expected: &[&str]) {
    let mut seen = BTreeSet::new();
    while seen.len() < expected.len() {
        let object = watch.until(ty, |_| true).await;
        seen.insert(object["metadata"]["name"].as_str().unwrap().to_owned());
    }
    assert!(seen.iter().map(String::as_str).eq(expected.iter().copied()));
}

#[tokio::test(start_paused = true)]
async fn customresourcefieldselectors_customresourcefieldselectors_must_list_and_watch_custom_resources_matching_the_field_selector()
 {
    let suite = Suite::new().await;
    let waiting = start(&suite).await;
    let (first, second) = (at(&suite, "v1"), at(&suite, "v2"));
    let host = "fieldSelector=host%3Dhost1";
    let both = "fieldSelector=host%3Dhost1,port%3D80";
    let joined = "fieldSelector=hostPort%3Dhost1:80";
    // Those who only watch, and those who list first, as informers do.
    let mut of_host = vec![second.watch(host).await];
    let mut of_both = vec![second.watch(both).await, first.watch(joined).await];
    let list = second.list(host).await;
    assert_eq!(names(&list).len(), 0);
    let since = format!("resourceVersion={}", revision(&list));
    of_host.push(second.watch(&format!("{host}&{since}")).await);
    of_both.push(second.watch(&format!("{both}&{since}")).await);

    for (name, fields) in [
        ("a", json!({"host": "host1", "port": "80"})),
        ("b", json!({"host": "host1", "port": "8080"})),
        ("c", json!({"host": "host2"})),
    ] {
        let mut object = fields;
        object["metadata"]["name"] = json!(name);
        second.create(object).await;
    }
    assert_eq!(names(&second.list(host).await), ["a", "b"]);
    assert_eq!(names(&second.list(both).await), ["a"]);
    assert_eq!(names(&first.list(joined).await), ["a"]);
    let other = "fieldSelector=hostPort%3Dhost1:8080";
    assert_eq!(names(&first.list(other).await), ["b"]);
    for watch in &mut of_host {
        sees(watch, "ADDED", &["a", "b"]).await;
    }
    for watch in &mut of_both {
        sees(watch, "ADDED", &["a"]).await;
    }

    second.delete_collection(both).await;
    second
        .update("b", |object| object["host"] = json!("host2"))
        .await;
    assert_eq!(names(&second.list(host).await).len(), 0);
    assert_eq!(names(&second.list(both).await).len(), 0);
    for watch in &mut of_host {
        sees(watch, "DELETED", &["a", "b"]).await;
    }
    for watch in &mut of_both {
        sees(watch, "DELETED", &["a"]).await;
    }
    drop(waiting);
    for watch in of_host.iter_mut().chain(&mut of_both) {
        watch.expect_none().await;
    }
}
