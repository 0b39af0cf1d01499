//! How things stand with a workload cluster, as plans see it.

use api::cluster::Cluster;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use runtime::{Cx, GatherError, Remote};

/// How things stand with a workload cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Link {
    /// Nobody could connect yet, and why.
    #[default]
    NotYet,
    /// There is no way to it: its kubeconfig is missing or unusable, and why.
    Closed(String),
    /// It answers.
    Up,
    /// It answered once but doesn't now.
    Down { since: Timestamp, message: String },
}

/// How long what was known of a cluster counts although it doesn't answer.
const GRACE: SignedDuration = SignedDuration::from_mins(5);

impl Link {
    /// Whether it has not answered for so long that what was known of it doesn't count any more.
    #[must_use]
    pub fn is_lost(&self, now: Timestamp) -> bool {
        matches!(self, Self::Closed(_)) || self.lost_at().is_some_and(|at| now >= at)
    }

    /// From when on what was known doesn't count, if it doesn't answer until then.
    #[must_use]
    pub fn lost_at(&self) -> Option<Timestamp> {
        match self {
            Self::Down { since, .. } => since.checked_add(GRACE).ok(),
            Self::NotYet | Self::Closed(_) | Self::Up => None,
        }
    }

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
            Self::Closed(why) => why.clone(),
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
            Remote::Connecting => Self::NotYet,
            Remote::NoKubeconfig | Remote::BadKubeconfig(_) => Self::Closed(remote.to_string()),
            Remote::Unreachable { since, message } => Self::Down {
                since: *since,
                message: message.clone(),
            },
        }
    }
}

/// The way to a workload cluster; `None` before its control plane has answered once. Where nobody manages the control plane, its
/// first Node is what tells that it has.
pub(crate) async fn reach(
    cx: &Cx,
    cluster: Option<&Cluster>,
) -> Result<Option<Remote>, GatherError> {
    let is_open = |c: &&Cluster| {
        let spec = &c.spec;
        let is_unmanaged = spec.control_plane_ref.is_none() && spec.topology.is_none();
        c.is_control_plane_initialized() || (is_unmanaged && c.endpoint().is_some())
    };
    let Some(cluster) = cluster.filter(is_open) else {
        return Ok(None);
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let remote = cx.clusters().get(&namespace, &cluster.name_any()).await?;
    Ok(Some(remote))
}
