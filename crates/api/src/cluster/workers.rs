//! Groups of workers: what MachineDeployments and MachinePools have in common in classes and topologies.

use super::cluster_class::{ClassNaming, ClassTemplate, ClusterClass};
use super::topology::{Topology, Variable, VariableOverrides};
use crate::meta::{MachineTaint, ObjectMeta};

/// The kind of a group of workers, in the order in which they are upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkersKind {
    MachineDeployment,
    MachinePool,
}

impl WorkersKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::MachineDeployment, Self::MachinePool];

    /// The kind of the objects.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MachineDeployment => "MachineDeployment",
            Self::MachinePool => "MachinePool",
        }
    }

    /// The list in classes and topologies, below `workers`.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            Self::MachineDeployment => "machineDeployments",
            Self::MachinePool => "machinePools",
        }
    }

    /// What patches and names of a class call a group of this kind.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::MachineDeployment => "machineDeployment",
            Self::MachinePool => "machinePool",
        }
    }
}

/// A class of groups of workers.
#[derive(Clone, Copy, Debug)]
pub struct WorkersClassEntry<'a> {
    pub kind: WorkersKind,
    /// Its place in the list.
    pub index: usize,
    pub class: &'a str,
    pub bootstrap: &'a ClassTemplate,
    pub infrastructure: &'a ClassTemplate,
    pub naming: Option<&'a ClassNaming>,
    pub taints: Option<&'a [MachineTaint]>,
}

impl WorkersClassEntry<'_> {
    /// Where it is in the ClusterClass.
    #[must_use]
    pub fn path(&self) -> String {
        format!("spec.workers.{}[{}]", self.kind.list(), self.index)
    }
}

/// A group of workers of a topology.
#[derive(Clone, Copy, Debug)]
pub struct WorkersEntry<'a> {
    pub kind: WorkersKind,
    pub name: &'a str,
    pub class: &'a str,
    pub metadata: Option<&'a ObjectMeta>,
    pub replicas: Option<i32>,
    pub taints: Option<&'a [MachineTaint]>,
    /// Values for variables that differ from the cluster's.
    pub overrides: Option<&'a [Variable]>,
}

impl WorkersEntry<'_> {
    /// Where it is in the Cluster.
    #[must_use]
    pub fn path(&self) -> String {
        format!("spec.topology.workers.{}[{}]", self.kind.list(), self.name)
    }

    /// Whether the entry has an annotation.
    #[must_use]
    pub fn is_annotated(&self, annotation: &str) -> bool {
        let annotations = self.metadata.and_then(|m| m.annotations.as_ref());
        annotations.is_some_and(|a| a.contains_key(annotation))
    }
}

/// The values of overrides.
fn values(overrides: Option<&VariableOverrides>) -> Option<&[Variable]> {
    overrides.and_then(|v| v.overrides.as_deref())
}

impl ClusterClass {
    /// All classes of groups of workers.
    pub fn workers(&self) -> impl Iterator<Item = WorkersClassEntry<'_>> {
        let deployments = self.machine_deployments().enumerate();
        let deployments = deployments.map(|(index, c)| WorkersClassEntry {
            kind: WorkersKind::MachineDeployment,
            index,
            class: &c.class,
            bootstrap: &c.bootstrap,
            infrastructure: &c.infrastructure,
            naming: c.naming.as_ref(),
            taints: c.taints.as_deref(),
        });
        let pools = self.machine_pools().enumerate();
        deployments.chain(pools.map(|(index, c)| WorkersClassEntry {
            kind: WorkersKind::MachinePool,
            index,
            class: &c.class,
            bootstrap: &c.bootstrap,
            infrastructure: &c.infrastructure,
            naming: c.naming.as_ref(),
            taints: c.taints.as_deref(),
        }))
    }

    /// The class of this name of groups of workers of a kind.
    #[must_use]
    pub fn workers_class(&self, kind: WorkersKind, class: &str) -> Option<WorkersClassEntry<'_>> {
        self.workers().find(|c| c.kind == kind && c.class == class)
    }
}

impl Topology {
    /// The entries for all groups of workers, MachineDeployments first.
    pub fn groups(&self) -> impl Iterator<Item = WorkersEntry<'_>> {
        let deployments = self.machine_deployments().map(|e| WorkersEntry {
            kind: WorkersKind::MachineDeployment,
            name: &e.name,
            class: &e.class,
            metadata: e.metadata.as_ref(),
            replicas: e.replicas,
            taints: e.taints.as_deref(),
            overrides: values(e.variables.as_ref()),
        });
        deployments.chain(self.machine_pools().map(|e| WorkersEntry {
            kind: WorkersKind::MachinePool,
            name: &e.name,
            class: &e.class,
            metadata: e.metadata.as_ref(),
            replicas: e.replicas,
            taints: e.taints.as_deref(),
            overrides: values(e.variables.as_ref()),
        }))
    }
}
