//! Protobuf of built-in kinds, by the table: bodies become the JSON that Go would print, and JSON becomes the messages
//! that Go would send. Nothing here knows a kind.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(super) use read::{envelope, message};
#[cfg(test)]
use write::document;
pub(crate) use write::{List, frame, object, value};

/// First bytes of every protobuf document of Kubernetes.
const MAGIC: &[u8] = b"k8s\0";
