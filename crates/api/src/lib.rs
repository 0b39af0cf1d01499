//! The platform's kinds: types, conditions, labels, defaulting and validation.
//!
//! One folder per API group, one file per kind. Everything here is pure: no client, no clock.

pub mod addons;
pub mod admission;
pub mod application;
pub mod bootstrap;
pub mod cluster;
pub mod controlplane;
pub mod conversion;
pub mod infrastructure;
pub mod ipam;
pub mod meta;
pub mod organization;
pub mod runtime;

use serde_json::Value;

/// The CustomResourceDefinitions of all kinds, as JSON.
#[must_use]
pub fn crds() -> Vec<Value> {
    let definitions = vec![
        cluster::cluster::crd(),
        cluster::machine::crd(),
        cluster::machine_set::crd(),
        cluster::machine_deployment::crd(),
        cluster::machine_pool::crd(),
        cluster::machine_health_check::crd(),
        cluster::machine_drain_rule::crd(),
        addons::cluster_resource_set::crd(),
        addons::cluster_resource_set_binding::crd(),
        cluster::cluster_class::crd(),
        bootstrap::kubeadm_config::crd(),
        bootstrap::kubeadm_config_template::crd(),
        controlplane::kubeadm_control_plane::crd(),
        controlplane::kubeadm_control_plane_template::crd(),
        ipam::ip_address::crd(),
        ipam::ip_address_claim::crd(),
        runtime::extension_config::crd(),
        infrastructure::local_cluster::crd(),
        infrastructure::local_cluster_template::crd(),
        infrastructure::local_machine::crd(),
        infrastructure::local_machine_template::crd(),
        infrastructure::local_machine_pool::crd(),
        infrastructure::local_machine_pool_template::crd(),
        organization::organization::crd(),
        application::catalog::crd(),
        application::app_catalog_entry::crd(),
        application::app::crd(),
        application::chart::crd(),
    ];
    definitions.into_iter().map(conversion::serve).collect()
}

#[cfg(test)]
mod app_tests;
#[cfg(test)]
mod class_tests;
#[cfg(test)]
mod crd_tests;
#[cfg(test)]
mod rule_tests;
