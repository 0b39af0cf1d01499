//! How a request for a document is answered: not acceptable, unchanged, moved, or the content and how long it lasts.

use bytes::Bytes;

use super::Packed;
use crate::discovery::Document;
use crate::negotiate::{Encoding, Offer, accept};
use crate::status::Status;

/// What a request for a document says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The header `Accept`. Only JSON is offered.
    pub accept: Option<&'a str>,
    /// The header `Accept-Encoding`.
    pub accept_encoding: Option<&'a str>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// The query parameter by which clients pin the content that the index promised.
    pub hash: Option<&'a str>,
}

/// A complete answer; the body is JSON or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    /// Headers beside `Content-Type` and `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Answer {
    fn new(code: u16, headers: Vec<(&'static str, String)>, body: Bytes) -> Self {
        Self {
            code,
            headers,
            body,
        }
    }

    /// A refusal.
    pub(super) fn refused(status: &Status) -> Self {
        Self::new(status.code, Vec::new(), status.body().to_string().into())
    }

    /// For a small document that is not kept compressed.
    pub(super) fn plain(document: &Document, ask: &Ask<'_>) -> Self {
        if let Err(status) = acceptable(ask) {
            return Self::refused(&status);
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
        if let Err(status) = acceptable(ask) {
            return Self::refused(&status);
        }
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
                Self::new(200, headers, body)
            }
            Err(error) => Self::refused(&Status::internal(error)),
        }
    }
}

fn acceptable(ask: &Ask<'_>) -> Result<(), Status> {
    match accept(ask.accept, Offer::Document) {
        Ok(accepted) if accepted.encoding == Encoding::Json => Ok(()),
        _ => Err(Status::not_acceptable(
            "only the following media types are accepted: application/json",
        )),
    }
}
