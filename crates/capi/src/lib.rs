//! Cluster API: core, kubeadm bootstrap and control plane, infrastructure providers.
//!
//! One folder per controller, each gather → plan → apply → status. The controllers know each other only through objects, by the v1beta2
//! contract. See [`controllers`] for how they are run.

pub mod bootstrap;
pub mod cluster;
pub mod clusterclass;
pub mod clusterresourceset;
pub mod clusterresourcesetbinding;
pub mod condition;
pub mod contract;
mod departing;
pub mod etcd;
pub mod extensionconfig;
pub mod hook;
pub mod infra;
pub mod kcp;
mod kubeconfig;
pub mod link;
pub mod machine;
pub mod machinedeployment;
pub mod machinehealthcheck;
pub mod machinepool;
pub mod machineset;
mod metadata;
mod names;
pub mod object;
mod part;
mod pause;
pub mod pki;
mod remediation;
mod replicas;
pub mod secret;
mod template;
#[cfg(test)]
mod testing;
pub mod topology;
mod yaml;

use std::sync::Arc;

use api::meta::Endpoint;
use runtime::Controllers;

use infra::local::Host;

/// Adds all controllers of Cluster API. `host` runs what simulated machines need; `endpoint` is where the API servers of all clusters on it
/// answer; `extensions` are those that are parts of this process.
#[must_use]
pub fn controllers(
    controllers: Controllers,
    host: Arc<dyn Host>,
    endpoint: Endpoint,
    extensions: hook::Extensions,
) -> Controllers {
    let caller = Arc::new(hook::Caller::new(extensions));
    let local_cluster = infra::local::cluster::LocalClusterController {
        host: Arc::clone(&host),
        endpoint,
    };
    controllers
        .add(clusterclass::ClusterClassController {
            caller: Arc::clone(&caller),
        })
        .add(extensionconfig::ExtensionConfigController {
            caller: Arc::clone(&caller),
        })
        .add(topology::TopologyController { caller })
        .add(cluster::ClusterController)
        .add(machine::MachineController)
        .add(machineset::MachineSetController)
        .add(machinedeployment::MachineDeploymentController)
        .add(machinepool::MachinePoolController)
        .add(machinehealthcheck::MachineHealthCheckController)
        .add(clusterresourceset::ClusterResourceSetController)
        .add(clusterresourcesetbinding::ClusterResourceSetBindingController)
        .add(bootstrap::KubeadmConfigController)
        .add(kcp::KubeadmControlPlaneController)
        .add(local_cluster)
        .add(infra::local::machinepool::LocalMachinePoolController)
        .add(infra::local::machine::LocalMachineController::new(host))
}
