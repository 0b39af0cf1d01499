//! v1beta1 of what new clusters get: what it calls differently.

pub mod cluster_resource_set;
pub mod cluster_resource_set_binding;
