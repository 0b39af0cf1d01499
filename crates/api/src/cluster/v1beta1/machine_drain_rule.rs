//! v1beta1 of [`MachineDrainRule`](crate::cluster::MachineDrainRule): nothing is called differently.

use crate::conversion::{Kind, Legacy};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "MachineDrainRule",
    moves: &[],
    legacy: Legacy::NONE,
    v1beta1: include_str!("../../crds/v1beta1/machinedrainrules.txt"),
    v1beta2: crate::cluster::machine_drain_rule::crd,
};
