//! An address that a pool has given to a claim.

use std::net::IpAddr;

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::crd::AGE_PATH;
use crate::meta::{ContractRef, CrdExt, FieldError, schema};

/// An address of a pool; made by the pool's provider as the answer to a claim. Cannot be changed.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "ipam.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "IPAddress",
    plural = "ipaddresses",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressSpec {
    /// The claim that this address was made for.
    pub claim_ref: ClaimRef,
    /// The pool that the address is from.
    pub pool_ref: ContractRef,
    /// The address, IPv4 or IPv6.
    #[schemars(length(min = 1, max = 39))]
    pub address: String,
    /// The length of the prefix of the address's network in bits: up to 32 for IPv4, up to 128 for IPv6.
    #[schemars(range(min = 0, max = 128))]
    pub prefix: i32,
    /// The address of the network's gateway, of the same family. Default: the network has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    pub gateway: Option<String>,
}

/// Names an IPAddressClaim of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimRef {
    /// Its name.
    #[schemars(regex(pattern = schema::SUBDOMAIN), length(min = 1, max = 253))]
    pub name: String,
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Address", "string", ".spec.address"),
    ("Pool Name", "string", ".spec.poolRef.name"),
    ("Pool Kind", "string", ".spec.poolRef.kind"),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    IPAddress::crd().cluster_api(COLUMNS)
}

/// What is wrong with an IPAddress, also compared to what it was.
#[must_use]
pub fn validate(new: &IPAddress, old: Option<&IPAddress>) -> Vec<FieldError> {
    let spec = &new.spec;
    if let Some(old) = old {
        // What is there already stays as it is, whatever it looks like.
        let is_same = *spec == old.spec;
        let detail = "cannot be changed; the provider of the pool makes another IPAddress";
        return (!is_same)
            .then(|| FieldError::forbidden("spec", detail))
            .into_iter()
            .collect();
    }
    let mut errors = vec![];
    super::ip_address_claim::check_pool(&spec.pool_ref, &mut errors);
    let address = check_address("spec.address", &spec.address, &mut errors);
    if let Some(address) = address {
        let (family, max) = family(address);
        if !(0..=max).contains(&spec.prefix) {
            let detail = format!(
                "{} must be from 0 to {max}: {address} is an address of {family}",
                spec.prefix
            );
            errors.push(FieldError::invalid("spec.prefix", detail));
        }
    }
    if let Some(text) = &spec.gateway
        && let Some(gateway) = check_address("spec.gateway", text, &mut errors)
        && let Some(address) = address
        && gateway.is_ipv4() != address.is_ipv4()
    {
        let (family, _) = family(address);
        let detail = format!("{gateway} must be an address of {family}, as spec.address is");
        errors.push(FieldError::invalid("spec.gateway", detail));
    }
    errors
}

fn family(address: IpAddr) -> (&'static str, i32) {
    match address {
        IpAddr::V4(_) => ("IPv4", 32),
        IpAddr::V6(_) => ("IPv6", 128),
    }
}

fn check_address(path: &str, text: &str, errors: &mut Vec<FieldError>) -> Option<IpAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let detail = format!("{text:?} must be an address such as 10.0.0.7 or fd00::7");
        errors.push(FieldError::invalid(path, detail));
    }
    address
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::ipam::{IPAddressClaim, ip_address_claim};

    fn address(spec: &str) -> IPAddress {
        let pool =
            "claimRef: {name: c}, poolRef: {apiGroup: ipam.cluster.x-k8s.io, kind: Pool, name: p}";
        serde_saphyr::from_str(&format!(
            "{{metadata: {{name: a}}, spec: {{{pool}, {spec}}}}}"
        ))
        .unwrap()
    }

    fn check(specs: &[&str], expect: Expect) {
        let lines = specs.iter().flat_map(|spec| validate(&address(spec), None));
        expect.assert_eq(&lines.map(|error| format!("{error}\n")).collect::<String>());
    }

    #[test]
    fn addresses_are_of_one_family() {
        check(
            &[
                "address: 10.0.0.7, prefix: 24, gateway: 10.0.0.1",
                "address: fd00::7, prefix: 64, gateway: fd00::1",
                "address: 10.0.0.7, prefix: 0",
                "address: fd00::7, prefix: 128",
            ],
            expect![[""]],
        );
        check(
            &[
                "address: 10.0.0.7, prefix: 33",
                "address: fd00::7, prefix: 129",
                "address: 10.0.0.7, prefix: 24, gateway: fd00::1",
                "address: fd00::7, prefix: 64, gateway: 10.0.0.1",
                "address: 10.0.0.07, prefix: 24, gateway: nowhere",
                "address: fe80::1%eth0, prefix: 64",
            ],
            expect![[r#"
                spec.prefix: Invalid value: 33 must be from 0 to 32: 10.0.0.7 is an address of IPv4
                spec.prefix: Invalid value: 129 must be from 0 to 128: fd00::7 is an address of IPv6
                spec.gateway: Invalid value: fd00::1 must be an address of IPv4, as spec.address is
                spec.gateway: Invalid value: 10.0.0.1 must be an address of IPv6, as spec.address is
                spec.address: Invalid value: "10.0.0.07" must be an address such as 10.0.0.7 or fd00::7
                spec.gateway: Invalid value: "nowhere" must be an address such as 10.0.0.7 or fd00::7
                spec.address: Invalid value: "fe80::1%eth0" must be an address such as 10.0.0.7 or fd00::7
            "#]],
        );
    }

    #[test]
    fn addresses_and_claims_stay_as_they_are() {
        let old = address("address: 10.0.0.7, prefix: 24");
        let new = address("address: 10.0.0.8, prefix: 24");
        assert!(validate(&old, Some(&old)).is_empty());
        let claim: IPAddressClaim = serde_saphyr::from_str(
            "{metadata: {name: c}, spec: {poolRef: {apiGroup: '', kind: Pool, name: p}}}",
        )
        .unwrap();
        let mut other = claim.clone();
        other.spec.cluster_name = Some("hello".into());
        assert!(ip_address_claim::validate(&claim, Some(&claim)).is_empty());
        let found = validate(&new, Some(&old))
            .into_iter()
            .chain(ip_address_claim::validate(&other, Some(&claim)))
            .chain(ip_address_claim::validate(&claim, None));
        expect![[r#"
            spec: Forbidden: cannot be changed; the provider of the pool makes another IPAddress
            spec: Forbidden: cannot be changed; make another IPAddressClaim
            spec.poolRef.apiGroup: Required value: must be the API group of the pool's kind, such as ipam.cluster.x-k8s.io
        "#]].assert_eq(&found.map(|error| format!("{error}\n")).collect::<String>());
    }
}
