//! What v1beta2 says and v1beta1 cannot: kept in an annotation of the v1beta1 object, as JSON of the v1beta2 one.
//!
//! The annotation is there only if something would be lost, and has only those of `spec` and `status` that lose
//! something. On the way up three states are merged: what v1beta2 said, what of that came through v1beta1, and what
//! v1beta1 says now. Where the last two agree nobody changed anything, and the first counts; elsewhere the last.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Schemas, bare, content, lower, namespace, raise};
use crate::meta::{FieldError, V1BETA2};

/// The annotation.
pub const ANNOTATION: &str = "cluster.x-k8s.io/conversion-data";
/// Stands in the annotation where what is kept is larger than annotations may be.
const TOO_LARGE: &str = "too large";
/// Bytes of what is kept; all annotations of an object together have 256 KiB.
const MAX_BYTES: usize = 192 << 10;
/// Members by which items of lists are known, if all items have them and no two the same.
const KEYS: &[&str] = &["name", "type", "conditionType", "path", "key", "token"];

/// v1beta2 to v1beta1.
pub(super) fn down(schemas: &Schemas, mut hub: Value) -> Result<Value, FieldError> {
    super::shape::prune(&schemas.v1beta2, &mut hub);
    forget(&mut hub);
    let mut spoke = lower(schemas, hub.clone());
    let back = content(&raise(schemas, spoke.clone())?);
    let was = content(&hub);
    let members: BTreeSet<&String> = was.keys().chain(back.keys()).collect();
    let differs = |name: &&&String| was.get(**name) != back.get(**name);
    let mut kept = Map::new();
    for name in members.iter().filter(differs) {
        kept.insert(
            (**name).clone(),
            was.get(*name).cloned().unwrap_or_default(),
        );
    }
    if !kept.is_empty() {
        kept.insert("apiVersion".into(), hub["apiVersion"].clone());
        kept.insert("kind".into(), hub["kind"].clone());
        let text = Value::Object(kept).to_string();
        let text = if text.len() > MAX_BYTES {
            TOO_LARGE.to_owned()
        } else {
            text
        };
        keep(&mut spoke, text);
    }
    Ok(spoke)
}

/// v1beta1 to v1beta2.
pub(super) fn up(schemas: &Schemas, mut spoke: Value) -> Result<Value, FieldError> {
    let kept = forget(&mut spoke);
    let namespace = namespace(&spoke);
    let mut hub = raise(schemas, spoke)?;
    let Some(kept) = kept else {
        return Ok(hub);
    };
    let path = || format!("metadata.annotations[{ANNOTATION}]");
    if kept == TOO_LARGE {
        let detail = "this object says more than v1beta1 can hold; change it as v1beta2, or remove the annotation to lose that";
        return Err(FieldError::invalid(path(), detail));
    }
    let Ok(Value::Object(mut kept)) = serde_json::from_str::<Value>(&kept) else {
        let detail = "must be the JSON that a read of this object returned; without the annotation, what only v1beta2 says is lost";
        return Err(FieldError::invalid(path(), detail));
    };
    kept.retain(|name, _| matches!(name.as_str(), "spec" | "status"));
    let names: Vec<String> = kept.keys().cloned().collect();
    kept.retain(|_, value| !value.is_null());
    let mut was = bare(schemas.kind, V1BETA2, &namespace, kept);
    super::shape::prune(&schemas.v1beta2, &mut was);
    let through = raise(schemas, lower(schemas, was.clone()))?;
    for name in names {
        let merged = merge(through.get(&name), was.get(&name), hub.get(&name));
        if let Some(members) = hub.as_object_mut() {
            match merged {
                Some(merged) => members.insert(name, merged),
                None => members.remove(&name),
            };
        }
    }
    Ok(hub)
}

fn keep(object: &mut Value, text: String) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(ANNOTATION.into(), text.into());
    }
}

/// Removes the annotation.
fn forget(object: &mut Value) -> Option<String> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(ANNOTATION)?;
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    text.as_str().map(str::to_owned)
}

/// `theirs` with what `ours` has beyond `base`, where they left `base` as it was.
fn merge(base: Option<&Value>, ours: Option<&Value>, theirs: Option<&Value>) -> Option<Value> {
    if theirs == base {
        return ours.cloned();
    }
    if ours == base {
        return theirs.cloned();
    }
    match (ours, theirs) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let base = |name: &String| base.and_then(|base| base.get(name));
            let member = |name: &String| {
                let merged = merge(base(name), ours.get(name), theirs.get(name))?;
                Some((name.clone(), merged))
            };
            Some(Value::Object(
                names.into_iter().filter_map(member).collect(),
            ))
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            let base = base
                .and_then(Value::as_array)
                .map_or(&[] as &[_], Vec::as_slice);
            Some(merge_lists(base, ours, theirs))
        }
        _ => theirs.cloned(),
    }
}

fn merge_lists(base: &[Value], ours: &[Value], theirs: &[Value]) -> Value {
    let is_key = |key: &&&str| {
        [base, ours, theirs]
            .iter()
            .all(|list| tells_apart(list, key))
    };
    if let Some(key) = KEYS.iter().find(is_key) {
        let of = |list: &[Value], item: &Value| {
            let found = list.iter().find(|other| other[*key] == item[*key]);
            found.cloned()
        };
        let merged = theirs
            .iter()
            .filter_map(|item| merge(of(base, item).as_ref(), of(ours, item).as_ref(), Some(item)));
        let is_only_ours = |item: &&Value| of(base, item).is_none() && of(theirs, item).is_none();
        let only_ours = ours.iter().filter(is_only_ours).cloned();
        return merged.chain(only_ours).collect();
    }
    if base.len() == ours.len() && ours.len() == theirs.len() {
        let items = base.iter().zip(ours).zip(theirs);
        return items
            .filter_map(|((base, ours), theirs)| merge(Some(base), Some(ours), Some(theirs)))
            .collect();
    }
    theirs.to_vec().into()
}

fn tells_apart(list: &[Value], key: &str) -> bool {
    let mut seen = BTreeSet::new();
    list.iter()
        .all(|item| item[key].as_str().is_some_and(|name| seen.insert(name)))
}
