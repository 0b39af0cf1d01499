//! Examples of every operation.

use std::sync::atomic::Ordering;
use std::time::Duration;

use expect_test::expect;
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::auth::Objects;
use crate::store::history::MANY_BYTES_PROCESS;
use crate::store::{CursorEnd, MAX_OBJECT_BYTES, StoreError, WriteError};

fn event_text(event: &crate::store::Event) -> String {
    let previous = event.previous.as_ref().map(|o| o.header.revision);
    format!(
        "{:?} {}/{}@{} was {previous:?}",
        event.kind, event.key.namespace, event.key.name, event.object.header.revision
    )
}

#[tokio::test]
async fn a_write_is_compared_numbered_and_read_back() {
    let cluster = memory().await;
    assert_eq!(cluster.revision(), 1000);
    let a = key("default", "a");
    assert_eq!(put(&cluster, &a, 1).await, 1001);
    assert_eq!(put(&cluster, &a, 2).await, 1002);
    let stale = cluster
        .write(&a, Expected::Revision(1001), Change::Put(object(&a, 3)))
        .await;
    let Err(WriteError::Conflict {
        current: Some(current),
    }) = stale
    else {
        panic!("a stale write must conflict: {stale:?}");
    };
    assert_eq!(current.header.revision, 1002);
    let taken = cluster
        .write(&a, Expected::Absent, Change::Put(object(&a, 3)))
        .await;
    assert!(matches!(
        taken,
        Err(WriteError::Conflict { current: Some(_) })
    ));
    assert_eq!(delete(&cluster, &a).await, 1003);
    assert!(cluster.get(&a).is_none());
    let gone = cluster
        .write(&a, Expected::Revision(1002), Change::Put(object(&a, 3)))
        .await;
    assert!(matches!(gone, Err(WriteError::Conflict { current: None })));
    assert_eq!(cluster.revision(), 1003);
    assert_eq!(cluster.revision_of("configmaps"), 1003);
    assert_eq!(cluster.revision_of("namespaces"), 3);
    assert_eq!(cluster.revision_of("pods"), 0);
}

#[tokio::test]
async fn an_object_beyond_the_limit_is_refused_and_costs_no_revision() {
    let cluster = memory().await;
    let a = key("default", "a");
    let big = object(&a, "x".repeat(MAX_OBJECT_BYTES));
    let refused = cluster.write(&a, Expected::Absent, Change::Put(big)).await;
    assert!(matches!(refused, Err(WriteError::TooLarge { size, .. }) if size > MAX_OBJECT_BYTES));
    assert_eq!(put(&cluster, &a, 1).await, 1001);
}

#[tokio::test]
async fn lists_lay_the_cluster_over_its_base() {
    let cluster = memory().await;
    let base_a = key("kube-system", "base-a");
    put(&cluster, &key("default", "z"), 1).await;
    put(&cluster, &base_a, 2).await;
    delete(&cluster, &key("kube-system", "base-b")).await;
    expect![[r#"1003: default/z=1@1001 kube-system/base-a=2@1002"#]]
        .assert_eq(&shown(&cluster.list("configmaps", None)));
    expect![[r#"1003: kube-system/base-a=2@1002"#]]
        .assert_eq(&shown(&cluster.list("configmaps", Some("kube-system"))));
    for (revision, expected) in [
        (
            1000,
            expect![[
                r#"1000: kube-system/base-a="from the base"@1 kube-system/base-b="from the base"@2"#
            ]],
        ),
        (
            1001,
            expect![[
                r#"1001: default/z=1@1001 kube-system/base-a="from the base"@1 kube-system/base-b="from the base"@2"#
            ]],
        ),
        (
            1002,
            expect![[
                r#"1002: default/z=1@1001 kube-system/base-a=2@1002 kube-system/base-b="from the base"@2"#
            ]],
        ),
        (
            1003,
            expect![[r#"1003: default/z=1@1001 kube-system/base-a=2@1002"#]],
        ),
    ] {
        expected.assert_eq(&shown(
            &cluster.list_at("configmaps", None, revision).unwrap(),
        ));
    }
    expect![[r#"1001: kube-system/base-a="from the base"@1 kube-system/base-b="from the base"@2"#]]
        .assert_eq(&shown(
            &cluster
                .list_at("configmaps", Some("kube-system"), 1001)
                .unwrap(),
        ));
    assert_eq!(
        cluster
            .list_at("configmaps", None, 1004)
            .unwrap_err()
            .current,
        1003
    );
    assert_eq!(
        cluster.list_at("configmaps", None, 999).unwrap_err().oldest,
        1000
    );
    assert_eq!(Objects::list(&cluster, "configmaps", None).len(), 2);
    let names: Vec<_> = cluster
        .resources()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["configmaps", "namespaces"]);
    delete(&cluster, &Key::new("namespaces", "", "kube-system")).await;
    assert_eq!(cluster.resources().len(), 1);
}

#[tokio::test]
async fn a_watch_returns_every_change_after_its_revision_in_order() {
    let cluster = memory().await;
    let (a, b) = (key("default", "a"), key("other", "b"));
    let mut all = cluster.watch("configmaps", None, 1000).unwrap();
    assert!(all.try_next().is_none());
    put(&cluster, &a, 1).await;
    put(&cluster, &b, 1).await;
    put(&cluster, &a, 2).await;
    delete(&cluster, &a).await;
    let mut one = cluster.watch("configmaps", Some("other"), 1000).unwrap();
    let mut late = cluster.watch("configmaps", None, 1003).unwrap();
    let mut seen = String::new();
    for _ in 0..4 {
        seen += &format!("{}\n", event_text(&soon(all.next()).await.unwrap()));
    }
    expect![[r#"
        Added default/a@1001 was None
        Added other/b@1002 was None
        Modified default/a@1003 was Some(1001)
        Deleted default/a@1004 was Some(1003)
    "#]]
    .assert_eq(&seen);
    assert!(all.try_next().is_none());
    assert_eq!(soon(one.next()).await.unwrap().revision, 1002);
    assert_eq!(one.revision(), 1004);
    assert_eq!(soon(late.next()).await.unwrap().revision, 1004);
    put(&cluster, &Key::new("secrets", "default", "s"), 1).await;
    assert_eq!(all.revision(), 1005);
    put(&cluster, &b, 2).await;
    assert_eq!(all.revision(), 1004);
    assert_eq!(
        cluster.watch("configmaps", None, 999).err().unwrap().oldest,
        1000
    );
}

#[tokio::test]
async fn a_waiting_watch_is_woken() {
    let cluster = memory().await;
    let mut cursor = cluster.watch("configmaps", None, 1000).unwrap();
    let mut changes = cluster.subscribe();
    let waiting = tokio::spawn(async move { cursor.next().await.map(|e| e.revision) });
    let told = tokio::spawn(async move { changes.next().await });
    tokio::task::yield_now().await;
    put(&cluster, &key("default", "a"), 1).await;
    assert_eq!(soon(waiting).await.unwrap(), Ok(1001));
    assert_eq!(
        soon(told).await.unwrap(),
        Some(vec![("configmaps".into(), 1001)])
    );
}

#[tokio::test]
async fn a_waiting_watch_is_woken_by_the_end_of_its_cluster() {
    let store = Store::open(Memory::new()).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    let mut cursor = cluster.watch("configmaps", None, 1000).unwrap();
    let mut changes = cluster.subscribe();
    let waiting = tokio::spawn(async move { cursor.next().await.map(|e| e.revision) });
    let told = tokio::spawn(async move { changes.next().await });
    tokio::task::yield_now().await;
    store.drop_cluster("c").await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), Err(CursorEnd::Closed));
    assert_eq!(soon(told).await.unwrap(), None);
}

#[tokio::test]
async fn a_watch_that_falls_behind_ends() {
    let cluster = memory().await;
    let a = key("default", "a");
    let mut slow = cluster.watch("configmaps", None, 1000).unwrap();
    let mut idle = cluster.watch("secrets", None, 1000).unwrap();
    for n in 0..8300 {
        put(&cluster, &a, n).await;
    }
    assert_eq!(soon(slow.next()).await.unwrap_err(), CursorEnd::Lagged);
    let expired = cluster.watch("configmaps", None, 1000).err().unwrap();
    assert_eq!((expired.oldest, expired.current), (1108, 9300));
    assert!(idle.try_next().is_none());
    assert_eq!(idle.revision(), 9300);
    assert!(cluster.watch("secrets", None, 1000).is_ok());
}

#[tokio::test]
async fn a_watch_of_one_node_does_not_fall_behind_what_happens_on_others() {
    let cluster = memory().await;
    let pod = |name: &str, node: &str| {
        let key = Key::new("pods", "default", name);
        let meta = json!({"namespace": "default", "name": name});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": node}});
        (key, pod)
    };
    let bind = async |name: &str, node: &str| {
        let (key, pod) = pod(name, node);
        let expected = expected(&cluster, &key);
        cluster
            .write(&key, expected, Change::Put(pod))
            .await
            .unwrap();
    };
    let mut here = cluster.watch_node("pods", "n1", 1000).unwrap();
    let mut everywhere = cluster.watch("pods", None, 1000).unwrap();
    bind("a", "").await;
    for _ in 0..8300 {
        bind("b", "n2").await;
    }
    assert!(here.try_next().is_none());
    assert_eq!(
        soon(everywhere.next()).await.unwrap_err(),
        CursorEnd::Lagged
    );
    let waiting = tokio::spawn(async move { soon(here.next()).await.map(|e| e.revision) });
    tokio::task::yield_now().await;
    bind("a", "n1").await;
    assert_eq!(waiting.await.unwrap(), Ok(9302));
    assert!(cluster.watch_node("pods", "n1", 9301).is_ok());
    assert!(cluster.watch_node("pods", "n3", 1000).is_err());
}

#[tokio::test(start_paused = true)]
async fn old_revisions_expire_first_for_lists_then_for_watches() {
    let cluster = memory().await;
    let a = key("default", "a");
    let mut unread = cluster.watch("configmaps", None, 1000).unwrap();
    put(&cluster, &a, 1).await;
    put(&cluster, &a, 2).await;
    advance(Duration::from_secs(60)).await;
    assert!(cluster.list_at("configmaps", None, 1001).is_ok());
    advance(Duration::from_secs(301)).await;
    assert_eq!(
        cluster
            .list_at("configmaps", None, 1001)
            .unwrap_err()
            .oldest,
        1002
    );
    assert!(cluster.list_at("configmaps", None, 1002).is_ok());
    assert!(cluster.watch("configmaps", None, 1001).is_ok());
    advance(Duration::from_secs(300)).await;
    assert!(cluster.watch("configmaps", None, 1001).is_err());
    assert!(cluster.watch("configmaps", None, 1002).is_ok());
    assert!(cluster.watch("secrets", None, 1001).is_ok());
    assert_eq!(unread.revision(), 1000);
    assert_eq!(soon(unread.next()).await.unwrap_err(), CursorEnd::Lagged);
}

/// Who is connected misses nothing; who comes back later lists again.
#[tokio::test(start_paused = true)]
async fn a_crowded_process_forgets_sooner() {
    let cluster = memory().await;
    let a = key("default", "a");
    put(&cluster, &a, 1).await;
    advance(Duration::from_secs(60)).await;
    assert!(cluster.watch("configmaps", None, 1000).is_ok());
    let all = Arc::clone(&crate::store::read(&cluster.cluster.state).history_bytes);
    all.fetch_add(MANY_BYTES_PROCESS, Ordering::Relaxed);
    // Alone it has not more than its share.
    advance(Duration::from_secs(31)).await;
    assert!(cluster.watch("configmaps", None, 1000).is_ok());
    let served = Arc::clone(&crate::store::read(&cluster.cluster.state).served);
    let _others = vec![served; MANY_BYTES_PROCESS / 64];
    let mut connected = cluster.watch("configmaps", None, 1001).unwrap();
    put(&cluster, &a, 2).await;
    advance(Duration::from_secs(31)).await;
    assert!(cluster.watch("configmaps", None, 1001).is_ok());
    assert!(cluster.watch("configmaps", None, 1000).is_err());
    assert_eq!(soon(connected.next()).await.unwrap().revision, 1002);
    advance(Duration::from_secs(31)).await;
    assert!(cluster.watch("configmaps", None, 1001).is_err());
    assert!(cluster.watch("configmaps", None, 1002).is_ok());
    put(&cluster, &a, 3).await;
    assert_eq!(soon(connected.next()).await.unwrap().revision, 1003);
}

#[tokio::test]
async fn clusters_are_apart_and_survive_a_restart() {
    let log = Memory::new();
    let store = Store::open(log.clone()).unwrap();
    let one = store
        .create_cluster("one", json!({"ca": 1}), base())
        .await
        .unwrap();
    let two = store
        .create_cluster("two", json!({"ca": 2}), base())
        .await
        .unwrap();
    let taken = store.create_cluster("one", json!({}), base()).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))));
    put(&one, &key("default", "a"), 1).await;
    put(&one, &key("kube-system", "base-a"), 2).await;
    delete(&one, &key("kube-system", "base-b")).await;
    delete(&one, &key("default", "a")).await;
    assert_eq!((one.revision(), two.revision()), (1004, 1000));
    store.update_record("two", json!({"ca": 3})).await.unwrap();

    let store = Store::open(log).unwrap();
    assert_eq!(
        store.records(),
        [
            ("one".into(), json!({"ca": 1})),
            ("two".into(), json!({"ca": 3}))
        ]
    );
    assert!(store.cluster("one").is_none());
    let one = store.attach_base("one", base()).await.unwrap();
    assert_eq!(store.cluster("one").unwrap().id(), "one");
    expect![[r#"1004: kube-system/base-a=2@1002"#]]
        .assert_eq(&shown(&one.list("configmaps", None)));
    assert!(one.watch("configmaps", None, 1003).is_err());
    assert!(one.watch("configmaps", None, 1004).is_ok());
    assert_eq!(put(&one, &key("default", "a"), 1).await, 1005);
}

#[tokio::test]
async fn another_base_is_a_change_of_the_cluster() {
    let log = Memory::new();
    let store = Store::open(log.clone()).unwrap();
    store.create_cluster("c", json!({}), base()).await.unwrap();
    for _ in 0..2 {
        let store = Store::open(log.clone()).unwrap();
        let cluster = store
            .attach_base("c", Arc::new(Base::default()))
            .await
            .unwrap();
        assert_eq!(cluster.revision(), 1001);
        assert!(cluster.watch("configmaps", None, 1000).is_err());
        assert!(cluster.list("configmaps", None).objects.is_empty());
    }
}

#[tokio::test]
async fn a_dropped_cluster_leaves_nothing() {
    let log = Memory::new();
    let store = Store::open(log.clone()).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    let a = key("default", "a");
    put(&cluster, &a, 1).await;
    let mut cursor = cluster.watch("configmaps", None, 1001).unwrap();
    let mut changes = cluster.subscribe();
    store.drop_cluster("c").await.unwrap();
    assert_eq!(soon(cursor.next()).await.unwrap_err(), CursorEnd::Closed);
    assert_eq!(soon(changes.next()).await, None);
    assert!(cluster.list("configmaps", None).objects.is_empty());
    let refused = cluster
        .write(&a, Expected::Absent, Change::Put(object(&a, 1)))
        .await;
    assert!(matches!(refused, Err(WriteError::Closed)));
    assert!(matches!(
        store.drop_cluster("c").await,
        Err(StoreError::NotFound(_))
    ));
    assert!(store.records().is_empty());
    assert!(Store::open(log).unwrap().records().is_empty());
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_still_reads() {
    let store = Store::open(Memory::new()).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    let a = key("default", "a");
    put(&cluster, &a, 1).await;
    store.close().await;
    let refused = cluster
        .write(&a, Expected::Revision(1001), Change::Put(object(&a, 2)))
        .await;
    assert!(matches!(refused, Err(WriteError::Closed)));
    assert!(matches!(
        store.drop_cluster("c").await,
        Err(StoreError::Closed)
    ));
    expect![[r#"1001: default/a=1@1001"#]]
        .assert_eq(&shown(&cluster.list("configmaps", Some("default"))));
}
