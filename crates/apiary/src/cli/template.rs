//! `apiary template`: manifests for people to read, change, commit and apply.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use api::organization::organization::NAMESPACE_PREFIX;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::charts;
use crate::config::KUBERNETES_VERSION;
use crate::ui::Ui;

/// Longest name of a cluster: names of machines and Secrets are made from it.
const MAX_CLUSTER_NAME: usize = 40;
/// The pool whose size `--workers` is.
const POOL: &str = "workers";

/// Print manifests
#[derive(Debug, Subcommand)]
pub(super) enum Template {
    Cluster(Cluster),
}

/// Print the manifests of a hardened workload cluster
///
/// They are what the chart charts/cluster-local comes to: three control plane machines over three failure domains and three workers,
/// unless flags and values say otherwise. What values there are is in charts/cluster-local/README.md. Nothing is changed anywhere: pipe
/// the result to `kubectl apply -f -`, or keep it in Git. There is no secret in it.
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
    /// Number of worker machines, in a pool called workers
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=1000))]
    workers: Option<u16>,
    /// Number of control plane machines: 1, or an odd number of which a minority may fail
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=7))]
    control_planes: Option<u16>,
    /// Kubernetes version
    #[arg(long)]
    kubernetes_version: Option<String>,
    /// File with values of the chart; flags count before it, and a later file before an earlier one
    #[arg(long, short = 'f', value_name = "FILE")]
    values: Vec<PathBuf>,
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
        let mut values = json!({});
        for file in &cluster.values {
            values = render::values::merge(&values, &read(file)?);
        }
        ui.line(cluster.manifests(&values)?.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// The values in a file.
fn read(file: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    match render::yaml::from_str(&text) {
        Ok(values @ Value::Object(_)) => Ok(values),
        Ok(Value::Null) => Ok(json!({})),
        Ok(_) => bail!("{}: values must be a map", file.display()),
        Err(error) => Err(anyhow!("{}: {error}", file.display())),
    }
}

impl Cluster {
    fn manifests(&self, values: &Value) -> Result<String> {
        check_name("--name", &self.name, MAX_CLUSTER_NAME)?;
        check_name("--organization", &self.organization, 59)?;
        if self.control_planes.is_some_and(|n| n.is_multiple_of(2)) {
            bail!(
                "--control-planes {} must be odd: an even number survives no more failures than one less",
                self.control_planes.unwrap_or_default()
            );
        }
        let values = render::values::merge(values, &self.values()?);
        let chart = match self.provider {
            Provider::Local => charts::cluster_local()?,
        };
        let namespace = format!("{NAMESPACE_PREFIX}{}", self.organization);
        charts::manifests(&chart, (&namespace, &self.name), &values)
    }

    /// What the flags say, as values of the chart.
    fn values(&self) -> Result<Value> {
        let mut values = json!({"global": {
            "metadata": {"name": self.name, "organization": self.organization},
        }});
        if let Some(version) = &self.kubernetes_version {
            let digits = version.strip_prefix('v').unwrap_or_default();
            if digits.split('.').count() != 3
                || digits.split('.').any(|part| part.parse::<u32>().is_err())
            {
                bail!("--kubernetes-version {version:?} must look like {KUBERNETES_VERSION}");
            }
            values["global"]["release"]["kubernetesVersion"] = json!(version);
        }
        if let Some(count) = self.control_planes {
            values["global"]["controlPlane"]["replicas"] = json!(count);
        }
        if let Some(count) = self.workers {
            values["global"]["nodePools"][POOL]["replicas"] = json!(count);
        }
        Ok(values)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> Cluster {
        Cluster {
            name: name.into(),
            organization: "acme".into(),
            provider: Provider::Local,
            workers: None,
            control_planes: None,
            kubernetes_version: None,
            values: vec![],
        }
    }

    /// Kind, name and number of machines of all objects.
    fn shown(cluster: &Cluster, values: &Value) -> String {
        let text = cluster.manifests(values).unwrap();
        let objects = render::yaml::from_str_multi(&text).unwrap();
        let line = |object: Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            assert_eq!(object["metadata"]["namespace"], "org-acme", "{kind} {name}");
            match &object["spec"]["replicas"] {
                Value::Null => format!("{kind} {name}\n"),
                replicas => format!("{kind} {name} {replicas}\n"),
            }
        };
        objects
            .into_iter()
            .filter(|o| !o.is_null())
            .map(line)
            .collect()
    }

    #[test]
    fn the_chart_is_printed() {
        expect_test::expect![[r#"
            Cluster hello
            KubeadmConfigTemplate hello-def00-bf77e9bf
            KubeadmControlPlane hello 3
            LocalCluster hello
            LocalMachineTemplate hello-control-plane-7f9223d6
            LocalMachineTemplate hello-def00-749cab64
            MachineDeployment hello-def00 3
            MachineHealthCheck hello-control-plane
            MachineHealthCheck hello-def00
        "#]]
        .assert_eq(&shown(&cluster("hello"), &json!({})));
    }

    #[test]
    fn flags_count_before_values() {
        let flags = Cluster {
            workers: Some(7),
            control_planes: Some(1),
            ..cluster("hello")
        };
        let values = json!({"global": {
            "controlPlane": {"replicas": 5, "machineHealthCheck": {"enabled": false}},
            "nodePools": {"workers": {"replicas": 1, "machineHealthCheck": {"enabled": false}}},
        }});
        expect_test::expect![[r#"
            Cluster hello
            KubeadmConfigTemplate hello-workers-f4c3e281
            KubeadmControlPlane hello 1
            LocalCluster hello
            LocalMachineTemplate hello-control-plane-7f9223d6
            LocalMachineTemplate hello-workers-749cab64
            MachineDeployment hello-workers 7
        "#]]
        .assert_eq(&shown(&flags, &values));
    }

    #[test]
    fn wrong_flags_are_named() {
        let refused = |cluster: Cluster| cluster.manifests(&json!({})).unwrap_err().to_string();
        assert!(refused(cluster("Hello")).contains("--name \"Hello\""));
        let even = Cluster {
            control_planes: Some(2),
            ..cluster("hello")
        };
        assert!(refused(even).contains("must be odd"));
        let wrong = Cluster {
            kubernetes_version: Some("1.36".into()),
            ..cluster("hello")
        };
        assert!(refused(wrong).contains("must look like v1.36.0"));
    }

    #[test]
    fn wrong_values_are_named() {
        let values = json!({"global": {"nodePools": {"a": {"failureDomain": "mars"}}}});
        let error = cluster("hello").manifests(&values).unwrap_err().to_string();
        assert!(
            error.contains("global.nodePools.a.failureDomain is \"mars\""),
            "{error}"
        );
    }
}
