//! Which dependencies of a chart are switched on, under which names, and what their parents take over from them.

use crate::chart::{Chart, Dependency};
use crate::semver::{Range, Version};
use crate::values::{self, Mismatch, Nulls, Values};
use serde_json::{Value as Json, json};

/// Applies conditions, tags, aliases and imported values to a chart, down to the last dependency.
///
/// # Errors
/// When the values of a dependency are no map.
pub(crate) fn process(chart: &mut Chart, values: &Values) -> Result<(), Mismatch> {
    enable(chart, values, "")?;
    import_values(chart)
}

/// True if the range takes the version; false also if one of them is none.
pub(crate) fn is_compatible(range: &str, version: &str) -> bool {
    match (Range::parse(range), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.matches(&version),
        _ => false,
    }
}

fn enable(chart: &mut Chart, values: &Values, path: &str) -> Result<(), Mismatch> {
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let present = std::mem::take(&mut chart.dependencies);
    let fits = |c: &Chart, d: &Dependency| {
        c.name() == d.name && is_compatible(&d.version, &c.metadata.version)
    };
    // Charts that are there without being named stay; the named ones come in the order of their names.
    let mut kept: Vec<Chart> = present
        .iter()
        .filter(|c| !chart.metadata.dependencies.iter().any(|d| fits(c, d)))
        .cloned()
        .collect();
    for dependency in &mut chart.metadata.dependencies {
        if let Some(found) = present.iter().find(|c| fits(c, dependency)) {
            let mut found = found.clone();
            if !dependency.alias.is_empty() {
                found.metadata.name.clone_from(&dependency.alias);
            }
            kept.push(found);
        }
        if !dependency.alias.is_empty() {
            dependency.name.clone_from(&dependency.alias);
        }
        dependency.enabled = true;
    }
    chart.dependencies = kept;
    let all = values::coalesce(chart, values.clone(), Nulls::Delete)?;
    for dependency in &mut chart.metadata.dependencies {
        by_tags(dependency, &all);
        by_condition(dependency, &all, path);
    }
    let metadata = &mut chart.metadata;
    chart.dependencies.retain(|c| {
        !metadata
            .dependencies
            .iter()
            .any(|d| !d.enabled && d.name == c.name())
    });
    metadata.dependencies.retain(|d| d.enabled);
    for dependency in &mut chart.dependencies {
        let path = format!("{path}{}.", dependency.name());
        enable(dependency, &all, &path)?;
    }
    Ok(())
}

fn by_tags(dependency: &mut Dependency, values: &Values) {
    let Some(tags) = values::table(values, "tags") else {
        return;
    };
    let said: Vec<bool> = dependency
        .tags
        .iter()
        .filter_map(|t| tags.get(t)?.as_bool())
        .collect();
    dependency.enabled = said.is_empty() || said.contains(&true);
}

fn by_condition(dependency: &mut Dependency, values: &Values, path: &str) {
    let mut conditions = dependency
        .condition
        .trim()
        .split(',')
        .filter(|c| !c.is_empty());
    let said =
        conditions.find_map(|c| values::path_value(values, &format!("{path}{c}"))?.as_bool());
    if let Some(enabled) = said {
        dependency.enabled = enabled;
    }
}

/// As `%v` prints it.
fn shown(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => "<nil>".into(),
        Some(Json::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}

fn import_values(chart: &mut Chart) -> Result<(), Mismatch> {
    for dependency in &mut chart.dependencies {
        import_values(dependency)?;
    }
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let mut all = values::coalesce(chart, Values::new(), Nulls::Keep)?;
    let mut imported = Values::new();
    for dependency in &mut chart.metadata.dependencies {
        let mut resolved = Vec::new();
        for import in &dependency.import_values {
            let (child, parent) = match import {
                Json::Object(map) => (shown(map.get("child")), shown(map.get("parent"))),
                Json::String(name) => (format!("exports.{name}"), ".".to_string()),
                _ => continue,
            };
            if let Some(found) = values::table(&all, &format!("{}.{child}", dependency.name)) {
                values::tables(&mut imported, nested(&parent, found.clone()), Nulls::Keep);
            }
            resolved.push(json!({ "child": child, "parent": parent }));
        }
        dependency.import_values = resolved;
    }
    // What the parent says itself comes first.
    values::tables(&mut all, imported, Nulls::Keep);
    chart.values = all;
    Ok(())
}

/// The map under a dotted path of maps.
fn nested(path: &str, map: Values) -> Values {
    if path == "." {
        return map;
    }
    path.rsplit('.').fold(map, |inner, key| {
        Values::from_iter([(key.to_string(), Json::Object(inner))])
    })
}
