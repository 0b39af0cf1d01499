//! Content negotiation: in which encoding and shape a client wants its answer, and in which encoding its body came.
//!
//! Clauses of `Accept` are tried best first; a clause that asks for something this endpoint cannot do is skipped, so
//! that `application/json;as=Table;…,application/json` gets a plain object where there is no Table. Answers are JSON
//! unless the client prefers YAML or protobuf; of custom resources, only the metadata exists in protobuf.

pub use crate::schema::ContentType;
use crate::status::Status;

/// What an endpoint can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// API objects and lists: whole, as a Table, or their metadata alone.
    Objects,
    /// API objects for which no Table exists, e.g. access reviews.
    WithoutTable,
    /// A watch: as `Objects`, but only in encodings that can be streamed.
    Watch,
    /// `/api` and `/apis`: group by group, or everything in one `APIGroupDiscoveryList`.
    Discovery,
    /// Any other document; it has one shape.
    Document,
}

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Yaml,
    /// Kubernetes' envelope around the message.
    Protobuf,
}

impl Encoding {
    /// The value of `Content-Type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// What objects are written in.
const ENCODINGS: [Encoding; 3] = [Encoding::Json, Encoding::Yaml, Encoding::Protobuf];

/// Version of `meta.k8s.io` in which a transformed answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    V1,
    V1beta1,
}

impl MetaVersion {
    /// The `apiVersion` of the answer.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// Another shape than the object's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    Table(MetaVersion),
    /// `PartialObjectMetadata`: a single object, or each object of a watch.
    Metadata(MetaVersion),
    /// `PartialObjectMetadataList`.
    MetadataList(MetaVersion),
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
    Discovery,
}

/// The answer a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub encoding: Encoding,
    pub transform: Option<Transform>,
    /// `pretty=1` was among the parameters; see [`is_pretty`].
    pub pretty: bool,
}

/// The four kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge patch; built-in kinds only.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// Chooses the answer for the `Accept` header of a request; without one it is plain JSON. `has_protobuf` says whether
/// there is a message for the whole object; for its metadata there always is one.
///
/// # Errors
/// 406 when no clause can be satisfied.
pub fn accept(header: Option<&str>, offer: Offer, has_protobuf: bool) -> Result<Accepted, Status> {
    let header = header.unwrap_or_default().trim();
    if header.is_empty() {
        return Ok(Accepted {
            encoding: Encoding::Json,
            transform: None,
            pretty: false,
        });
    }
    clauses(header)
        .iter()
        .find_map(|clause| clause.satisfied_by(offer, has_protobuf))
        .ok_or_else(|| {
            let has_encodings = !matches!(offer, Offer::Discovery | Offer::Document);
            let is_known = |clause: &Clause<'_>| ENCODINGS.iter().any(|e| clause.matches(e.media_type()));
            if has_protobuf && has_encodings && !clauses(header).iter().any(is_known) {
                return nothing_acceptable();
            }
            let known = match offer {
                Offer::Watch => {
                    "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
                }
                Offer::Discovery => "application/json, application/yaml",
                _ => "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            };
            Status::not_acceptable(format!(
                "only the following media types are accepted: {known}"
            ))
        })
}

/// 406 for a client that reads nothing of what built-in kinds are written in.
fn nothing_acceptable() -> Status {
    let known: Vec<&str> = ENCODINGS.iter().map(|e| e.media_type()).collect();
    let message = format!(
        "406: Not Acceptable\n\nAvailable representations: {}",
        known.join(", ")
    );
    Status::not_acceptable(message).with_details(serde_json::json!({}))
}

/// The one of `offered` media types that an `Accept` header likes best; the first where it has no preference. For what
/// has encodings of its own.
#[must_use]
pub fn choose<'t>(header: Option<&str>, offered: &[&'t str]) -> Option<&'t str> {
    let header = header.unwrap_or_default().trim();
    if header.is_empty() {
        return offered.first().copied();
    }
    let clauses = clauses(header);
    clauses.iter().find_map(|clause| {
        let is_plain = !clause.parameters.iter().any(|(key, _)| *key == "as");
        let mut offered = offered.iter().copied();
        offered.find(|media_type| is_plain && clause.matches(media_type))
    })
}

/// The clauses of an `Accept` header, the best first.
fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = header.split(',').filter_map(Clause::parse).collect();
    // The sort is stable: among equals the client's order counts.
    clauses.sort_by(|a, b| {
        b.quality
            .total_cmp(&a.quality)
            .then(a.wildcards().cmp(&b.wildcards()))
    });
    clauses
}

impl Accepted {
    /// Checks that the asked shape fits what is answered with.
    ///
    /// # Errors
    /// 406 when a list's shape is asked for a single object of Go type `kind`, or the other way round.
    pub fn check_shape(&self, is_list: bool, kind: &str) -> Result<(), Status> {
        let (asked, problem) = match self.transform {
            Some(Transform::Metadata(_)) if is_list => ("PartialObjectMetadata", "is a list"),
            Some(Transform::MetadataList(_)) if !is_list => {
                ("PartialObjectMetadataList", "is not a list")
            }
            _ => return Ok(()),
        };
        Err(Status::not_acceptable(format!(
            "you requested {asked}, but the requested object {problem} ({kind})"
        )))
    }
}

/// One clause of an `Accept` header.
struct Clause<'a> {
    ty: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    /// `None` for what is not a media range, and for what the client excludes by `q=0`.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let range = parts.next()?.trim();
        let (ty, subtype) = match range.split_once('/') {
            Some((ty, subtype)) if !subtype.contains('/') => (ty.trim(), subtype.trim()),
            None if range == "*" => ("*", "*"),
            _ => return None,
        };
        let mut clause = Self {
            ty,
            subtype,
            quality: 1.0,
            parameters: Vec::new(),
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match (key.trim(), value.trim()) {
                ("q", quality) => clause.quality = quality.parse().unwrap_or(0.0),
                other => clause.parameters.push(other),
            }
        }
        (clause.quality > 0.0).then_some(clause)
    }

    fn wildcards(&self) -> u8 {
        u8::from(self.ty == "*") + u8::from(self.subtype == "*")
    }

    fn matches(&self, media_type: &str) -> bool {
        let Some((ty, subtype)) = media_type.split_once('/') else {
            return false;
        };
        match (self.ty, self.subtype) {
            ("*", "*") => true,
            (asked, "*") => asked.eq_ignore_ascii_case(ty),
            (asked, asked_subtype) => {
                asked.eq_ignore_ascii_case(ty) && asked_subtype.eq_ignore_ascii_case(subtype)
            }
        }
    }

    fn satisfied_by(&self, offer: Offer, has_protobuf: bool) -> Option<Accepted> {
        let encoding = ENCODINGS
            .into_iter()
            .find(|encoding| self.matches(encoding.media_type()))?;
        if offer == Offer::Watch && encoding == Encoding::Yaml {
            return None;
        }
        let mut accepted = Accepted {
            encoding,
            transform: None,
            pretty: false,
        };
        let (mut kind, mut group, mut version) = (None, "", "");
        for (key, value) in &self.parameters {
            match *key {
                "as" => kind = Some(*value),
                "g" => group = value,
                "v" => version = value,
                "pretty" => accepted.pretty = *value == "1",
                "stream" if !value.is_empty() && (*value != "watch" || offer != Offer::Watch) => {
                    return None;
                }
                "sv" if !value.is_empty() && *value != "v1" => return None,
                // Parameters that nobody defined, like `charset`, change nothing.
                _ => {}
            }
        }
        if let Some(kind) = kind {
            accepted.transform = Some(transform(kind, group, version, offer)?);
        } else if !(group.is_empty() && version.is_empty()) {
            return None;
        }
        if encoding == Encoding::Protobuf {
            match accepted.transform {
                None if !has_protobuf => return None,
                // A Table has no message.
                Some(Transform::Table(_) | Transform::Discovery) => return None,
                _ => {}
            }
        }
        Some(accepted)
    }
}

/// The shape called `kind` of `group`/`version`, where the endpoint can make it.
fn transform(kind: &str, group: &str, version: &str, offer: Offer) -> Option<Transform> {
    if offer == Offer::Discovery {
        let asked = (kind, group, version);
        return (asked == ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"))
            .then_some(Transform::Discovery);
    }
    let version = match (group, version) {
        ("meta.k8s.io", "v1") => MetaVersion::V1,
        ("meta.k8s.io", "v1beta1") => MetaVersion::V1beta1,
        _ => return None,
    };
    match (kind, offer) {
        (_, Offer::Document) | ("Table", Offer::WithoutTable) => None,
        ("Table", _) => Some(Transform::Table(version)),
        ("PartialObjectMetadata", _) => Some(Transform::Metadata(version)),
        ("PartialObjectMetadataList", _) => Some(Transform::MetadataList(version)),
        _ => None,
    }
}

/// What a body's `Content-Type` says; a body without one is JSON.
///
/// # Errors
/// 415 for a type that the server does not read.
pub fn content_type(header: Option<&str>) -> Result<ContentType, Status> {
    match essence(header).as_str() {
        "" | "application/json" => Ok(ContentType::Json),
        "application/yaml" => Ok(ContentType::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(ContentType::Protobuf),
        _ => Err(unsupported(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

/// Which patch a PATCH body is. Custom resources (`is_custom`) know no strategic merge.
///
/// # Errors
/// 415 for an absent type and for one that is no patch.
pub fn patch_type(header: Option<&str>, is_custom: bool) -> Result<PatchType, Status> {
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    match essence(header).as_str() {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        STRATEGIC if !is_custom => Ok(PatchType::Strategic),
        "application/apply-patch+yaml" => Ok(PatchType::Apply),
        _ => {
            let mut known = vec![
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ];
            if !is_custom {
                known.insert(2, STRATEGIC);
            }
            Err(unsupported(&known))
        }
    }
}

/// The media type without its parameters, in lower case.
fn essence(header: Option<&str>) -> String {
    let header = header.unwrap_or_default();
    let essence = header.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn unsupported(known: &[&str]) -> Status {
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        known.join(", ")
    ))
}

/// Whether JSON is indented: the `pretty` query parameter decides; without it, `pretty=1` in `Accept` or a client
/// at which people look (curl, Wget, browsers).
#[must_use]
pub fn is_pretty(query: Option<&str>, accepted: &Accepted, user_agent: Option<&str>) -> bool {
    if accepted.pretty {
        return true;
    }
    match query.unwrap_or_default() {
        "" => {
            let agent = user_agent.unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"]
                .iter()
                .any(|known| agent.starts_with(known))
        }
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        _ => false,
    }
}

/// Answers shorter than this, in bytes, are not worth compressing.
pub const GZIP_FROM: usize = 128 * 1024;

/// Whether a complete answer of `length` bytes is compressed. Streams never are.
#[must_use]
pub fn wants_gzip(accept_encoding: Option<&str>, length: usize) -> bool {
    length >= GZIP_FROM && accepts_gzip(accept_encoding)
}

/// Whether the client takes gzip.
#[must_use]
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding
        .unwrap_or_default()
        .split(',')
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let is_refused = parts
                .filter_map(|part| part.strip_prefix("q="))
                .any(|quality| quality.parse::<f32>().is_ok_and(|quality| quality <= 0.0));
            is_gzip && !is_refused
        })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    const KUBECTL_GET: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    const METADATA_INFORMER: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

    fn check(cases: &[(&str, Offer)], expected: &Expect) {
        check_with(cases, true, expected);
    }

    fn check_with(cases: &[(&str, Offer)], has_protobuf: bool, expected: &Expect) {
        let mut text = String::new();
        for (header, offer) in cases {
            let answer = match accept(Some(header), *offer, has_protobuf) {
                Ok(a) => format!(
                    "{:?} {}{}",
                    a.encoding,
                    a.transform.map_or("whole".to_owned(), |t| format!("{t:?}")),
                    if a.pretty { " pretty" } else { "" }
                ),
                Err(status) => format!("{} {}", status.code, status.message),
            };
            text.push_str(&format!("{offer:?} {header}\n    {answer}\n"));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn clients_get_the_shape_they_name_first_and_we_have() {
        check(
            &[
                ("", Offer::Objects),
                ("*/*", Offer::Objects),
                (KUBECTL_GET, Offer::Objects),
                (KUBECTL_GET, Offer::Watch),
                (KUBECTL_GET, Offer::WithoutTable),
                (METADATA_INFORMER, Offer::Objects),
                (METADATA_INFORMER, Offer::Document),
                (DISCOVERY, Offer::Discovery),
                ("application/json", Offer::Discovery),
                (
                    "application/vnd.kubernetes.protobuf,application/json",
                    Offer::Objects,
                ),
                ("application/vnd.kubernetes.protobuf, */*", Offer::Objects),
                ("application/yaml", Offer::Objects),
                ("application/json;q=0.5, application/yaml", Offer::Objects),
                ("*/*;q=0.8,application/*,application/yaml", Offer::Objects),
                ("Application/JSON; charset=utf-8; pretty=1", Offer::Objects),
                ("application/json;stream=watch", Offer::Watch),
                ("application/yaml, application/json", Offer::Watch),
            ],
            &expect![[r#"
                Objects 
                    Json whole
                Objects */*
                    Json whole
                Objects application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json
                    Json Table(V1)
                Watch application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json
                    Json Table(V1)
                WithoutTable application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json
                    Json whole
                Objects application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json
                    Protobuf MetadataList(V1)
                Document application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json
                    Json whole
                Discovery application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json
                    Json Discovery
                Discovery application/json
                    Json whole
                Objects application/vnd.kubernetes.protobuf,application/json
                    Protobuf whole
                Objects application/vnd.kubernetes.protobuf, */*
                    Protobuf whole
                Objects application/yaml
                    Yaml whole
                Objects application/json;q=0.5, application/yaml
                    Yaml whole
                Objects */*;q=0.8,application/*,application/yaml
                    Yaml whole
                Objects Application/JSON; charset=utf-8; pretty=1
                    Json whole pretty
                Watch application/json;stream=watch
                    Json whole
                Watch application/yaml, application/json
                    Json whole
            "#]],
        );
    }

    #[test]
    fn a_request_that_nothing_satisfies_is_refused() {
        check(
            &[
                ("application/vnd.kubernetes.protobuf", Offer::Discovery),
                (
                    "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1",
                    Offer::Objects,
                ),
                ("text/html", Offer::Document),
                (
                    "application/json;as=Table;g=meta.k8s.io;v=v1",
                    Offer::WithoutTable,
                ),
                ("application/json;as=Table", Offer::Objects),
                (
                    "application/json;as=Table;g=meta.k8s.io;v=v2",
                    Offer::Objects,
                ),
                ("application/json;stream=watch", Offer::Objects),
                ("application/json;sv=v2", Offer::Objects),
                ("application/json;q=0", Offer::Objects),
                ("application/yaml", Offer::Watch),
                ("json", Offer::Objects),
                (",;=/", Offer::Objects),
            ],
            &expect![[r#"
                Discovery application/vnd.kubernetes.protobuf
                    Protobuf whole
                Objects application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Document text/html
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                WithoutTable application/json;as=Table;g=meta.k8s.io;v=v1
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects application/json;as=Table
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects application/json;as=Table;g=meta.k8s.io;v=v2
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects application/json;stream=watch
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects application/json;sv=v2
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects application/json;q=0
                    406 406: Not Acceptable

                Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Watch application/yaml
                    406 only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch
                Objects json
                    406 406: Not Acceptable

                Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects ,;=/
                    406 406: Not Acceptable

                Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf
            "#]],
        );
    }

    #[test]
    fn of_custom_resources_only_the_metadata_exists_in_protobuf() {
        check_with(
            &[
                ("application/vnd.kubernetes.protobuf, */*", Offer::Objects),
                (
                    "application/vnd.kubernetes.protobuf,application/json",
                    Offer::Watch,
                ),
                ("application/vnd.kubernetes.protobuf", Offer::Objects),
                (METADATA_INFORMER, Offer::Objects),
            ],
            false,
            &expect![[r#"
                Objects application/vnd.kubernetes.protobuf, */*
                    Json whole
                Watch application/vnd.kubernetes.protobuf,application/json
                    Json whole
                Objects application/vnd.kubernetes.protobuf
                    406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
                Objects application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json
                    Protobuf MetadataList(V1)
            "#]],
        );
    }

    #[test]
    fn the_shape_must_fit_what_is_answered() {
        let single = accept(
            Some("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Offer::Objects,
            true,
        )
        .expect("acceptable");
        assert!(single.check_shape(false, "*v1.Pod").is_ok());
        let refusal = single.check_shape(true, "*v1.PodList").expect_err("a list");
        expect![
            "you requested PartialObjectMetadata, but the requested object is a list (*v1.PodList)"
        ]
        .assert_eq(&refusal.message);
        let list = accept(
            Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Offer::Objects,
            true,
        )
        .expect("acceptable");
        assert!(list.check_shape(true, "*v1.PodList").is_ok());
        assert_eq!(
            list.check_shape(false, "*v1.Pod").expect_err("single").code,
            406
        );
    }

    #[test]
    fn bodies_are_read_by_their_type() {
        assert_eq!(content_type(None), Ok(ContentType::Json));
        assert_eq!(
            content_type(Some("application/json; charset=utf-8")),
            Ok(ContentType::Json)
        );
        assert_eq!(
            content_type(Some("application/yaml")),
            Ok(ContentType::Yaml)
        );
        assert_eq!(
            content_type(Some("application/vnd.kubernetes.protobuf")),
            Ok(ContentType::Protobuf)
        );
        let refusal = content_type(Some("text/plain")).expect_err("no such type");
        expect!["415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"].assert_eq(&format!("{} {}", refusal.code, refusal.message));
    }

    #[test]
    fn patches_are_told_apart_by_their_type() {
        let strategic = Some("application/strategic-merge-patch+json");
        assert_eq!(patch_type(strategic, false), Ok(PatchType::Strategic));
        assert_eq!(
            patch_type(Some("application/apply-patch+yaml;x=y"), true),
            Ok(PatchType::Apply)
        );
        let refusals = [
            (strategic, true),
            (Some("application/json"), false),
            (None, true),
        ]
        .map(|(header, is_custom)| {
            let refusal = patch_type(header, is_custom).expect_err("no patch");
            format!("{} {}", refusal.code, refusal.message)
        })
        .join("\n");
        expect![[r#"
            415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml
            415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml
            415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"#]].assert_eq(&refusals);
    }

    #[test]
    fn people_get_indented_json() {
        let plain = accept(None, Offer::Objects, true).expect("acceptable");
        let pretty =
            accept(Some("application/json;pretty=1"), Offer::Objects, true).expect("acceptable");
        assert!(is_pretty(None, &plain, Some("curl/8.0")));
        assert!(!is_pretty(Some("false"), &plain, Some("curl/8.0")));
        assert!(is_pretty(Some("true"), &plain, Some("kubectl/v1.36")));
        assert!(!is_pretty(None, &plain, Some("kubectl/v1.36")));
        assert!(is_pretty(None, &pretty, None));
    }

    #[test]
    fn only_long_answers_are_compressed_and_only_for_those_who_want_it() {
        assert!(wants_gzip(Some("gzip"), GZIP_FROM));
        assert!(wants_gzip(Some("deflate, gzip;q=0.5"), GZIP_FROM));
        assert!(!wants_gzip(Some("gzip"), GZIP_FROM - 1));
        assert!(!wants_gzip(Some("gzip;q=0"), GZIP_FROM));
        assert!(!wants_gzip(Some("br"), GZIP_FROM));
        assert!(!wants_gzip(None, GZIP_FROM));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[a-z*/;,=. q0-9NaN-]{0,80}|\\PC{0,40}") {
            for offer in [Offer::Objects, Offer::WithoutTable, Offer::Watch, Offer::Discovery, Offer::Document] {
                let _ = accept(Some(&header), offer, true);
            }
            let _ = content_type(Some(&header));
            let _ = patch_type(Some(&header), true);
            let _ = accepts_gzip(Some(&header));
        }
    }
}
