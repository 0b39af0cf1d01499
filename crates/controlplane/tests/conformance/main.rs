//! The conformance tests of Kubernetes 1.36 that need no real container, as tests of our own: same behaviour, own words.
//! Each is named by its codename (`inventory.tsv`); `inventory` holds the suite
//! against that list and writes `docs/conformance.md`.
//!
//! Every test has a control plane of its own, in one process and in virtual time, and talks HTTP to it.

#[cfg(test)]
mod agnhost;
#[cfg(test)]
mod apps;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod chunking;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod conversion;
#[cfg(test)]
mod crd;
#[cfg(test)]
mod daemonsets;
#[cfg(test)]
mod deployments;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod disruption;
#[cfg(test)]
mod dra;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod events;
#[cfg(test)]
mod field_validation;
#[cfg(test)]
mod flowcontrol;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod inventory;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kind;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod network;
#[cfg(test)]
mod node;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod placement;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod replicasets;
#[cfg(test)]
mod scheduling;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod statefulsets;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod taints;
#[cfg(test)]
mod watchers;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod world;
