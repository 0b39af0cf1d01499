//! Where the control planes of clusters run: in the process of the management cluster that made them, also when their objects have been
//! moved to another one. The machines of a moved cluster are started anew in the other process, and reach the control plane where it is.

use std::sync::Arc;

use api::infrastructure::LocalCluster;
use api::infrastructure::local_cluster::HOST;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use runtime::{Cx, GatherError};

use crate::object;

/// The name of this management cluster, as [`HOST`] has it.
///
/// # Errors
/// If Namespaces can't be read.
pub(super) async fn own(cx: &Cx) -> Result<Option<String>, GatherError> {
    let namespace: Option<Arc<Namespace>> = cx.get("", "kube-system").await?;
    Ok(namespace.and_then(|namespace| namespace.uid()))
}

/// Whether the control plane of the cluster runs in the process of another management cluster.
#[must_use]
pub(super) fn is_away(local: &LocalCluster, own: Option<&str>) -> bool {
    let host = object::annotation(&local.metadata, HOST);
    host.is_some_and(|host| own.is_some_and(|own| own != host))
}
