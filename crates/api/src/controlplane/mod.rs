//! The kinds of the kubeadm control plane provider.

pub mod coredns;
pub mod kubeadm_control_plane;
pub mod kubeadm_control_plane_template;
pub mod v1beta1;

pub use kubeadm_control_plane::{
    KubeadmControlPlane, KubeadmControlPlaneSpec, KubeadmControlPlaneStatus,
};
pub use kubeadm_control_plane_template::{
    KubeadmControlPlaneTemplate, KubeadmControlPlaneTemplateSpec,
};
