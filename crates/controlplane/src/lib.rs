//! An embedded Kubernetes: the API server with the built-in controllers, a scheduler, a signer and simulated nodes.

pub mod bootstrap;
pub mod clusterrole;
pub mod csr;
pub mod garbage;
pub mod namespace;
pub mod rootca;
pub mod serviceaccount;

use std::sync::Arc;

use runtime::Controllers;

/// Adds the controllers that keep a cluster itself in order: namespaces with what every one of them has, garbage,
/// certificates, bootstrap tokens and aggregated roles. `signer` signs with the cluster's certificate authority, whose
/// certificates `authority_pem` holds.
#[must_use]
pub fn add_housekeeping(
    controllers: Controllers,
    signer: Arc<dyn csr::Signer>,
    authority_pem: &str,
) -> Controllers {
    controllers
        .add(namespace::NamespaceController)
        .add(serviceaccount::ServiceAccountController)
        .add(rootca::RootCaController::new(authority_pem))
        .add(clusterrole::ClusterRoleController)
        .add(csr::CsrController::new(signer))
        .add(bootstrap::BootstrapController)
        .add_task("garbage collector", garbage::run)
}
