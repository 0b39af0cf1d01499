//! CoreDNS of the workload cluster goes with what the control plane says of it: one step in a pass, so that whoever goes on after a
//! restart sees from the objects where it was. Pure.
//!
//! The Deployment first uses a copy of the configuration, so that the one for the new version can be written while the old
//! version runs; with the new image it uses that.

use api::controlplane::KubeadmControlPlane;
use api::controlplane::coredns::{CoreDnsVersion, migrate};
use api::meta::labels;
use kube::ResourceExt;
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::{Act, World};

/// Its Deployment, ConfigMap and container.
pub(super) const NAME: &str = "coredns";
/// Where its configuration is in the ConfigMap, for the Deployment and as a copy.
pub(super) const COREFILE: &str = "Corefile";
pub(super) const BACKUP: &str = "Corefile-backup";
/// Repositories in which the image is one level deeper since 1.8.
const DEEPER: [&str; 2] = ["registry.k8s.io", "k8s.gcr.io"];

/// CoreDNS as it is in the workload cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct CoreDns {
    pub image: String,
    /// The configuration in the ConfigMap, and the copy of the one before.
    pub corefile: String,
    pub backup: Option<String>,
    /// Which of both the Deployment uses; `None` if it takes the ConfigMap as it is.
    pub key: Option<String>,
    /// Resource version of the ConfigMap: what was written to it since must not be lost.
    pub revision: Option<String>,
}

/// A step of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// kubeadm's record of the cluster says what is wanted.
    Record,
    /// The configuration is copied.
    BackUp(String),
    /// The Deployment uses the copy.
    UseBackup,
    /// The configuration is that for the new version.
    Migrate(String),
    /// The Deployment has this image and uses the configuration.
    Finish(String),
}

impl CoreDns {
    /// Whether an upgrade is on its way, or was called off there.
    fn is_on_backup(&self) -> bool {
        self.key.as_deref() == Some(BACKUP)
    }
}

/// Whether CoreDNS is not left to somebody else.
pub(super) fn is_ours(control_plane: &KubeadmControlPlane) -> bool {
    !control_plane
        .annotations()
        .contains_key(labels::SKIP_COREDNS)
}

/// Whether the control plane says something of CoreDNS.
pub(super) fn is_said(control_plane: &KubeadmControlPlane) -> bool {
    let config = control_plane.spec.kubeadm_config_spec.as_ref();
    let cluster = config.and_then(|config| config.cluster_configuration.as_ref());
    cluster.is_some_and(|c| c.dns.is_some() || c.image_repository.is_some())
}

/// Plans the next step, if one is needed.
pub(super) fn follow(world: &World, plan: &mut Plan<Act>) {
    if !is_ours(&world.control_plane) {
        return;
    }
    let Some(workload) = &world.workload else {
        return;
    };
    let Some(found) = &workload.core_dns else {
        return;
    };
    match next(world, found, workload.configuration.as_ref()) {
        Ok(None) => {}
        Ok(Some(step)) => {
            if let Step::Finish(image) = &step
                && *image != found.image
            {
                let text = format!("CoreDNS goes from {} to {image}", found.image);
                plan.note("CoreDNSUpgraded", text);
            }
            plan.changes.push(Change::Act(Act::UpgradeCoreDns(step)));
        }
        Err(why) => {
            let text = format!("CoreDNS stays as it is: {why}");
            plan.warn("CoreDNSNotUpgraded", text);
            if found.is_on_backup() {
                let step = Step::Finish(found.image.clone());
                plan.changes.push(Change::Act(Act::UpgradeCoreDns(step)));
            }
        }
    }
}

/// An image without its tag, in two parts, and its tag.
fn parts(image: &str) -> Result<(&str, &str, &str), String> {
    let no_tag = || format!("its image {image:?} has no tag that says which version it is");
    let (path, tag) = image.rsplit_once(':').ok_or_else(no_tag)?;
    if tag.contains('/') || image.contains('@') {
        return Err(no_tag());
    }
    let (repository, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok((repository, name, tag))
}

fn version(tag: &str) -> Result<CoreDnsVersion, String> {
    CoreDnsVersion::parse(tag).ok_or_else(|| format!("tag {tag:?} does not begin with a version"))
}

/// The image that is wanted in the place of `image`.
fn wanted_image(world: &World, image: &str) -> Result<String, String> {
    let (repository, name, tag) = parts(image)?;
    let config = world.control_plane.spec.kubeadm_config_spec.as_ref();
    let cluster = config.and_then(|config| config.cluster_configuration.as_ref());
    let dns = cluster.and_then(|cluster| cluster.dns.as_ref());
    let of_all = cluster.and_then(|cluster| cluster.image_repository.as_deref());
    let of_dns = dns.and_then(|dns| dns.image_repository.as_deref());
    let repository = of_dns.or(of_all).unwrap_or(repository);
    let repository = repository.trim_end_matches('/');
    let tag = dns.and_then(|dns| dns.image_tag.as_deref()).unwrap_or(tag);
    let begins_deeper = version("1.8.0")?;
    let is_deeper =
        DEEPER.contains(&repository) && name == "coredns" && version(tag)? >= begins_deeper;
    let name = if is_deeper { "coredns/coredns" } else { name };
    Ok(match repository {
        "" => format!("{name}:{tag}"),
        repository => format!("{repository}/{name}:{tag}"),
    })
}

/// The next step.
///
/// # Errors
/// Why there can be none.
fn next(world: &World, found: &CoreDns, record: Option<&Value>) -> Result<Option<Step>, String> {
    let image = match is_said(&world.control_plane) {
        true => wanted_image(world, &found.image)?,
        false => found.image.clone(),
    };
    if image == found.image {
        // An upgrade that somebody has called off on its way: what is written in the configuration must count again.
        return Ok(found.is_on_backup().then_some(Step::Finish(image)));
    }
    let (_, _, from) = parts(&found.image)?;
    let (_, _, to) = parts(&image)?;
    version(from)?.check_upgrade(version(to)?)?;
    if record.is_some_and(|record| recorded(world, record) != *record) {
        return Ok(Some(Step::Record));
    }
    let back_up = || Ok(Some(Step::BackUp(found.corefile.clone())));
    let Some(backup) = &found.backup else {
        return back_up();
    };
    let migrated = migrate(backup);
    // Where the Deployment has no choice of keys, the configuration is written as soon as it has been copied.
    let may_be_written = found.is_on_backup() || found.key.is_none();
    if found.corefile != *backup && !(may_be_written && found.corefile == migrated) {
        // Somebody has changed it, before or on the way.
        return back_up();
    }
    if found.key.is_some() && !found.is_on_backup() {
        return Ok(Some(Step::UseBackup));
    }
    if found.corefile != migrated {
        return Ok(Some(Step::Migrate(migrated)));
    }
    Ok(Some(Step::Finish(image)))
}

/// kubeadm's record with what the control plane says of CoreDNS.
pub(super) fn recorded(world: &World, record: &Value) -> Value {
    let config = world.control_plane.spec.kubeadm_config_spec.as_ref();
    let cluster = config.and_then(|config| config.cluster_configuration.as_ref());
    let mut record = record.clone();
    let dns = cluster.and_then(|cluster| cluster.dns.as_ref());
    if let (Some(record), Some(dns)) = (record.as_object_mut(), dns) {
        record.insert("dns".to_owned(), json!(dns));
    }
    record
}
