//! How a request for a document is answered: not acceptable, unchanged, moved, or the content and how long it lasts.

use bytes::Bytes;

use super::Packed;
use crate::discovery::Document;
use crate::negotiate::choose;
use crate::status::Status;

pub(super) const JSON: &str = "application/json";
/// Version 2 in protobuf, as answers name it.
pub(super) const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// As clients have always asked for it, though `@` may not be in a media type.
const V2_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// Version 3 in protobuf, as answers name it, and as clients ask for it.
pub(super) const V3_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
const V3_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

/// What a request for a document says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The header `Accept`. JSON and protobuf are offered.
    pub accept: Option<&'a str>,
    /// The header `Accept-Encoding`.
    pub accept_encoding: Option<&'a str>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// The query parameter by which clients pin the content that the index promised.
    pub hash: Option<&'a str>,
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub content_type: &'static str,
    /// Headers beside `Content-Type` and `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Answer {
    fn new(code: u16, headers: Vec<(&'static str, String)>, body: Bytes) -> Self {
        Self {
            code,
            content_type: JSON,
            headers,
            body,
        }
    }

    /// A refusal.
    pub(super) fn refused(status: &Status) -> Self {
        Self::new(status.code, Vec::new(), status.body().to_string().into())
    }

    fn not_acceptable(offered: &[&str]) -> Self {
        Self::refused(&Status::not_acceptable(format!(
            "only the following media types are accepted: {}",
            offered.join(", ")
        )))
    }

    /// For a small document that is not kept compressed.
    pub(super) fn plain(document: &Document, ask: &Ask<'_>) -> Self {
        if choose(ask.accept, &[JSON]).is_none() {
            return Self::not_acceptable(&[JSON]);
        }
        let headers = vec![
            ("ETag", document.etag.clone()),
            ("Vary", "Accept".to_owned()),
        ];
        if document.is_known(ask.if_none_match) {
            return Self::new(304, headers, Bytes::new());
        }
        Self::new(200, headers, document.body.clone())
    }

    /// For a document at `path`. Content that the client pinned never changes and may be kept for a year; a pin to
    /// content that is gone leads to the current one.
    pub(super) fn packed(packed: &Packed, path: &str, ask: &Ask<'_>) -> Self {
        let pinned = ask.hash.filter(|hash| !hash.is_empty());
        if pinned.is_some_and(|hash| hash.trim_matches('"') != packed.hash) {
            let location = format!("{path}?hash={}", packed.hash);
            return Self::new(301, vec![("Location", location)], Bytes::new());
        }
        let tag = Document {
            body: Bytes::new(),
            etag: packed.etag(),
        };
        let mut headers = vec![
            ("ETag", packed.etag()),
            ("Vary", "Accept, Accept-Encoding".to_owned()),
        ];
        if pinned.is_some() {
            let forever = "public, immutable, max-age=31536000";
            headers.push(("Cache-Control", forever.to_owned()));
        }
        if tag.is_known(ask.if_none_match) {
            return Self::new(304, headers, Bytes::new());
        }
        match packed.body(ask.accept_encoding) {
            Ok((body, is_gzip)) => {
                if is_gzip {
                    headers.push(("Content-Encoding", "gzip".to_owned()));
                }
                Self {
                    content_type: packed.media_type,
                    ..Self::new(200, headers, body)
                }
            }
            Err(error) => Self::refused(&Status::internal(error)),
        }
    }
}

impl Ask<'_> {
    /// In what the document of version 2 is to be written, if we can.
    pub(super) fn v2_media_type(&self) -> Result<&'static str, Answer> {
        let offered = [JSON, V2_PROTOBUF, V2_PROTOBUF_ASKED];
        match choose(self.accept, &offered) {
            Some(JSON) => Ok(JSON),
            Some(_) => Ok(V2_PROTOBUF),
            None => Err(Answer::not_acceptable(&offered)),
        }
    }

    /// In what a document of version 3 is to be written, if we can.
    pub(super) fn v3_media_type(&self) -> Result<&'static str, Answer> {
        let offered = [JSON, V3_PROTOBUF, V3_PROTOBUF_ASKED];
        match choose(self.accept, &offered) {
            Some(JSON) => Ok(JSON),
            Some(_) => Ok(V3_PROTOBUF),
            None => Err(Answer::not_acceptable(&offered)),
        }
    }
}
