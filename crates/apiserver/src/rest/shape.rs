//! Objects in the shape and encoding that a client wants. What is stored in that form already is handed on as it is, and
//! protobuf is written straight from the stored bytes.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::negotiate::{Accepted, Encoding, MetaVersion, Transform};
use crate::object::Object;
use crate::registry::{Page, Registry};
use crate::resource::Resource;
use crate::schema::{builtin, protobuf};
use crate::status::Status;
use crate::table::{self, IncludeObject};

use super::joined::Joined;

/// How the objects of one resource are shown to one client.
#[derive(Clone)]
pub(super) struct Shape {
    pub resource: Arc<Resource>,
    pub encoding: Encoding,
    /// JSON is indented.
    pub pretty: bool,
    pub transform: Option<Transform>,
    pub include: IncludeObject,
}

/// A list in the wanted shape.
pub(super) enum Listed {
    /// Stored objects, which are put together while they are sent.
    Stored(Joined),
    /// Encoded already.
    Bytes(Bytes),
    Value(Value),
}

impl Shape {
    pub(super) fn new(
        resource: Arc<Resource>,
        accepted: &Accepted,
        pretty: bool,
        include: IncludeObject,
    ) -> Self {
        Self {
            resource,
            encoding: accepted.encoding,
            pretty,
            transform: accepted.transform,
            include,
        }
    }

    /// `Content-Type` of a watch.
    pub(super) fn stream_type(&self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }

    /// One object.
    pub(super) fn one(&self, registry: &Registry, value: Value) -> Value {
        match self.transform {
            Some(Transform::Table(version)) => {
                let meta = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                self.table(registry, &[&value], meta, version, true)
            }
            Some(Transform::Metadata(version) | Transform::MetadataList(version)) => {
                table::partial(&value, version.api_version())
            }
            _ => value,
        }
    }

    /// One object as it is stored, encoded without decoding all of it; `None` where the shape wants it decoded. Its stored
    /// bytes must be what the resource shows.
    ///
    /// # Errors
    /// 500 when the stored object does not have the type of its kind.
    pub(super) fn stored(&self, object: &Object) -> Result<Option<Bytes>, Status> {
        match (self.encoding, self.transform) {
            (Encoding::Json, None) if !self.pretty => Ok(Some(object.json.clone())),
            (Encoding::Json, Some(Transform::Metadata(v) | Transform::MetadataList(v)))
                if !self.pretty =>
            {
                Ok(Some(partial(object, v).into()))
            }
            (
                Encoding::Protobuf,
                None | Some(Transform::Metadata(_) | Transform::MetadataList(_)),
            ) => self.document(object).map(|bytes| Some(bytes.into())),
            _ => Ok(None),
        }
    }

    /// A stored object in protobuf, whole or its metadata.
    fn document(&self, object: &Object) -> Result<Vec<u8>, Status> {
        let api_version = self.resource.api_version();
        let (kind, schema) = match self.transform {
            Some(Transform::Metadata(v) | Transform::MetadataList(v)) => (
                (v.api_version(), "PartialObjectMetadata"),
                partial_schema()?,
            ),
            _ => ((&*api_version, &*self.resource.kind), &self.resource.schema),
        };
        protobuf::object(kind, &object.json, schema).map_err(|error| unwritable(&error))
    }

    /// A list of objects that are no page of the store.
    pub(super) fn values(&self, registry: &Registry, items: &[Value], meta: Value) -> Value {
        match self.transform {
            Some(Transform::Table(version)) => {
                let items: Vec<&Value> = items.iter().collect();
                self.table(registry, &items, meta, version, true)
            }
            Some(Transform::MetadataList(version) | Transform::Metadata(version)) => {
                let items: Vec<&Value> = items.iter().collect();
                table::partial_list(&items, meta, version.api_version())
            }
            _ => json!({
                "kind": self.resource.list_kind, "apiVersion": self.resource.api_version(),
                "metadata": meta, "items": items,
            }),
        }
    }

    /// A page of a list.
    ///
    /// # Errors
    /// 500 when a stored object does not have the type of its kind.
    pub(super) fn list(&self, registry: &Registry, page: &Page) -> Result<Listed, Status> {
        let is_plain = self.encoding == Encoding::Json && !self.pretty;
        match (self.encoding, self.transform) {
            (Encoding::Protobuf, _) => self.protobuf(registry, page).map(Listed::Bytes),
            (_, None) if is_plain && self.are_stored_bytes(registry, page) => {
                let (api_version, kind) = (self.resource.api_version(), &self.resource.list_kind);
                Ok(Listed::Stored(Joined::new(page, (&api_version, kind))))
            }
            (_, Some(Transform::MetadataList(version)))
                if is_plain && self.are_stored_bytes(registry, page) =>
            {
                let kind = (version.api_version(), "PartialObjectMetadataList");
                Ok(Listed::Bytes(concatenated(page, kind, |object, bytes| {
                    bytes.put_slice(&partial(object, version));
                })))
            }
            _ => {
                let objects = page.objects.iter();
                let items: Vec<Value> = objects
                    .map(|object| registry.present(&self.resource, object))
                    .collect();
                Ok(Listed::Value(self.values(
                    registry,
                    &items,
                    list_meta(page),
                )))
            }
        }
    }

    fn are_stored_bytes(&self, registry: &Registry, page: &Page) -> bool {
        let objects = page.objects.iter().map(|object| &**object);
        registry.show_stored_bytes(&self.resource, objects)
    }

    fn protobuf(&self, registry: &Registry, page: &Page) -> Result<Bytes, Status> {
        let api_version = self.resource.api_version();
        let meta = list_meta(page);
        let (kind, schema, is_beta) = match self.transform {
            Some(Transform::MetadataList(version) | Transform::Metadata(version)) => (
                (version.api_version(), "PartialObjectMetadataList"),
                partial_schema()?,
                version == MetaVersion::V1beta1,
            ),
            _ => (
                (&*api_version, &*self.resource.list_kind),
                &self.resource.schema,
                false,
            ),
        };
        let length: usize = page.objects.iter().map(|o| o.json.len()).sum();
        let written = || {
            let mut list = protobuf::List::new(&meta, length, is_beta)?;
            for object in &page.objects {
                if registry.shows_stored_bytes(&self.resource, object) {
                    list.push_json(&object.json, schema)?;
                } else {
                    list.push_value(&registry.present(&self.resource, object), schema)?;
                }
            }
            Ok(list.finish(kind.0, kind.1))
        };
        written()
            .map(Into::into)
            .map_err(|error: serde_json::Error| unwritable(&error))
    }

    /// One event of a watch. Only the first Table of a stream has columns.
    ///
    /// # Errors
    /// 500 when a stored object does not have the type of its kind.
    pub(super) fn event(
        &self,
        registry: &Registry,
        ty: &str,
        object: &Object,
        has_sent_columns: &mut bool,
    ) -> Result<Bytes, Status> {
        if !registry.shows_stored_bytes(&self.resource, object) {
            let value = registry.present(&self.resource, object);
            return self.event_of(registry, ty, value, has_sent_columns);
        }
        match (self.encoding, self.transform) {
            (Encoding::Json, None) => Ok(line(ty, &object.json)),
            (Encoding::Json, Some(Transform::Metadata(v) | Transform::MetadataList(v))) => {
                Ok(line(ty, &partial(object, v)))
            }
            (Encoding::Protobuf, _) => Ok(protobuf::frame(ty, &self.document(object)?).into()),
            _ => {
                let value = registry.present(&self.resource, object);
                self.event_of(registry, ty, value, has_sent_columns)
            }
        }
    }

    /// As [`Shape::event`], for an object that is not stored.
    ///
    /// # Errors
    /// As [`Shape::event`].
    pub(super) fn event_of(
        &self,
        registry: &Registry,
        ty: &str,
        value: Value,
        has_sent_columns: &mut bool,
    ) -> Result<Bytes, Status> {
        let shaped = match self.transform {
            Some(Transform::Table(version)) => {
                let with_columns = !std::mem::replace(has_sent_columns, true);
                let meta = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                self.table(registry, &[&value], meta, version, with_columns)
            }
            _ => self.one(registry, value),
        };
        self.framed(ty, &shaped)
    }

    /// The event that ends a watch because of `status`; a Status has no other shape.
    pub(super) fn error_event(&self, status: &Status) -> Bytes {
        let body = status.body();
        self.framed("ERROR", &body)
            .unwrap_or_else(|_| line("ERROR", body.to_string().as_bytes()))
    }

    fn framed(&self, ty: &str, object: &Value) -> Result<Bytes, Status> {
        if self.encoding != Encoding::Protobuf {
            return Ok(line(ty, object.to_string().as_bytes()));
        }
        match protobuf::value(object) {
            Ok(Some(document)) => Ok(protobuf::frame(ty, &document).into()),
            Ok(None) => Err(Status::internal("the object has no protobuf message")),
            Err(error) => Err(unwritable(&error)),
        }
    }

    fn table(
        &self,
        registry: &Registry,
        objects: &[&Value],
        meta: Value,
        version: MetaVersion,
        with_columns: bool,
    ) -> Value {
        table::render(
            &self.resource,
            objects,
            meta,
            self.include,
            with_columns,
            registry.now(),
            version.api_version(),
        )
    }
}

/// The metadata of a list.
fn list_meta(page: &Page) -> Value {
    let mut meta = json!({"resourceVersion": page.revision.to_string()});
    if let Some(token) = &page.continue_token {
        meta["continue"] = token.clone().into();
    }
    if let Some(remaining) = page.remaining {
        meta["remainingItemCount"] = json!(remaining);
    }
    meta
}

/// A list as its stored objects, one after the other, undecoded.
fn concatenated(
    page: &Page,
    kind: (&str, &str),
    mut put: impl FnMut(&Object, &mut BytesMut),
) -> Bytes {
    let head = list_head(page, kind);
    let length: usize = page.objects.iter().map(|o| o.json.len() + 1).sum();
    let mut bytes = BytesMut::with_capacity(head.len() + length + 16);
    bytes.put_slice(head.as_bytes());
    for (at, object) in page.objects.iter().enumerate() {
        if at > 0 {
            bytes.put_u8(b',');
        }
        put(object, &mut bytes);
    }
    bytes.put_slice(LIST_END);
    bytes.freeze()
}

/// What a list ends with, after its last item.
pub(super) const LIST_END: &[u8] = b"]}";

/// What a list begins with, up to its first item.
pub(super) fn list_head(page: &Page, (api_version, kind): (&str, &str)) -> String {
    let head = json!({"kind": kind, "apiVersion": api_version, "metadata": list_meta(page)});
    let mut head = head.to_string();
    head.truncate(head.len() - 1);
    head.push_str(",\"items\":[");
    head
}

/// `PartialObjectMetadata` of a stored object, whose metadata is cut out undecoded.
fn partial(object: &Object, version: MetaVersion) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    match serde_json::from_slice::<Stored<'_>>(&object.json) {
        Ok(stored) => format!(
            r#"{{"apiVersion":"{}","kind":"PartialObjectMetadata","metadata":{}}}"#,
            version.api_version(),
            stored.metadata
        )
        .into_bytes(),
        Err(_) => table::partial(&object.value(), version.api_version())
            .to_string()
            .into_bytes(),
    }
}

fn partial_schema() -> Result<&'static Arc<crate::schema::Schema>, Status> {
    builtin::kind("meta.k8s.io/v1", "PartialObjectMetadata")
        .ok_or_else(|| Status::internal("metadata has no protobuf message"))
}

fn unwritable(error: &serde_json::Error) -> Status {
    Status::internal(format!(
        "an object could not be written as protobuf: {error}"
    ))
}

/// `{"type":…,"object":…}` and a newline.
fn line(ty: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 40);
    for part in [
        b"{\"type\":\"".as_slice(),
        ty.as_bytes(),
        b"\",\"object\":",
        object,
        b"}\n",
    ] {
        line.put_slice(part);
    }
    line.freeze()
}
