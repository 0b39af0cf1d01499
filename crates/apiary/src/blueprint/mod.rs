//! What a new cluster is made of: the manifests that `apiary template cluster` prints and `apiary cluster create` applies. Pure.

use anyhow::{Result, bail};
use api::cluster::rules::Version;
use api::organization::organization::NAMESPACE_PREFIX;
use serde_json::{Value, json};

use crate::charts;

/// Longest name of a cluster: names of machines and Secrets are made from it.
pub const CLUSTER_NAME_MAX: usize = 40;
/// Longest name of a node pool, which follows the cluster's in names of machines.
pub const POOL_NAME_MAX: usize = 16;
/// Longest name of an organization.
const ORGANIZATION_NAME_MAX: usize = 59;
/// Machines of one node pool.
pub const POOL_REPLICAS_MAX: u16 = 1000;

/// Where machines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// Simulated machines on this host
    Local,
}

/// A set of like workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    pub replicas: u16,
}

/// A cluster that is wanted. What is not said is as the chart's values have it.
#[derive(Clone, Debug)]
pub struct Blueprint {
    pub name: String,
    pub organization: String,
    pub provider: Provider,
    /// Kubernetes version, e.g. `v1.36.0`.
    pub version: Option<String>,
    /// Machines of the control plane.
    pub control_plane: Option<u16>,
    pub pools: Vec<Pool>,
    /// Values of the chart; the fields above count before them.
    pub values: Value,
}

impl Blueprint {
    /// The manifests, as people read them.
    ///
    /// # Errors
    /// What cannot be, by the flag or value that says it.
    pub fn text(&self) -> Result<String> {
        self.check()?;
        let chart = match self.provider {
            Provider::Local => charts::cluster_local()?,
        };
        let values = render::values::merge(&self.values, &self.own_values());
        let namespace = format!("{NAMESPACE_PREFIX}{}", self.organization);
        charts::manifests(&chart, (&namespace, &self.name), &values)
    }

    /// What the fields say, as values of the chart.
    fn own_values(&self) -> Value {
        let mut values = json!({"global": {
            "metadata": {"name": self.name, "organization": self.organization},
        }});
        if let Some(version) = &self.version {
            values["global"]["release"]["kubernetesVersion"] = json!(version);
        }
        if let Some(count) = self.control_plane {
            values["global"]["controlPlane"]["replicas"] = json!(count);
        }
        for pool in &self.pools {
            values["global"]["nodePools"][&pool.name]["replicas"] = json!(pool.replicas);
        }
        values
    }

    /// The manifests as objects; the Cluster comes last, so that what failed half-way can be begun anew.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn objects(&self) -> Result<Vec<Value>> {
        let mut objects = render::yaml::from_str_multi(&self.text()?)?;
        objects.retain(|object| !object.is_null());
        objects.sort_by_key(|object| object["kind"] == "Cluster");
        Ok(objects)
    }

    fn check(&self) -> Result<()> {
        check_name("the name of a cluster", &self.name, CLUSTER_NAME_MAX)?;
        check_name("--organization", &self.organization, ORGANIZATION_NAME_MAX)?;
        if let Some(machines) = self.control_plane {
            check_control_plane(machines)?;
        }
        if let Some(version) = &self.version {
            check_version(version)?;
        }
        for (at, pool) in self.pools.iter().enumerate() {
            check_name("the name of a node pool", &pool.name, POOL_NAME_MAX)?;
            if pool.name == "control-plane" {
                bail!(
                    "a node pool cannot be called \"control-plane\": its template would be that of the control plane"
                );
            }
            if self.pools[..at].iter().any(|other| other.name == pool.name) {
                bail!("two node pools are called {:?}", pool.name);
            }
        }
        Ok(())
    }
}

/// Control planes keep their data in an etcd of their own machines.
///
/// # Errors
/// If the number is even.
pub fn check_control_plane(machines: u16) -> Result<()> {
    if machines.is_multiple_of(2) {
        bail!(
            "--control-plane {machines} must be odd: an even number survives no more failures than one less"
        );
    }
    Ok(())
}

/// The version that a text names.
///
/// # Errors
/// If it names none.
pub fn check_version(text: &str) -> Result<Version> {
    match Version::parse(text).filter(|_| text.starts_with('v')) {
        Some(version) => Ok(version),
        None => bail!(
            "--version {text:?} must look like {}",
            crate::config::KUBERNETES_VERSION
        ),
    }
}

fn check_name(what: &str, name: &str, max: usize) -> Result<()> {
    let is_label = !name.is_empty()
        && name.len() <= max
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if !is_label {
        bail!(
            "{what} {name:?} must start with a letter, have only lower case letters, digits and dashes, and at most {max} characters"
        );
    }
    Ok(())
}

impl std::str::FromStr for Pool {
    type Err = String;

    /// `NAME=REPLICAS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, replicas) = text
            .split_once('=')
            .ok_or_else(|| "want NAME=REPLICAS, e.g. workers=3".to_owned())?;
        let replicas = replicas.parse().ok().filter(|n| *n <= POOL_REPLICAS_MAX);
        let replicas = replicas.ok_or_else(|| {
            format!("the number of machines must be between 0 and {POOL_REPLICAS_MAX}")
        })?;
        Ok(Self {
            name: name.to_owned(),
            replicas,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(name: &str, control_plane: u16) -> Blueprint {
        Blueprint {
            name: name.into(),
            organization: "acme".into(),
            provider: Provider::Local,
            version: None,
            control_plane: Some(control_plane),
            pools: vec!["workers=2".parse().unwrap()],
            values: json!({}),
        }
    }

    /// Kind, name and number of machines of all objects.
    fn shown(wanted: &Blueprint) -> String {
        let line = |object: Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            assert_eq!(object["metadata"]["namespace"], "org-acme", "{kind} {name}");
            match &object["spec"]["replicas"] {
                Value::Null => format!("{kind} {name}\n"),
                replicas => format!("{kind} {name} {replicas}\n"),
            }
        };
        wanted.objects().unwrap().into_iter().map(line).collect()
    }

    #[test]
    fn what_is_not_said_is_as_the_chart_has_it() {
        let wanted = Blueprint {
            control_plane: None,
            pools: vec![],
            ..blueprint("hello", 1)
        };
        expect_test::expect![[r#"
            KubeadmConfigTemplate hello-def00-bf77e9bf
            KubeadmControlPlane hello 3
            LocalCluster hello
            LocalMachineTemplate hello-control-plane-7f9223d6
            LocalMachineTemplate hello-def00-749cab64
            MachineDeployment hello-def00 3
            MachineHealthCheck hello-control-plane
            MachineHealthCheck hello-def00
            Cluster hello
        "#]]
        .assert_eq(&shown(&wanted));
    }

    #[test]
    fn flags_count_before_values() {
        let wanted = Blueprint {
            values: json!({"global": {
                "controlPlane": {"replicas": 5, "machineHealthCheck": {"enabled": false}},
                "nodePools": {"workers": {"replicas": 1, "machineHealthCheck": {"enabled": false}}},
            }}),
            ..blueprint("hello", 1)
        };
        expect_test::expect![[r#"
            KubeadmConfigTemplate hello-workers-f4c3e281
            KubeadmControlPlane hello 1
            LocalCluster hello
            LocalMachineTemplate hello-control-plane-7f9223d6
            LocalMachineTemplate hello-workers-749cab64
            MachineDeployment hello-workers 2
            Cluster hello
        "#]]
        .assert_eq(&shown(&wanted));
    }

    #[test]
    fn wrong_values_are_named() {
        let wanted = Blueprint {
            values: json!({"global": {"nodePools": {"a": {"failureDomain": "mars"}}}}),
            ..blueprint("hello", 1)
        };
        let error = wanted.text().unwrap_err().to_string();
        assert!(
            error.contains("global.nodePools.a.failureDomain is \"mars\""),
            "{error}"
        );
    }

    #[test]
    fn pools_are_as_many_as_wanted() {
        let names = |pools: &[&str]| -> Vec<String> {
            let mut wanted = blueprint("hello", 3);
            wanted.pools = pools.iter().map(|pool| pool.parse().unwrap()).collect();
            let objects = wanted.objects().unwrap();
            let last = objects.last().unwrap();
            assert_eq!(last["kind"], "Cluster");
            let pools = objects.iter().filter(|o| o["kind"] == "MachineDeployment");
            pools
                .map(|o| {
                    format!(
                        "{}={}",
                        o["metadata"]["name"].as_str().unwrap(),
                        o["spec"]["replicas"]
                    )
                })
                .collect()
        };
        assert_eq!(names(&["a=1", "b=0"]), ["hello-a=1", "hello-b=0"]);
    }

    #[test]
    fn wrong_wishes_are_named() {
        let check = |wanted: Blueprint, says: &str| {
            let error = wanted.text().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        check(blueprint("Hello", 1), "cluster \"Hello\"");
        check(blueprint("hello", 2), "must be odd");
        let version = Blueprint {
            version: Some("1.36".into()),
            ..blueprint("hello", 1)
        };
        check(version, "must look like v1.36.0");
        let pools = |names: &[&str]| Blueprint {
            pools: names.iter().map(|pool| pool.parse().unwrap()).collect(),
            ..blueprint("hello", 1)
        };
        check(pools(&["a=1", "a=2"]), "two node pools are called \"a\"");
        check(pools(&["control-plane=1"]), "cannot be called");
        check(pools(&["A=1"]), "node pool \"A\"");
        let long = "x".repeat(POOL_NAME_MAX + 1);
        check(pools(&[&format!("{long}=1")]), "at most 16 characters");
        let long = "x".repeat(CLUSTER_NAME_MAX + 1);
        check(blueprint(&long, 1), "at most 40 characters");
        assert!("workers".parse::<Pool>().is_err());
        assert!(
            format!("workers={}", POOL_REPLICAS_MAX + 1)
                .parse::<Pool>()
                .is_err()
        );
        assert!("workers=-1".parse::<Pool>().is_err());
    }
}
