//! Charts that are part of the program: what users start from. Their sources are in `charts` of the repository, where real Helm
//! finds them too.

use anyhow::{Context, Result};
use jiff::Timestamp;
use render::{Capabilities, Chart, NoCluster, ReleaseContext};
use serde_json::Value;

/// The name of a file within a chart, and its content.
type File = (&'static str, &'static str);

macro_rules! files {
    ($chart:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../charts/", $chart, "/", $name)))),*]
    };
}

/// A hardened cluster on simulated machines.
const CLUSTER_LOCAL: &[File] = files!["cluster-local":
    "Chart.yaml",
    "values.yaml",
    "values.schema.json",
    "files/audit-policy.yaml",
    "files/sshd.conf",
    "files/sysctl.conf",
    "templates/NOTES.txt",
    "templates/_check.tpl",
    "templates/_files.tpl",
    "templates/_machines.tpl",
    "templates/_names.tpl",
    "templates/cluster.yaml",
    "templates/control-plane.yaml",
    "templates/node-pools.yaml",
];

/// The chart of clusters on simulated machines.
///
/// # Errors
/// Never, unless the chart in the repository is broken.
pub fn cluster_local() -> Result<Chart> {
    let files = CLUSTER_LOCAL
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    Chart::from_files(files).context("reading the chart cluster-local")
}

/// The manifests of a first release of `chart`, as `helm template` prints them. Charts of this program ask for neither time, chance nor
/// what a cluster has: the same values give the same text.
///
/// # Errors
/// Which values are wrong, and what a template says about them.
pub fn manifests(chart: &Chart, (namespace, name): (&str, &str), values: &Value) -> Result<String> {
    let release = ReleaseContext {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        revision: 1,
        is_install: true,
        is_upgrade: false,
        now: Timestamp::UNIX_EPOCH,
        seed: [0; 32],
    };
    let rendered = render::template(
        chart,
        &release,
        values,
        &Capabilities::default(),
        &NoCluster,
    )?;
    Ok(rendered.manifest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                names(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn the_program_has_every_file_of_its_charts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/cluster-local");
        let mut found = BTreeSet::new();
        names(&folder, "", &mut found);
        // For readers alone.
        for name in ["README.md", ".helmignore"] {
            found.remove(name);
        }
        let embedded: BTreeSet<String> = CLUSTER_LOCAL
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        assert_eq!(embedded, found);
    }
}
