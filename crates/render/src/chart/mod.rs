//! Charts: what they are made of, and loading them from an archive or a list of files.

mod archive;
mod ignore;
mod load;
mod metadata;

use crate::values::Values;
pub use metadata::{Dependency, Maintainer, Metadata};

/// A file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path inside the chart, with slashes.
    pub name: String,
    /// What is in it.
    pub data: Vec<u8>,
}

/// A chart.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// `Chart.yaml`, with the dependencies of a version 1 chart's `requirements.yaml`.
    pub metadata: Metadata,
    /// `Chart.lock` as it is.
    pub lock: Option<serde_json::Value>,
    /// `values.yaml`.
    pub values: Values,
    /// `values.schema.json`.
    pub schema: Option<Vec<u8>>,
    /// What is under `templates/`, the helpers too.
    pub templates: Vec<File>,
    /// Every other file, those under `crds/` too.
    pub files: Vec<File>,
    /// The charts under `charts/`, by directory name.
    pub dependencies: Vec<Chart>,
}

/// What is wrong with a chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub(crate) String);

impl Chart {
    /// Loads a chart from a packed archive (`.tgz`).
    ///
    /// # Errors
    /// When it is no archive of a chart, is larger than the limits of Helm (100 MiB in all, 5 MiB for one file) or reaches
    /// outside of its own directory.
    pub fn from_tgz(bytes: &[u8]) -> Result<Self, LoadError> {
        load::from_files(archive::read(bytes)?, 0)
    }

    /// Loads a chart from the files of its directory, by path inside it. A `.helmignore` among them is followed.
    ///
    /// # Errors
    /// When they make no chart.
    pub fn from_files(
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Self, LoadError> {
        let files: Vec<File> = files
            .into_iter()
            .map(|(name, data)| File { name, data })
            .collect();
        load::from_files(ignore::filter(files)?, 0)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// True for a library chart.
    pub fn is_library(&self) -> bool {
        self.metadata.kind.eq_ignore_ascii_case("library")
    }

    /// The files under `crds/` of the chart and of its dependencies, with the chart's path in front.
    pub fn crds(&self) -> Vec<File> {
        let mut found = Vec::new();
        self.collect_crds(self.name(), &mut found);
        found
    }

    fn collect_crds(&self, path: &str, found: &mut Vec<File>) {
        let is_manifest = |name: &str| {
            let extension = name
                .rsplit_once('.')
                .map_or("", |(_, e)| e)
                .to_ascii_lowercase();
            matches!(extension.as_str(), "yaml" | "yml" | "json")
        };
        for file in self
            .files
            .iter()
            .filter(|f| f.name.starts_with("crds/") && is_manifest(&f.name))
        {
            found.push(File {
                name: format!("{path}/{}", file.name),
                data: file.data.clone(),
            });
        }
        for dependency in &self.dependencies {
            dependency.collect_crds(&format!("{path}/charts/{}", dependency.name()), found);
        }
    }
}
