//! Tables: what `kubectl get` shows. The server computes the cells, so that every client shows the same and needs to
//! know no kind. Also here: objects cut down to their metadata.
//!
//! Built-in kinds have their columns in `builtin`; custom resources bring theirs as JSONPaths.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::jsonpath::JsonPath;
use crate::resource::{Column, Resource};
use crate::status::{Cause, Status};

mod builtin;
mod duration;
mod network;
mod node;
mod pod;
mod row;
mod storage;
mod workload;

pub use duration::human_duration;

use row::Row;

/// How much of each object goes into its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    /// A `PartialObjectMetadata`.
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    /// Reads the `includeObject` query parameter.
    ///
    /// # Errors
    /// 400 for an unknown word.
    pub fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text.unwrap_or_default() {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => {
                let rule = "must be 'Metadata', 'Object', 'None', or empty";
                let cause = Cause::invalid("includeObject", &other.into(), rule);
                Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: {}: {}",
                    cause.field, cause.message
                )))
            }
        }
    }
}

/// A `Table` of `objects`, which have the version of `resource`.
///
/// `list_meta` becomes the table's metadata: a list's own, or `{"resourceVersion": …}` of a single object. Column
/// definitions are left out of all but the first table of a watch (`with_columns`). `api` is the table's `apiVersion`.
#[must_use]
pub fn render(
    resource: &Resource,
    objects: &[&Value],
    list_meta: Value,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
    api: &str,
) -> Value {
    let printer = Printer::of(resource, objects);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = Map::new();
            row.insert("cells".into(), printer.cells(&Row { object, now }).into());
            if let Some(conditions) = conditions(resource, object) {
                row.insert("conditions".into(), conditions);
            }
            let shown = match include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => partial(object, api),
                IncludeObject::Object => (*object).clone(),
            };
            row.insert("object".into(), shown);
            Value::Object(row)
        })
        .collect();
    let columns = with_columns.then(|| printer.definitions());
    json!({
        "kind": "Table", "apiVersion": api, "metadata": list_meta, "columnDefinitions": columns, "rows": rows,
    })
}

/// The object's metadata alone, as `PartialObjectMetadata` of `api` (`meta.k8s.io/v1` or `/v1beta1`).
#[must_use]
pub fn partial(object: &Value, api: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": api, "metadata": object["metadata"]})
}

/// A list cut down to metadata.
#[must_use]
pub fn partial_list(objects: &[&Value], list_meta: Value, api: &str) -> Value {
    let items: Vec<Value> = objects.iter().map(|object| partial(object, api)).collect();
    json!({"kind": "PartialObjectMetadataList", "apiVersion": api, "metadata": list_meta, "items": items})
}

/// What a row says beside its cells: finished pods are shown as such.
fn conditions(resource: &Resource, object: &Value) -> Option<Value> {
    if !resource.group.is_empty() || &*resource.plural != "pods" {
        return None;
    }
    let (reason, message) = match object["status"]["phase"].as_str()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// How the objects of one resource become rows.
enum Printer<'a> {
    Builtin(&'static [builtin::Col]),
    /// Columns of a custom resource; a path that does not parse leaves its cells empty.
    Custom(Vec<(&'a Column, Option<JsonPath>)>),
    /// A custom resource without columns.
    NameAndAge,
    /// A built-in kind without columns.
    NameAndCreation,
}

impl<'a> Printer<'a> {
    fn of(resource: &'a Resource, objects: &[&Value]) -> Self {
        // `/scale` answers with a kind of its own, whatever it is the scale of.
        let is_scale = |object: &&Value| object["kind"] == "Scale" && *resource.kind != *"Scale";
        if objects.first().is_some_and(is_scale) {
            return Self::Builtin(builtin::SCALE);
        }
        if resource.custom.is_some() {
            if resource.columns.is_empty() {
                return Self::NameAndAge;
            }
            let parsed = |column: &'a Column| (column, JsonPath::parse(&column.json_path).ok());
            return Self::Custom(resource.columns.iter().map(parsed).collect());
        }
        builtin::columns(&resource.group, &resource.plural)
            .map_or(Self::NameAndCreation, Self::Builtin)
    }

    fn definitions(&self) -> Vec<Value> {
        let named = |rest: Vec<Value>| {
            let mut all = vec![definition("Name", "string", "name", "", 0)];
            all.extend(rest);
            all
        };
        match self {
            Self::Builtin(columns) => columns.iter().map(builtin::Col::definition).collect(),
            Self::NameAndAge => named(vec![definition("Age", "date", "", "", 0)]),
            Self::NameAndCreation => named(vec![definition("Created At", "date", "", "", 0)]),
            Self::Custom(columns) => named(
                columns
                    .iter()
                    .map(|(column, _)| {
                        let description = if column.description.is_empty() {
                            format!(
                                "Custom resource definition column (in JSONPath format): {}",
                                column.json_path
                            )
                        } else {
                            column.description.to_string()
                        };
                        let (name, ty, format) = (&column.name, &column.ty, &column.format);
                        definition(name, ty, format, &description, column.priority)
                    })
                    .collect(),
            ),
        }
    }

    fn cells(&self, row: &Row<'_>) -> Vec<Value> {
        let name = Value::from(row.name());
        match self {
            Self::Builtin(columns) => columns.iter().map(|column| column.cell(row)).collect(),
            Self::NameAndAge => vec![name, row.age("metadata.creationTimestamp").into()],
            Self::NameAndCreation => vec![name, row.text("metadata.creationTimestamp").into()],
            Self::Custom(columns) => {
                let cells = columns.iter().map(|(column, path)| {
                    let found = path.as_ref().and_then(|path| path.first(row.object));
                    found.map_or(Value::Null, |value| custom_cell(&column.ty, value, row))
                });
                std::iter::once(name).chain(cells).collect()
            }
        }
    }
}

fn definition(name: &str, ty: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({"name": name, "type": ty, "format": format, "description": description, "priority": priority})
}

/// The cell for a value that a column's path found; empty when the value has another type than the column.
fn custom_cell(ty: &str, value: &Value, row: &Row<'_>) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "fractions are cut off, and huge values saturate"
            )]
            let truncated = number.as_f64().map(|float| float as i64);
            number.as_i64().or(truncated).into()
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => row.since(text).unwrap_or("<invalid>".into()).into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
