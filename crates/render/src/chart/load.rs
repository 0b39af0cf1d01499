//! Files to a chart.

use super::{Chart, Dependency, File, LoadError, Metadata, archive};
use crate::gotemplate::text;
use crate::values::{self, Values};
use crate::yaml;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Charts in charts that a chart may have.
const MAX_NESTING: u32 = 16;

fn yaml_of(file: &File, name: &str) -> Result<Json, LoadError> {
    yaml::first(&text::decode(&file.data)).map_err(|e| {
        LoadError(format!(
            "cannot load {name}: error converting YAML to JSON: yaml: {e}"
        ))
    })
}

fn typed<T: for<'de> Deserialize<'de> + Default>(json: Json, name: &str) -> Result<T, LoadError> {
    if json.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(json)
        .map_err(|e| LoadError(format!("cannot load {name}: error unmarshaling JSON: {e}")))
}

/// The part of `requirements.yaml` that counts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Requirements {
    dependencies: Option<Vec<Dependency>>,
}

/// Builds a chart from its files, and its dependencies from theirs.
pub(super) fn from_files(files: Vec<File>, nesting: u32) -> Result<Chart, LoadError> {
    if nesting > MAX_NESTING {
        return Err(LoadError(format!(
            "charts are nested deeper than {MAX_NESTING} levels"
        )));
    }
    let mut chart = Chart::default();
    let Some(file) = files.iter().find(|f| f.name == "Chart.yaml") else {
        return Err(LoadError("Chart.yaml file is missing".into()));
    };
    chart.metadata = typed::<Metadata>(yaml_of(file, "Chart.yaml")?, "Chart.yaml")?;
    if chart.metadata.api_version.is_empty() {
        chart.metadata.api_version = "v1".into();
    }
    let mut subcharts: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for mut file in files {
        match file.name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" => chart.lock = Some(yaml_of(&file, "Chart.lock")?),
            "values.yaml" => chart.values = read_values(&file)?,
            "values.schema.json" => chart.schema = Some(file.data),
            "requirements.yaml" => {
                let name = "requirements.yaml";
                let requirements: Requirements = typed(yaml_of(&file, name)?, name)?;
                chart.metadata.dependencies = requirements
                    .dependencies
                    .unwrap_or(chart.metadata.dependencies);
                keep_of_v1(&mut chart, file);
            }
            "requirements.lock" => {
                chart.lock = Some(yaml_of(&file, "requirements.lock")?);
                keep_of_v1(&mut chart, file);
            }
            name if name.starts_with("templates/") => chart.templates.push(file),
            name if name.starts_with("charts/") && !name.ends_with(".prov") => {
                let inner = name["charts/".len()..].to_string();
                let directory = inner.split('/').next().unwrap_or_default().to_string();
                file.name = inner;
                subcharts.entry(directory).or_default().push(file);
            }
            _ => chart.files.push(file),
        }
    }
    chart.metadata.check()?;
    for (directory, files) in subcharts {
        if let Some(subchart) = subchart(&chart, &directory, files, nesting)? {
            chart.dependencies.push(subchart);
        }
    }
    Ok(chart)
}

fn keep_of_v1(chart: &mut Chart, file: File) {
    if chart.metadata.api_version == "v1" {
        chart.files.push(file);
    }
}

fn subchart(
    parent: &Chart,
    directory: &str,
    files: Vec<File>,
    nesting: u32,
) -> Result<Option<Chart>, LoadError> {
    if directory.starts_with(['_', '.']) {
        return Ok(None);
    }
    let loaded = if directory.ends_with(".tgz") {
        match files.first() {
            Some(file) if file.name == directory => {
                archive::read(&file.data).and_then(|f| from_files(f, nesting + 1))
            }
            _ => Err(LoadError(format!(
                "expected the archive {directory}, got a directory"
            ))),
        }
    } else {
        let inner: Vec<File> = files
            .into_iter()
            .filter_map(|f| {
                f.name.split_once('/').map(|(_, name)| File {
                    name: name.to_string(),
                    data: f.data,
                })
            })
            .collect();
        from_files(inner, nesting + 1)
    };
    let parent = parent.name();
    loaded.map(Some).map_err(|e| {
        LoadError(format!(
            "error unpacking subchart {directory} in {parent}: {e}"
        ))
    })
}

/// `values.yaml`: one document, or several laid over each other.
fn read_values(file: &File) -> Result<Values, LoadError> {
    let documents = yaml::from_str_multi(&text::decode(&file.data)).map_err(|e| {
        LoadError(format!(
            "cannot load values.yaml: cannot unmarshal yaml document: {e}"
        ))
    })?;
    let mut all = Values::new();
    for document in documents {
        match document {
            Json::Object(map) => all = values::overlay(all, map),
            _ => {
                let why = "cannot unmarshal yaml document: values must be a map";
                return Err(LoadError(format!("cannot load values.yaml: {why}")));
            }
        }
    }
    Ok(all)
}
