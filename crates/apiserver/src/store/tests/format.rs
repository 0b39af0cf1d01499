//! Files of older formats become files of the newest, whatever happens on the way.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::disk::{Disk, Faults};
use super::*;
use crate::store::redb::{Migration, Problem};
use crate::store::{Redb, Storage, StorageError, StoredCluster};

const ROWS: TableDefinition<'_, (&str, &str, &str, &str), &[u8]> = TableDefinition::new("rows");

/// As a migration would: rewrites all rows.
fn replace(write: &WriteTransaction, from: &str, to: &str) -> Result<(), Problem> {
    let mut rows = write.open_table(ROWS)?;
    let mut all = Vec::new();
    for entry in rows.iter()? {
        let (key, value) = entry?;
        let (id, resource, namespace, name) = key.value();
        let key = [id, resource, namespace, name].map(str::to_owned);
        let (revision, json) = value.value().split_at(8);
        let json = String::from_utf8_lossy(json).replace(from, to);
        all.push((key, [revision, json.as_bytes()].concat()));
    }
    for ([id, resource, namespace, name], value) in &all {
        rows.insert((&**id, &**resource, &**namespace, &**name), &**value)?;
    }
    Ok(())
}

fn second(write: &WriteTransaction) -> Result<(), Problem> {
    replace(write, "first", "second")
}

fn third(write: &WriteTransaction) -> Result<(), Problem> {
    replace(write, "second", "third")
}

fn failing(write: &WriteTransaction) -> Result<(), Problem> {
    replace(write, "second", "nothing")?;
    Err(Problem::Damaged("the migration does not know this".into()))
}

fn open(disk: &Disk, migrations: &'static [Migration]) -> Result<Redb, StorageError> {
    let disk = disk.clone();
    Redb::migrated(move || Ok(disk.handle()), migrations)
}

fn loaded(disk: &Disk, migrations: &'static [Migration]) -> Result<Vec<StoredCluster>, String> {
    let mut log = open(disk, migrations).map_err(|error| error.to_string())?;
    log.load().map_err(|error| error.to_string())
}

/// A store of format 1 with some objects.
async fn first_format() -> Disk {
    let disk = Disk::default();
    let store = Store::open(open(&disk, &[]).unwrap()).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    for n in 0..20 {
        put(&cluster, &key("default", &format!("o{n}")), "first").await;
    }
    store.close().await;
    disk
}

fn says(stored: &[StoredCluster]) -> String {
    let texts: std::collections::BTreeSet<_> = stored[0]
        .rows
        .iter()
        .map(|(_, row)| match row {
            crate::store::Row::Object { json, .. } => {
                let value: Value = serde_json::from_slice(json).unwrap();
                value["data"].as_str().unwrap().to_owned()
            }
            crate::store::Row::Tombstone { .. } => "-".into(),
        })
        .collect();
    assert_eq!(stored[0].rows.len(), 20);
    texts.into_iter().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_older_format_is_migrated_step_by_step_and_an_unknown_newer_one_is_refused() {
    let disk = first_format().await;
    assert_eq!(says(&loaded(&disk, &[]).unwrap()), "first");
    assert_eq!(says(&loaded(&disk, &[second]).unwrap()), "second");
    // A step that fails leaves the format before it, which its version still reads.
    expect_test::expect!["the store's backend is damaged or not a store: the migration does not know this; restore it from a backup"]
        .assert_eq(&loaded(&disk, &[second, failing]).unwrap_err());
    assert_eq!(says(&loaded(&disk, &[second]).unwrap()), "second");
    assert_eq!(says(&loaded(&disk, &[second, third]).unwrap()), "third");
    assert_eq!(says(&loaded(&disk, &[second, third]).unwrap()), "third");
    expect_test::expect!["the store's backend was written by a newer version (format 3, this version reads up to 2); use that version"]
        .assert_eq(&loaded(&disk, &[second]).unwrap_err());
    // A new store begins with the newest.
    let new = Disk::default();
    assert!(loaded(&new, &[second, third]).unwrap().is_empty());
    assert!(loaded(&new, &[second]).is_err());
}

#[tokio::test]
async fn a_power_loss_during_a_migration_leaves_one_format_or_the_other() {
    let disk = first_format().await;
    let whole = disk.copy();
    let before = whole.actions();
    loaded(&whole, &[second, third]).unwrap();
    let actions = whole.actions() - before;
    println!("{actions} actions");
    for at in 0..actions {
        let disk = disk.copy();
        disk.set_faults(Faults {
            power_loss_at: Some(disk.actions() + at),
            ..Faults::default()
        });
        // It may be over before the power goes: closing writes as well.
        loaded(&disk, &[second, third]).unwrap_or_default();
        disk.power_cycle(at);
        assert_eq!(
            says(&loaded(&disk, &[second, third]).unwrap()),
            "third",
            "power lost at {at}"
        );
    }
}
