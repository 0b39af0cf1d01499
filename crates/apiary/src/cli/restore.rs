//! `apiary restore`

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use apiserver::store::backup::{self, RestoreError, Summary};
use apiserver::store::{Redb, StorageError};
use clap::Args;
use serde_json::json;

use crate::config::default_data_dir;
use crate::files;
use crate::ui::{Format, Ui};

/// Make a data directory from a backup
///
/// All clusters are as they were at the moment of the backup; `apiary up` on the directory goes on from there. What clients
/// have seen since is gone: their watches are told to begin anew. The server must be stopped (`apiary down`).
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup to read
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The data directory to make [default: ~/.local/share/apiary]
    #[arg(long, value_name = "DIR", env = "APIARY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Take the place of the clusters that are there; their store is kept beside, with the ending `.replaced`
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let data = files::open_data_dir(self.data_dir.map_or_else(default_data_dir, Ok)?)?;
        let (file, store) = (self.file.clone(), data.store());
        let may_replace = self.replace;
        let restored = tokio::task::spawn_blocking(move || restore(&file, &store, may_replace));
        let Summary { clusters, rows } = restored.await??;
        let place = data.0.display();
        match ui.format() {
            Format::Text => ui.line(&format!("{place}: {clusters} clusters, {rows} objects")),
            Format::Json | Format::Yaml => {
                ui.document(&json!({"dataDir": data.0, "clusters": clusters, "objects": rows}));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn restore(file: &Path, store: &Path, may_replace: bool) -> Result<Summary> {
    let named = || format!("restoring {}", file.display());
    let mut backup = File::open(file).with_context(named)?;
    let is_there = store.exists();
    if is_there && !may_replace {
        bail!(
            "{} holds clusters already: choose another directory with --data-dir, or say --replace",
            store.display()
        );
    }
    // Held to the end, so that nobody starts on it meanwhile. One that is damaged is what backups are for.
    let _held = match is_there.then(|| Redb::open(store)).transpose() {
        Err(error @ StorageError::Locked { .. }) => {
            return Err(error)
                .context("a server runs on this data directory: `apiary down` stops it");
        }
        held => held.ok(),
    };
    let new = store.with_extension("restored");
    files::remove(&new)?;
    let summary = fill(&mut backup, &new).with_context(named);
    if summary.is_err() {
        files::remove(&new)?;
    }
    let summary = summary?;
    if is_there {
        files::rename(store, &store.with_extension("replaced"))?;
    }
    files::rename(&new, store)?;
    Ok(summary)
}

/// A new store that is closed again.
fn fill(backup: &mut File, new: &Path) -> Result<Summary, RestoreError> {
    let mut log = Redb::open(new)?;
    backup::restore(backup, &mut log)
}
