//! `apiary completions`

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::ui::Ui;

/// Print a completion script for a shell
///
/// For bash: `source <(apiary completions bash)`
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, ui: &Ui) -> anyhow::Result<ExitCode> {
        let mut script = vec![];
        clap_complete::generate(self.shell, &mut super::command(), "apiary", &mut script);
        ui.line(String::from_utf8(script)?.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
