//! Patches of every kind, server-side apply included. Everything here is pure: a value and a patch give the next
//! value or a [`Status`].
//!
//! - [`json`] and [`merge`] know no schema (RFC 6902, RFC 7386).
//! - [`strategic()`] reads patch strategies and merge keys from the schema of Kubernetes' own kinds.
//! - [`apply()`] and [`record_update`] are server-side apply as structured-merge-diff defines it: every field belongs to
//!   the managers that set it, and `metadata.managedFields` says which. `path` and `set` are the sets of fields,
//!   `typed` reads values by their schema, `managed` is the list in the metadata, `apply` puts them together.
//!
//! Fields are called what they are called in the version of their owner. Where versions of a kind differ in more than
//! their name, [`Versions`] shows objects at the other ones.

mod apply;
mod document;
mod managed;
mod path;
mod set;
mod strategic;
mod typed;
mod versions;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use apply::{
    Manager, apply, check_managed_fields, is_same, lay_over, record_update, version_and_kind,
};
pub use document::{json, merge, object};
pub use strategic::strategic;
pub use versions::{OneForm, Versions};

use crate::status::Status;

/// How deep values may be nested: as deep as the bodies of requests, so that every result can be sent back.
const MAX_DEPTH: usize = 120;

/// Whether `value` has more than `limit` levels; never looks deeper than that.
fn is_deeper_than(value: &Value, limit: usize) -> bool {
    let Some(below) = limit.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper_than(item, below)),
        Value::Object(members) => members.values().any(|member| is_deeper_than(member, below)),
        _ => false,
    }
}

/// The number of levels of arrays and objects, at most `limit + 1`.
fn depth(value: &Value, limit: usize) -> usize {
    let below = |deepest: Option<usize>| 1 + deepest.unwrap_or(0);
    match value {
        Value::Array(_) | Value::Object(_) if limit == 0 => 1,
        Value::Array(items) => below(items.iter().map(|item| depth(item, limit - 1)).max()),
        Value::Object(members) => below(
            members
                .values()
                .map(|member| depth(member, limit - 1))
                .max(),
        ),
        _ => 0,
    }
}

/// 422 with the standard words; the true reason is a cause.
fn unprocessable(why: impl Into<String>) -> Status {
    Status::new(422, "Invalid", "the server rejected our request due to an error in our request").with_details(
        serde_json::json!({"causes": [{"reason": "UnexpectedServerResponse", "message": why.into()}]}),
    )
}

/// 400 for a value that is nested too deeply to be read back.
fn too_deep(what: &str) -> Status {
    Status::bad_request(format!(
        "the {what} is nested too deeply: at most {MAX_DEPTH} levels are allowed"
    ))
}
