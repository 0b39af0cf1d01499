//! The `local` provider: machines on this host that boot from their real bootstrap data.
//!
//! A LocalMachine is simulated: no processes of an operating system run. But its guest reads the cloud-init document that a machine in a cloud
//! would read, and does what `kubeadm` would do with it, against the real API. What the guest needs of the machine under it — control
//! planes, kubelets, a network — is the [`Host`].

pub mod cluster;
pub mod guest;
mod host;
pub mod jws;
pub mod machine;
pub mod machinepool;

pub use host::{ClusterId, ControlPlaneSpec, Host, KubeletSettings, KubeletSpec, Pki};
