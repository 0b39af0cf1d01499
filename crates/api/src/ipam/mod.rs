//! Addresses that pools give away: an IPAddressClaim asks, an IPAddress answers. The pools are kinds of their providers.

pub mod ip_address;
pub mod ip_address_claim;
pub mod v1beta1;

pub use ip_address::{IPAddress, IPAddressSpec};
pub use ip_address_claim::{IPAddressClaim, IPAddressClaimSpec, IPAddressClaimStatus};
