//! How things stand with a workload cluster, as plans see it.

use jiff::Timestamp;
use runtime::Remote;

/// How things stand with a workload cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Link {
    /// Nobody could connect yet, and why.
    #[default]
    NotYet,
    /// It answers.
    Up,
    /// It answered once but doesn't now.
    Down { since: Timestamp, message: String },
}

impl Link {
    /// Whether it answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }

    /// What to tell users if it doesn't answer.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::NotYet => "Remote connection not established yet".to_owned(),
            Self::Up => String::new(),
            Self::Down { since, message } => {
                format!(
                    "Connection down since {}: {message}",
                    runtime::rfc3339(*since)
                )
            }
        }
    }
}

impl From<&Remote> for Link {
    fn from(remote: &Remote) -> Self {
        match remote {
            Remote::Connected { .. } => Self::Up,
            Remote::NoKubeconfig | Remote::BadKubeconfig(_) | Remote::Connecting => Self::NotYet,
            Remote::Unreachable { since, message } => Self::Down {
                since: *since,
                message: message.clone(),
            },
        }
    }
}
