//! The document of version 2 of a cluster that has extension servers: what they wrote is merged into it. It is that cluster's
//! alone, so it keeps the last one itself, and what its users have written takes nobody else's place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as Turns;

use super::{Answer, Ask, OpenApi, Packed, Version, document, merge, sort};
use crate::resource::Resource;
use crate::status::Status;

/// A document that an extension server wrote, cut down ([`super::cut_down`]).
#[derive(Clone, Debug)]
pub(crate) struct Part {
    json: Bytes,
    hash: [u8; 32],
}

impl Part {
    /// A part of this JSON text.
    pub(crate) fn new(json: Bytes) -> Self {
        let hash = Sha256::digest(&json).into();
        Self { json, hash }
    }

    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.json.len()
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// The last merged documents of a cluster, one of each media type.
#[derive(Default)]
pub(crate) struct Merged {
    kept: Mutex<HashMap<&'static str, Kept>>,
    /// Who merges; everybody else waits for what comes of it.
    turn: Turns<()>,
}

struct Kept {
    resources: Vec<Arc<Resource>>,
    parts: Vec<[u8; 32]>,
    document: Arc<Packed>,
}

impl Merged {
    fn find(
        &self,
        media_type: &'static str,
        resources: &[Arc<Resource>],
        parts: &[Part],
    ) -> Option<Arc<Packed>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get(media_type)?;
        let is_same = kept.resources.len() == resources.len()
            && kept.parts.len() == parts.len()
            && (kept.resources.iter().zip(resources)).all(|(a, b)| Arc::ptr_eq(a, b))
            && (kept.parts.iter().zip(parts)).all(|(hash, part)| *hash == part.hash);
        is_same.then(|| Arc::clone(&kept.document))
    }

    fn keep(&self, media_type: &'static str, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(media_type, kept);
    }
}

impl OpenApi {
    /// `/openapi/v2` of a cluster for which others wrote `parts`.
    pub(crate) async fn v2_merged(
        &self,
        mut resources: Vec<Arc<Resource>>,
        parts: Vec<Part>,
        merged: &Merged,
        ask: &Ask<'_>,
    ) -> Answer {
        let media_type = match ask.v2_media_type() {
            Ok(media_type) => media_type,
            Err(refusal) => return refusal,
        };
        sort(&mut resources);
        let answer = |document: &Packed| Answer::packed(document, "/openapi/v2", ask);
        if let Some(document) = merged.find(media_type, &resources, &parts) {
            return answer(&document);
        }
        let _turn = merged.turn.lock().await;
        if let Some(document) = merged.find(media_type, &resources, &parts) {
            return answer(&document);
        }
        let Ok(_place) = self.merges.acquire().await else {
            return Answer::refused(&Status::internal("the server ends"));
        };
        let git_version = self.git_version.clone();
        let merging = move || {
            let mut written = document::write(Version::V2, &resources, &git_version);
            for part in &parts {
                merge::merge(&mut written, &part.json)?;
            }
            let document = Arc::new(Packed::new(&written, media_type)?);
            let parts = parts.iter().map(|part| part.hash).collect();
            Ok::<_, std::io::Error>(Kept {
                resources,
                parts,
                document,
            })
        };
        // It may take a second of a processor, which requests of others must not wait for.
        match tokio::task::spawn_blocking(merging).await {
            Ok(Ok(kept)) => {
                let document = Arc::clone(&kept.document);
                merged.keep(media_type, kept);
                answer(&document)
            }
            Ok(Err(error)) => Answer::refused(&Status::internal(error)),
            Err(error) => Answer::refused(&Status::internal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resource;

    fn part(path: &str) -> Part {
        let part = json!({"paths": {path: {}}, "definitions": {}});
        Part::new(part.to_string().into())
    }

    #[tokio::test]
    async fn a_cluster_keeps_its_last_merged_document_alone() {
        let openapi = OpenApi::new("v1.36.0");
        let merged = Merged::default();
        let resources = resource::builtin().to_vec();
        let ask = Ask::default();
        let paths = async |parts: Vec<Part>| {
            let answer = openapi
                .v2_merged(resources.clone(), parts, &merged, &ask)
                .await;
            let document: Value = serde_json::from_slice(&answer.body).unwrap();
            let paths = document["paths"].as_object().unwrap().keys();
            let theirs: Vec<String> = paths
                .filter(|p| p.starts_with("/apis/x"))
                .cloned()
                .collect();
            theirs.join(" ")
        };
        let (a, b) = (part("/apis/x/v1/a"), part("/apis/x/v1/b"));
        assert_eq!(paths(vec![a.clone(), b]).await, "/apis/x/v1/a /apis/x/v1/b");
        let known = merged.kept.lock().unwrap()["application/json"]
            .document
            .clone();
        assert_eq!(paths(vec![a.clone()]).await, "/apis/x/v1/a");
        let newer = merged.kept.lock().unwrap()["application/json"]
            .document
            .clone();
        assert!(!Arc::ptr_eq(&known, &newer));
        assert_eq!(paths(vec![a]).await, "/apis/x/v1/a");
        let same = merged.kept.lock().unwrap()["application/json"]
            .document
            .clone();
        assert!(Arc::ptr_eq(&newer, &same));
        assert_eq!(merged.kept.lock().unwrap().len(), 1);
        // What all clusters share has nothing of it.
        assert!(openapi.kept.lock().unwrap().documents.is_empty());
    }
}
