//! v1beta1 of [`MachineHealthCheck`](crate::cluster::MachineHealthCheck).

use super::health;
use crate::conversion::moves::{inside, same};
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "MachineHealthCheck",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[("RemediationAllowed", "RemediationAllowed")],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/machinehealthchecks.txt"),
    v1beta2: crate::cluster::machine_health_check::crd,
};

const MOVES: &[Move] = &[
    inside("spec", health::CHECK),
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same("status.v1beta2.conditions", "status.conditions"),
];
