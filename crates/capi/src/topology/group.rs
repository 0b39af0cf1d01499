//! What there is of the groups of workers of a topology: MachineDeployments and MachinePools by one view. Pure.

use std::sync::Arc;

use api::cluster::{MachineDeployment, WorkersKind};
use api::meta::{VersionCount, labels};
use kube::Resource;
use kube::core::ObjectMeta;

use super::World;
use crate::object;

/// The label of objects that names the entry of the topology they were made for.
pub(super) fn entry_label(kind: WorkersKind) -> &'static str {
    match kind {
        WorkersKind::MachineDeployment => labels::TOPOLOGY_DEPLOYMENT_NAME,
        WorkersKind::MachinePool => labels::TOPOLOGY_POOL_NAME,
    }
}

/// A MachineDeployment or MachinePool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    pub metadata: &'a ObjectMeta,
    /// The version that its machines should have.
    pub version: &'a str,
    /// The versions that they have.
    versions: &'a [VersionCount],
}

impl Group<'_> {
    pub(super) fn name(&self) -> String {
        self.metadata.name.clone().unwrap_or_default()
    }

    /// Whether its machines do not all have its version yet.
    pub(super) fn is_upgrading(&self) -> bool {
        self.versions.iter().any(|v| v.version != self.version)
    }
}

impl World {
    /// All groups of a kind that were made for the topology, also those that are on their way out.
    pub(super) fn groups(&self, kind: WorkersKind) -> Vec<Group<'_>> {
        match kind {
            WorkersKind::MachineDeployment => {
                let groups = self.deployments.iter().map(|d| Group {
                    metadata: d.meta(),
                    version: d.spec.template.spec.version.as_deref().unwrap_or_default(),
                    versions: d
                        .status
                        .as_ref()
                        .and_then(|s| s.versions.as_deref())
                        .unwrap_or_default(),
                });
                groups.collect()
            }
            WorkersKind::MachinePool => {
                let groups = self.pools.iter().map(|p| Group {
                    metadata: p.meta(),
                    version: p.spec.template.spec.version.as_deref().unwrap_or_default(),
                    versions: p
                        .status
                        .as_ref()
                        .and_then(|s| s.versions.as_deref())
                        .unwrap_or_default(),
                });
                groups.collect()
            }
        }
    }
}

/// The MachineDeployment for an entry of the topology, unless it is on its way out.
pub(super) fn deployment_of<'a>(world: &'a World, entry: &str) -> Option<&'a MachineDeployment> {
    let is_it = |deployment: &&Arc<MachineDeployment>| {
        object::label(&deployment.metadata, labels::TOPOLOGY_DEPLOYMENT_NAME) == Some(entry)
            && deployment.metadata.deletion_timestamp.is_none()
    };
    world.deployments.iter().find(is_it).map(|d| &**d)
}

/// The group for an entry of the topology, unless it is on its way out.
pub(super) fn group_of<'a>(world: &'a World, kind: WorkersKind, entry: &str) -> Option<Group<'a>> {
    let label = entry_label(kind);
    let is_it = |group: &Group<'_>| {
        object::label(group.metadata, label) == Some(entry)
            && group.metadata.deletion_timestamp.is_none()
    };
    world.groups(kind).into_iter().find(is_it)
}
