//! The kinds of the kubeadm control plane provider.

pub mod kubeadm_control_plane;

pub use kubeadm_control_plane::{
    KubeadmControlPlane, KubeadmControlPlaneSpec, KubeadmControlPlaneStatus,
};
