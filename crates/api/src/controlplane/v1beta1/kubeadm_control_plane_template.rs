//! v1beta1 of [`KubeadmControlPlaneTemplate`](crate::controlplane::kubeadm_control_plane_template::KubeadmControlPlaneTemplate).

use super::kubeadm_control_plane::SPEC;
use crate::conversion::moves::inside;
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::CONTROL_PLANE_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CONTROL_PLANE_GROUP,
    kind: "KubeadmControlPlaneTemplate",
    moves: MOVES,
    legacy: Legacy::NONE,
    v1beta1: include_str!("../../crds/v1beta1/kubeadmcontrolplanetemplates.txt"),
    v1beta2: crate::controlplane::kubeadm_control_plane_template::crd,
};

const MOVES: &[Move] = &[inside("spec.template.spec", SPEC)];
