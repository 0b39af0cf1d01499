//! OpenAPI documents: version 3 per group version with its index, version 2 as a whole.
//!
//! kubectl checks in them that the server validates fields and knows dry runs, merges patches by their extensions, and
//! explains kinds. They are written from the resources' schemas when first asked for, and kept compressed; clusters
//! that share resources share their documents.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::discovery::{Document, compare_groups, compare_versions};
use crate::negotiate::accepts_gzip;
use crate::resource::Resource;
use crate::status::Status;

mod answer;
mod components;
mod document;
mod merge;
mod merged;
mod paths;
mod protobuf;
mod protobuf_v3;
mod schema;
mod words;

pub use answer::{Answer, Ask};
pub use merge::cut_down;
pub(crate) use merged::{Merged, Part};

/// Documents kept at most; the one that was not asked for longest goes first.
const MAX_DOCUMENTS: usize = 512;
/// Documents that what others wrote is merged into at a time, each of which may take much memory.
const MAX_MERGES: usize = 2;

/// A finished document, kept compressed.
#[derive(Debug, PartialEq, Eq)]
struct Packed {
    gzip: Bytes,
    /// Hash of the content, without quotes.
    hash: String,
    media_type: &'static str,
}

impl Packed {
    fn new(value: &Value, media_type: &'static str) -> Result<Self, std::io::Error> {
        let text = value.to_string();
        let mut document = Document::new(text);
        // The index promises one hash for version 3, whatever the encoding.
        match media_type {
            answer::V2_PROTOBUF => document = Document::new(protobuf::encode(value)),
            answer::V3_PROTOBUF => document.body = protobuf_v3::encode(value).into(),
            _ => {}
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&document.body)?;
        Ok(Self {
            gzip: encoder.finish()?.into(),
            hash: document.etag.trim_matches('"').to_owned(),
            media_type,
        })
    }

    /// The value of the `ETag` header.
    fn etag(&self) -> String {
        format!("\"{}\"", self.hash)
    }

    /// The bytes for a client with this `Accept-Encoding`, and whether they are gzip.
    fn body(&self, accept_encoding: Option<&str>) -> Result<(Bytes, bool), std::io::Error> {
        if accepts_gzip(accept_encoding) {
            return Ok((self.gzip.clone(), true));
        }
        let mut plain = Vec::new();
        GzDecoder::new(&*self.gzip).read_to_end(&mut plain)?;
        Ok((plain.into(), false))
    }
}

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Version {
    V2,
    V3,
}

/// The documents that were asked for; one per process.
pub struct OpenApi {
    git_version: Box<str>,
    kept: Mutex<Kept>,
    merges: Semaphore,
}

#[derive(Default)]
struct Kept {
    documents: HashMap<Key, Entry>,
    /// Counts requests; an entry remembers its last one.
    clock: u64,
}

/// Version, media type, and the addresses of the resources.
type Key = (Version, &'static str, Vec<usize>);

struct Entry {
    /// The key is made of their addresses, which stay theirs as long as they are held here.
    _resources: Vec<Arc<Resource>>,
    document: Arc<Packed>,
    used: u64,
}

impl OpenApi {
    /// Nothing written yet. `git_version` is the version of Kubernetes that documents name, e.g. `v1.36.0`.
    #[must_use]
    pub fn new(git_version: &str) -> Self {
        Self {
            git_version: git_version.into(),
            kept: Mutex::default(),
            merges: Semaphore::new(MAX_MERGES),
        }
    }

    /// `/openapi/v2`: everything in one document.
    #[must_use]
    pub fn v2(&self, resources: &[Arc<Resource>], ask: &Ask<'_>) -> Answer {
        let media_type = match ask.v2_media_type() {
            Ok(media_type) => media_type,
            Err(refusal) => return refusal,
        };
        match self.document(Version::V2, media_type, resources.to_vec()) {
            Ok(document) => Answer::packed(&document, "/openapi/v2", ask),
            Err(error) => Answer::refused(&Status::internal(error)),
        }
    }

    /// `/openapi/v3`: where the document of each group version is, with the hash of its content. `others` are keys and addresses
    /// of documents that are not ours.
    #[must_use]
    pub fn v3_index(
        &self,
        resources: &[Arc<Resource>],
        others: &[(String, String)],
        ask: &Ask<'_>,
    ) -> Answer {
        match self.index(resources, others) {
            Ok(document) => Answer::plain(&document, ask),
            Err(error) => Answer::refused(&Status::internal(error)),
        }
    }

    /// `/openapi/v3/<group_version>`, which is `api/v1` or `apis/<group>/<version>`.
    #[must_use]
    pub fn v3(&self, resources: &[Arc<Resource>], group_version: &str, ask: &Ask<'_>) -> Answer {
        let media_type = match ask.v3_media_type() {
            Ok(media_type) => media_type,
            Err(refusal) => return refusal,
        };
        let parts: Vec<&str> = group_version.split('/').collect();
        let (group, version) = match *parts.as_slice() {
            ["api", version] => ("", version),
            ["apis", group, version] if !group.is_empty() => (group, version),
            _ => return Answer::refused(&Status::no_such_resource()),
        };
        match self.v3_encoded(resources, (group, version), media_type) {
            Ok(Some(document)) => {
                Answer::packed(&document, &format!("/openapi/v3/{group_version}"), ask)
            }
            Ok(None) => Answer::refused(&Status::no_such_resource()),
            Err(error) => Answer::refused(&Status::internal(error)),
        }
    }

    fn index(
        &self,
        resources: &[Arc<Resource>],
        others: &[(String, String)],
    ) -> Result<Document, std::io::Error> {
        let mut served: Vec<(&str, &str)> =
            resources.iter().map(|r| (&*r.group, &*r.version)).collect();
        served.sort_by(|a, b| compare_groups(a.0, b.0).then_with(|| compare_versions(a.1, b.1)));
        served.dedup();
        let mut paths = Map::new();
        for (group, version) in served {
            if let Some(document) = self.v3_document(resources, group, version)? {
                let key = root(group, version);
                let url = format!("/openapi/v3{key}?hash={}", document.hash);
                paths.insert(key[1..].to_owned(), json!({ "serverRelativeURL": url }));
            }
        }
        for (key, url) in others {
            paths.insert(key.clone(), json!({ "serverRelativeURL": url }));
        }
        Ok(Document::new(json!({ "paths": paths }).to_string()))
    }

    /// `None` when nothing of the group version is served.
    fn v3_document(
        &self,
        resources: &[Arc<Resource>],
        group: &str,
        version: &str,
    ) -> Result<Option<Arc<Packed>>, std::io::Error> {
        self.v3_encoded(resources, (group, version), answer::JSON)
    }

    fn v3_encoded(
        &self,
        resources: &[Arc<Resource>],
        (group, version): (&str, &str),
        media_type: &'static str,
    ) -> Result<Option<Arc<Packed>>, std::io::Error> {
        let served: Vec<Arc<Resource>> = resources
            .iter()
            .filter(|resource| *resource.group == *group && *resource.version == *version)
            .cloned()
            .collect();
        if served.is_empty() {
            return Ok(None);
        }
        self.document(Version::V3, media_type, served).map(Some)
    }

    fn document(
        &self,
        version: Version,
        media_type: &'static str,
        mut resources: Vec<Arc<Resource>>,
    ) -> Result<Arc<Packed>, std::io::Error> {
        sort(&mut resources);
        let addresses = resources.iter().map(|r| Arc::as_ptr(r).addr()).collect();
        let key = (version, media_type, addresses);
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(document) = kept.find(&key) {
                return Ok(document);
            }
        }
        // Written without the lock: others go on meanwhile, and at worst somebody writes the same.
        let written = document::write(version, &resources, &self.git_version);
        let document = Packed::new(&written, media_type)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.keep(key, resources, document))
    }
}

/// The order in which documents are written.
fn sort(resources: &mut [Arc<Resource>]) {
    resources.sort_by(|a, b| {
        compare_groups(&a.group, &b.group)
            .then_with(|| compare_versions(&a.version, &b.version))
            .then_with(|| a.plural.cmp(&b.plural))
    });
}

impl Kept {
    fn find(&mut self, key: &Key) -> Option<Arc<Packed>> {
        self.clock += 1;
        let entry = self.documents.get_mut(key)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.document))
    }

    fn keep(&mut self, key: Key, resources: Vec<Arc<Resource>>, document: Packed) -> Arc<Packed> {
        if self.documents.len() >= MAX_DOCUMENTS
            && let Some(oldest) = self.documents.iter().min_by_key(|(_, entry)| entry.used)
        {
            let oldest = oldest.0.clone();
            self.documents.remove(&oldest);
        }
        let same = self.documents.values().find(|entry| {
            let known = &entry.document;
            known.hash == document.hash && known.media_type == document.media_type
        });
        let document = same.map_or_else(|| Arc::new(document), |entry| Arc::clone(&entry.document));
        let entry = Entry {
            _resources: resources,
            document: Arc::clone(&document),
            used: self.clock,
        };
        self.documents.insert(key, entry);
        document
    }
}

/// `/api/v1`, `/apis/apps/v1`.
fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

#[cfg(test)]
mod tests;
