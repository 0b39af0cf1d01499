//! Cluster API: core, kubeadm bootstrap and control plane, infrastructure providers.
