//! Tenants: organizations.

#[expect(
    clippy::module_inception,
    reason = "one file per kind, and this kind is called like its group"
)]
pub mod organization;

pub use organization::{Organization, OrganizationSpec, OrganizationStatus};
