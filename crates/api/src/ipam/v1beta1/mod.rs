//! v1beta1 of claims and addresses: what it calls differently.

pub mod ip_address;
pub mod ip_address_claim;
