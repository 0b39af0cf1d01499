//! v1beta1 of [`ClusterResourceSet`](crate::addons::ClusterResourceSet).

use crate::conversion::moves::same;
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::ADDONS_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: ADDONS_GROUP,
    kind: "ClusterResourceSet",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[("ResourcesApplied", "ResourcesApplied")],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/clusterresourcesets.txt"),
    v1beta2: crate::addons::cluster_resource_set::crd,
};

const MOVES: &[Move] = &[
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same("status.v1beta2.conditions", "status.conditions"),
];
