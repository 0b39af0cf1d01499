//! Texts of objects that are in this process already, because their server is.

use bytes::Bytes;
use kube::core::ApiResource;

use crate::cache::Header;

/// Where the texts of a server's objects may be in memory already. Caches then hold no copies of them.
pub trait Texts: std::fmt::Debug + Send + Sync {
    /// The text of an object in the state that `header` names, if it is at hand. It is compared with what the server has sent, so a
    /// wrong one does no harm.
    fn text(&self, resource: &ApiResource, header: &Header) -> Option<Bytes>;
}
