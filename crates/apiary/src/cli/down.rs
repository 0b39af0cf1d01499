//! `apiary down`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::config::{DataDir, default_data_dir};
use crate::control;
use crate::ui::Ui;

/// Stop a running `apiary up`
///
/// The data stays: the next `apiary up` goes on with it.
#[derive(Debug, Args)]
pub(super) struct Down {
    /// The data directory of the server to stop [default: ~/.local/share/apiary]
    #[arg(long, value_name = "DIR", env = "APIARY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Also delete the data directory with all clusters in it
    #[arg(long)]
    delete_data: bool,
}

impl Down {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let data = DataDir(self.data_dir.map_or_else(default_data_dir, Ok)?);
        if control::stop(&data.control_socket()).await? {
            ui.note("stopped");
        } else if !self.delete_data {
            bail!("no `apiary up` runs on {}", data.0.display());
        }
        if self.delete_data {
            if !data.store().exists() {
                bail!(
                    "{} is no data directory of Apiary: nothing was deleted",
                    data.0.display()
                );
            }
            std::fs::remove_dir_all(&data.0)
                .with_context(|| format!("deleting {}", data.0.display()))?;
            ui.note(&format!("deleted {}", data.0.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
