//! Request bodies to values: JSON, YAML or protobuf in, a value of the expected kind out, with what the client should be
//! told about unknown and duplicate fields.

use std::sync::Arc;

use serde_json::Value;

use super::canonical::{self, Walk};
use super::{Schema, builtin, fields, parse, places, protobuf};
use crate::go;
use crate::resource::Resource;
use crate::status::{Cause, Status};

/// Encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    Json,
    /// One document; JSON is YAML, too.
    Yaml,
    /// Kubernetes' envelope; built-in kinds only.
    Protobuf,
}

/// What happens to unknown and duplicate fields (`?fieldValidation=`). They never reach the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    /// Tells them as warnings.
    #[default]
    Warn,
    /// Refuses the body.
    Strict,
}

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// With `apiVersion` and `kind` set.
    pub value: Value,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Which kind a body must be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    pub kind: String,
    pub schema: Arc<Schema>,
    /// Whether a CustomResourceDefinition brought the kind: `apiVersion` and `kind` are required then.
    pub is_custom: bool,
    /// Whether the body may name any API version (`DeleteOptions`).
    pub any_version: bool,
}

impl Expected {
    /// The kind of `resource`.
    #[must_use]
    pub fn of(resource: &Resource) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            schema: resource.schema.clone(),
            is_custom: resource.custom.is_some(),
            any_version: false,
        }
    }

    /// A built-in kind by the full name of its message, e.g. `io.k8s.api.policy.v1.Eviction` with `policy/v1`: for bodies of
    /// subresources and options.
    #[must_use]
    pub fn message(full_name: &str, api_version: &str) -> Self {
        Self {
            api_version: api_version.into(),
            kind: full_name.rsplit('.').next().unwrap_or_default().into(),
            schema: builtin::reference(full_name),
            is_custom: false,
            any_version: full_name.starts_with(builtin::META),
        }
    }

    /// A kind of bodies that no resource has: what subresources take, and the options of a deletion.
    #[must_use]
    pub fn body(kind: &str) -> Self {
        match kind {
            "Binding"
            | "PodAttachOptions"
            | "PodExecOptions"
            | "PodPortForwardOptions"
            | "NodeProxyOptions"
            | "PodProxyOptions"
            | "ServiceProxyOptions" => Self::message(&format!("io.k8s.api.core.v1.{kind}"), "v1"),
            "Eviction" => Self::message("io.k8s.api.policy.v1.Eviction", "policy/v1"),
            "Scale" => Self::message("io.k8s.api.autoscaling.v1.Scale", "autoscaling/v1"),
            "TokenRequest" => Self::message(
                "io.k8s.api.authentication.v1.TokenRequest",
                "authentication.k8s.io/v1",
            ),
            _ => Self::message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "v1"),
        }
    }

    fn version(&self) -> &str {
        self.api_version.rsplit('/').next().unwrap_or_default()
    }
}

/// Decodes a body that must be of the kind of `resource`. Nothing is defaulted or validated yet; see
/// [`default`](super::default()).
///
/// # Errors
/// 400 for a body that cannot be read, is of another kind or version, has values of wrong types, or has unknown or duplicate
/// fields under [`FieldValidation::Strict`]; 415 for protobuf of a custom kind.
pub fn decode(
    resource: &Resource,
    content_type: ContentType,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    decode_as(&Expected::of(resource), content_type, body, validation)
}

/// Decodes a body that must be of the kind `expected`; see [`decode`].
///
/// # Errors
/// As [`decode`].
pub fn decode_as(
    expected: &Expected,
    content_type: ContentType,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let (mut value, duplicates) = read(expected, content_type, body)?;
    identify(expected, &mut value, body)?;
    let json = match content_type {
        ContentType::Json if !expected.is_custom => body,
        _ => b"",
    };
    finish(expected, value, (&duplicates, json), validation)
}

/// As [`decode`], for an object that is a value already: what a patch made.
///
/// # Errors
/// As [`decode`].
pub fn decode_value(
    resource: &Resource,
    mut value: Value,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let expected = Expected::of(resource);
    identify(&expected, &mut value, b"")?;
    finish(&expected, value, (&[], b""), validation)
}

/// What a patch made of an object of `resource`, as it would have been decoded; unknown fields are dropped.
///
/// # Errors
/// 400 if it became something of another kind, 422 if it has values of wrong types.
pub fn decode_patched(resource: &Resource, mut value: Value) -> Result<Value, Status> {
    let expected = Expected::of(resource);
    identify(&expected, &mut value, b"")?;
    canonical(&expected, &mut value).map_err(|why| Status::invalid_patch(&why))?;
    Ok(value)
}

/// What admission made of an object of `resource`, or of a body of its `subresource`: as it would have been decoded, and
/// with defaults.
///
/// # Errors
/// As [`decode`].
pub fn admitted(resource: &Resource, subresource: &str, value: Value) -> Result<Value, Status> {
    let own_kind = resource.subresource(subresource).map(|found| &found.kind);
    if own_kind.is_none_or(|kind| *kind == resource.kind) {
        let mut value = decode_value(resource, value, FieldValidation::Ignore)?.value;
        super::default(resource, &mut value);
        return Ok(value);
    }
    let expected = Expected::body(own_kind.map_or("", |kind| kind));
    let mut value = value;
    identify(&expected, &mut value, b"")?;
    let mut value = finish(&expected, value, (&[], b""), FieldValidation::Ignore)?.value;
    super::defaults::default_node(&mut value, &expected.schema);
    Ok(value)
}

/// A YAML (or JSON) document that is not an object of a known kind yet.
///
/// # Errors
/// 400 for a body that cannot be read.
pub fn decode_document(body: &[u8]) -> Result<Value, Status> {
    decode_applied(body).map(|(value, _)| value)
}

/// The body of server-side apply, which is such a document. The second is what is wrong with it for who validates strictly:
/// a key that is there twice. The last one counts.
///
/// # Errors
/// 400 for a body that cannot be read.
pub fn decode_applied(body: &[u8]) -> Result<(Value, Option<String>), Status> {
    let document = parse::yaml(body)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    let strict = (!document.duplicates.is_empty()).then(|| parse::yaml_duplicate(body));
    Ok((document.value, strict.flatten()))
}

/// Checks and canonicalizes a document whose kind is settled; `json` is its text, if that is JSON.
fn finish(
    expected: &Expected,
    mut value: Value,
    (duplicates, json): (&[String], &[u8]),
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let unknown = canonical(expected, &mut value);
    let unknown = unknown.map_err(|error| unfit(expected, &value, &error))?;
    let problems = problems(&unknown, duplicates, json);
    match validation {
        FieldValidation::Strict if !problems.is_empty() => {
            let error = format!("strict decoding error: {}", problems.join(", "));
            Err(unfit(expected, &value, &error))
        }
        FieldValidation::Warn => Ok(Decoded {
            value,
            warnings: problems,
        }),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Decoded {
            value,
            warnings: Vec::new(),
        }),
    }
}

/// What is told of unknown and duplicate fields: in the order of the text, as far as it is known.
fn problems(unknown: &[String], duplicates: &[String], json: &[u8]) -> Vec<String> {
    let unknown = unknown.iter().map(|path| ("unknown", path.as_str()));
    let duplicates = duplicates.iter().map(|path| ("duplicate", path.as_str()));
    let mut all: Vec<(&str, &str)> = unknown.chain(duplicates).collect();
    if all.len() > 1 && !json.is_empty() {
        let paths: Vec<&str> = all.iter().map(|(_, path)| *path).collect();
        let places = places::places(json, &paths);
        all.sort_by_key(|(what, path)| match (*what, places.get(path)) {
            // It is one from its second place on.
            ("duplicate", Some((_, last))) => *last,
            (_, Some((first, _))) => *first,
            (_, None) => usize::MAX,
        });
    }
    let told = all.into_iter();
    told.map(|(what, path)| format!("{what} field {path:?}"))
        .collect()
}

/// Brings a document whose kind is settled into canonical form. Gives the paths of what is unknown in it.
fn canonical(expected: &Expected, value: &mut Value) -> Result<Vec<String>, String> {
    if expected.is_custom {
        let mut unknown = Vec::new();
        let result = custom_metadata(expected, value, &mut unknown);
        unknown.append(&mut fields::prune_node(value, &expected.schema));
        return result.map(|()| unknown);
    }
    let mut walk = Walk::default();
    let result = canonical::canonicalize(value, &expected.schema, &mut walk);
    result.map(|()| walk.unknown)
}

/// The document and the paths of its duplicate keys.
fn read(
    expected: &Expected,
    content_type: ContentType,
    body: &[u8],
) -> Result<(Value, Vec<String>), Status> {
    let parsed = match content_type {
        ContentType::Json => parse::json(body).map_err(|error| {
            let error = go::json_error(body).unwrap_or(error);
            format!("json parse error: {error}")
        }),
        ContentType::Yaml => parse::yaml(body).map_err(|e| format!("yaml parse error: {e}")),
        ContentType::Protobuf if expected.is_custom => {
            return Err(Status::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/yaml",
            ));
        }
        ContentType::Protobuf => return read_protobuf(expected, body),
    };
    match parsed {
        Ok(document) => Ok((document.value, document.duplicates)),
        Err(error) => Err(unrecognized(
            expected,
            &format!("couldn't get version/kind; {error}"),
            body,
        )),
    }
}

fn read_protobuf(expected: &Expected, body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let envelope =
        protobuf::envelope(body).map_err(|error| unrecognized(expected, &error, body))?;
    let (mut value, duplicates) = if envelope.content_type.contains("json") {
        let document = parse::json(envelope.raw).map_err(|error| {
            unrecognized(
                expected,
                &format!("json parse error: {error}"),
                envelope.raw,
            )
        })?;
        (document.value, document.duplicates)
    } else {
        // The bytes mean nothing when they are of another kind.
        let mut header = serde_json::json!({
            "apiVersion": envelope.api_version, "kind": envelope.kind,
        });
        identify(expected, &mut header, body)?;
        let value = protobuf::message(envelope.raw, &expected.schema)
            .map_err(|error| unfit(expected, &header, &format!("proto: {error}")))?;
        (value, Vec::new())
    };
    if let Some(members) = value.as_object_mut() {
        for (name, text) in [
            ("apiVersion", envelope.api_version),
            ("kind", envelope.kind),
        ] {
            if !text.is_empty() && !members.contains_key(name) {
                members.insert(name.into(), text.into());
            }
        }
    }
    Ok((value, duplicates))
}

/// Checks `apiVersion` and `kind`, and sets them where a built-in kind may leave them out.
fn identify(expected: &Expected, value: &mut Value, body: &[u8]) -> Result<(), Status> {
    let Value::Object(members) = value else {
        let got = go::type_name(value);
        let error = format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {got} into Go value of type \
             struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
             \"json:\\\"kind,omitempty\\\"\" }}"
        );
        return Err(unrecognized(expected, &error, body));
    };
    let text = |name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    for (name, found) in [("Kind", &kind), ("apiVersion", &api_version)] {
        if expected.is_custom && found.is_empty() {
            return Err(Status::bad_request(format!(
                "Object '{name}' is missing in '{}'",
                excerpt(body)
            )));
        }
    }
    let is_other_version = !api_version.is_empty() && api_version != expected.api_version;
    if is_other_version && !expected.any_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        return Err(of_another_kind(expected, members, (&api_version, &kind)));
    }
    if !is_other_version {
        members.insert("apiVersion".into(), expected.api_version.clone().into());
    }
    members.insert("kind".into(), expected.kind.clone().into());
    Ok(())
}

/// A body of another kind than the path's: 422 for custom kinds, 400 for others.
fn of_another_kind(
    expected: &Expected,
    members: &serde_json::Map<String, Value>,
    (api_version, kind): (&str, &str),
) -> Status {
    let (group, version) =
        (expected.api_version.split_once('/')).unwrap_or(("", &expected.api_version));
    if expected.is_custom {
        let name = members.get("metadata").and_then(|m| m["name"].as_str());
        let rule = format!("must be {}", expected.kind);
        let cause = Cause::invalid("kind", &kind.into(), &rule);
        return Status::invalid(group, kind, name.unwrap_or_default(), vec![cause]);
    }
    let given = api_version.rsplit('/').next().unwrap_or_default();
    let mut message = format!(
        "{kind} in version {given:?} cannot be handled as a {}",
        expected.kind
    );
    if builtin::kind(api_version, kind).is_some() {
        // What the types are called inside Kubernetes.
        let package = match group.split('.').next().unwrap_or_default() {
            "" | "events" => "core",
            word => word,
        };
        message.push_str(&format!(
            ": converting ({version}.{kind}) to ({package}.{}): unknown conversion",
            expected.kind
        ));
    }
    Status::bad_request(message)
}

/// `metadata` of custom kinds is read as strictly as that of built-in ones.
fn custom_metadata(
    expected: &Expected,
    value: &mut Value,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let Some(metadata) = value.get_mut("metadata") else {
        return Ok(());
    };
    if metadata.is_null() {
        *metadata = Value::Object(serde_json::Map::new());
    }
    let schema = builtin::reference(builtin::OBJECT_META);
    let mut walk = Walk::at(&expected.kind, "metadata");
    let result = canonical::canonicalize(metadata, &schema, &mut walk);
    unknown.append(&mut walk.unknown);
    result
}

/// 400 for a body of the right kind with wrong content.
fn unfit(expected: &Expected, value: &Value, error: &str) -> Status {
    let kind = value["kind"].as_str().unwrap_or(&expected.kind);
    Status::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {}: {error}",
        expected.version(),
        expected.kind
    ))
}

/// 400 for a body that is nothing at all.
fn unrecognized(expected: &Expected, error: &str, body: &[u8]) -> Status {
    let begun = &body[..body.len().min(30)];
    let shown = match begun.first() {
        None => "<empty>".into(),
        Some(b'{') => String::from_utf8_lossy(begun).into_owned(),
        Some(_) => hex::encode(begun),
    };
    let more = if body.len() > 30 { " ..." } else { "" };
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {error} ({shown}{more})",
        expected.kind
    ))
}

/// The beginning of a body, for messages.
fn excerpt(body: &[u8]) -> String {
    let shown = &body[..body.len().min(128)];
    let more = if body.len() > 128 { "..." } else { "" };
    format!("{}{more}", String::from_utf8_lossy(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(
        expected_kind: (&str, &str),
        content_type: ContentType,
        body: &[u8],
        validation: FieldValidation,
        expected: Expect,
    ) {
        let kind = Expected::message(&format!("io.k8s.api.{}", expected_kind.0), expected_kind.1);
        let shown = match decode_as(&kind, content_type, body, validation) {
            Ok(decoded) => format!("{} {:?}", decoded.value, decoded.warnings),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        expected.assert_eq(&shown);
    }

    const CONFIG_MAP: (&str, &str) = ("core.v1.ConfigMap", "v1");
    const DEPLOYMENT: (&str, &str) = ("apps.v1.Deployment", "apps/v1");

    #[test]
    fn unknown_and_duplicate_fields_warn_or_fail() {
        let body = br#"{"kind":"Deployment","spec":{"replicas":1,"replicas":2,"x":{"y":1},"template":{"spec":{"containers":[{"nam":"a"}]}}}}"#;
        check(
            DEPLOYMENT,
            ContentType::Json,
            body,
            FieldValidation::Warn,
            expect![[
                r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{},"spec":{"replicas":2,"strategy":{},"template":{"metadata":{},"spec":{"containers":[{"name":"","resources":{}}]}}},"status":{}} ["duplicate field \"spec.replicas\"", "unknown field \"spec.x\"", "unknown field \"spec.template.spec.containers[0].nam\""]"#
            ]],
        );
        check(
            DEPLOYMENT,
            ContentType::Json,
            body,
            FieldValidation::Strict,
            expect![[
                r#"400 Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: duplicate field "spec.replicas", unknown field "spec.x", unknown field "spec.template.spec.containers[0].nam""#
            ]],
        );
        check(
            DEPLOYMENT,
            ContentType::Json,
            body,
            FieldValidation::Ignore,
            expect![[
                r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{},"spec":{"replicas":2,"strategy":{},"template":{"metadata":{},"spec":{"containers":[{"name":"","resources":{}}]}}},"status":{}} []"#
            ]],
        );
    }

    #[test]
    fn bodies_of_another_kind_are_refused() {
        check(
            CONFIG_MAP,
            ContentType::Json,
            b"{\"kind\":\"Secret\",\"apiVersion\":\"v1\"}",
            FieldValidation::Warn,
            expect![[
                r#"400 Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion"#
            ]],
        );
        check(
            CONFIG_MAP,
            ContentType::Json,
            b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v2\"}",
            FieldValidation::Warn,
            expect![
                "400 the API version in the data (v2) does not match the expected API version (v1)"
            ],
        );
        check(
            CONFIG_MAP,
            ContentType::Json,
            b"{\"a\"",
            FieldValidation::Warn,
            expect![[
                r#"400 the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({"a")"#
            ]],
        );
        check(
            CONFIG_MAP,
            ContentType::Json,
            b"[]",
            FieldValidation::Warn,
            expect![[
                r#"400 the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" } (5b5d)"#
            ]],
        );
        check(
            CONFIG_MAP,
            ContentType::Yaml,
            b"data:\n  a: 1\n",
            FieldValidation::Warn,
            expect![[
                r#"400 ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#
            ]],
        );
        check(
            CONFIG_MAP,
            ContentType::Yaml,
            b"data:\n  a: \"1\"\n",
            FieldValidation::Warn,
            expect![[
                r#"{"apiVersion":"v1","data":{"a":"1"},"kind":"ConfigMap","metadata":{}} []"#
            ]],
        );
        check(
            CONFIG_MAP,
            ContentType::Protobuf,
            b"{}",
            FieldValidation::Warn,
            expect![
                "400 the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})"
            ],
        );
        check(CONFIG_MAP, ContentType::Protobuf, b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x0d\x12\x0b\x0a\x01a\x12\x06\xc3\xa9\xc3\xa9\xc3\xa9", FieldValidation::Warn, expect![[r#"{"apiVersion":"v1","data":{"a":"ééé"},"kind":"ConfigMap","metadata":{}} []"#]]);
        check(
            CONFIG_MAP,
            ContentType::Protobuf,
            b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret",
            FieldValidation::Warn,
            expect![[
                r#"400 Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion"#
            ]],
        );
    }

    proptest! {
        #[test]
        fn no_body_panics(body in "[-{}\\[\\]:,\"a-z0-9 \n&*!|>#']{0,120}") {
            for content_type in [ContentType::Json, ContentType::Yaml] {
                let kind = Expected::message("io.k8s.api.core.v1.Pod", "v1");
                let _ = decode_as(&kind, content_type, body.as_bytes(), FieldValidation::Strict);
            }
        }

        #[test]
        fn no_shape_of_json_panics(spec in shapes()) {
            let body = serde_json::json!({"spec": spec, "metadata": spec, "status": spec}).to_string();
            for kind in ["core.v1.Pod", "core.v1.Service", "batch.v1.CronJob"] {
                let kind = Expected::message(&format!("io.k8s.api.{kind}"), "v1");
                let _ = decode_as(&kind, ContentType::Json, body.as_bytes(), FieldValidation::Warn);
            }
        }
    }

    fn shapes() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z0-9.]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let keys = prop_oneof![
                Just("spec"),
                Just("containers"),
                Just("ports"),
                Just("name"),
                Just("labels"),
                Just("template"),
                Just("metadata"),
                Just("env"),
                Just("resources"),
                Just("limits"),
                Just("volumes"),
                Just("x"),
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((keys, inner), 0..6).prop_map(|members| {
                    Value::Object(
                        members
                            .into_iter()
                            .map(|(k, v)| (k.to_owned(), v))
                            .collect(),
                    )
                }),
            ]
        })
    }
}
