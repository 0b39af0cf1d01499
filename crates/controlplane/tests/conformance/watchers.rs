//! Watches: what they show, from when on, and in which order.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, revision};

const KEY: &str = "watch-this-configmap";

fn config_maps(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "ConfigMap", "configmaps")
}

/// The query for ConfigMaps whose label has one of these values.
fn labelled(values: &str) -> String {
    let values = values.replace(',', "%2C");
    format!("labelSelector={KEY}+in+%28{values}%29")
}

fn config_map(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {KEY: label}}})
}

/// Updates the data, as a client does that holds no revision of its own.
async fn mutate(maps: &Kind<'_>, name: &str, mutation: &str) -> Value {
    maps.update(name, |map| map["data"]["mutation"] = json!(mutation))
        .await
}

#[tokio::test(start_paused = true)]
async fn watchers_should_observe_add_update_and_delete_watch_notifications_on_configmaps() {
    let suite = Suite::new().await;
    let maps = config_maps(&suite);
    let mut a = maps.watch(&labelled("a")).await;
    let mut b = maps.watch(&labelled("b")).await;
    let mut both = maps.watch(&labelled("a,b")).await;

    let created = maps.create(config_map("map-a", "a")).await;
    assert_eq!(a.expect("ADDED").await, created);
    assert_eq!(both.expect("ADDED").await, created);
    for mutation in ["1", "2"] {
        let updated = mutate(&maps, "map-a", mutation).await;
        assert_eq!(a.expect("MODIFIED").await, updated);
        assert_eq!(both.expect("MODIFIED").await, updated);
    }
    maps.delete("map-a").await;
    a.expect("DELETED").await;
    both.expect("DELETED").await;

    let created = maps.create(config_map("map-b", "b")).await;
    assert_eq!(b.expect("ADDED").await, created);
    assert_eq!(both.expect("ADDED").await, created);
    a.expect_none().await;
    maps.delete("map-b").await;
    b.expect("DELETED").await;
    both.expect("DELETED").await;
    a.expect_none().await;
}

#[tokio::test(start_paused = true)]
async fn watchers_should_be_able_to_start_watching_from_a_specific_resource_version() {
    let suite = Suite::new().await;
    let maps = config_maps(&suite);
    maps.create(config_map("map", "from")).await;
    let first = mutate(&maps, "map", "1").await;
    let second = mutate(&maps, "map", "2").await;
    maps.delete("map").await;
    let query = format!("{}&resourceVersion={}", labelled("from"), revision(&first));
    let mut watch = maps.watch(&query).await;
    assert_eq!(watch.expect("MODIFIED").await, second);
    let last = watch.expect("DELETED").await;
    assert!(revision(&last) > revision(&second));
}

#[tokio::test(start_paused = true)]
async fn watchers_should_be_able_to_restart_watching_from_the_last_resource_version_observed_by_the_previous_watch()
 {
    let suite = Suite::new().await;
    let maps = config_maps(&suite);
    let mut watch = maps.watch(&labelled("closed")).await;
    let created = maps.create(config_map("map", "closed")).await;
    mutate(&maps, "map", "1").await;
    assert_eq!(watch.expect("ADDED").await, created);
    let last = watch.expect("MODIFIED").await;
    drop(watch);

    let second = mutate(&maps, "map", "2").await;
    let query = format!("{}&resourceVersion={}", labelled("closed"), revision(&last));
    let mut watch = maps.watch(&query).await;
    maps.delete("map").await;
    assert_eq!(watch.expect("MODIFIED").await, second);
    watch.expect("DELETED").await;
}

#[tokio::test(start_paused = true)]
async fn watchers_should_observe_an_object_deletion_if_it_stops_meeting_the_requirements_of_the_selector()
 {
    let suite = Suite::new().await;
    let maps = config_maps(&suite);
    let mut watch = maps.watch(&labelled("changed")).await;
    let label = |value: &'static str| {
        let maps = maps.clone();
        async move {
            maps.update("map", |map| map["metadata"]["labels"][KEY] = json!(value))
                .await
        }
    };
    let created = maps.create(config_map("map", "changed")).await;
    let first = mutate(&maps, "map", "1").await;
    label("wrong-value").await;
    assert_eq!(watch.expect("ADDED").await, created);
    assert_eq!(watch.expect("MODIFIED").await, first);
    watch.expect("DELETED").await;

    mutate(&maps, "map", "2").await;
    watch.expect_none().await;

    let restored = label("changed").await;
    let third = mutate(&maps, "map", "3").await;
    maps.delete("map").await;
    assert_eq!(watch.expect("ADDED").await, restored);
    assert_eq!(watch.expect("MODIFIED").await, third);
    watch.expect("DELETED").await;
}

/// Makes, changes or deletes ConfigMaps, as the number says.
async fn step(maps: &Kind<'_>, at: usize, living: &mut Vec<usize>) {
    // Any order will do that mixes the three.
    let choice = (at * 7 + at / 3) % 3;
    let name = |id: usize| format!("cm-{id}");
    match choice {
        1 if !living.is_empty() => {
            let id = living[at % living.len()];
            // Without a revision: whatever is there is replaced.
            let object =
                json!({"metadata": {"name": name(id), "labels": {"mutated": at.to_string()}}});
            maps.put(&name(id), object).await;
        }
        2 if !living.is_empty() => {
            let id = living.swap_remove(at % living.len());
            maps.delete(&name(id)).await;
        }
        _ => {
            maps.create(json!({"metadata": {"name": name(at)}})).await;
            living.push(at);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn watchers_should_receive_events_on_concurrent_watches_in_same_order() {
    let suite = Suite::new().await;
    let maps = config_maps(&suite);
    let mut from = revision(&maps.list("").await);
    let (mut watches, mut living) = (Vec::new(), Vec::new());
    for at in 0..100 {
        step(&maps, at, &mut living).await;
        // One more watch from the revision that all have seen last; then all see the same event next.
        watches.push(maps.watch(&format!("resourceVersion={from}")).await);
        let mut seen = Vec::with_capacity(watches.len());
        for watch in &mut watches {
            seen.push(revision(&watch.next().await.1));
        }
        assert!(seen[0] > from);
        assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
        from = seen[0];
    }
}
