//! The kinds of the `local` infrastructure provider: machines on this host, simulated from their real bootstrap data.

pub mod local_cluster;
pub mod local_cluster_template;
pub mod local_machine;
pub mod local_machine_pool;
pub mod local_machine_pool_template;
pub mod local_machine_template;

pub use local_cluster::{LocalCluster, LocalClusterSpec, LocalClusterStatus};
pub use local_cluster_template::{LocalClusterTemplate, LocalClusterTemplateSpec};
pub use local_machine::{LocalMachine, LocalMachineSpec, LocalMachineStatus};
pub use local_machine_pool::{LocalMachinePool, LocalMachinePoolSpec, LocalMachinePoolStatus};
pub use local_machine_pool_template::{LocalMachinePoolTemplate, LocalMachinePoolTemplateSpec};
pub use local_machine_template::{LocalMachineTemplate, LocalMachineTemplateSpec};

/// The kinds of the local provider. They have only ever had one version.
pub const KINDS: &[&str] = &[
    "LocalCluster",
    "LocalMachine",
    "LocalMachinePool",
    "LocalMachineTemplate",
];
