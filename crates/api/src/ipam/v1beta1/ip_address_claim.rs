//! v1beta1 of [`IPAddressClaim`](crate::ipam::IPAddressClaim).

use crate::conversion::moves::same;
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::IPAM_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: IPAM_GROUP,
    kind: "IPAddressClaim",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[("Ready", "Ready")],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/ipaddressclaims.txt"),
    v1beta2: crate::ipam::ip_address_claim::crd,
};

const MOVES: &[Move] = &[
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same("status.v1beta2.conditions", "status.conditions"),
];
