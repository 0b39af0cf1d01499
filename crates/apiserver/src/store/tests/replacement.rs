//! The file is put in order on a disk that fails: what is there is the old one or the new one, and whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::crash::{Attempts, open_again, prepared, run};
use super::disk::{Disk, Faults, Outcome, Power};
use super::*;
use crate::store::redb::medium::Medium;
use crate::store::redb::{OpenError, build};
use crate::store::{Redb, WriteError, lock};

const FILE: &str = "store";
const SUCCESSOR: &str = "successor";

/// Which file has which name.
type Names = BTreeMap<&'static str, Disk>;

/// A folder that loses names as disks lose bytes. Clones are the same.
#[derive(Clone, Default)]
struct Folder {
    power: Power,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What survives a power loss, and after it each later state; the last is the present one.
    names: Vec<Names>,
    /// How far the making of a successor is.
    is_replacing: bool,
    replaced: u32,
}

impl Folder {
    fn store(&self) -> Result<Store, crate::store::StoreError> {
        Store::open(Redb::on(self.clone())?)
    }

    fn names(&self) -> Names {
        lock(&self.state).names.last().cloned().unwrap_or_default()
    }

    /// Changes names; the disk may lose that until it is synced.
    fn rename(&self, change: impl FnOnce(&mut Names)) -> io::Result<()> {
        let mut names = self.names();
        change(&mut names);
        let outcome = self.power.act();
        if !matches!(outcome, Outcome::Failed) {
            let states = &mut lock(&self.state).names;
            if states.is_empty() {
                states.push(Names::new());
            }
            states.push(names);
        }
        match outcome {
            Outcome::Cut | Outcome::Failed => Err(io::Error::other("the name was not changed")),
            Outcome::Done | Outcome::Promised | Outcome::Unsaid => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let outcome = self.power.act();
        if matches!(outcome, Outcome::Done | Outcome::Unsaid) {
            let names = self.names();
            lock(&self.state).names = vec![names];
        }
        match outcome {
            Outcome::Done | Outcome::Promised => Ok(()),
            Outcome::Cut | Outcome::Failed | Outcome::Unsaid => {
                Err(io::Error::other("the names were not synced"))
            }
        }
    }

    /// Whether the power went while a successor was made.
    fn was_replacing(&self) -> bool {
        lock(&self.state).is_replacing
    }

    fn power_cycle(&self, rng: &mut StdRng) {
        let mut state = lock(&self.state);
        let reached = rng.random_range(0..state.names.len());
        state.names = vec![state.names.swap_remove(reached)];
        for disk in state.names[0].values() {
            disk.lose_what_was_not_synced(rng);
        }
        state.is_replacing = false;
        self.power.restore();
    }
}

impl Medium for Folder {
    fn open(&mut self) -> Result<redb::Database, OpenError> {
        let is_there = self.names().contains_key(FILE);
        self.rename(|names| {
            names.remove(SUCCESSOR);
            if !is_there {
                names.insert(FILE, Disk::beside(&self.power));
            }
        })
        .map_err(OpenError::File)?;
        let database = build(self.names()[FILE].handle())?;
        self.sync().map_err(OpenError::File)?;
        Ok(database)
    }

    fn length(&self) -> Option<u64> {
        self.names().get(FILE).map(|disk| disk.len() as u64)
    }

    fn create_successor(&mut self) -> Result<redb::Database, OpenError> {
        lock(&self.state).is_replacing = true;
        self.rename(|names| {
            names.insert(SUCCESSOR, Disk::beside(&self.power));
        })
        .map_err(OpenError::File)?;
        build(self.names()[SUCCESSOR].handle())
    }

    fn succeed(&mut self) -> io::Result<()> {
        self.rename(|names| {
            let successor = names.remove(SUCCESSOR).unwrap();
            names.insert(FILE, successor);
        })?;
        self.sync()?;
        let mut state = lock(&self.state);
        state.is_replacing = false;
        state.replaced += 1;
        Ok(())
    }

    fn discard_successor(&mut self) {
        // The next opening does it if this fails.
        let discarded = self.rename(|names| drop(names.remove(SUCCESSOR)));
        discarded.unwrap_or_default();
    }
}

/// A cluster comes and goes, which makes a new file due, and then that is asked for. All of it may fail.
async fn come_and_go(store: &Store, id: &str) {
    if let Ok(passing) = store.create_cluster(id, json!({}), base()).await {
        let key = key("default", "a");
        let change = Change::Put(object(&key, "p".repeat(9000)));
        match passing.write(&key, Expected::Absent, change).await {
            Ok(_) | Err(WriteError::Storage(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    // One that could not be dropped stays, and so does the need for a new file.
    drop(store.drop_cluster(id).await);
    store.compact();
}

/// Writes and replaces the file until the power goes, and looks at what is left. The answer is whether it went while a
/// successor was made.
async fn lose_power(seed: u64) -> bool {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = Folder::default();
    let store = folder.store().unwrap();
    let cluster = prepared(&store).await;
    folder.power.set_faults(Faults {
        power_loss_at: Some(folder.power.actions() + rng.random_range(0..900)),
        ..Faults::default()
    });
    let mut attempts = Attempts::after_preparation();
    for n in 0_u32.. {
        if !attempts.burst(&cluster, &mut rng).await {
            break;
        }
        assert!(n < 900, "every round takes some actions of the disk");
        come_and_go(&store, &format!("passing-{n}")).await;
    }
    store.close().await;
    let was_replacing = folder.was_replacing();
    folder.power_cycle(&mut rng);
    let store = folder.store().unwrap();
    let cluster = open_again(&store).await;
    println!(
        "acknowledged {}, found {}, replaced {}",
        attempts.acknowledged(),
        cluster.revision(),
        lock(&folder.state).replaced,
    );
    attempts.check(&cluster, attempts.acknowledged());
    store.close().await;
    assert_eq!(folder.names().keys().collect::<Vec<_>>(), [&FILE]);
    was_replacing
}

#[test]
fn a_power_loss_while_the_file_is_replaced_leaves_one_that_is_whole() {
    let mut within = 0;
    for seed in 0..80 {
        println!("seed {seed}");
        run(async { within += u32::from(lose_power(seed).await) });
    }
    println!("{within} of 80 power losses were while a successor was made");
    assert!(within > 10);
}

/// A disk that fails for a while and recovers, under a process that lives on.
async fn fail_for_a_while(seed: u64) -> u32 {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = Folder::default();
    let store = folder.store().unwrap();
    let cluster = prepared(&store).await;
    for round in 0..30 {
        let from = folder.power.actions() + rng.random_range(0..60);
        let window = Some((from, from + rng.random_range(1..10)));
        let mut faults = Faults::default();
        if rng.random_bool(0.5) {
            faults.fail = window;
        } else {
            faults.fail_after_sync = window;
        }
        folder.power.set_faults(faults);
        for n in 0..3_u64 {
            let key = key("default", &format!("o{}", rng.random_range(0..4)));
            let change = Change::Put(object(&key, json!({"n": n})));
            match cluster.write(&key, expected(&cluster, &key), change).await {
                Ok(_) | Err(WriteError::Storage(_)) => {}
                Err(other) => panic!("{other}"),
            }
            come_and_go(&store, &format!("passing-{round}-{n}")).await;
        }
    }
    folder.power.set_faults(Faults::default());
    put(&cluster, &key("default", "last"), json!({"n": 0})).await;
    store.close().await;
    let store = folder.store().unwrap();
    let again = open_again(&store).await;
    let all = |cluster: &ClusterStore| shown(&cluster.list("configmaps", None));
    assert_eq!(all(&again), all(&cluster));
    store.close().await;
    lock(&folder.state).replaced
}

#[test]
fn a_disk_that_fails_while_the_file_is_replaced_loses_nothing_when_it_recovers() {
    for seed in 0..20 {
        let replaced = {
            let mut replaced = 0;
            run(async { replaced = fail_for_a_while(seed).await });
            replaced
        };
        println!("seed {seed}: replaced {replaced} times");
        assert!(replaced > 0);
    }
}
