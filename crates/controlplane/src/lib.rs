//! An embedded Kubernetes: the API server with the built-in controllers, a scheduler, a signer and simulated nodes.
//!
//! Everything here works through the Kubernetes API and nothing else. A control plane ([`planes`]) is a logical cluster of
//! the API server plus these controllers; nodes are simulated ([`kubelet`]), and say so.

mod amounts;
pub mod bootstrap;
mod claim;
pub mod clusterrole;
pub mod connect;
pub mod cronjob;
pub mod csr;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpointslice;
pub mod endpointslicemirroring;
pub mod ephemeralvolume;
pub mod garbage;
mod history;
pub mod horizontalpodautoscaler;
pub mod identity;
pub mod job;
pub mod kubelet;
pub mod metrics;
pub mod namespace;
pub mod nodelifecycle;
pub mod nodettl;
pub mod planes;
pub mod pod;
pub mod podgc;
pub mod provisioner;
pub mod replicaset;
pub mod replicationcontroller;
pub mod resourcequota;
pub mod rootca;
pub mod scheduler;
pub mod serviceaccount;
pub mod statefulset;
pub mod tainteviction;
pub mod volume;
pub mod volumebinder;
pub mod volumeprotection;

pub use connect::{InProcessConnector, StoredTexts, in_process};
pub use planes::{ControlPlane, ControlPlanes};

use std::sync::Arc;

use runtime::Controllers;

/// Adds the controllers that keep a cluster itself in order: namespaces with what every one of them has, garbage,
/// certificates, tokens, aggregated roles and volumes that are deleted. `signer` signs with the cluster's certificate
/// authority, whose certificates `authority_pem` holds; `issuer` issues tokens of its ServiceAccounts.
#[must_use]
pub fn add_housekeeping(
    controllers: Controllers,
    signer: Arc<dyn csr::Signer>,
    issuer: Arc<dyn serviceaccount::token::TokenIssuer>,
    authority_pem: &str,
) -> Controllers {
    controllers
        .add(namespace::NamespaceController)
        .add(serviceaccount::ServiceAccountController)
        .add(serviceaccount::token::TokenController::new(
            issuer,
            authority_pem,
        ))
        .add(rootca::RootCaController::new(authority_pem))
        .add(clusterrole::ClusterRoleController)
        .add(csr::CsrController::new(signer))
        .add(resourcequota::ResourceQuotaController::default())
        .add(bootstrap::BootstrapController)
        .add(volumeprotection::ClaimProtection)
        .add(volumeprotection::VolumeProtection)
        .add_task("garbage collector", garbage::run)
        .add_task("identity lease", identity::run)
}

/// Adds the controllers that run workloads: Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets, Jobs
/// and CronJobs, disruption budgets, the addresses of Services, nodes and their pods, volumes, autoscalers, and
/// the scheduler.
#[must_use]
pub fn add_workloads(controllers: Controllers) -> Controllers {
    let nodes = daemonset::NodeNews::default();
    controllers
        .add(deployment::DeploymentController)
        .add(replicaset::ReplicaSetController)
        .add(replicationcontroller::ReplicationManager)
        .add(statefulset::StatefulSetController)
        .add(daemonset::DaemonSetController::new(nodes.clone()))
        .add_task("nodes of daemon sets", move |cluster| {
            nodes.clone().run(cluster)
        })
        .add(cronjob::CronJobController)
        .add(disruption::DisruptionController)
        .add(job::JobController)
        .add(job::OrphanController)
        .add(job::TtlController)
        .add(endpointslice::EndpointSliceController)
        .add(endpointslicemirroring::MirroringController)
        .add(nodelifecycle::NodeLifecycleController)
        .add(nodettl::NodeTtlController)
        .add(tainteviction::TaintEvictionController::default())
        .add(podgc::PodCollector::default())
        .add(volumebinder::ClaimBinder)
        .add(volumebinder::VolumeBinder)
        .add(ephemeralvolume::EphemeralVolumeController)
        .add(provisioner::Provisioner)
        .add(provisioner::Remover)
        .add(provisioner::DefaultClass)
        .add(metrics::MetricsReader)
        .add(horizontalpodautoscaler::AutoscalerController::default())
        .add_task("scheduler", scheduler::run)
}
