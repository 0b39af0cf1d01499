//! Where a DaemonSet stands: its pods by node, and which of them are of the present template. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSetSpec;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Toleration};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::node::{self, Fit};
use super::{World, owner};
use crate::claim::{Claim, selects};
use crate::history::{self, Current, Owner, REVISION_LABEL};
use crate::pod;

/// On a DaemonSet, how often its template changed; the API server counts.
const GENERATION: &str = "deprecated.daemonset.template.generation";
/// On a pod, that number when it was made.
pub(super) const GENERATION_LABEL: &str = "pod-template-generation";

/// What plan and status ask about one DaemonSet at one time.
pub(super) struct Look<'a> {
    pub(super) world: &'a World,
    pub(super) spec: &'a DaemonSetSpec,
    pub(super) owner: Owner<'a>,
    pub(super) now: Timestamp,
    pub(super) pod_spec: PodSpec,
    pub(super) tolerations: Vec<Toleration>,
    /// Its pods, and those that it is about to adopt, by node, the oldest that is bound first; without those that are over
    /// and being deleted.
    pub(super) by_node: BTreeMap<String, Vec<&'a Arc<Pod>>>,
    pub(super) revision: Current,
    pub(super) generation: Option<&'a String>,
    /// The hashes of the present template: several, if somebody made another revision of it.
    hashes: BTreeSet<String>,
}

impl<'a> Look<'a> {
    /// `None` for an object without a spec, or that is being deleted: what becomes of its revisions is not known.
    pub(super) fn of(world: &'a World, now: Timestamp) -> Option<Self> {
        let meta = &world.daemon_set.metadata;
        let owner = owner(&world.daemon_set).filter(|_| meta.deletion_timestamp.is_none())?;
        let pod_spec = owner.template.spec.clone().unwrap_or_default();
        let revision = history::current(&world.history, &owner);
        let mut hashes: BTreeSet<String> = history::equal(&world.history, &owner)
            .into_iter()
            .filter_map(|revision| {
                revision
                    .metadata
                    .labels
                    .as_ref()?
                    .get(REVISION_LABEL)
                    .cloned()
            })
            .collect();
        hashes.insert(revision.hash.clone());
        let mut by_node: BTreeMap<String, Vec<&Arc<Pod>>> = BTreeMap::new();
        for pod in &world.pods {
            let is_ours = matches!(claim(&owner, pod), Claim::Own | Claim::Orphan);
            let is_settled = pod::is_over(pod) && pod.metadata.deletion_timestamp.is_some();
            if let Some(node) = node::of(pod).filter(|_| is_ours && !is_settled) {
                by_node.entry(node).or_default().push(pod);
            }
        }
        for pods in by_node.values_mut() {
            pods.sort_by_cached_key(|pod| age(pod));
        }
        Some(Self {
            world,
            spec: world.daemon_set.spec.as_ref()?,
            owner,
            now,
            tolerations: node::tolerations(&pod_spec),
            pod_spec,
            by_node,
            revision,
            generation: meta.annotations.as_ref().and_then(|a| a.get(GENERATION)),
            hashes,
        })
    }

    pub(super) fn fit(&self, node: &Node) -> Fit {
        node::fit(&self.pod_spec, &self.tolerations, node)
    }

    /// The pods that there are on a node, or on their way to it.
    pub(super) fn on(&self, node: &str) -> &[&'a Arc<Pod>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether the pod is of the present template.
    pub(super) fn is_updated(&self, pod: &Pod) -> bool {
        let label = |name: &str| pod.metadata.labels.as_ref().and_then(|l| l.get(name));
        let has_generation =
            self.generation.is_some() && label(GENERATION_LABEL) == self.generation;
        has_generation || label(REVISION_LABEL).is_some_and(|hash| self.hashes.contains(hash))
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Ready for as long as the DaemonSet demands.
    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        pod::available_in(pod, self.min_ready(), self.now).is_some_and(|left| left.is_zero())
    }

    /// When the next ready pod becomes available.
    pub(super) fn next_availability(&self) -> Option<std::time::Duration> {
        let pods = self.by_node.values().flatten();
        pods.filter_map(|pod| pod::available_in(pod, self.min_ready(), self.now))
            .filter(|left| !left.is_zero())
            .min()
    }

    pub(super) fn is_rolling(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete")
    }

    /// How many new pods may run beside old ones, of so many nodes.
    pub(super) fn max_surge(&self, nodes: usize) -> usize {
        let rolling = self.spec.update_strategy.as_ref();
        let rolling = rolling.and_then(|s| s.rolling_update.as_ref());
        let surge = rolling.and_then(|r| r.max_surge.as_ref());
        surge
            .filter(|_| self.is_rolling())
            .map_or(0, |surge| share(surge, nodes))
    }

    /// How many nodes of so many may be without an available pod; one at least, or an update would never end.
    pub(super) fn max_unavailable(&self, nodes: usize) -> usize {
        let rolling = self.spec.update_strategy.as_ref();
        let rolling = rolling.and_then(|s| s.rolling_update.as_ref());
        let most = rolling.and_then(|r| r.max_unavailable.as_ref());
        let most = most.map_or(1, |most| share(most, nodes));
        if most == 0 && self.max_surge(nodes) == 0 {
            1
        } else {
            most
        }
    }
}

/// Whose pod it is.
pub(super) fn claim(owner: &Owner<'_>, pod: &Pod) -> Claim {
    let meta = &pod.metadata;
    owner.keeper.claim(meta, selects(owner.selector, meta))
}

/// Orders pods: those that are bound first, then by age, then by name.
fn age(pod: &Pod) -> impl Ord + use<> {
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
    let created = pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let is_unbound = node.is_none_or(str::is_empty);
    (is_unbound, created, pod.metadata.name.clone())
}

/// A number, or a share of `of` that is rounded up.
fn share(value: &IntOrString, of: usize) -> usize {
    match value {
        IntOrString::Int(count) => usize::try_from(*count).unwrap_or(0),
        IntOrString::String(text) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            of.saturating_mul(percent).div_ceil(100)
        }
    }
}
