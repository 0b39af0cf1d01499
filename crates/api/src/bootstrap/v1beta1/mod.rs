//! v1beta1 of the kubeadm bootstrap provider's kinds: what it calls differently.

pub mod kubeadm;
pub mod kubeadm_config;
pub mod kubeadm_config_template;
