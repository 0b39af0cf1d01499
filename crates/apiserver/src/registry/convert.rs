//! Custom resources between their versions: by a part of this process, by a conversion webhook, or by the name of the
//! version alone. Objects are converted before anything else looks at them, so that selection, shape and decisions see
//! the version that the request is about.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Registry, Target};
use crate::object::Object;
use crate::patch;
use crate::resource::{Conversion, Resource};
use crate::schema::{self, Schema, meta};
use crate::status::Status;

/// What a conversion webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Objects of one review.
const MAX_OBJECTS: usize = 500;
/// Bytes of the objects of one review, unless one is larger alone.
const MAX_BYTES: usize = 4 * 1024 * 1024;

impl Registry {
    /// The same objects at the version of `resource`, those that need it converted, in batches.
    ///
    /// # Errors
    /// 500 when the conversion fails.
    pub(crate) async fn shown(
        &self,
        resource: &Resource,
        mut objects: Vec<Arc<Object>>,
    ) -> Result<Vec<Arc<Object>>, Status> {
        if !objects.iter().any(|o| self.needs_conversion(resource, o)) {
            return Ok(objects);
        }
        let mut others: Vec<(usize, Value)> = vec![];
        for (at, object) in objects.iter().enumerate() {
            if is_stored_at(object, resource) {
                continue;
            }
            let value = object.value();
            if !is_at(&value, resource) {
                others.push((at, value));
            }
        }
        while !others.is_empty() {
            let mut bytes = 0;
            let fitting = others.iter().take(MAX_OBJECTS).take_while(|(at, _)| {
                let is_first = bytes == 0;
                bytes += objects[*at].json.len();
                is_first || bytes <= MAX_BYTES
            });
            let count = fitting.count();
            let rest = others.split_off(count);
            let (places, values): (Vec<usize>, Vec<Value>) =
                std::mem::replace(&mut others, rest).into_iter().unzip();
            let converted = self
                .convert_all(resource, &resource.api_version(), values)
                .await?;
            for (at, mut value) in places.into_iter().zip(converted) {
                schema::prune(resource, &mut value);
                schema::default(resource, &mut value);
                objects[at] = Arc::new(Object::encode(value, objects[at].header.revision));
            }
        }
        Ok(objects)
    }

    /// One object; see [`Registry::shown`].
    ///
    /// # Errors
    /// 500 when the conversion fails.
    pub(crate) async fn shown_one(
        &self,
        resource: &Resource,
        object: &Arc<Object>,
    ) -> Result<Arc<Object>, Status> {
        if !self.needs_conversion(resource, object) {
            return Ok(object.clone());
        }
        let mut shown = self.shown(resource, vec![object.clone()]).await?;
        Ok(shown.pop().unwrap_or_else(|| object.clone()))
    }

    /// `value`, which is as `from` shows it, at another version of the same custom kind.
    ///
    /// # Errors
    /// 500 when the conversion fails.
    pub(super) async fn convert_custom(
        &self,
        value: Value,
        from: &Resource,
        api_version: &str,
    ) -> Result<Value, Status> {
        if value["apiVersion"] == api_version {
            return Ok(value);
        }
        if !self.has_conversion(from) {
            let mut value = value;
            value["apiVersion"] = api_version.into();
            return Ok(value);
        }
        let mut converted = self.convert_all(from, api_version, vec![value]).await?;
        converted
            .pop()
            .ok_or_else(|| Status::internal("nothing was converted"))
    }

    /// The resource of the version in which objects of `resource` are stored, if that is another one and a part of this
    /// process converts between them.
    pub(super) fn stored_elsewhere(&self, resource: &Resource) -> Option<Arc<Resource>> {
        let custom = resource.custom.as_ref()?;
        if custom.storage_version == resource.version {
            return None;
        }
        self.caller.converter(&resource.group, &resource.kind)?;
        (self.types).find(&resource.group, &custom.storage_version, &resource.plural)
    }

    /// Refuses what would not be valid in the version that is stored: those who write that version could never change
    /// it again. What was wrong with `old` already may stay.
    ///
    /// # Errors
    /// 422 with what is wrong, by the names of the stored version; 500 when the conversion fails.
    pub(super) async fn check_stored(
        &self,
        target: &Target,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(stored) = self.stored_elsewhere(&target.resource) else {
            return Ok(());
        };
        let value = self.to_storage(new.clone(), &target.resource).await?;
        let mut causes = schema::validate(&stored, &value, None);
        if causes.is_empty() {
            return Ok(());
        }
        if let Some(old) = old {
            let old = self.to_storage(old.clone(), &target.resource).await?;
            let known = schema::validate(&stored, &old, None);
            causes.retain(|cause| !known.contains(cause));
        }
        if causes.is_empty() {
            return Ok(());
        }
        let version = &stored.version;
        for cause in &mut causes {
            cause.message = format!("{} (as {version}, which is stored)", cause.message);
        }
        Err(target.invalid(causes))
    }

    /// Whether an object has to be converted before `resource` can show it. Those who ask for the version in which it is
    /// stored pay nothing.
    pub(crate) fn needs_conversion(&self, resource: &Resource, object: &Object) -> bool {
        resource.custom.is_some()
            && !is_stored_at(object, resource)
            && self.has_conversion(resource)
    }

    /// Whether converting objects takes a while, because somebody else does it.
    pub(crate) fn is_converted_elsewhere(&self, resource: &Resource) -> bool {
        self.has_conversion(resource)
            && self
                .caller
                .converter(&resource.group, &resource.kind)
                .is_none()
    }

    /// Whether versions of the kind differ in more than their name.
    pub(crate) fn has_conversion(&self, resource: &Resource) -> bool {
        resource.custom.as_ref().is_some_and(|custom| {
            custom.conversion.is_some()
                || (self.caller)
                    .converter(&resource.group, &resource.kind)
                    .is_some()
        })
    }

    async fn convert_all(
        &self,
        resource: &Resource,
        api_version: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Value>, Status> {
        if let Some(converter) = self.caller.converter(&resource.group, &resource.kind) {
            let convert = |value: Value| {
                let failed = |why: String| failure(&value, &why);
                let converted = converter
                    .convert(value.clone(), api_version)
                    .map_err(failed)?;
                checked(&value, converted, api_version)
                    .map_err(|why| invalid(&value, "invalid object", &why))
            };
            return values.into_iter().map(convert).collect();
        }
        let conversion = resource
            .custom
            .as_ref()
            .and_then(|custom| custom.conversion.as_ref());
        let (Some(conversion), Some(first)) = (conversion, values.first()) else {
            return Ok(values);
        };
        let converted = self.review(conversion, api_version, &values).await;
        let converted = converted.map_err(|why| failure(first, &why))?;
        if converted.len() != values.len() {
            let what = format!(
                "conversion webhook for {} returned {} objects, expected {}",
                of(first),
                converted.len(),
                values.len()
            );
            return Err(Status::new(500, "", what));
        }
        let pairs = values.iter().zip(converted).enumerate();
        pairs
            .map(|(index, (value, converted))| {
                checked(value, converted, api_version).map_err(|why| {
                    invalid(
                        value,
                        &format!("invalid converted object at index {index}"),
                        &why,
                    )
                })
            })
            .collect()
    }

    /// Asks the webhook.
    async fn review(
        &self,
        conversion: &Conversion,
        api_version: &str,
        values: &[Value],
    ) -> Result<Vec<Value>, String> {
        let versions = &conversion.review_versions;
        let Some(version) = (versions.iter()).find(|v| matches!(&***v, "v1" | "v1beta1")) else {
            return Err("no supported conversion review versions".into());
        };
        let uid = uuid::Uuid::new_v4().to_string();
        let review_version = format!("apiextensions.k8s.io/{version}");
        let review = json!({
            "kind": "ConversionReview", "apiVersion": review_version,
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": values},
        });
        let answer = self
            .caller
            .call(&self.store, &conversion.client, review, TIMEOUT)
            .await
            .map_err(|error| error.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let response = &answer["response"];
        if &**version == "v1"
            && (answer["apiVersion"] != review_version || answer["kind"] != "ConversionReview")
        {
            return Err(format!(
                "expected webhook response of {review_version}, Kind=ConversionReview, got {}, Kind={}",
                text(&answer["apiVersion"]),
                text(&answer["kind"])
            ));
        }
        if !response.is_object() {
            return Err("no response provided".into());
        }
        if &**version == "v1" && response["uid"] != uid {
            return Err(format!(
                "expected response.uid={uid:?}, got {:?}",
                text(&response["uid"])
            ));
        }
        let result = &response["result"];
        if result["status"] != "Success" {
            let message = text(&result["message"]);
            return Err(if message.is_empty() {
                format!(
                    "response.result.status was '{}', not 'Success'",
                    text(&result["status"])
                )
            } else {
                message
            });
        }
        Ok(response["convertedObjects"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }
}

impl patch::Versions for Registry {
    fn show(&self, object: &Value, api_version: &str) -> Option<(Value, Arc<Schema>)> {
        let kind = object["kind"].as_str()?;
        let (group, _) = api_version.split_once('/')?;
        let converter = self.caller.converter(group, kind)?;
        let served = self.types.served();
        let is_meant = |r: &&Arc<Resource>| &*r.kind == kind && r.is_version(api_version);
        let resource = served.resources.iter().find(is_meant)?;
        let mut object = object.clone();
        if object["apiVersion"] != api_version {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
            object = converter.convert(object, api_version).ok()?;
        }
        Some((object, resource.schema.clone()))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Whether the stored bytes begin as those of an object at the version of `resource` do.
fn is_stored_at(object: &Object, resource: &Resource) -> bool {
    let version = object.json.strip_prefix(b"{\"apiVersion\":\"");
    let group = version.and_then(|rest| rest.strip_prefix(resource.group.as_bytes()));
    let name = group.and_then(|rest| rest.strip_prefix(b"/"));
    let rest = name.and_then(|rest| rest.strip_prefix(resource.version.as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(b"\","))
}

fn is_at(value: &Value, resource: &Resource) -> bool {
    let api_version = value["apiVersion"].as_str().unwrap_or_default();
    resource.is_version(api_version)
}

/// `example.com/v1, Kind=Bee`.
fn of(value: &Value) -> String {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

fn failure(value: &Value, why: &str) -> Status {
    let message = format!("conversion webhook for {} failed: {why}", of(value));
    Status::new(500, "", message)
}

fn invalid(value: &Value, what: &str, why: &str) -> Status {
    let message = format!(
        "conversion webhook for {} returned {what}: {why}",
        of(value)
    );
    Status::new(500, "", message)
}

/// What was converted, with the metadata that it had before but for labels and annotations.
///
/// # Errors
/// In words, when it is another object now, or one that may not be.
fn checked(before: &Value, mut after: Value, api_version: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if after["apiVersion"] != api_version {
        return Err(format!(
            "invalid groupVersion (expected {api_version}, received {})",
            text(&after["apiVersion"])
        ));
    }
    if after["kind"] != before["kind"] {
        return Err(format!(
            "invalid kind (expected {}, received {})",
            text(&before["kind"]),
            text(&after["kind"])
        ));
    }
    for (field, shown) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (was, is) = (
            text(&before["metadata"][field]),
            text(&after["metadata"][field]),
        );
        if was != is {
            return Err(format!("must have the same {shown}: {was} != {is}"));
        }
    }
    if !after["metadata"].is_object() {
        return Err("missing metadata in converted object".into());
    }
    let said = std::mem::replace(&mut after["metadata"], before["metadata"].clone());
    let Some(metadata) = after["metadata"].as_object_mut() else {
        return Err("missing metadata in the object that was to be converted".into());
    };
    for member in ["labels", "annotations"] {
        let Some(map) = said.get(member).filter(|map| !map.is_null()) else {
            metadata.remove(member);
            continue;
        };
        let values = map.as_object().ok_or_else(|| {
            format!("invalid metadata.{member} in converted object: it must be a map")
        })?;
        if let Some((key, _)) = values.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!(
                "metadata.{member}[{key}] must be a string in converted object"
            ));
        }
        if metadata.get(member) != Some(map) {
            let mut causes = vec![];
            let path = format!("metadata.{member}");
            if member == "labels" {
                meta::labels(map, &path, &mut causes);
            } else {
                meta::annotations(map, &path, &mut causes);
            }
            if let Some(cause) = causes.first() {
                return Err(format!("{}: {}", cause.field, cause.message));
            }
        }
        metadata.insert(member.into(), map.clone());
    }
    Ok(after)
}
