//! `apiary version`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::config::KUBERNETES_VERSION;
use crate::ui::{Format, Ui};

/// The version of this build.
pub(super) const TEXT: &str = env!("CARGO_PKG_VERSION");

/// Print the versions of Apiary and of the Kubernetes it serves
#[derive(Debug, Args)]
pub(super) struct Version {}

impl Version {
    #[expect(clippy::unnecessary_wraps, reason = "all commands have one shape")]
    pub(super) fn run(self, ui: &Ui) -> anyhow::Result<ExitCode> {
        let Self {} = self;
        match ui.format() {
            Format::Text => ui.line(&format!("apiary {TEXT}\nkubernetes {KUBERNETES_VERSION}")),
            Format::Json | Format::Yaml => {
                ui.document(&json!({"apiary": TEXT, "kubernetes": KUBERNETES_VERSION}));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
