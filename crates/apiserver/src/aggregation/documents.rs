//! What an extension server says about itself: its resources, and its OpenAPI documents. All of it is cut down to the group
//! version that it is asked for, and nothing of it is believed to be well-formed.
//!
//! A cluster has so much room for all of this. What does not fit is left out, and its server is asked again later.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::remote::{Ask, Dialer, Remote, RemoteSpec};
use super::resources;
use crate::auth::MASTERS;
use crate::discovery::AGGREGATED_CONTENT_TYPE;
use crate::openapi::{self, Part};
use crate::rest::respond;

/// Discovery must come in this time.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// OpenAPI documents may take longer to write.
const OPEN_API_TIMEOUT: Duration = Duration::from_secs(20);
/// As whom discovery is asked for.
const DISCOVERER: (&str, &[&str]) = ("system:kube-aggregator", &[MASTERS]);
/// As whom OpenAPI documents are asked for.
const AGGREGATOR: (&str, &[&str]) = ("system:aggregator", &[]);
/// Bytes of documents of extension servers that one cluster keeps.
pub(super) const MAX_KEPT: usize = 32 * 1024 * 1024;
/// Discovery is kept as values, which take so many times the bytes of their text.
const PARSED: usize = 8;
/// Documents that are read at a time in this process: each may take many times its bytes while it is.
const MAX_READERS: usize = 4;
static READERS: Semaphore = Semaphore::const_new(MAX_READERS);

/// Something with the tag of the document that it stood in.
type Tagged<T> = (T, Option<Box<str>>);

/// The room of a cluster for documents.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_KEPT)))
    }

    /// A place for something of so many bytes.
    ///
    /// # Errors
    /// In words.
    fn place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, String> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.0).try_acquire_many_owned(wanted);
        place.map_err(|_| {
            format!(
                "it takes {bytes} bytes, and all extension API servers of the cluster may have {MAX_KEPT}"
            )
        })
    }
}

/// Something that is kept, in its place.
pub(super) struct Kept<T> {
    pub(super) value: T,
    _place: OwnedSemaphorePermit,
}

/// What is known of one extension server. The default is that of one that was never asked.
#[derive(Clone, Default)]
pub(super) struct Documents {
    /// Its entry in aggregated discovery.
    entry: Option<Tagged<Arc<Kept<Arc<Value>>>>>,
    /// Whether it could not say last time.
    is_stale: bool,
    /// Where its document of version 3 is, with the hash of its content.
    pub(super) v3: Option<Box<str>>,
    /// Its document of version 2.
    pub(super) v2: Option<Arc<Kept<Part>>>,
    v2_etag: Option<Box<str>>,
}

impl Documents {
    /// The entry in aggregated discovery; without resources, and marked, if the server cannot be asked. `None` for a server
    /// that was not asked yet.
    pub(super) fn entry(&self, spec: &RemoteSpec, is_available: bool) -> Option<Arc<Value>> {
        if !is_available || self.is_stale {
            let stale = json!({"version": spec.version, "freshness": "Stale"});
            return Some(Arc::new(stale));
        }
        self.entry.as_ref().map(|(entry, _)| entry.value.clone())
    }
}

/// How asking again went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refreshed {
    /// Something is not as it was.
    pub is_new: bool,
    pub has_failed: bool,
}

/// Asks what it serves. While it does not say, discovery is marked as stale.
pub(super) async fn refresh_resources(
    remote: &Remote,
    dialer: Dialer<'_>,
    room: &Room,
) -> Refreshed {
    let known = remote.documents.load_full();
    let (entry, is_stale) = match discover(remote, dialer, (&known, room)).await {
        Ok(found) => (found.or_else(|| known.entry.clone()), false),
        Err(why) => {
            tracing::debug!(
                name = &*remote.spec.name,
                why,
                "an extension API server has no discovery"
            );
            // What is not told of needs no room.
            (None, true)
        }
    };
    let value = |entry: &Option<Tagged<Arc<Kept<Arc<Value>>>>>| {
        entry.as_ref().map(|(entry, _)| entry.value.clone())
    };
    let is_new = is_stale != known.is_stale || value(&entry) != value(&known.entry);
    remote.documents.rcu(|known| Documents {
        entry: entry.clone(),
        is_stale,
        ..Documents::clone(known)
    });
    Refreshed {
        is_new,
        has_failed: is_stale,
    }
}

/// Asks for its OpenAPI documents. What cannot be had stays as it was.
pub(super) async fn refresh_open_api(
    remote: &Remote,
    dialer: Dialer<'_>,
    room: &Room,
) -> Refreshed {
    let known = remote.documents.load_full();
    let mut fresh = Documents::clone(&known);
    let mut has_failed = false;
    match v3(remote, dialer).await {
        Ok(found) => fresh.v3 = found,
        Err(why) => {
            has_failed = true;
            tracing::debug!(
                name = &*remote.spec.name,
                why,
                "an extension API server has no OpenAPI v3"
            );
        }
    }
    match v2(remote, dialer, (known.v2_etag.as_deref(), room)).await {
        Ok(Some((document, etag))) => {
            fresh.v2 = document.map(Arc::new);
            fresh.v2_etag = etag;
        }
        // It is as it was.
        Ok(None) => {}
        Err(Failure::NoRoom(why)) => {
            has_failed = true;
            tracing::warn!(
                name = &*remote.spec.name,
                why,
                "the OpenAPI v2 document of an extension API server is left out"
            );
            // The next one may find the room of this one.
            (fresh.v2, fresh.v2_etag) = (None, None);
        }
        Err(Failure::Of(why)) => {
            has_failed = true;
            tracing::debug!(
                name = &*remote.spec.name,
                why,
                "an extension API server has no OpenAPI v2"
            );
        }
    }
    let part = |v2: &Option<Arc<Kept<Part>>>| v2.as_ref().map(|kept| kept.value.clone());
    let is_new = fresh.v3 != known.v3 || part(&fresh.v2) != part(&known.v2);
    remote.documents.rcu(|known| Documents {
        entry: known.entry.clone(),
        is_stale: known.is_stale,
        ..fresh.clone()
    });
    Refreshed { is_new, has_failed }
}

/// Why a document cannot be had.
enum Failure {
    /// There is no room for it.
    NoRoom(String),
    Of(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Of(why)
    }
}

/// Reads what may be large, without keeping others from their turn.
async fn read<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let _reader = READERS.acquire().await.map_err(|error| error.to_string())?;
    let read = tokio::task::spawn_blocking(work).await;
    read.unwrap_or_else(|error| Err(error.to_string()))
}

/// The entry in discovery with its tag; `None` if it is the known one.
async fn discover(
    remote: &Remote,
    dialer: Dialer<'_>,
    (known, room): (&Documents, &Room),
) -> Result<Option<Tagged<Arc<Kept<Arc<Value>>>>>, String> {
    let spec = &remote.spec;
    let ask = Ask {
        path: "/apis",
        accept: AGGREGATED_CONTENT_TYPE,
        etag: known.entry.as_ref().and_then(|(_, etag)| etag.as_deref()),
        user: DISCOVERER,
        timeout: DISCOVERY_TIMEOUT,
    };
    let (parts, bytes) = remote.fetch(dialer, &ask).await?;
    let media_type = respond::text(&parts.headers, &header::CONTENT_TYPE).unwrap_or_default();
    let is_aggregated = media_type.contains("as=APIGroupDiscoveryList");
    match parts.status {
        StatusCode::NOT_MODIFIED => return Ok(None),
        StatusCode::SERVICE_UNAVAILABLE => return Err(answered(parts.status)),
        StatusCode::OK if is_aggregated => {
            let spec = spec.clone();
            let entry = read(move || resources::aggregated(&spec, json(&bytes)?)).await?;
            return Ok(Some((keep(entry, room)?, etag(&parts.headers))));
        }
        _ => {}
    }
    let path = format!("/apis/{}/{}", spec.group, spec.version);
    let ask = Ask {
        path: &path,
        accept: "application/json",
        etag: None,
        ..ask
    };
    let (parts, bytes) = remote.fetch(dialer, &ask).await?;
    if parts.status != StatusCode::OK {
        return Err(answered(parts.status));
    }
    let spec = spec.clone();
    let entry = read(move || resources::legacy(&spec, json(&bytes)?)).await?;
    Ok(Some((keep(entry, room)?, None)))
}

/// The entry in its place.
fn keep(entry: Value, room: &Room) -> Result<Arc<Kept<Arc<Value>>>, String> {
    let place = room.place(PARSED * entry.to_string().len())?;
    Ok(Arc::new(Kept {
        value: Arc::new(entry),
        _place: place,
    }))
}

fn answered(code: StatusCode) -> String {
    format!("it answered {}", code.as_u16())
}

fn json(bytes: &Bytes) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("it answered what is no JSON: {error}"))
}

fn etag(headers: &HeaderMap) -> Option<Box<str>> {
    respond::text(headers, &header::ETAG).map(Into::into)
}

/// Where the document of version 3 of our group version is; `None` if there is none.
async fn v3(remote: &Remote, dialer: Dialer<'_>) -> Result<Option<Box<str>>, String> {
    let spec = &remote.spec;
    let ask = Ask {
        path: "/openapi/v3",
        accept: "application/json",
        etag: None,
        user: AGGREGATOR,
        timeout: OPEN_API_TIMEOUT,
    };
    let (parts, bytes) = remote.fetch(dialer, &ask).await?;
    match parts.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        code => return Err(answered(code)),
    }
    let key = format!("apis/{}/{}", spec.group, spec.version);
    let index = json(&bytes)?;
    let url = index["paths"][&key]["serverRelativeURL"].as_str();
    // Clients are not to be led anywhere else.
    let ours = format!("/openapi/v3/{key}");
    let is_ours = |url: &&str| {
        url.strip_prefix(&ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
    };
    Ok(url.filter(is_ours).map(Into::into))
}

/// The document of version 2, cut down, if there is one; `None` if it is the known one.
async fn v2(
    remote: &Remote,
    dialer: Dialer<'_>,
    (known, room): (Option<&str>, &Room),
) -> Result<Option<Tagged<Option<Kept<Part>>>>, Failure> {
    let spec = &remote.spec;
    let ask = Ask {
        path: "/openapi/v2",
        accept: "application/json",
        etag: known,
        user: AGGREGATOR,
        timeout: OPEN_API_TIMEOUT,
    };
    let (parts, bytes) = remote.fetch(dialer, &ask).await?;
    match parts.status {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED => return Ok(None),
        StatusCode::NOT_FOUND => return Ok(Some((None, None))),
        code => return Err(Failure::Of(answered(code))),
    }
    let prefix = format!("/apis/{}/{}/", spec.group, spec.version);
    let part = read(move || {
        let document = openapi::cut_down(json(&bytes)?, &prefix);
        Ok(Part::new(document.to_string().into()))
    });
    let part = part.await?;
    let kept = Kept {
        _place: room.place(part.len()).map_err(Failure::NoRoom)?,
        value: part,
    };
    Ok(Some((Some(kept), etag(&parts.headers))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_cluster_share_its_room() {
        let room = Room::new();
        let most = room.place(MAX_KEPT - 10).unwrap();
        let why = room.place(11).map(drop).unwrap_err();
        assert_eq!(
            why,
            "it takes 11 bytes, and all extension API servers of the cluster may have 33554432"
        );
        let rest = room.place(10).unwrap();
        drop(most);
        assert!(room.place(MAX_KEPT).is_err());
        drop(rest);
        assert!(room.place(MAX_KEPT).is_ok());
    }
}
