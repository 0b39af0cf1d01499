//! v1beta1 of [`KubeadmConfig`](crate::bootstrap::kubeadm_config::KubeadmConfig).

use super::kubeadm;
use crate::conversion::moves::{inside, same};
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::BOOTSTRAP_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: BOOTSTRAP_GROUP,
    kind: "KubeadmConfig",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[
            ("Ready", "Ready"),
            ("DataSecretAvailable", "DataSecretAvailable"),
            ("CertificatesAvailable", "CertificatesAvailable"),
        ],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/kubeadmconfigs.txt"),
    v1beta2: crate::bootstrap::kubeadm_config::crd,
};

const MOVES: &[Move] = &[
    inside("spec", kubeadm::SPEC),
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same(
        "status.failureReason",
        "status.deprecated.v1beta1.failureReason",
    ),
    same(
        "status.failureMessage",
        "status.deprecated.v1beta1.failureMessage",
    ),
    same("status.ready", "status.initialization.dataSecretCreated"),
    same("status.v1beta2.conditions", "status.conditions"),
];
