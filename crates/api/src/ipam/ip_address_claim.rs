//! Asks a pool for an address.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, ContractRef, CrdExt, DeprecatedConditions, DeprecatedV1Beta1, FieldError, schema,
};

/// Which pool is asked for an address. Cannot be changed.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "ipam.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "IPAddressClaim",
    status = "IPAddressClaimStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressClaimSpec {
    /// The cluster that the address is for. Default: the one that the label `cluster.x-k8s.io/cluster-name` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: Option<String>,
    /// The pool that the address is to come from.
    pub pool_ref: ContractRef,
}

/// What the provider of the pool answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct IPAddressClaimStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// The IPAddress that was made for this claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_ref: Option<AddressRef>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedConditions>>,
}

/// Names an IPAddress of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressRef {
    /// Its name.
    #[schemars(regex(pattern = schema::SUBDOMAIN), length(min = 1, max = 253))]
    pub name: String,
}

/// Conditions of an IPAddressClaim; the provider of the pool sets them.
pub mod conditions {
    /// There is an address, and `status.addressRef` names it.
    pub const READY: &str = "Ready";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Pool Name", "string", ".spec.poolRef.name"),
    ("Pool Kind", "string", ".spec.poolRef.kind"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    IPAddressClaim::crd().cluster_api(COLUMNS)
}

/// What is wrong with an IPAddressClaim, also compared to what it was.
#[must_use]
pub fn validate(new: &IPAddressClaim, old: Option<&IPAddressClaim>) -> Vec<FieldError> {
    let mut errors = vec![];
    match old {
        Some(old) if old.spec != new.spec => {
            let detail = "cannot be changed; make another IPAddressClaim";
            errors.push(FieldError::forbidden("spec", detail));
        }
        Some(_) => {}
        None => check_pool(&new.spec.pool_ref, &mut errors),
    }
    errors
}

/// Objects that were written as v1beta1 may have no group.
pub(super) fn check_pool(pool: &ContractRef, errors: &mut Vec<FieldError>) {
    if pool.api_group.is_empty() {
        errors.push(FieldError::required(
            "spec.poolRef.apiGroup",
            "must be the API group of the pool's kind, such as ipam.cluster.x-k8s.io",
        ));
    }
}
