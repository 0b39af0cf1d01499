//! v1beta1 of the kubeadm control plane provider's kinds: what it calls differently.

pub mod kubeadm_control_plane;
pub mod kubeadm_control_plane_template;
