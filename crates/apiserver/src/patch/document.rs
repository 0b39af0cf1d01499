//! Patches that need no schema: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).

use json_patch::jsonptr::Pointer;
use json_patch::{PatchOperation, patch_unsafe};
use serde_json::Value;

use super::{MAX_DEPTH, depth, too_deep, unprocessable};
use crate::go;
use crate::status::Status;

/// Operations in one JSON Patch.
const MAX_OPERATIONS: usize = 10_000;
/// Bytes that the `copy` operations of one patch may add.
const MAX_COPIED_BYTES: usize = 3 << 20;
/// List items that one patch may shift by inserting and removing.
const MAX_SHIFTED_ITEMS: usize = 50_000_000;
/// Moves whose value must be looked through to know how deep it is.
const MAX_LOOKS: usize = 1_000;

/// Applies a JSON Patch. Costs no more than the body and the target justify: operations, copied bytes, shifted list
/// items and nesting are bounded.
///
/// # Errors
/// 400 if `patch` is not a list of objects or nests too deeply, 413 if it is too large, 422 if an operation is none or does
/// not fit the target.
pub fn json(target: &Value, patch: &[u8]) -> Result<Value, Status> {
    let operations = operations(patch)?;
    if operations.len() > MAX_OPERATIONS {
        return Err(Status::too_large(format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut result = target.clone();
    let mut budget = Budget {
        copied_bytes: 0,
        shifted_items: 0,
        looks: 0,
        depth: depth(target, MAX_DEPTH),
    };
    for (at, operation) in operations.into_iter().enumerate() {
        let operation: PatchOperation = serde_json::from_value(operation).map_err(|error| {
            unprocessable(format!(
                "operation {at} of the JSON Patch is invalid: {error}"
            ))
        })?;
        budget.spend(&result, &operation)?;
        patch_unsafe(&mut result, std::slice::from_ref(&operation)).map_err(|error| {
            unprocessable(format!(
                "operation {at} of the JSON Patch at path {:?}: {}",
                operation.path().as_str(),
                error.kind
            ))
        })?;
    }
    Ok(result)
}

/// The operations of a JSON Patch, which are objects.
fn operations(patch: &[u8]) -> Result<Vec<Value>, Status> {
    let refuse = |why: String| Err(Status::bad_request(format!("error decoding patch: {why}")));
    let of_type = |found: &Value, ty: &str| {
        let found = go::type_name(found);
        refuse(format!(
            "json: cannot unmarshal {found} into Go value of type {ty}"
        ))
    };
    let operations = match serde_json::from_slice(patch) {
        Ok(Value::Array(operations)) => operations,
        Ok(other) => return of_type(&other, "[]handlers.jsonPatchOp"),
        Err(error) => return refuse(go::json_error(patch).unwrap_or_else(|| error.to_string())),
    };
    match operations.iter().find(|operation| !operation.is_object()) {
        Some(other) => of_type(other, "handlers.jsonPatchOp"),
        None => Ok(operations),
    }
}

/// A patch that is an object.
///
/// # Errors
/// Why it is none, in Go's words.
pub fn object(patch: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(patch) {
        Ok(Value::Object(members)) => Ok(Value::Object(members)),
        Ok(other) => Err(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go::type_name(&other)
        )),
        Err(error) => Err(go::json_error(patch).unwrap_or_else(|| error.to_string())),
    }
}

/// What the operations so far have cost.
struct Budget {
    copied_bytes: usize,
    shifted_items: usize,
    looks: usize,
    /// Not less than the depth of the document.
    depth: usize,
}

impl Budget {
    fn spend(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), Status> {
        match operation {
            PatchOperation::Add(add) => self.nest(&add.path, depth(&add.value, MAX_DEPTH))?,
            PatchOperation::Replace(replace) => {
                self.nest(&replace.path, depth(&replace.value, MAX_DEPTH))?;
            }
            PatchOperation::Move(mov) => {
                self.shift(document, &mov.from)?;
                self.nest_moved(document, &mov.from, &mov.path)?;
            }
            PatchOperation::Copy(copy) => {
                if let Ok(source) = copy.from.resolve(document) {
                    self.copied_bytes = self.copied_bytes.saturating_add(size(source));
                    if self.copied_bytes > MAX_COPIED_BYTES {
                        return Err(Status::too_large(format!(
                            "Request entity too large: the copies of the JSON patch add more than {MAX_COPIED_BYTES} bytes"
                        )));
                    }
                    self.nest(&copy.path, depth(source, MAX_DEPTH))?;
                }
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => {}
        }
        match operation {
            PatchOperation::Test(_) | PatchOperation::Replace(_) => Ok(()),
            other => self.shift(document, other.path()),
        }
    }

    /// A value of `value_depth` levels comes to `path`.
    fn nest(&mut self, path: &Pointer, value_depth: usize) -> Result<(), Status> {
        let reached = path.count() + value_depth;
        if reached > MAX_DEPTH {
            return Err(too_deep("patched object"));
        }
        self.depth = self.depth.max(reached);
        Ok(())
    }

    /// The value at `from` comes to `path`. Looked at only when the bound of the whole document says too little.
    fn nest_moved(
        &mut self,
        document: &Value,
        from: &Pointer,
        path: &Pointer,
    ) -> Result<(), Status> {
        let bound = self.depth.saturating_sub(from.count());
        if path.count() + bound <= MAX_DEPTH {
            return self.nest(path, bound);
        }
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            return Err(too_deep("patched object"));
        }
        let source = from
            .resolve(document)
            .map_or(0, |source| depth(source, MAX_DEPTH));
        self.nest(path, source)
    }

    /// Something is inserted or removed at `path`.
    fn shift(&mut self, document: &Value, path: &Pointer) -> Result<(), Status> {
        let list = path
            .parent()
            .and_then(|parent| parent.resolve(document).ok())
            .and_then(Value::as_array);
        self.shifted_items += list.map_or(0, Vec::len);
        if self.shifted_items > MAX_SHIFTED_ITEMS {
            return Err(Status::too_large(
                "Request entity too large: the JSON patch inserts into and removes from long lists too often",
            ));
        }
        Ok(())
    }
}

/// About the bytes that a value takes as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(members) => {
            2 + members
                .iter()
                .map(|(key, member)| key.len() + size(member) + 4)
                .sum::<usize>()
        }
        _ => 8,
    }
}

/// Applies a JSON Merge Patch: `null` removes, objects are merged, everything else replaces. Members nested deeper
/// than any parser reads ([`MAX_DEPTH`]) replace instead of being merged.
#[must_use]
pub fn merge(target: &Value, patch: &Value) -> Value {
    let mut result = target.clone();
    merge_into(&mut result, patch, MAX_DEPTH);
    result
}

fn merge_into(target: &mut Value, patch: &Value, levels: usize) {
    let (Value::Object(members), true) = (patch, levels > 0) else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(object) = target else {
        return;
    };
    for (key, member) in members {
        if member.is_null() {
            object.remove(key);
        } else {
            merge_into(
                object.entry(key.as_str()).or_insert(Value::Null),
                member,
                levels - 1,
            );
        }
    }
}
