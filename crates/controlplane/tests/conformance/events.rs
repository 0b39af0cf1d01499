//! Events, in both groups.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, names, revision};

fn core(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Event", "events")
}

fn grouped(suite: &Suite) -> Kind<'_> {
    suite.namespaced("events.k8s.io/v1", "Event", "events")
}

fn core_event(name: &str, label: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {label: "true"}}, "message": format!("This is {name}"), "reason": "Test",
        "type": "Normal", "count": 1, "involvedObject": {"namespace": "conformance"},
    })
}

fn grouped_event(name: &str, label: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {label: "true"}}, "regarding": {"namespace": "conformance"},
        "eventTime": "2017-09-19T13:49:16.000000Z", "note": format!("This is {name}"), "action": "Do", "reason": "Test",
        "type": "Normal", "reportingController": "test-controller", "reportingInstance": "test-node",
    })
}

/// Without what the server says of each write.
fn plain(mut event: Value) -> Value {
    let metadata = event["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    event
}

async fn collection_goes(kind: Kind<'_>, event: fn(&str, &str) -> Value) {
    for name in ["test-event-1", "test-event-2", "test-event-3"] {
        kind.create(event(name, "testevent-set")).await;
    }
    let query = "labelSelector=testevent-set%3Dtrue";
    assert_eq!(kind.count(query).await, 3);
    kind.delete_collection(query).await;
    assert_eq!(kind.count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn events_should_delete_a_collection_of_events() {
    let suite = Suite::new().await;
    collection_goes(core(&suite), core_event).await;
}

#[tokio::test(start_paused = true)]
async fn events_api_should_delete_a_collection_of_events() {
    let suite = Suite::new().await;
    collection_goes(grouped(&suite), grouped_event).await;
}

#[tokio::test(start_paused = true)]
async fn events_should_manage_the_lifecycle_of_an_event() {
    let suite = Suite::new().await;
    let kind = core(&suite);
    kind.create(core_event("event-test", "testevent-constant"))
        .await;
    let query = "labelSelector=testevent-constant%3Dtrue";
    assert_eq!(names(&kind.everywhere().list(query).await), ["event-test"]);
    let message = json!({"message": "This is a test event - patched"});
    kind.strategic("event-test", message.clone()).await;
    let mut event = plain(kind.get("event-test").await);
    assert_eq!(event["message"], message["message"]);
    event["series"] = json!({"count": 100, "lastObservedTime": "2017-09-19T13:49:16.000000Z"});
    kind.put("event-test", event.clone()).await;
    assert_eq!(plain(kind.get("event-test").await), event);
    kind.delete("event-test").await;
    assert_eq!(kind.everywhere().count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn events_api_should_ensure_that_an_event_can_be_fetched_patched_deleted_and_listed() {
    let suite = Suite::new().await;
    let kind = grouped(&suite);
    let created = kind
        .create(grouped_event("event-test", "testevent-constant"))
        .await;
    let query = "labelSelector=testevent-constant%3Dtrue";
    assert_eq!(names(&kind.everywhere().list(query).await), ["event-test"]);
    assert_eq!(names(&kind.list(query).await), ["event-test"]);
    let of_source = core(&suite)
        .list("fieldSelector=source%3Dtest-controller")
        .await;
    assert_eq!(names(&of_source), ["event-test"]);
    let of_controller = kind
        .list("fieldSelector=reportingController%3Dtest-controller")
        .await;
    assert_eq!(names(&of_controller), ["event-test"]);

    let mut event = plain(kind.get("event-test").await);
    let series = |count: u32, second: u32| json!({"count": count, "lastObservedTime": format!("2017-09-19T13:49:{second}.000000Z")});
    event["series"] = series(2, 11);
    kind.strategic("event-test", json!({"series": series(2, 11)}))
        .await;
    let read = kind.get("event-test").await;
    assert!(revision(&read) > revision(&created));
    assert_eq!(plain(read), event);
    event["series"] = series(100, 16);
    kind.put("event-test", event.clone()).await;
    assert_eq!(plain(kind.get("event-test").await), event);
    kind.delete("event-test").await;
    assert_eq!(kind.everywhere().count(query).await, 0);
    assert_eq!(kind.count(query).await, 0);
}
