//! The core kinds of Cluster API: clusters and their machines.

#[expect(
    clippy::module_inception,
    reason = "one file per kind, and this kind is called like its group"
)]
pub mod cluster;
pub mod cluster_class;
pub mod cluster_class_rules;
pub mod machine;
pub mod machine_deployment;
pub mod machine_drain_rule;
pub mod machine_health_check;
pub mod machine_pool;
pub mod machine_set;
pub mod rules;
pub mod topology;
pub mod topology_rules;
pub mod v1beta1;
pub mod variables;
pub mod workers;

pub use cluster::{Cluster, ClusterSpec, ClusterStatus};
pub use cluster_class::{ClusterClass, ClusterClassSpec, ClusterClassStatus};
pub use machine::{Machine, MachineSpec, MachineStatus};
pub use machine_deployment::{MachineDeployment, MachineDeploymentSpec, MachineDeploymentStatus};
pub use machine_drain_rule::{MachineDrainRule, MachineDrainRuleSpec};
pub use machine_health_check::{
    MachineHealthCheck, MachineHealthCheckSpec, MachineHealthCheckStatus,
};
pub use machine_pool::{MachinePool, MachinePoolSpec, MachinePoolStatus};
pub use machine_set::{MachineSet, MachineSetSpec, MachineSetStatus};
pub use workers::WorkersKind;
