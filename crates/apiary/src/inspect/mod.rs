//! Looking into clusters: what `apiary get`, `describe` and `why` show, for objects of any provider.
//!
//! `read` gathers a cluster with everything that belongs to it or is referred to; all else here is pure: objects in, rows or
//! sentences out. Objects are read by the contract of Cluster API (references, `status.initialization`, conditions), so a
//! provider that nobody here knows shows as well as ours.

pub mod list;
pub mod read;
pub mod table;
pub mod tree;
pub mod why;
mod world;

pub use world::{
    CLUSTER_GROUP, Key, Missing, Reference, World, is_control_plane, is_controlled_by, references,
};

#[cfg(test)]
pub(crate) mod testing;
