//! Where a StatefulSet stands: its members by ordinal, and its revisions. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};

use super::{World, identity, keeper, owner};
use crate::claim::{Claim, Keeper, selects};
use crate::history::{self, Owner};
use crate::pod;

/// A template and the name of its ControllerRevision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// What plan and status ask about one set at one time.
pub(super) struct Look<'a> {
    pub(super) world: &'a World,
    pub(super) set: &'a StatefulSet,
    pub(super) spec: &'a StatefulSetSpec,
    pub(super) keeper: Keeper<'a>,
    pub(super) owner: Owner<'a>,
    pub(super) now: Timestamp,
    /// The ordinals that are to have a pod.
    pub(super) ordinals: Range<i64>,
    /// Its pods, and those that it is about to adopt.
    pub(super) members: BTreeMap<i64, &'a Arc<Pod>>,
    /// The revision that all pods were last brought to.
    pub(super) current: Revision,
    /// The revision of the present template.
    pub(super) update: Revision,
}

impl<'a> Look<'a> {
    /// `None` for an object without a spec.
    pub(super) fn of(world: &'a World, now: Timestamp) -> Option<Self> {
        let set = &world.set;
        let spec = set.spec.as_ref()?;
        let owner = owner(set)?;
        let update = Revision {
            name: history::current(&world.history, &owner).name,
            template: owner.template.clone(),
        };
        let members = world.pods.iter().filter_map(|pod| {
            let is_ours = matches!(claim(set, pod), Claim::Own | Claim::Orphan);
            let ordinal = member_ordinal(set, pod).filter(|_| is_ours)?;
            Some((ordinal, pod))
        });
        let start = spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0);
        let count = spec.replicas.unwrap_or(1).max(0);
        Some(Self {
            world,
            set,
            spec,
            keeper: keeper(set),
            owner,
            now,
            ordinals: i64::from(start)..i64::from(start) + i64::from(count),
            members: members.collect(),
            current: current(world).unwrap_or_else(|| update.clone()),
            update,
        })
    }

    /// Pods are made and go one after the other.
    pub(super) fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Ready for as long as the set demands.
    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        pod::available_in(pod, self.min_ready(), self.now).is_some_and(|left| left.is_zero())
    }

    /// Its health is in doubt: not available, or about to go.
    pub(super) fn is_unavailable(&self, pod: &Pod) -> bool {
        pod.metadata.deletion_timestamp.is_some() || !self.is_available(pod)
    }

    /// The pods beyond the wanted ordinals, the highest first: the order in which they go.
    pub(super) fn condemned(&self) -> impl Iterator<Item = (i64, &'a Arc<Pod>)> {
        let members = self.members.iter().rev();
        let surplus = members.filter(|(ordinal, _)| !self.ordinals.contains(ordinal));
        surplus.map(|(ordinal, pod)| (*ordinal, *pod))
    }

    /// When the next ready pod becomes available.
    pub(super) fn next_availability(&self) -> Option<std::time::Duration> {
        let members = self.members.values();
        members
            .filter_map(|pod| pod::available_in(pod, self.min_ready(), self.now))
            .filter(|left| !left.is_zero())
            .min()
    }

    /// The number of ordinals below which pods stay at the current revision.
    pub(super) fn partition(&self) -> i64 {
        let rolling = self.spec.update_strategy.as_ref();
        let rolling = rolling.and_then(|s| s.rolling_update.as_ref());
        i64::from(rolling.and_then(|r| r.partition).unwrap_or(0))
    }

    pub(super) fn is_rolling(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete")
    }
}

/// Whose pod it is: names count as much as labels.
pub(super) fn claim(set: &StatefulSet, pod: &Pod) -> Claim {
    let is_selected = set
        .spec
        .as_ref()
        .is_some_and(|spec| selects(&spec.selector, &pod.metadata));
    let is_member = member_ordinal(set, pod).is_some();
    keeper(set).claim(&pod.metadata, is_selected && is_member)
}

fn member_ordinal(set: &StatefulSet, pod: &Pod) -> Option<i64> {
    let set = set.metadata.name.as_deref()?;
    identity::ordinal(set, pod.metadata.name.as_deref()?)
}

/// The revision that the status names, if there still is one.
fn current(world: &World) -> Option<Revision> {
    let status = world.set.status.as_ref()?;
    let name = status.current_revision.as_ref()?;
    let history = &world.history;
    let mut known = history.revisions.iter().chain(&history.elsewhere);
    let found = known.find(|revision| revision.metadata.name.as_ref() == Some(name))?;
    Some(Revision {
        name: name.clone(),
        template: history::template_of(found)?,
    })
}
