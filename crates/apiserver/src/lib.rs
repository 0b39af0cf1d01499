//! A Kubernetes-compatible API server library that hosts many logical clusters.
//!
//! A request travels `rest` (parse, negotiate) → `auth` (who, may they) → `registry` (admission, the decision:
//! old object and request give a new object or a Status) → `store` (commit with the next revision) → watchers.
//! The library knows Kubernetes' own kinds by a table and everything else by CustomResourceDefinitions; it knows no
//! platform kind.

pub mod admission;
pub mod aggregation;
pub mod audit;
pub mod auth;
pub mod crd;
pub mod discovery;
mod expiry;
mod first;
mod flow;
mod go;
pub mod jsonpath;
mod metrics;
pub mod negotiate;
pub mod object;
pub mod openapi;
pub mod patch;
mod places;
pub mod registry;
pub mod resource;
pub mod rest;
pub mod runner;
pub mod schema;
mod security;
pub mod select;
mod serve;
mod server;
pub mod status;
pub mod store;
pub mod table;
pub mod webhook;

pub use cel::{Quantity, zone};
pub use security::{AuditOf, AuthenticationOf, Security};
pub use server::{Cluster, ClusterSpec, Config, InProcess, MoreAdmission, Server, ServerError};

#[cfg(test)]
mod testing;
