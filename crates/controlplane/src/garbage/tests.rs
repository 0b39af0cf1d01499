//! From changes to tasks.

use expect_test::{Expect, expect};
use runtime::{Header, Listener};

use super::*;

fn owner(uid: &str, is_blocking: bool) -> Owner {
    Owner {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: format!("d-{uid}"),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(is_blocking),
    }
}

fn header(owners: Vec<Owner>, finalizers: &[&str]) -> Header {
    Header {
        namespace: "ns".to_owned(),
        name: "x".to_owned(),
        uid: "u".to_owned(),
        owners,
        is_deleting: !finalizers.is_empty(),
        finalizers: finalizers.iter().map(|f| (*f).to_owned()).collect(),
        ..Header::default()
    }
}

fn check(old: Option<Header>, new: Option<Header>, expect: &Expect) {
    let resource = ApiResource {
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        plural: "replicasets".to_owned(),
    };
    let queue = Arc::new(Queue::default());
    let listener = KindListener {
        resource,
        queue: Arc::clone(&queue),
    };
    listener.changed(old.as_ref(), new.as_ref());
    let mut text = String::new();
    while let Some((task, _)) = queue.take(Instant::now()) {
        text.push_str(&match &task {
            Task::Look {
                resource,
                namespace,
                name,
            } => format!("look at {} {namespace}/{name}\n", resource.kind),
            Task::Bereaved { uid } => format!("look at dependents of {uid}\n"),
            Task::Owner { namespace, owner } => {
                format!("look at {} {namespace}/{}\n", owner.kind, owner.name)
            }
        });
        queue.done(&task);
    }
    expect.assert_eq(&text);
}

#[test]
fn objects_without_owners_cost_nothing() {
    check(None, Some(header(vec![], &[])), &expect![[""]]);
    check(
        Some(header(vec![], &[])),
        Some(header(vec![], &["example.com/x"])),
        &expect![[""]],
    );
}

#[test]
fn owners_are_looked_at_when_they_change() {
    check(
        None,
        Some(header(vec![owner("a", true)], &[])),
        &expect![[r#"
            look at ReplicaSet ns/x
        "#]],
    );
    check(
        Some(header(vec![owner("a", true)], &[])),
        Some(header(vec![owner("a", true)], &[])),
        &expect![[""]],
    );
    check(
        Some(header(vec![owner("a", true)], &[])),
        Some(header(vec![owner("b", true)], &[])),
        &expect![[r#"
            look at ReplicaSet ns/x
            look at Deployment ns/d-a
        "#]],
    );
}

#[test]
fn what_goes_is_news_for_dependents_and_blocked_owners() {
    check(
        Some(header(vec![owner("a", true), owner("b", false)], &[])),
        None,
        &expect![[r#"
            look at dependents of u
            look at Deployment ns/d-a
        "#]],
    );
    let successor = Header {
        uid: "v".to_owned(),
        ..header(vec![], &[])
    };
    check(
        Some(header(vec![], &[])),
        Some(successor),
        &expect![[r#"
        look at dependents of u
    "#]],
    );
}

#[test]
fn foreground_and_orphan_deletions_are_looked_at() {
    check(
        None,
        Some(header(vec![], &["foregroundDeletion"])),
        &expect![[r#"
            look at ReplicaSet ns/x
        "#]],
    );
    check(
        None,
        Some(header(vec![], &["orphan"])),
        &expect![[r#"
        look at ReplicaSet ns/x
    "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_is_queued_once_and_again_if_it_changed_while_it_ran() {
    let queue = Queue::default();
    let task = Task::Bereaved {
        uid: "u".to_owned(),
    };
    queue.push(task.clone());
    queue.push(task.clone());
    let now = Instant::now();
    let (taken, failures) = queue.take(now).unwrap();
    assert_eq!((taken, failures), (task.clone(), 0));
    assert!(queue.take(now).is_none());
    queue.push(task.clone());
    assert!(queue.take(now).is_none(), "it is running");
    queue.done(&task);
    assert!(queue.take(now).is_some());
    queue.retry(task.clone(), 1, Duration::from_secs(1));
    assert!(queue.take(now).is_none());
    assert_eq!(
        queue.take(now + Duration::from_secs(1)),
        Some((task.clone(), 1))
    );
    queue.retry(task.clone(), 2, Duration::from_secs(1));
    queue.push(task.clone());
    assert_eq!(
        queue.take(now),
        Some((task.clone(), 0)),
        "news do not wait for the retry"
    );
    queue.done(&task);
    assert!(queue.take(now + Duration::from_secs(60)).is_none());
}
