//! v1beta1 of [`KubeadmConfigTemplate`](crate::bootstrap::kubeadm_config_template::KubeadmConfigTemplate).

use super::kubeadm;
use crate::conversion::moves::inside;
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::BOOTSTRAP_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: BOOTSTRAP_GROUP,
    kind: "KubeadmConfigTemplate",
    moves: MOVES,
    legacy: Legacy::NONE,
    v1beta1: include_str!("../../crds/v1beta1/kubeadmconfigtemplates.txt"),
    v1beta2: crate::bootstrap::kubeadm_config_template::crd,
};

const MOVES: &[Move] = &[inside("spec.template.spec", kubeadm::SPEC)];
