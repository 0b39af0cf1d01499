//! Where things are: the environment is read here and nowhere else.

use std::path::PathBuf;

use anyhow::{Result, anyhow};

/// The port of the API, unless another is asked for.
pub const DEFAULT_PORT: u16 = 6443;
/// Kubernetes version of the management cluster and of new workload clusters.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// The data directory when none is named: `$XDG_DATA_HOME/apiary`, or `~/.local/share/apiary`.
///
/// # Errors
/// When the environment names no home.
pub fn default_data_dir() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("apiary"))
        .ok_or_else(|| {
            anyhow!("no home directory is known: say where to keep data with --data-dir")
        })
}

/// Whether colours are unwanted (<https://no-color.org>).
#[must_use]
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Files of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(pub PathBuf);

impl DataDir {
    /// The store of all clusters.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("apiary.redb")
    }

    /// The administrator's kubeconfig of the management cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// The port of the API, as text: kubeconfigs of the clusters in here name it.
    #[must_use]
    pub fn port(&self) -> PathBuf {
        self.0.join("port")
    }

    /// Where a running server listens for `apiary down` and `apiary backup`.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}
