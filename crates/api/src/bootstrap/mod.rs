//! The kinds of the kubeadm bootstrap provider.

pub mod kubeadm;
pub mod kubeadm_config;
pub mod kubeadm_config_template;
pub mod v1beta1;

pub use kubeadm_config::{KubeadmConfig, KubeadmConfigSpec, KubeadmConfigStatus};
pub use kubeadm_config_template::{KubeadmConfigTemplate, KubeadmConfigTemplateSpec};
