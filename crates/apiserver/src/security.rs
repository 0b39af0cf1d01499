//! What guards the clusters of a server beyond what all of them have.

use std::sync::Arc;

use crate::audit::Audit;

/// The audit of a cluster, by the cluster's id; none writes nothing down.
pub type AuditOf = Arc<dyn Fn(&str) -> Option<Audit> + Send + Sync>;

/// What a server may be told about its security. The default adds nothing.
#[derive(Clone, Default)]
pub struct Security {
    /// Who writes down what is asked of each cluster; nobody by default. Called once for each cluster.
    pub audit: Option<AuditOf>,
}

impl Security {
    pub(crate) fn audit(&self, cluster: &str) -> Option<Audit> {
        self.audit.as_ref().and_then(|audit| audit(cluster))
    }
}
