//! `apiary backup`

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use apiserver::store::backup::{self, Summary};
use apiserver::store::{Redb, Storage};
use clap::Args;
use serde_json::json;

use crate::config::{DataDir, default_data_dir};
use crate::control;
use crate::files::{Replacement, replace};
use crate::ui::{Format, Ui};

/// Write a backup of all clusters to a file
///
/// Everything that the management cluster and the workload clusters on this machine hold, as it is at one moment: what was
/// acknowledged before is in it. A running `apiary up` goes on meanwhile; without one, the data directory is read. The file
/// holds keys and Secrets; only its owner can read it. A file that is there already is replaced when the new one is complete
/// and checked.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The data directory to back up [default: ~/.local/share/apiary]
    #[arg(long, value_name = "DIR", env = "APIARY_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Backup {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let data = DataDir(self.data_dir.map_or_else(default_data_dir, Ok)?);
        let file = self.file.clone();
        let running = control::backup(&data.control_socket()).await?;
        let written = tokio::task::spawn_blocking(move || {
            replace(&file, |new| match running {
                Some(stream) => copy(stream, new),
                None => read(&data, new),
            })
        });
        let (summary, bytes) = written.await??;
        show(ui, &self.file, summary, bytes);
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes what the running server sends.
fn copy(mut stream: impl Read, new: &mut Replacement) -> Result<(Summary, u64)> {
    let mut to = BufWriter::new(&mut new.file);
    io::copy(&mut stream, &mut to)
        .and_then(|_| to.flush())
        .context("the backup broke off")?;
    drop(to);
    check(&mut new.file)
}

/// Reads the store that no server has.
fn read(data: &DataDir, new: &mut Replacement) -> Result<(Summary, u64)> {
    if !data.store().exists() {
        bail!(
            "there is nothing to back up in {}: has `apiary up` run here?",
            data.0.display()
        );
    }
    let mut store = Redb::open(&data.store())?;
    let mut snapshot = store.snapshot()?;
    backup::write(&mut *snapshot, BufWriter::new(&mut new.file))?;
    check(&mut new.file)
}

/// Reads the file back, as a restore would. A server that broke off leaves one without an end.
fn check(file: &mut File) -> Result<(Summary, u64)> {
    let summary = backup::verify(file).context("the backup that was written is no good")?;
    Ok((summary, file.metadata()?.len()))
}

fn show(ui: &Ui, file: &Path, summary: Summary, bytes: u64) {
    let Summary { clusters, rows } = summary;
    match ui.format() {
        Format::Text => ui.line(&format!(
            "{}: {} clusters, {} objects, {} KiB",
            file.display(),
            clusters,
            rows,
            bytes.div_ceil(1024)
        )),
        Format::Json | Format::Yaml => ui.document(
            &json!({"file": file, "clusters": clusters, "objects": rows, "bytes": bytes}),
        ),
    }
}
