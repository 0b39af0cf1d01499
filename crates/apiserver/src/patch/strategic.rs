//! Strategic merge patch: merge patch that knows which lists are maps and sets.
//!
//! Directives: `$patch: replace|delete|merge` in objects and list items, `$deleteFromPrimitiveList/<field>`,
//! `$setElementOrder/<field>`, `$retainKeys`. They never reach the result.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{MAX_DEPTH, is_deeper_than, too_deep, unprocessable};
use crate::go;
use crate::schema::{PatchStrategy, Schema, Type};
use crate::status::Status;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Applies a strategic merge patch to an object of the kind that `schema` describes. Fields that the schema does not
/// know are merged as by [`merge`](super::merge).
///
/// # Errors
/// 400 if the patch is malformed, 422 if it does not fit: lists of lists, fields outside `$retainKeys`.
pub fn strategic(target: &Value, patch: &Value, schema: &Schema) -> Result<Value, Status> {
    let Value::Object(patch) = patch else {
        return Err(Status::bad_request(
            "invalid JSON document: a strategic merge patch must be an object",
        ));
    };
    if patch
        .values()
        .any(|value| is_deeper_than(value, MAX_DEPTH - 1))
    {
        return Err(too_deep("patch"));
    }
    let target = target.as_object().cloned().unwrap_or_default();
    Ok(Value::Object(merge_objects(
        target,
        patch,
        Some(schema.resolve()),
    )?))
}

/// What the schema says of one field.
struct Field<'a> {
    /// Of the field, or of its items if it is a list.
    schema: Option<&'a Schema>,
    strategy: Option<&'a PatchStrategy>,
}

impl<'a> Field<'a> {
    fn of(parent: Option<&'a Schema>, name: &str) -> Self {
        let found = parent.and_then(|parent| match &parent.ty {
            Type::Object(object) => object
                .fields
                .get(name)
                .map(|field| &field.schema)
                .or(object.additional.as_ref())
                .map(|schema| &**schema),
            _ => None,
        });
        let Some(schema) = found else {
            return Self {
                schema: None,
                strategy: None,
            };
        };
        let resolved = schema.resolve();
        let strategy = schema.patch.as_ref().or(resolved.patch.as_ref());
        let below = match &resolved.ty {
            Type::Array(items) => items.resolve(),
            _ => resolved,
        };
        Self {
            schema: Some(below),
            strategy,
        }
    }

    /// Lists are merged only where the schema says so.
    fn merges_lists(&self) -> bool {
        self.strategy.is_some_and(|strategy| strategy.merge)
    }

    /// Objects are merged unless the schema says otherwise.
    fn replaces_objects(&self) -> bool {
        self.strategy
            .is_some_and(|strategy| !strategy.merge && !strategy.retain_keys)
    }

    fn merge_key(&self) -> Option<&'a str> {
        self.strategy
            .and_then(|strategy| strategy.merge_key.as_deref())
    }
}

fn merge_objects(
    mut target: Object,
    patch: &Object,
    schema: Option<&Schema>,
) -> Result<Object, Status> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(directive)) if directive == "merge" => {}
        Some(Value::String(directive)) if directive == "replace" => {
            return Ok(without_directives(patch));
        }
        Some(Value::String(directive)) if directive == "delete" => return Ok(Object::new()),
        Some(other) => return Err(unknown_directive(other, patch)),
    }
    retain_keys(&mut target, patch)?;
    let ordered = order_lists(&mut target, patch, schema)?;
    for (name, value) in patch {
        if name == PATCH
            || name == RETAIN_KEYS
            || name.starts_with(SET_ORDER)
            || ordered.contains(name.as_str())
        {
            continue;
        }
        if name.starts_with(DELETE_FROM_LIST) {
            delete_from_list(&mut target, parallel_field(name, DELETE_FROM_LIST)?, value)?;
            continue;
        }
        if value.is_null() {
            target.remove(name);
            continue;
        }
        let merged = match (target.remove(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let field = Field::of(schema, name);
                if field.replaces_objects() {
                    cleaned(value)
                } else {
                    Some(Value::Object(merge_objects(old, new, field.schema)?))
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => Some(Value::Array(merge_lists(
                old,
                new,
                &Field::of(schema, name),
            )?)),
            _ => cleaned(value),
        };
        if let Some(merged) = merged {
            target.insert(name.clone(), merged);
        }
    }
    Ok(target)
}

/// The value without directives and nulls; `None` for an object that is itself a directive.
fn cleaned(value: &Value) -> Option<Value> {
    match value {
        Value::Object(members) if members.contains_key(PATCH) => None,
        Value::Object(members) => Some(Value::Object(without_directives(members))),
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(cleaned).collect())),
        other => Some(other.clone()),
    }
}

fn without_directives(members: &Object) -> Object {
    let is_kept = |name: &str, value: &Value| {
        !value.is_null()
            && name != PATCH
            && name != RETAIN_KEYS
            && !name.starts_with(DELETE_FROM_LIST)
            && !name.starts_with(SET_ORDER)
    };
    let kept = members.iter().filter(|(name, value)| is_kept(name, value));
    kept.filter_map(|(name, value)| Some((name.clone(), cleaned(value)?)))
        .collect()
}

fn unknown_directive(directive: &Value, patch: &Object) -> Status {
    Status::bad_request(format!(
        "unknown patch type: {} in map: {}",
        go::printed(directive),
        printed(patch)
    ))
}

fn printed(members: &Object) -> String {
    go::printed(&Value::Object(members.clone()))
}

/// `$retainKeys`: everything else goes, and the patch may not bring anything else.
fn retain_keys(target: &mut Object, patch: &Object) -> Result<(), Status> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(keys) = keys else {
        return Err(Status::bad_request(
            "invalid patch format of retainKeys: must be a list of field names",
        ));
    };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    for (name, value) in patch {
        let is_directive = name.starts_with('$');
        if !is_directive && !value.is_null() && !keys.contains(name.as_str()) {
            return Err(unprocessable(format!(
                "patch content doesn't match retainKeys list: {name:?} is not in it"
            )));
        }
    }
    target.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// The field that `$directive/field` is about.
fn parallel_field<'n>(name: &'n str, directive: &str) -> Result<&'n str, Status> {
    let field = name
        .strip_prefix(directive)
        .and_then(|rest| rest.strip_prefix('/'));
    field.ok_or_else(|| {
        let what = if directive == SET_ORDER {
            "setElementOrder list"
        } else {
            "primitive list"
        };
        Status::bad_request(format!(
            "invalid patch format of {what}: {name:?} must be {directive}/<field>"
        ))
    })
}

/// `$deleteFromPrimitiveList/<field>`.
fn delete_from_list(target: &mut Object, field: &str, unwanted: &Value) -> Result<(), Status> {
    let Value::Array(unwanted) = unwanted else {
        return Err(Status::bad_request(format!(
            "invalid patch format of primitive list: {DELETE_FROM_LIST}/{field} must be a list"
        )));
    };
    let unwanted: HashSet<String> = unwanted.iter().map(Value::to_string).collect();
    if let Some(Value::Array(items)) = target.get_mut(field) {
        items.retain(|item| !unwanted.contains(&item.to_string()));
    }
    Ok(())
}

/// `$setElementOrder/<field>`: merges the list of the patch, if it has one, and orders the result. Returns the fields
/// that are done.
fn order_lists<'p>(
    target: &mut Object,
    patch: &'p Object,
    schema: Option<&Schema>,
) -> Result<HashSet<&'p str>, Status> {
    let mut done = HashSet::new();
    for (directive, order) in patch.iter().filter(|(name, _)| name.starts_with(SET_ORDER)) {
        let name = parallel_field(directive, SET_ORDER)?;
        let Value::Array(order) = order else {
            return Err(bad_order(name, "must be a list"));
        };
        let field = Field::of(schema, name);
        let old = match target.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) => Some(items.clone()),
            Some(_) => return Err(bad_order(name, "is about a field that is no list")),
        };
        let new = match patch.get(name) {
            None => None,
            Some(Value::Array(items)) => Some(items),
            Some(_) => {
                return Err(bad_order(
                    name,
                    "is about a field that is no list in the patch",
                ));
            }
        };
        check_order(
            name,
            new.map_or(&[], Vec::as_slice),
            order,
            field.merge_key(),
        )?;
        let server_order = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => new.iter().filter_map(cleaned).collect(),
            (Some(old), Some(new)) => merge_lists(old, new, &field)?,
        };
        let sorted = in_order(merged, order, &server_order, field.merge_key())?;
        target.insert(name.to_owned(), Value::Array(sorted));
        if let Some((name, _)) = patch.get_key_value(name) {
            done.insert(name.as_str());
        }
    }
    Ok(done)
}

fn bad_order(field: &str, why: &str) -> Status {
    Status::bad_request(format!(
        "invalid patch format of setElementOrder list: {SET_ORDER}/{field} {why}"
    ))
}

/// The items of the patch must come in the order that it asks for.
fn check_order(
    name: &str,
    items: &[Value],
    order: &[Value],
    merge_key: Option<&str>,
) -> Result<(), Status> {
    if items.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for item in items.iter().filter(|item| item.get(PATCH).is_none()) {
        let item = identity(item, merge_key)?;
        loop {
            let Some(next) = wanted.next() else {
                return Err(bad_order(
                    name,
                    "must name the items of the patch in their order",
                ));
            };
            if identity(next, merge_key)? == item {
                break;
            }
        }
    }
    Ok(())
}

/// What tells the items of one list apart: the merge key's value, or the item itself.
fn identity(item: &Value, merge_key: Option<&str>) -> Result<String, Status> {
    match (merge_key, item) {
        (None, Value::Array(_)) => Err(unprocessable("lists of lists are not supported")),
        (None, item) => Ok(item.to_string()),
        (Some(key), Value::Object(members)) => match members.get(key) {
            Some(value) => Ok(value.to_string()),
            None => Err(Status::bad_request(format!(
                "map: {} does not contain declared merge key: {key}",
                printed(members)
            ))),
        },
        (Some(key), _) => Err(Status::bad_request(format!(
            "list items must be objects with the merge key {key:?}"
        ))),
    }
}

fn identities(items: &[Value], merge_key: Option<&str>) -> Result<Vec<String>, Status> {
    items.iter().map(|item| identity(item, merge_key)).collect()
}

fn merge_lists(
    target: Vec<Value>,
    patch: &[Value],
    field: &Field<'_>,
) -> Result<Vec<Value>, Status> {
    if !field.merges_lists() {
        return Ok(patch.iter().filter_map(cleaned).collect());
    }
    if target.is_empty() && patch.is_empty() {
        return Ok(target);
    }
    check_same_types(target.iter().chain(patch))?;
    let is_objects = target.iter().chain(patch).any(Value::is_object);
    if !is_objects {
        let mut seen = HashSet::new();
        let merged = target
            .iter()
            .chain(patch)
            .filter(|item| seen.insert(item.to_string()))
            .cloned()
            .collect();
        return in_order(merged, patch, &target, None);
    }
    let Some(key) = field.merge_key() else {
        return Err(Status::bad_request("cannot merge lists without merge key"));
    };
    let (target, patch) = special_items(target, patch, key)?;
    let (mut merged, server_order) = (target.clone(), target);
    let mut places: HashMap<String, usize> = HashMap::new();
    for (at, identity) in identities(&merged, Some(key))?.into_iter().enumerate() {
        places.entry(identity).or_insert(at);
    }
    for item in &patch {
        let (identity, Value::Object(members)) = (identity(item, Some(key))?, item) else {
            continue;
        };
        match places.get(&identity) {
            Some(at) => {
                if let Value::Object(old) = merged[*at].take() {
                    merged[*at] = Value::Object(merge_objects(old, members, field.schema)?);
                }
            }
            None => {
                places.insert(identity, merged.len());
                merged.push(Value::Object(without_directives(members)));
            }
        }
    }
    in_order(merged, &patch, &server_order, Some(key))
}

/// Acts on `$patch` items: returns what is left of both lists.
fn special_items(
    target: Vec<Value>,
    patch: &[Value],
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let mut ordinary = Vec::with_capacity(patch.len());
    let mut deleted = HashSet::new();
    let mut is_replaced = false;
    for item in patch {
        let Some(directive) = item.get(PATCH) else {
            ordinary.push(item.clone());
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                deleted.insert(identity(item, Some(key))?);
            }
            Some("replace") => is_replaced = true,
            Some("merge") => {
                return Err(Status::bad_request(
                    "merging lists cannot yet be specified in the patch",
                ));
            }
            _ => {
                return Err(unknown_directive(
                    directive,
                    item.as_object().unwrap_or(&Object::new()),
                ));
            }
        }
    }
    if is_replaced {
        let items = ordinary.iter().filter_map(cleaned).collect();
        return Ok((items, Vec::new()));
    }
    let mut left = Vec::with_capacity(target.len());
    for item in target {
        if deleted.is_empty() || !deleted.contains(&identity(&item, Some(key))?) {
            left.push(item);
        }
    }
    Ok((left, ordinary))
}

fn check_same_types<'v>(mut items: impl Iterator<Item = &'v Value>) -> Result<(), Status> {
    let Some(first) = items.next() else {
        return Ok(());
    };
    if first.is_array() {
        return Err(unprocessable("lists of lists are not supported"));
    }
    let kind = std::mem::discriminant(first);
    if items.any(|item| std::mem::discriminant(item) != kind) {
        return Err(Status::bad_request("list element types are not identical"));
    }
    Ok(())
}

/// Orders a merged list: the items in `order` as there, the others as in `server_order`, and each of the others before
/// the first ordered item that it stood before on the server.
fn in_order(
    merged: Vec<Value>,
    order: &[Value],
    server_order: &[Value],
    merge_key: Option<&str>,
) -> Result<Vec<Value>, Status> {
    let index = |items: &[Value]| -> Result<HashMap<String, usize>, Status> {
        let mut index = HashMap::with_capacity(items.len());
        for (at, identity) in identities(items, merge_key)?.into_iter().enumerate() {
            index.entry(identity).or_insert(at);
        }
        Ok(index)
    };
    let (order, server_order) = (index(order)?, index(server_order)?);
    let (mut ordered, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let identity = identity(&item, merge_key)?;
        let on_server = server_order.get(&identity).copied();
        match order.get(&identity) {
            Some(at) => ordered.push((*at, on_server, item)),
            None => others.push((on_server.unwrap_or(usize::MAX), on_server, item)),
        }
    }
    ordered.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(at, ..)| *at);
    let mut result = Vec::with_capacity(ordered.len() + others.len());
    let mut ordered = ordered.into_iter().peekable();
    for (_, on_server, item) in others {
        let stands_before = |next: &Option<usize>| matches!((on_server, next), (Some(at), Some(next)) if at < *next);
        while let Some((_, _, next)) = ordered.next_if(|(_, next, _)| !stands_before(next)) {
            result.push(next);
        }
        result.push(item);
    }
    result.extend(ordered.map(|(_, _, item)| item));
    Ok(result)
}
