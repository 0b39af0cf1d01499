//! What a pod's claims mean for where it can be.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::core::ApiResource;
use runtime::{Cluster, GatherError, Selector};
use serde::de::DeserializeOwned;

use super::filter::Against;
use super::snapshot::Snapshot;
use crate::volume;

/// The volumes of one pod: those it has, and those it is to get.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    bound: Vec<Arc<PersistentVolume>>,
    /// Claims that wait until it is known where their pod will be.
    waiting: Vec<Waiting>,
    /// Uid of a pod that uses a claim which only one may use.
    taken_by: Option<String>,
}

/// A claim that gets its volume when its pod has a node.
#[derive(Clone, Debug)]
struct Waiting {
    claim: Arc<PersistentVolumeClaim>,
    class: Arc<StorageClass>,
    /// Volumes that nobody has and that would do.
    free: Vec<Arc<PersistentVolume>>,
}

impl Waiting {
    fn can_be_made(&self, node: &Node) -> bool {
        let topologies = self.class.allowed_topologies.as_deref().unwrap_or_default();
        self.class.provisioner != volume::NO_PROVISIONER && volume::allows(topologies, node)
    }

    fn can_be_on(&self, node: &Node) -> bool {
        self.free.iter().any(|free| volume::reaches(free, node)) || self.can_be_made(node)
    }
}

impl Volumes {
    /// What is against the node.
    pub(super) fn against(&self, node: &Node) -> Option<Against> {
        if !self
            .bound
            .iter()
            .all(|volume| volume::reaches(volume, node))
        {
            let why = "node(s) didn't match PersistentVolume's node affinity";
            return Some(Against::for_good(why));
        }
        if !self.waiting.iter().all(|waiting| waiting.can_be_on(node)) {
            let why = "node(s) didn't find available persistent volumes to bind";
            return Some(Against::for_good(why));
        }
        if self.taken_by.is_some() {
            let why = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
            return Some(Against::new(why));
        }
        None
    }

    /// The same when the pods with these uids have gone.
    pub(super) fn without(&self, gone: &HashSet<&str>) -> Self {
        let stays = |uid: &&String| !gone.contains(uid.as_str());
        Self {
            bound: self.bound.clone(),
            waiting: self.waiting.clone(),
            taken_by: self.taken_by.as_ref().filter(stays).cloned(),
        }
    }

    /// The claims that are to be told for which node they get their volumes.
    pub(super) fn to_bind(&self) -> impl Iterator<Item = &PersistentVolumeClaim> {
        self.waiting.iter().map(|waiting| &*waiting.claim)
    }
}

/// Reads what is known of the pod's claims. In words, why the pod can be nowhere: a claim is not there, or will have a volume
/// only when it has one without regard to the pod.
pub(super) async fn gather(
    cluster: &Cluster,
    world: &Snapshot,
    pod: &Pod,
) -> Result<Result<Volumes, String>, GatherError> {
    let mut volumes = Volumes::default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let names = volume::claims(pod);
    for name in &names {
        let Some(claim) = get::<PersistentVolumeClaim>(cluster, namespace, name).await? else {
            return Ok(Err(format!("persistentvolumeclaim \"{name}\" not found")));
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Ok(Err(format!(
                "persistentvolumeclaim \"{name}\" is being deleted"
            )));
        }
        if is_exclusive(&claim) && volumes.taken_by.is_none() {
            volumes.taken_by = holder(world, pod, name);
        }
        if let Some(bound) = volume::volume_name(&claim) {
            if !volume::is_bound(&claim) {
                return Ok(Err(UNBOUND.to_owned()));
            }
            match get::<PersistentVolume>(cluster, "", bound).await? {
                Some(volume) => volumes.bound.push(volume),
                None => {
                    let why =
                        "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
                    return Ok(Err(why.to_owned()));
                }
            }
            continue;
        }
        let class = get::<StorageClass>(cluster, "", volume::class(&claim)).await?;
        let waits = |class: &StorageClass| {
            class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
        };
        let Some(class) = class.filter(|class| waits(class)) else {
            return Ok(Err(UNBOUND.to_owned()));
        };
        let free = free(cluster, &claim).await?;
        volumes.waiting.push(Waiting { claim, class, free });
    }
    Ok(Ok(volumes))
}

const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";

async fn free(
    cluster: &Cluster,
    claim: &PersistentVolumeClaim,
) -> Result<Vec<Arc<PersistentVolume>>, GatherError> {
    let resource = ApiResource::erase::<PersistentVolume>(&());
    let all = cluster.entries(&resource, None, &Selector::all()).await?;
    let all = all
        .iter()
        .filter_map(|entry| entry.read::<PersistentVolume>().ok());
    Ok(all.filter(|pv| volume::satisfies(pv, claim)).collect())
}

async fn get<K>(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<K>>, GatherError>
where
    K: kube::Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    if name.is_empty() {
        return Ok(None);
    }
    let resource = ApiResource::erase::<K>(&());
    let entry = cluster.entry(&resource, namespace, name).await?;
    Ok(entry.and_then(|entry| entry.read().ok()))
}

fn is_exclusive(claim: &PersistentVolumeClaim) -> bool {
    let modes = claim.spec.as_ref().and_then(|s| s.access_modes.as_ref());
    modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
}

/// The uid of another pod on a node that uses the claim.
fn holder(world: &Snapshot, pod: &Pod, claim: &str) -> Option<String> {
    let mut others = world.placed().map(|(_, other)| other);
    let holder = others.find(|other| {
        let claims: HashSet<String> = volume::claims(&other.pod).into_iter().collect();
        Some(&other.uid) != pod.metadata.uid.as_ref()
            && other.pod.metadata.namespace == pod.metadata.namespace
            && claims.contains(claim)
    });
    holder.map(|other| other.uid.clone())
}
