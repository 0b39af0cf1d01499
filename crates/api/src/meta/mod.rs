//! Shapes, names and rules that several kinds share.

mod condition;
pub mod crd;
mod field_error;
pub mod labels;
mod reference;
pub mod schema;

pub use condition::{
    Condition, DeprecatedCondition, DeprecatedConditions, DeprecatedV1Beta1, find, is_true,
};
pub use crd::{CrdExt, OptionalSpec};
pub use field_error::{FieldError, FieldErrorKind};
pub use reference::{
    ContractRef, DeletionTimeouts, Endpoint, FailureDomain, Gate, MachineAddress, MachineTaint,
    ObjectMeta, ReplicaCount, SecretKey, TemplateRef, VersionCount,
};

/// The group of core kinds: Cluster, Machine, MachineSet, MachineDeployment.
pub const CLUSTER_GROUP: &str = "cluster.x-k8s.io";
/// The group of what new clusters get.
pub const ADDONS_GROUP: &str = "addons.cluster.x-k8s.io";
/// The group of bootstrap providers.
pub const BOOTSTRAP_GROUP: &str = "bootstrap.cluster.x-k8s.io";
/// The group of control plane providers.
pub const CONTROL_PLANE_GROUP: &str = "controlplane.cluster.x-k8s.io";
/// The group of infrastructure providers.
pub const INFRASTRUCTURE_GROUP: &str = "infrastructure.cluster.x-k8s.io";
/// The group of addresses and those who ask for them.
pub const IPAM_GROUP: &str = "ipam.cluster.x-k8s.io";
/// The group of runtime extensions.
pub const RUNTIME_GROUP: &str = "runtime.cluster.x-k8s.io";
/// The version of all those groups that is stored, and the contract between them.
pub const V1BETA2: &str = "v1beta2";
/// The version of core, bootstrap and control plane kinds that is served for existing manifests and tools.
pub const V1BETA1: &str = "v1beta1";
