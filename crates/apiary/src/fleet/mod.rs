//! The fleet as people see it: organizations, clusters, machines and apps, each with its state and, where something is
//! not ready, the reason. `status` prints it once, `up` while it grows.

mod read;
mod tree;

pub use read::{World, read, read_in};
pub use tree::{Node, State, text, tree};
