//! The charts of the repository: what their values mean is written once, in the schema, and the table for readers follows from it.

use std::fmt::Write;

use expect_test::expect_file;
use serde_json::Value;

use crate::source::root;

const BEGIN: &str = "<!-- values: written by a test from values.schema.json and values.yaml -->\n";
const END: &str = "<!-- end of values -->\n";

/// One value: its path, what the schema says of it, and what it is by default.
struct Row<'a> {
    path: String,
    schema: &'a Value,
    default: Option<&'a Value>,
}

/// The values below a schema, by path.
fn rows<'a>(
    root: &'a Value,
    path: &str,
    schema: &'a Value,
    default: Option<&'a Value>,
    found: &mut Vec<Row<'a>>,
) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let at = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match (&schema["properties"], &schema["propertyNames"]) {
        (Value::Object(properties), _) => {
            for (name, below) in properties {
                let default = default.and_then(|d| d.get(name));
                rows(root, &at(name), below, default, found);
            }
        }
        (_, Value::Object(_)) => {
            found.push(Row {
                path: path.to_owned(),
                schema,
                default,
            });
            // The pools of users and those of clusters without any are alike.
            if path.starts_with("global") {
                let below = &schema["additionalProperties"];
                rows(root, &at("<name>"), below, None, found);
            }
        }
        _ => found.push(Row {
            path: path.to_owned(),
            schema,
            default,
        }),
    }
}

fn kind(schema: &Value) -> String {
    let name = |schema: &Value| match &schema["type"] {
        Value::Array(all) => {
            let names: Vec<_> = all.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    if let Some(all) = schema["enum"].as_array() {
        let all: Vec<String> = all
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        return all.join(", ");
    }
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(least), Value::Number(most)) => {
            format!("{} {least}…{most}", name(schema))
        }
        _ if schema["type"] == "array" => format!("list of {}", name(&schema["items"])),
        _ => name(schema),
    }
}

fn table(folder: &str) -> String {
    let read = |name: &str| std::fs::read_to_string(root().join(folder).join(name)).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let values = render::yaml::from_str(&read("values.yaml")).unwrap();
    let mut found = vec![];
    rows(&schema, "", &schema, Some(&values), &mut found);
    let mut text = "| value | | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for row in found {
        let meaning = row.schema["description"].as_str().unwrap_or_default();
        assert!(!meaning.is_empty(), "{} has no description", row.path);
        let is_in_pool = row.path.contains(".<name>");
        assert!(
            row.default.is_some() || is_in_pool,
            "{} has no default in values.yaml",
            row.path
        );
        let default = match row.default {
            None => String::new(),
            Some(Value::String(text)) if text.is_empty() => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        };
        let kind = kind(row.schema);
        writeln!(text, "| `{}` | {kind} | {default} | {meaning} |", row.path).unwrap();
    }
    text
}

#[test]
fn the_values_of_charts_are_explained() {
    for entry in std::fs::read_dir(root().join("charts")).unwrap() {
        let folder = format!("charts/{}", entry.unwrap().file_name().to_str().unwrap());
        let path = root().join(&folder).join("README.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", table(&folder));
        expect_file![path].assert_eq(&wanted);
    }
}
