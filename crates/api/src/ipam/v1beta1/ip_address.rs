//! v1beta1 of [`IPAddress`](crate::ipam::IPAddress): nothing is called differently.

use crate::conversion::{Kind, Legacy};
use crate::meta::IPAM_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: IPAM_GROUP,
    kind: "IPAddress",
    moves: &[],
    legacy: Legacy::NONE,
    v1beta1: include_str!("../../crds/v1beta1/ipaddresses.txt"),
    v1beta2: crate::ipam::ip_address::crd,
};
