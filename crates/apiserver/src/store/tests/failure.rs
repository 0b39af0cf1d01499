//! A log of record that fails: what callers, readers and the log itself see.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::store::backup::Snapshot;
use crate::store::{Mutation, Storage, StorageError, StoreError, StoredCluster, WriteError, lock};

/// How a commit goes.
#[derive(Clone, Copy)]
enum Outcome {
    Good,
    /// Nothing is written, and that is said.
    Lost,
    /// Everything is written, and the contrary is said.
    Landed,
}

/// A log in memory that asks before each commit how it goes.
struct Asking<Ask> {
    log: Memory,
    ask: Ask,
    is_inline: bool,
}

impl<Ask: FnMut() -> Outcome + Send + 'static> Storage for Asking<Ask> {
    fn load(&mut self) -> Result<Vec<StoredCluster>, StorageError> {
        self.log.load()
    }

    fn commit(&mut self, batch: &[Mutation]) -> Result<(), StorageError> {
        let outcome = (self.ask)();
        if matches!(outcome, Outcome::Good | Outcome::Landed) {
            self.log.commit(batch)?;
        }
        match outcome {
            Outcome::Good => Ok(()),
            Outcome::Lost | Outcome::Landed => Err(StorageError::Failed {
                doing: "committing".into(),
                source: "the test says so".into(),
            }),
        }
    }

    fn compact(&mut self) -> Result<bool, StorageError> {
        self.log.compact()
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.log.snapshot()
    }

    fn is_inline(&self) -> bool {
        self.is_inline
    }
}

/// The outcomes to come; `Good` when there is none.
type Script = Arc<Mutex<Vec<Outcome>>>;

fn scripted() -> (Store, Memory, Script) {
    let script = Script::default();
    let log = Memory::new();
    let ask = {
        let script = Arc::clone(&script);
        move || lock(&script).pop().unwrap_or(Outcome::Good)
    };
    let storage = Asking {
        log: log.clone(),
        ask,
        is_inline: true,
    };
    (Store::open(storage).unwrap(), log, script)
}

/// What a restart on the same log would find.
async fn restarted(log: &Memory, id: &str) -> Option<ClusterStore> {
    let store = Store::open(log.clone()).unwrap();
    store.attach_base(id, base()).await.ok()
}

#[tokio::test]
async fn a_failed_write_changes_nothing_wherever_it_failed() {
    for outcome in [Outcome::Lost, Outcome::Landed] {
        let (store, log, script) = scripted();
        let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
        let (a, b) = (key("default", "a"), key("default", "b"));
        let base_a = key("kube-system", "base-a");
        put(&cluster, &a, 1).await;
        delete(&cluster, &key("kube-system", "base-b")).await;
        let mut cursor = cluster
            .watch("configmaps", None, cluster.revision())
            .unwrap();
        let before = shown(&cluster.list("configmaps", None));
        for (key, change) in [
            (&a, Change::Put(object(&a, 2))),
            (&a, Change::Delete(object(&a, 2))),
            (&b, Change::Put(object(&b, 2))),
            (&base_a, Change::Delete(object(&base_a, 2))),
            (&key("kube-system", "base-b"), Change::Put(object(&a, 2))),
        ] {
            lock(&script).push(outcome);
            let failed = cluster.write(key, expected(&cluster, key), change).await;
            assert!(matches!(failed, Err(WriteError::Storage(_))));
            assert_eq!(shown(&cluster.list("configmaps", None)), before);
            assert_eq!(
                cluster.newest(key).map(|o| o.header.revision),
                cluster.get(key).map(|o| o.header.revision)
            );
        }
        assert!(cursor.try_next().is_none());
        // The next write that works also puts the log right, and no revision was given twice.
        assert_eq!(put(&cluster, &key("default", "c"), 3).await, 1008);
        assert_eq!(soon(cursor.next()).await.unwrap().revision, 1008);
        let again = restarted(&log, "c").await.unwrap();
        assert_eq!(
            shown(&again.list("configmaps", None)),
            shown(&cluster.list("configmaps", None))
        );
    }
}

#[tokio::test]
async fn failed_operations_on_clusters_change_nothing() {
    for outcome in [Outcome::Lost, Outcome::Landed] {
        let (store, log, script) = scripted();
        let cluster = store
            .create_cluster("c", json!({"ca": 1}), base())
            .await
            .unwrap();
        put(&cluster, &key("default", "a"), 1).await;
        delete(&cluster, &key("kube-system", "base-b")).await;
        let fail = || lock(&script).push(outcome);
        fail();
        let created = store.create_cluster("d", json!({}), base()).await;
        assert!(matches!(created, Err(StoreError::Storage(_))));
        fail();
        let updated = store.update_record("c", json!({"ca": 2})).await;
        assert!(matches!(updated, Err(StoreError::Storage(_))));
        fail();
        let dropped = store.drop_cluster("c").await;
        assert!(matches!(dropped, Err(StoreError::Storage(_))));
        assert_eq!(store.records(), [("c".into(), json!({"ca": 1}))]);
        put(&cluster, &key("default", "b"), 1).await;
        let again = restarted(&log, "c").await.unwrap();
        assert_eq!(
            shown(&again.list("configmaps", None)),
            shown(&cluster.list("configmaps", None))
        );
        assert!(restarted(&log, "d").await.is_none());
        let records = Store::open(log).unwrap().records();
        assert_eq!(records, [("c".into(), json!({"ca": 1}))]);
    }
}

/// A store whose commits wait for the test: it hears of each on the receiver and answers on the sender.
fn gated() -> (Store, Receiver<()>, Sender<Outcome>) {
    let (asked, asks) = channel();
    let (answer, answers) = channel();
    let ask = move || {
        asked.send(()).unwrap();
        // The test has gone away: let the writer finish.
        answers.recv().unwrap_or(Outcome::Good)
    };
    let storage = Asking {
        log: Memory::new(),
        ask,
        is_inline: false,
    };
    (Store::open(storage).unwrap(), asks, answer)
}

/// Waits until a commit begins.
fn asked(asks: &Receiver<()>) {
    let patience = std::time::Duration::from_secs(20);
    asks.recv_timeout(patience).expect("there must be a commit");
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_durable_and_what_was_built_on_it_falls_with_it() {
    let (store, asks, answer) = gated();
    answer.send(Outcome::Good).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    asked(&asks);
    let (a, b) = (key("default", "a"), key("default", "b"));
    let mut cursor = cluster.watch("configmaps", None, 1000).unwrap();
    let write = |key: &Key, expected, data: u64| {
        let (cluster, key) = (cluster.clone(), key.clone());
        let change = Change::Put(object(&key, data));
        tokio::spawn(async move { cluster.write(&key, expected, change).await })
    };
    let first = write(&a, Expected::Absent, 1);
    tokio::task::yield_now().await;
    asked(&asks); // The first write is being committed.
    assert!(cluster.get(&a).is_none());
    assert!(cursor.try_next().is_none());
    assert_eq!(cursor.revision(), 1000);
    assert_eq!(cluster.newest(&a).unwrap().header.revision, 1001);
    let second = write(&a, Expected::Revision(1001), 2);
    let third = write(&b, Expected::Absent, 3);
    tokio::task::yield_now().await;
    assert_eq!(cluster.newest(&a).unwrap().header.revision, 1002);
    assert_eq!(cluster.newest(&b).unwrap().header.revision, 1003);
    answer.send(Outcome::Lost).unwrap();
    for failed in [first, second, third] {
        let failed = soon(failed).await.unwrap();
        assert!(matches!(failed, Err(WriteError::Storage(_))), "{failed:?}");
    }
    assert!(cluster.newest(&a).is_none());
    assert_eq!(cluster.revision(), 1000);

    // Later writes share a commit.
    let first = write(&a, Expected::Absent, 1);
    tokio::task::yield_now().await;
    asked(&asks);
    let rest: Vec<_> = (0..20_u64)
        .map(|n| write(&key("default", &format!("n{n}")), Expected::Absent, n))
        .collect();
    tokio::task::yield_now().await;
    answer.send(Outcome::Good).unwrap();
    assert_eq!(soon(first).await.unwrap().unwrap().header.revision, 1004);
    answer.send(Outcome::Good).unwrap();
    for (written, revision) in rest.into_iter().zip(1005..) {
        assert_eq!(
            soon(written).await.unwrap().unwrap().header.revision,
            revision
        );
    }
    asked(&asks);
    assert!(
        asks.try_recv().is_err(),
        "twenty queued writes must be one commit"
    );
    assert_eq!(cluster.revision(), 1024);
}

#[tokio::test]
async fn writes_behind_a_drop_are_refused() {
    let (store, asks, answer) = gated();
    answer.send(Outcome::Good).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    asked(&asks);
    let dropping = tokio::spawn(async move { store.drop_cluster("c").await });
    tokio::task::yield_now().await;
    asked(&asks);
    let a = key("default", "a");
    let late = {
        let (cluster, a) = (cluster.clone(), a.clone());
        tokio::spawn(async move {
            cluster
                .write(&a, Expected::Absent, Change::Put(object(&a, 1)))
                .await
        })
    };
    tokio::task::yield_now().await;
    answer.send(Outcome::Good).unwrap();
    soon(dropping).await.unwrap().unwrap();
    assert!(matches!(soon(late).await.unwrap(), Err(WriteError::Closed)));
    assert!(cluster.get(&a).is_none() && cluster.newest(&a).is_none());
}
