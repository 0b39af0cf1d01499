//! v1beta1 of [`ClusterResourceSetBinding`](crate::addons::ClusterResourceSetBinding): nothing is called differently.

use crate::conversion::{Kind, Legacy};
use crate::meta::ADDONS_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: ADDONS_GROUP,
    kind: "ClusterResourceSetBinding",
    moves: &[],
    legacy: Legacy::NONE,
    v1beta1: include_str!("../../crds/v1beta1/clusterresourcesetbindings.txt"),
    v1beta2: crate::addons::cluster_resource_set_binding::crd,
};
