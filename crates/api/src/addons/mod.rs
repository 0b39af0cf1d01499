//! What new clusters get: sets of resources that are applied to them.

pub mod cluster_resource_set;
pub mod cluster_resource_set_binding;
pub mod v1beta1;

pub use cluster_resource_set::{
    ClusterResourceSet, ClusterResourceSetSpec, ClusterResourceSetStatus,
};
pub use cluster_resource_set_binding::{ClusterResourceSetBinding, ClusterResourceSetBindingSpec};
