//! `apiary template`: manifests for people to read, change, commit and apply.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::config::KUBERNETES_VERSION;
use crate::ui::Ui;

/// Longest name of a cluster: names of machines and Secrets are made from it.
const MAX_CLUSTER_NAME: usize = 40;

/// Print manifests
#[derive(Debug, Subcommand)]
pub(super) enum Template {
    Cluster(Cluster),
}

/// Print the manifests of a workload cluster
///
/// Nothing is changed anywhere: pipe the result to `kubectl apply -f -`, or keep it in Git.
#[derive(Debug, Args)]
pub(super) struct Cluster {
    /// Name of the cluster: lower case letters, digits and dashes
    #[arg(long)]
    name: String,
    /// Organization that owns the cluster
    #[arg(long)]
    organization: String,
    /// Where its machines run
    #[arg(long, value_enum, default_value_t = Provider::Local)]
    provider: Provider,
    /// Number of worker machines
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=1000))]
    workers: u16,
    /// Number of control plane machines: 1, or an odd number of which a minority may fail
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=7))]
    control_planes: u16,
    /// Kubernetes version
    #[arg(long, default_value = KUBERNETES_VERSION)]
    kubernetes_version: String,
}

/// Where machines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Provider {
    /// Simulated machines on this host
    Local,
}

impl Template {
    pub(super) fn run(self, ui: &Ui) -> Result<ExitCode> {
        let Self::Cluster(cluster) = self;
        ui.line(cluster.manifests()?.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

impl Cluster {
    fn manifests(&self) -> Result<String> {
        check_name("--name", &self.name, MAX_CLUSTER_NAME)?;
        check_name("--organization", &self.organization, 59)?;
        if self.control_planes.is_multiple_of(2) {
            bail!(
                "--control-planes {} must be odd: an even number survives no more failures than one less",
                self.control_planes
            );
        }
        let digits = self
            .kubernetes_version
            .strip_prefix('v')
            .unwrap_or_default();
        if digits.split('.').count() != 3
            || digits.split('.').any(|part| part.parse::<u32>().is_err())
        {
            bail!(
                "--kubernetes-version {:?} must look like {KUBERNETES_VERSION}",
                self.kubernetes_version
            );
        }
        Ok(match self.provider {
            Provider::Local => LOCAL,
        }
        .replace("{name}", &self.name)
        .replace("{organization}", &self.organization)
        .replace("{workers}", &self.workers.to_string())
        .replace("{controlPlanes}", &self.control_planes.to_string())
        .replace("{version}", &self.kubernetes_version))
    }
}

fn check_name(flag: &str, name: &str, max: usize) -> Result<()> {
    let is_label = !name.is_empty()
        && name.len() <= max
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if !is_label {
        bail!(
            "{flag} {name:?} must start with a letter, have only lower case letters, digits and dashes, and at most {max} characters"
        );
    }
    Ok(())
}

/// A cluster on simulated machines of this host.
const LOCAL: &str = include_str!("template/cluster-local.yaml");

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, control_planes: u16) -> Cluster {
        Cluster {
            name: name.into(),
            organization: "acme".into(),
            provider: Provider::Local,
            workers: 2,
            control_planes,
            kubernetes_version: KUBERNETES_VERSION.into(),
        }
    }

    #[test]
    fn the_example_is_what_the_template_prints() {
        let example = include_str!("../../../../examples/hello/cluster.yaml");
        assert_eq!(cluster("hello", 1).manifests().unwrap(), example);
    }

    #[test]
    fn wrong_flags_are_named() {
        assert!(
            cluster("Hello", 1)
                .manifests()
                .unwrap_err()
                .to_string()
                .contains("--name \"Hello\"")
        );
        assert!(
            cluster("hello", 2)
                .manifests()
                .unwrap_err()
                .to_string()
                .contains("must be odd")
        );
        let wrong = Cluster {
            kubernetes_version: "1.36".into(),
            ..cluster("hello", 1)
        };
        assert!(
            wrong
                .manifests()
                .unwrap_err()
                .to_string()
                .contains("must look like v1.36.0")
        );
    }
}
