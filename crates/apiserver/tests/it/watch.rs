//! Watches: what comes first, what selectors make of changes, bookmarks, and how streams end.

use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::world::{Watching, World};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str, color: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"color": color}}})
}

async fn lines(mut watching: Watching, count: usize) -> String {
    let mut lines = vec![];
    for _ in 0..count {
        lines.push(watching.line().await);
    }
    lines.join(", ")
}

async fn check(mut watching: Watching, count: usize, expected: Expect) -> Watching {
    let mut text = String::new();
    for _ in 0..count {
        text.push_str(&watching.line().await);
        text.push('\n');
    }
    expected.assert_eq(&text);
    watching
}

#[tokio::test(start_paused = true)]
async fn selectors_make_objects_appear_and_disappear() {
    let world = World::new().await;
    let first = world.post(MAPS, config_map("a", "red")).await.ok();
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let red = format!("{MAPS}?watch=1&labelSelector=color%3Dred&timeoutSeconds=20");
    let watching = world.watch(&red).await;
    let later = world
        .watch(&format!("{red}0&resourceVersion={revision}"))
        .await;
    let path = format!("{MAPS}/a");
    for color in ["red", "blue", "red"] {
        world
            .merge(
                &path,
                json!({"metadata": {"labels": {"color": color}}, "data": {"was": color}}),
            )
            .await
            .ok();
    }
    world.post(MAPS, config_map("b", "blue")).await.ok();
    world.delete(&path).await.ok();
    check(
        watching,
        6,
        expect![[r#"
            ADDED a
            MODIFIED a
            DELETED a
            ADDED a
            DELETED a
            end
        "#]],
    )
    .await;
    check(
        later,
        5,
        expect![[r#"
            MODIFIED a
            DELETED a
            ADDED a
            DELETED a
            end
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_watch_of_one_nodes_pods_sees_them_from_their_binding_on() {
    const PODS: &str = "/api/v1/namespaces/default/pods";
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    world.post(accounts, account).await.ok();
    let nodes = "watch=1&fieldSelector=spec.nodeName%3D";
    let everywhere = world.watch(&format!("/api/v1/pods?{nodes}n1")).await;
    let here = world.watch(&format!("{PODS}?{nodes}n1")).await;
    let failed = world
        .watch(&format!("/api/v1/pods?{nodes}n1,status.phase%3DFailed"))
        .await;
    let free = world.watch(&format!("/api/v1/pods?{nodes}")).await;
    for (name, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        let spec = json!({"containers": [{"name": "c", "image": "i"}]});
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        world.post(PODS, pod).await.ok();
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Node", "name": node},
        });
        world
            .post(&format!("{PODS}/{name}/binding"), binding)
            .await
            .ok();
        let status = json!({"status": {"phase": "Failed"}});
        world
            .merge(&format!("{PODS}/{name}/status"), status)
            .await
            .ok();
        world.delete(&format!("{PODS}/{name}")).await.ok();
    }
    for watching in [everywhere, here] {
        let text = "ADDED a, MODIFIED a, DELETED a, ADDED c";
        assert_eq!(lines(watching, 4).await, text);
    }
    assert_eq!(lines(failed, 3).await, "ADDED a, DELETED a, ADDED c");
    let text = "ADDED a, DELETED a, ADDED b, DELETED b, ADDED c";
    assert_eq!(lines(free, 5).await, text);
}

#[tokio::test(start_paused = true)]
async fn the_initial_state_ends_with_a_bookmark_for_those_who_take_bookmarks() {
    let world = World::new().await;
    world.post(MAPS, config_map("a", "red")).await.ok();
    let list = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1&labelSelector=color"
    );
    let watching = world
        .watch(&format!("{list}&allowWatchBookmarks=true"))
        .await;
    check(
        watching,
        3,
        expect![[r#"
            ADDED a
            BOOKMARK initial-events-end
            end
        "#]],
    )
    .await;
    check(
        world.watch(&list).await,
        2,
        expect![[r#"
            ADDED a
            end
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_each_minute_and_once_before_the_end() {
    let world = World::new().await;
    for (timeout, bookmarks) in [(1, 0), (30, 1), (90, 2), (119, 2), (600, 10)] {
        let path = format!(
            "{MAPS}?watch=1&resourceVersion=100000&allowWatchBookmarks=true&timeoutSeconds={timeout}"
        );
        let start = tokio::time::Instant::now();
        let mut watching = world.watch(&path).await;
        let mut seen = 0;
        while let Some(event) = watching.next().await {
            assert_eq!(event["type"], "BOOKMARK");
            seen += 1;
        }
        assert_eq!(
            (seen, start.elapsed().as_secs()),
            (bookmarks, timeout),
            "a watch of {timeout} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn timeouts_are_taken_as_meant() {
    let world = World::new().await;
    let start = tokio::time::Instant::now();
    let mut watching = world
        .watch(&format!(
            "{MAPS}?watch=1&resourceVersion=100000&timeoutSeconds=0"
        ))
        .await;
    assert_eq!(watching.next().await, None);
    let lasted = start.elapsed().as_secs();
    assert!((1800..=3600).contains(&lasted), "{lasted}");
    let path = format!("{MAPS}?watch=1&timeoutSeconds={}", i64::MAX);
    let mut watching = world.watch(&path).await;
    world.post(MAPS, config_map("a", "red")).await.ok();
    assert_eq!(watching.line().await, "ADDED a");
    let start = tokio::time::Instant::now();
    assert_eq!(watching.next().await, None);
    assert_eq!(start.elapsed().as_secs(), 24 * 3600);
}

#[tokio::test(start_paused = true)]
async fn a_busy_watch_ends_in_time() {
    let world = World::new().await;
    let mut watching = world
        .watch(&format!(
            "{MAPS}?watch=1&resourceVersion=100000&timeoutSeconds=10"
        ))
        .await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(watching.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn forgotten_revisions_are_said_to_be_gone() {
    let world = World::new().await;
    world.post(MAPS, config_map("a", "red")).await.ok();
    tokio::time::sleep(Duration::from_secs(700)).await;
    world.post(MAPS, config_map("b", "red")).await.ok();
    tokio::time::sleep(Duration::from_secs(700)).await;
    world.post(MAPS, config_map("c", "red")).await.ok();
    let mut watching = world
        .watch(&format!("{MAPS}?watch=1&resourceVersion=1"))
        .await;
    let event = watching.next().await.unwrap();
    assert_eq!(
        (
            &event["type"],
            &event["object"]["code"],
            &event["object"]["reason"]
        ),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(watching.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn tables_come_with_columns_once() {
    let world = World::new().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let path =
        format!("{MAPS}?watch=1&timeoutSeconds=30&allowWatchBookmarks=1&labelSelector=color");
    let mut watching = world.watch_as(&path, accept).await;
    world.post(MAPS, config_map("a", "red")).await.ok();
    world.post(MAPS, config_map("b", "red")).await.ok();
    let mut seen = vec![];
    while let Some(event) = watching.next().await {
        let table = &event["object"];
        assert_eq!(table["kind"], "Table");
        let columns = table["columnDefinitions"].as_array().map_or(0, Vec::len);
        seen.push((event["type"].as_str().unwrap().to_owned(), columns > 0));
    }
    let expected = [("ADDED", true), ("ADDED", false), ("BOOKMARK", false)];
    assert_eq!(seen, expected.map(|(ty, columns)| (ty.to_owned(), columns)));
}

#[tokio::test(start_paused = true)]
async fn the_old_watch_paths_only_watch() {
    let world = World::new().await;
    world.post(MAPS, config_map("a", "red")).await.ok();
    world.post(MAPS, config_map("b", "red")).await.ok();
    let one = "/api/v1/watch/namespaces/default/configmaps/a";
    check(
        world.watch(&format!("{one}?timeoutSeconds=1")).await,
        2,
        expect![[r#"
            ADDED a
            end
        "#]],
    )
    .await;
    let all = "/api/v1/watch/namespaces/default/configmaps";
    for refused in [
        world.post(all, config_map("c", "red")).await,
        world.delete(one).await,
    ] {
        assert_eq!(refused.code, 405, "{}", refused.body);
    }
    let got = world.get(&format!("{MAPS}/a?watch=true")).await.ok();
    assert_eq!(got["kind"], "ConfigMap", "only collections are watched");
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_custom_resources_ends_with_their_definition() {
    let world = World::new().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bees.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "bees", "kind": "Bee"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    world.post(definitions, definition).await.ok();
    let mut watching = world.watch("/apis/example.com/v1/bees?watch=1").await;
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let path = format!("{definitions}/bees.example.com");
    world.merge(&path, label).await.ok();
    tokio::select! {
        line = watching.line() => panic!("{line}"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    let start = tokio::time::Instant::now();
    world.delete(&path).await.ok();
    assert_eq!(watching.next().await, None);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn watches_end_when_the_cluster_is_dropped() {
    let world = World::new().await;
    let mut watching = world
        .watch(&format!("{MAPS}?watch=1&resourceVersion=100000"))
        .await;
    world.server.drop_cluster("test").await.unwrap();
    assert_eq!(watching.next().await, None);
    assert_eq!(
        world.get(MAPS).await.refused(),
        "503 ServiceUnavailable: the cluster is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn events_are_forgotten_an_hour_after_they_were_written() {
    let world = World::with_running_clock().await;
    let events = "/api/v1/namespaces/default/events";
    let event = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": "Tested",
            "lastTimestamp": "2999-01-01T00:00:00Z", "involvedObject": {"namespace": "default"}})
    };
    let names = async || -> Vec<String> {
        let list = world.get(events).await.ok();
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|e| e["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    world.post(events, event("a")).await.ok();
    world.post(events, event("b")).await.ok();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    world
        .merge(&format!("{events}/b"), json!({"count": 2}))
        .await
        .ok();
    tokio::time::sleep(Duration::from_secs(1700)).await;
    assert_eq!(names().await, ["a", "b"]);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(names().await, ["b"]);
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(names().await, Vec::<String>::new());
}
