//! Values: laying one over another, and bringing a chart's defaults, its dependencies' and the user's together exactly as
//! Helm does.

use crate::chart::Chart;
use serde_json::{Map, Value as Json};

/// Values are a map.
pub type Values = Map<String, Json>;

const GLOBAL: &str = "global";

/// Lays `over` over `base`, deeply: maps merge by key; everything else is replaced as a whole, also by `false`, `0`, `""` and
/// null. A null stays null, which later deletes a chart's default.
pub fn merge(base: &Json, over: &Json) -> Json {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) => {
            Json::Object(overlay(base.clone(), over.clone()))
        }
        (_, over) => over.clone(),
    }
}

/// As [`merge`], for maps.
pub fn overlay(mut base: Values, over: Values) -> Values {
    for (key, value) in over {
        let merged = match (base.remove(&key), value) {
            (Some(Json::Object(base)), Json::Object(over)) => Json::Object(overlay(base, over)),
            (_, value) => value,
        };
        base.insert(key, merged);
    }
    base
}

/// Whether nulls delete (when values are brought together for good) or stay (before that).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    Delete,
    Keep,
}

/// Values that cannot be brought together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type mismatch on {name}: {shown}")]
pub struct Mismatch {
    /// The dependency whose values should be a map.
    pub name: String,
    /// What they are.
    pub shown: String,
}

/// The user's values with the defaults of the chart and of its dependencies.
///
/// # Errors
/// When the values of a dependency are no map.
pub(crate) fn coalesce(
    chart: &Chart,
    mut values: Values,
    nulls: Nulls,
) -> Result<Values, Mismatch> {
    defaults(chart, &mut values, nulls);
    for subchart in &chart.dependencies {
        let name = subchart.name();
        let mut theirs = match values.remove(name) {
            None => Values::new(),
            Some(Json::Object(map)) => map,
            Some(other) => {
                return Err(Mismatch {
                    name: name.to_string(),
                    shown: as_bool_verb(&other),
                });
            }
        };
        globals(&mut theirs, &values);
        let theirs = coalesce(subchart, theirs, nulls)?;
        values.insert(name.to_string(), Json::Object(theirs));
    }
    Ok(values)
}

/// Helm's message prints the value with a verb for booleans.
fn as_bool_verb(value: &Json) -> String {
    match value {
        Json::Null => "%!t(<nil>)".into(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => format!("%!t(float64={n})"),
        Json::String(s) => format!("%!t(string={s})"),
        Json::Array(_) | Json::Object(_) => format!("%!t([]interface {{}}={value})"),
    }
}

/// Takes the parent's globals over into a dependency's values. The parent's win.
fn globals(theirs: &mut Values, parent: &Values) {
    let mut merged = match theirs.get(GLOBAL) {
        None => Values::new(),
        Some(Json::Object(map)) => map.clone(),
        Some(_) => return,
    };
    match parent.get(GLOBAL) {
        None => {}
        Some(Json::Object(source)) => {
            for (key, value) in source {
                match (value, merged.get(key)) {
                    (Json::Object(_), Some(Json::Object(below))) => {
                        let mut above = value.as_object().cloned().unwrap_or_default();
                        tables(&mut above, below.clone(), Nulls::Keep);
                        merged.insert(key.clone(), Json::Object(above));
                    }
                    (Json::Object(_), Some(_)) | (_, Some(Json::Object(_))) => {}
                    _ => {
                        merged.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        Some(_) => return,
    }
    theirs.insert(GLOBAL.into(), Json::Object(merged));
}

/// Adds a chart's own defaults.
fn defaults(chart: &Chart, values: &mut Values, nulls: Nulls) {
    for (key, mut default) in chart.values.clone() {
        match values.get_mut(&key) {
            Some(Json::Null) if nulls == Nulls::Delete => {
                values.remove(&key);
            }
            Some(Json::Object(given)) => {
                let Json::Object(mut default) = default else {
                    continue;
                };
                // Nulls for a dependency count when its own values come together.
                let of_dependency = chart.dependencies.iter().any(|d| *d.name() == key);
                let nulls = if of_dependency { Nulls::Keep } else { nulls };
                if nulls == Nulls::Delete {
                    clean_nulls(&mut default);
                }
                tables(given, default, nulls);
            }
            Some(_) => {}
            None => {
                if nulls == Nulls::Delete {
                    match &mut default {
                        Json::Null => continue,
                        Json::Object(map) => clean_nulls(map),
                        _ => {}
                    }
                }
                values.insert(key, default);
            }
        }
    }
}

fn clean_nulls(map: &mut Values) {
    map.retain(|_, value| !value.is_null());
    for value in map.values_mut() {
        if let Json::Object(map) = value {
            clean_nulls(map);
        }
    }
}

/// Adds what `below` has and `above` has not.
pub(crate) fn tables(above: &mut Values, below: Values, nulls: Nulls) {
    for (key, value) in below {
        match above.get_mut(&key) {
            Some(Json::Null) if nulls == Nulls::Delete && !value.is_null() => {
                above.remove(&key);
            }
            None => {
                above.insert(key, value);
            }
            Some(Json::Object(above)) => {
                if let Json::Object(below) = value {
                    tables(above, below, nulls);
                }
            }
            Some(_) => {}
        }
    }
}

/// The map at a dotted path.
pub(crate) fn table<'v>(values: &'v Values, path: &str) -> Option<&'v Values> {
    path.split('.')
        .try_fold(values, |map, key| map.get(key)?.as_object())
}

/// The value at a dotted path, unless it is a map.
pub(crate) fn path_value<'v>(values: &'v Values, path: &str) -> Option<&'v Json> {
    let (map, key) = match path.rsplit_once('.') {
        Some((parent, key)) => (table(values, parent)?, key),
        None => (values, path),
    };
    map.get(key).filter(|v| !v.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_keeps_what_the_upper_layer_says() {
        let base = json!({"a": {"x": 1, "y": [1, 2]}, "b": true, "c": "s", "d": {"z": 1}});
        let over = json!({"a": {"y": [3], "n": null}, "b": false, "c": {"now": "map"}, "d": "scalar", "e": 0});
        let want = json!({"a": {"x": 1, "y": [3], "n": null}, "b": false, "c": {"now": "map"}, "d": "scalar", "e": 0});
        assert_eq!(merge(&base, &over), want);
    }
}
