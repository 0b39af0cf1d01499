//! Answers: encodings, the headers that every answer has, and the shapes that clients ask for.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::io::Write;

use crate::negotiate::{self, Accepted, Encoding, Offer};
use crate::schema::protobuf;
use crate::status::Status;

/// What goes wrong inside a body; only streams have such errors.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Once warnings are longer than this in all, each is cut.
const MAX_WARNINGS: usize = 4096;
/// What a warning is cut to then, in characters.
const CUT_WARNING: usize = 256;

/// What of the request decides how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub encoding: Encoding,
    pub pretty: bool,
    pub gzip: bool,
}

impl Wish {
    /// JSON, compact, as it is.
    pub(crate) fn plain() -> Self {
        Self {
            encoding: Encoding::Json,
            pretty: false,
            gzip: false,
        }
    }

    /// As the client wishes its refusals: what it cannot have it gets as JSON.
    pub(crate) fn of_refusal(headers: &HeaderMap, query: Option<&str>) -> Self {
        let accept = text(headers, &header::ACCEPT);
        match negotiate::accept(accept, Offer::Document, true) {
            Ok(accepted) => Self::new(&accepted, headers, query),
            Err(_) => Self::plain(),
        }
    }

    pub(crate) fn new(accepted: &Accepted, headers: &HeaderMap, pretty: Option<&str>) -> Self {
        Self {
            encoding: accepted.encoding,
            pretty: negotiate::is_pretty(pretty, accepted, text(headers, &header::USER_AGENT)),
            gzip: negotiate::accepts_gzip(text(headers, &header::ACCEPT_ENCODING)),
        }
    }
}

/// A header as text, if it is there and is text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The words of a header that is a list, be it in one line or in several.
pub(crate) fn words<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

/// A body of known bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that comes from somebody else.
pub(crate) fn streamed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    body.map_err(|error| -> BodyError { error.into() })
        .boxed_unsync()
}

/// A client's body on its way to somebody else.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, BrokenBody>;

/// The client's body ended in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request broke off: {0}")]
pub(crate) struct BrokenBody(BodyError);

/// A client's body as it is sent on.
pub(crate) fn outgoing(body: Body) -> Outgoing {
    body.map_err(BrokenBody).boxed_unsync()
}

/// An answer with an object. What has no protobuf message is JSON for those who wish for protobuf.
pub(crate) fn object(code: StatusCode, value: &Value, wish: &Wish) -> Response<Body> {
    let bytes = match (wish.encoding, wish.pretty) {
        (Encoding::Protobuf, _) => match protobuf::value(value) {
            Ok(Some(bytes)) => bytes,
            other => {
                if let Err(error) = other {
                    tracing::warn!(%error, "an object could not be written as protobuf");
                }
                let wish = Wish {
                    encoding: Encoding::Json,
                    ..wish.clone()
                };
                return object(code, value, &wish);
            }
        },
        (Encoding::Yaml, _) => serde_saphyr::to_string(value)
            .unwrap_or_else(|error| error.to_string())
            .into_bytes(),
        (Encoding::Json, true) => serde_json::to_vec_pretty(value).unwrap_or_default(),
        (Encoding::Json, false) => value.to_string().into_bytes(),
    };
    encoded(code, bytes.into(), wish)
}

/// An answer with bytes that are encoded as wished already.
pub(crate) fn encoded(code: StatusCode, bytes: Bytes, wish: &Wish) -> Response<Body> {
    let mut response = raw(code, wish.encoding.media_type(), Bytes::new());
    let is_long = bytes.len() >= negotiate::GZIP_FROM;
    if is_long {
        vary(&mut response, "Accept-Encoding");
    }
    if wish.gzip
        && is_long
        && let Some(packed) = gzip(&bytes)
    {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = full(packed);
    } else {
        *response.body_mut() = full(bytes);
    }
    response
}

/// An answer of any type.
pub(crate) fn raw(code: StatusCode, media_type: &str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = code;
    if let Ok(value) = HeaderValue::from_str(media_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// Says that the answer depends on the request header `name`, beside those it was said of.
pub(crate) fn vary(response: &mut Response<Body>, name: &'static str) {
    let headers = response.headers_mut();
    let value = match headers
        .get(header::VARY)
        .and_then(|known| known.to_str().ok())
    {
        Some(known) => HeaderValue::from_str(&format!("{known}, {name}")),
        None => Ok(HeaderValue::from_static(name)),
    };
    if let Ok(value) = value {
        headers.insert(header::VARY, value);
    }
}

/// A refusal.
pub(crate) fn refusal(status: &Status, wish: &Wish) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = object(code, &status.body(), wish);
    if let Some(seconds) = status.retry_after_seconds() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if code == StatusCode::FORBIDDEN {
        response.headers_mut().insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
    }
    response
}

/// Adds `Warning` headers, each text once.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    let is_much = warnings.iter().map(|w| w.chars().count()).sum::<usize>() > MAX_WARNINGS;
    let mut seen: Vec<&str> = vec![];
    for warning in warnings {
        if seen.contains(&warning.as_str()) {
            continue;
        }
        seen.push(warning);
        let limit = if is_much { CUT_WARNING } else { usize::MAX };
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", quoted(warning, limit))) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// The inside of an RFC 7230 quoted string: printable ASCII with quotes and backslashes escaped.
fn quoted(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(limit) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push(' '),
        }
    }
    out
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_cut_and_said_once() {
        let mut response = raw(StatusCode::OK, "text/plain", "");
        warn(
            &mut response,
            &[
                "unknown field \"spec.x\"\n".into(),
                "unknown field \"spec.x\"\n".into(),
                "é".into(),
            ],
        );
        let said: Vec<_> = response.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(
            said,
            ["299 - \"unknown field \\\"spec.x\\\" \"", "299 - \" \""]
        );
        let mut response = raw(StatusCode::OK, "text/plain", "");
        warn(&mut response, &["x".repeat(5000)]);
        assert_eq!(
            response.headers()[header::WARNING].len(),
            "299 - \"\"".len() + CUT_WARNING
        );
    }
}
