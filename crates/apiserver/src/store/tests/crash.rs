//! What is left after power losses, failing disks, and kills.

use std::collections::BTreeMap;
use std::path::Path;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::{Disk, Faults};
use super::*;
use crate::store::{Redb, StorageError, StoreError, WriteError};

/// Name → data.
type Objects = BTreeMap<String, u64>;

/// The states that a cluster went through, the first at revision 1000, in the order in which writes were handed in.
pub(super) struct Attempts {
    states: Vec<Objects>,
    /// The newest acknowledged revision.
    acknowledged: u64,
}

fn open(disk: &Disk) -> Result<Store, StoreError> {
    let disk = disk.clone();
    Store::open(Redb::with_backend(move || Ok(disk.handle()))?)
}

fn objects(cluster: &ClusterStore) -> Objects {
    let listing = cluster.list("configmaps", Some("default"));
    let named = listing.objects.iter().map(|o| {
        let data = o.value()["data"]["n"].as_u64().unwrap();
        (o.header.name.to_string(), data)
    });
    named.collect()
}

impl Attempts {
    /// Of a cluster that is [`prepared`].
    pub(super) fn after_preparation() -> Self {
        Self {
            // The second is that of revision 1001: the deletion.
            states: vec![Objects::new(); 2],
            acknowledged: 1001,
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Hands in some concurrent writes. The answer is whether all were acknowledged.
    pub(super) async fn burst(&mut self, cluster: &ClusterStore, rng: &mut StdRng) -> bool {
        let mut writes = Vec::new();
        let mut names: Vec<u32> = (0..rng.random_range(1..8))
            .map(|_| rng.random_range(0..12))
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut state = self.states.last().unwrap().clone();
            let name = format!("o{name}");
            let key = key("default", &name);
            let n = self.states.len() as u64;
            // Some are larger than a page, some than many.
            let padding = "p".repeat(rng.random_range(0..2_usize) * rng.random_range(0..20_000));
            let value = object(&key, json!({"n": n, "padding": padding}));
            let change = if state.contains_key(&name) && rng.random_bool(0.3) {
                state.remove(&name);
                Change::Delete(value)
            } else {
                state.insert(name, n);
                Change::Put(value)
            };
            self.states.push(state);
            let expected = expected(cluster, &key);
            let revision = 1000 + n;
            writes.push(async move { (revision, cluster.write(&key, expected, change).await) });
        }
        let mut all = true;
        for (revision, answer) in join_all(writes).await {
            match answer {
                Ok(written) => {
                    assert_eq!(written.header.revision, revision);
                    self.acknowledged = self.acknowledged.max(revision);
                }
                Err(WriteError::Storage(_)) => all = false,
                Err(other) => panic!("{other}"),
            }
        }
        all
    }

    /// The cluster is what it was at some revision, not older than `at_least`.
    pub(super) fn check(&self, cluster: &ClusterStore, at_least: u64) {
        let revision = cluster.revision();
        assert!(revision >= at_least, "{revision} is older than {at_least}");
        let state = usize::try_from(revision - 1000).unwrap();
        assert_eq!(objects(cluster), self.states[state]);
        let base_b = cluster.get(&key("kube-system", "base-b"));
        assert!(base_b.is_none(), "a deleted object of the base came back");
    }
}

/// A cluster whose base object is deleted (revision 1000 of [`Attempts`]).
pub(super) async fn prepared(store: &Store) -> ClusterStore {
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    delete(&cluster, &key("kube-system", "base-b")).await;
    cluster
}

/// The cluster of [`prepared`] in a store that was opened again.
pub(super) async fn open_again(store: &Store) -> ClusterStore {
    store.attach_base("c", base()).await.unwrap()
}

pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(test);
}

/// Writes until the power goes, at an action drawn from `seed`, and looks at what is left.
async fn lose_power(seed: u64, lie: bool) {
    let mut rng = StdRng::seed_from_u64(seed);
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let cluster = prepared(&store).await;
    let now = disk.actions();
    let power_loss_at = Some(now + rng.random_range(0..400));
    let lie_from = lie.then(|| now + rng.random_range(0..100));
    disk.set_faults(Faults {
        power_loss_at,
        lie_from,
        ..Faults::default()
    });
    let mut attempts = Attempts::after_preparation();
    let mut bursts = 0;
    while attempts.burst(&cluster, &mut rng).await {
        bursts += 1;
        assert!(bursts < 400, "every burst takes some actions of the disk");
    }
    store.close().await;
    disk.power_cycle(seed);
    let store = match open(&disk) {
        Ok(store) => store,
        // Only a disk that lied may leave nothing usable, and then the store says so.
        Err(StoreError::Storage(error)) if lie => {
            assert!(matches!(*error, StorageError::Corrupt { .. }), "{error}");
            println!("{error}");
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    if lie && store.records().is_empty() {
        return; // The creation itself was among the lies.
    }
    let cluster = store.attach_base("c", base()).await.unwrap();
    if lie && cluster.revision() == 1000 {
        return; // So was the deletion in `prepared`.
    }
    println!(
        "acknowledged {}, found {}",
        attempts.acknowledged,
        cluster.revision()
    );
    attempts.check(&cluster, if lie { 1001 } else { attempts.acknowledged });
    // It goes on from there.
    let reached = usize::try_from(cluster.revision() - 1000).unwrap();
    attempts.states.truncate(reached + 1);
    assert!(attempts.burst(&cluster, &mut rng).await);
    store.close().await;
    let store = open(&disk).unwrap();
    let cluster = store.attach_base("c", base()).await.unwrap();
    attempts.check(&cluster, attempts.states.len() as u64 + 999);
    store.close().await;
}

#[test]
fn after_a_power_loss_all_acknowledged_writes_are_there_and_no_half_ones() {
    for seed in 0..60 {
        println!("seed {seed}");
        run(lose_power(seed, false));
    }
}

#[test]
fn after_syncs_that_lied_the_store_is_an_earlier_one_or_says_that_it_is_damaged() {
    for seed in 0..60 {
        println!("seed {seed}");
        run(lose_power(seed, true));
    }
}

/// A disk that fails for a while and recovers, under a process that lives on.
async fn fail_for_a_while(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let cluster = prepared(&store).await;
    let mut failures = 0;
    for _ in 0..12 {
        let from = disk.actions() + rng.random_range(0..40);
        let window = Some((from, from + rng.random_range(1..10)));
        disk.set_faults(if rng.random_bool(0.5) {
            Faults {
                fail: window,
                ..Faults::default()
            }
        } else {
            Faults {
                fail_after_sync: window,
                ..Faults::default()
            }
        });
        for n in 0..8_u64 {
            let key = key("default", &format!("o{}", rng.random_range(0..4)));
            let before = cluster.get(&key).map(|o| o.header.revision);
            let revision = cluster.revision();
            let change = Change::Put(object(&key, json!({"n": n})));
            match cluster.write(&key, expected(&cluster, &key), change).await {
                Ok(written) => assert_eq!(cluster.revision(), written.header.revision),
                Err(WriteError::Storage(_)) => {
                    failures += 1;
                    assert_eq!(cluster.revision(), revision);
                    assert_eq!(cluster.get(&key).map(|o| o.header.revision), before);
                    assert_eq!(cluster.newest(&key).map(|o| o.header.revision), before);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(failures > 0);
    disk.set_faults(Faults::default());
    let last = key("default", "last");
    let change = Change::Put(object(&last, json!({"n": 0})));
    cluster
        .write(&last, Expected::Absent, change)
        .await
        .unwrap();
    store.close().await;
    let store = open(&disk).unwrap();
    let again = store.attach_base("c", base()).await.unwrap();
    assert_eq!(
        shown(&again.list("configmaps", None)),
        shown(&cluster.list("configmaps", None))
    );
    store.close().await;
}

#[test]
fn a_disk_that_recovers_holds_what_was_acknowledged_and_nothing_else() {
    for seed in 0..20 {
        println!("seed {seed}");
        run(fail_for_a_while(seed));
    }
}

#[test]
fn a_damaged_file_is_refused_or_read_as_it_was() {
    run(async {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        let cluster = prepared(&store).await;
        for n in 0..40_u64 {
            put(&cluster, &key("default", &format!("o{n}")), json!({"n": n})).await;
        }
        store.close().await;
        let mut rng = StdRng::seed_from_u64(7);
        let mut refused = 0;
        let places: Vec<usize> = (0..200).map(|_| rng.random_range(0..disk.len())).collect();
        for at in places.into_iter().chain([0, 9, 10, 12, 64, 70, 192]) {
            let damaged = disk.copy();
            damaged.damage(at);
            match open(&damaged) {
                Ok(store) => {
                    let again = store.attach_base("c", base()).await.unwrap();
                    assert_eq!(objects(&again), objects(&cluster), "byte {at}");
                    store.close().await;
                }
                Err(StoreError::Storage(error)) => {
                    let is_named = matches!(*error, StorageError::Corrupt { .. });
                    assert!(is_named, "byte {at}: {error}");
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        println!("{refused} of 207 damages were refused");
        assert!((1..207).contains(&refused));
        disk.truncate(disk.len() / 2);
        let Err(StoreError::Storage(error)) = open(&disk) else {
            panic!("half a file must be refused");
        };
        assert!(matches!(*error, StorageError::Corrupt { .. }), "{error}");
    });
}

#[test]
fn a_dropped_cluster_leaves_no_row_on_disk() {
    run(async {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        let keep = store.create_cluster("c1", json!({}), base()).await.unwrap();
        let gone = store
            .create_cluster("c", json!({"ca": "x"}), base())
            .await
            .unwrap();
        for n in 0..20_u64 {
            put(&keep, &key("default", &format!("o{n}")), json!({"n": n})).await;
            put(&gone, &key("default", &format!("o{n}")), json!({"n": n})).await;
        }
        delete(&gone, &key("kube-system", "base-a")).await;
        store.drop_cluster("c").await.unwrap();
        store.close().await;
        assert!(disk.contains(b"\"n\":19"));
        let mut log = Redb::with_backend(move || Ok(disk.handle())).unwrap();
        let stored = crate::store::Storage::load(&mut log).unwrap();
        let rows: Vec<_> = stored.iter().map(|c| (&*c.id, c.rows.len())).collect();
        assert_eq!(rows, [("c1", 20)]);
    });
}

#[test]
fn opening_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let text = |path: &Path| {
        let error = Redb::open(path).err().unwrap();
        let source = std::error::Error::source(&error);
        let source = source.map(|s| format!(": {s}")).unwrap_or_default();
        let name = path.file_name().unwrap().to_string_lossy();
        format!("{error}{source}").replace(path.to_str().unwrap(), &name)
    };
    let missing = directory.path().join("missing/store");
    expect_test::expect![[r#"
        cannot open store: its directory must exist and be writable: No such file or directory (os error 2)"#]]
    .assert_eq(&text(&missing));

    let other = directory.path().join("other");
    std::fs::write(
        &other,
        "this is a text file, and it is longer than a header would be\n".repeat(100),
    )
    .unwrap();
    expect_test::expect!["other is damaged or not a store: Not a redb database: magic number mismatch; restore it from a backup"].assert_eq(&text(&other));

    let foreign = directory.path().join("foreign");
    let database = redb::Database::create(&foreign).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(redb::TableDefinition::<&str, u64>::new("theirs"))
        .unwrap();
    write.commit().unwrap();
    drop(database);
    expect_test::expect!["foreign is damaged or not a store: it is the database of another program; restore it from a backup"].assert_eq(&text(&foreign));

    let newer = directory.path().join("newer");
    drop(Redb::open(&newer).unwrap());
    let database = redb::Database::create(&newer).unwrap();
    let write = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    write.open_table(meta).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    expect_test::expect!["newer was written by a newer version (format 2, this version reads up to 1); use that version"].assert_eq(&text(&newer));

    let used = directory.path().join("used");
    let first = Redb::open(&used).unwrap();
    expect_test::expect![
        "used is in use by another process; stop that process, or choose another file"
    ]
    .assert_eq(&text(&used));
    drop(first);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&used).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}
