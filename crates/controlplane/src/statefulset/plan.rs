//! Which pods and claims to create, correct and delete, in the order of the pods' ordinals.

use std::convert::Infallible;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use runtime::{Change, Plan};

use super::World;
use super::look::{Look, Revision, claim};
use super::{claims, identity};
use crate::claim::{Claim, delete};
use crate::history;
use crate::pod;

/// Pods created or deleted in one pass at most; the next pass goes on.
const MAX_CHANGES: usize = 500;
/// A pass that creates, or that could not, is repeated after this.
const RETRY: Duration = Duration::from_secs(60);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let Some(look) = Look::of(world, now) else {
        return plan;
    };
    if world.set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    history::keep(&world.history, &look.owner, &mut plan);
    for pod in &world.pods {
        match claim(&world.set, pod) {
            Claim::Orphan => plan.changes.push(look.keeper.adopt(&**pod)),
            Claim::Released => plan.changes.push(look.keeper.release(&**pod)),
            Claim::Own | Claim::Foreign => {}
        }
    }
    plan.again_in = look.next_availability();
    let mut steps = Steps {
        look: &look,
        plan,
        count: 0,
    };
    // Whether it went through or stopped to wait makes no difference for the rest.
    let _: ControlFlow<()> = steps.all();
    let mut plan = steps.plan;
    forget_old(&look, &mut plan);
    plan
}

/// What gathering has to look up: the names of claims, and those of pods that are missing.
pub(super) fn lookups(world: &World, now: Timestamp) -> (Vec<String>, Vec<String>) {
    let Some(look) = Look::of(world, now) else {
        return (vec![], vec![]);
    };
    let at_once = if look.is_ordered() { 1 } else { MAX_CHANGES };
    let missing = look.ordinals.clone();
    let missing = missing.filter(|ordinal| !look.members.contains_key(ordinal));
    let missing: Vec<i64> = missing.take(at_once).collect();
    let ordinals = look.members.keys().chain(&missing);
    let claims = ordinals.flat_map(|ordinal| identity::claim_names(look.set, *ordinal));
    let claims = claims.map(|(_, claim)| claim).collect();
    let missing = missing.iter();
    let missing = missing.map(|ordinal| identity::pod_name(look.set, *ordinal));
    (claims, missing.collect())
}

/// Revisions beyond the limit go, but for those that pods are of.
fn forget_old(look: &Look<'_>, plan: &mut Plan<Infallible>) {
    let is_live = |name: &str| {
        let mut members = look.members.values();
        name == look.current.name || members.any(|pod| identity::revision(pod) == name)
    };
    let limit = look.spec.revision_history_limit;
    let old = history::surplus(&look.world.history, &look.owner, limit, false, |revision| {
        is_live(revision.metadata.name.as_deref().unwrap_or_default())
    });
    plan.changes
        .extend(old.into_iter().map(|revision| delete(&**revision)));
}

/// A plan in the making. `Break` says that what comes later has to wait.
struct Steps<'l, 'a> {
    look: &'l Look<'a>,
    plan: Plan<Infallible>,
    /// Pods that were made, could not be made, or went.
    count: usize,
}

impl Steps<'_, '_> {
    /// Scaling comes before updating.
    fn all(&mut self) -> ControlFlow<()> {
        let look = self.look;
        for ordinal in look.ordinals.clone() {
            match look.members.get(&ordinal) {
                Some(pod) => self.tend(ordinal, pod)?,
                None => self.make(ordinal)?,
            }
            if self.count >= MAX_CHANGES {
                return Break(());
            }
        }
        let condemned: Vec<(i64, &Arc<Pod>)> = look.condemned().collect();
        for (ordinal, pod) in &condemned {
            self.disown(*ordinal, pod);
        }
        // Of those that are not healthy only the lowest goes; the others wait until they are.
        let unhealthy = condemned.iter().rev();
        let first_unhealthy = unhealthy
            .map(|(ordinal, pod)| (*ordinal, *pod))
            .find(|(_, pod)| look.is_unavailable(pod));
        let first_unhealthy = first_unhealthy.map(|(ordinal, _)| ordinal);
        for (ordinal, pod) in condemned {
            self.scale_down(pod, first_unhealthy == Some(ordinal))?;
            if self.count >= MAX_CHANGES {
                return Break(());
            }
        }
        if look.is_rolling() {
            self.update();
        }
        Continue(())
    }

    /// What stops an ordered set, and no other.
    fn hold(&self) -> ControlFlow<()> {
        if self.look.is_ordered() {
            Break(())
        } else {
            Continue(())
        }
    }

    /// A pod that is there and is to be there.
    fn tend(&mut self, ordinal: i64, pod: &Pod) -> ControlFlow<()> {
        let look = self.look;
        let is_going = pod.metadata.deletion_timestamp.is_some();
        if pod::is_over(pod) {
            if !is_going {
                self.say_why(pod);
                self.remove(pod);
            }
            return self.hold();
        }
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if phase.unwrap_or("Pending") == "Pending" {
            self.make_claims(ordinal, name);
            self.disown(ordinal, pod);
        }
        let is_running = phase == Some("Running") && pod::is_ready(pod);
        if is_going || !is_running || !look.is_available(pod) {
            self.hold()?;
        }
        if phase == Some("Running") {
            self.correct(ordinal, pod);
        }
        Continue(())
    }

    /// Gives a pod back its labels and volumes, and its claims their owners.
    fn correct(&mut self, ordinal: i64, pod: &Pod) {
        let before = self.plan.changes.len();
        if let Some(patch) = identity::correction(self.look.set, pod, ordinal) {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            self.make_claims(ordinal, name);
            self.plan.changes.push(Change::Patch {
                target: crate::claim::target(pod),
                subresource: "",
                patch,
            });
        }
        self.disown(ordinal, pod);
        if self.plan.changes.len() > before {
            let message = self.words("Update", pod.metadata.name.as_deref().unwrap_or_default());
            self.plan.notes.push(runtime::Note {
                about: None,
                warning: false,
                reason: "SuccessfulUpdate",
                message,
                after: Some(self.plan.changes.len()),
            });
        }
    }

    /// Sets right who owns the pod's claims.
    fn disown(&mut self, ordinal: i64, pod: &Pod) {
        for claim in claims::disowned(self.look, ordinal, pod) {
            self.plan.changes.push(claim.change);
            if let Some(conflict) = claim.conflict {
                self.plan.warn("ConflictingController", conflict);
            }
        }
    }

    /// A pod that is missing.
    fn make(&mut self, ordinal: i64) -> ControlFlow<()> {
        let look = self.look;
        self.count += 1;
        if claims::is_stale(look, ordinal) {
            return self.hold();
        }
        self.again();
        let name = identity::pod_name(look.set, ordinal);
        let claims = identity::claim_names(look.set, ordinal);
        let obstacle = if look.world.taken.contains(&name) {
            Some(format!("pods \"{name}\" already exists"))
        } else {
            let going = claims::going(look, &claims);
            going.map(|claim| format!("pvc {claim} is being deleted"))
        };
        if let Some(obstacle) = obstacle {
            let message = failed("Create", &name, look.keeper.name(), &obstacle);
            self.plan.warn("FailedCreate", message);
            return self.hold();
        }
        self.make_claims(ordinal, &name);
        let pod = identity::new_pod(look, self.revision_of_new(ordinal), ordinal);
        let message = self.words("Create", &name);
        self.plan
            .change(Change::Create(Box::new(pod)), "SuccessfulCreate", message);
        self.hold()
    }

    /// Makes the claims that a pod lacks.
    fn make_claims(&mut self, ordinal: i64, pod: &str) {
        for claim in claims::missing(self.look, ordinal) {
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let set = self.look.keeper.name();
            let message = format!("Create Claim {name} Pod {pod} in StatefulSet {set} success");
            self.plan
                .change(Change::Create(Box::new(claim)), "SuccessfulCreate", message);
            self.again();
        }
    }

    /// Below the partition pods stay as they were.
    fn revision_of_new(&self, ordinal: i64) -> &Revision {
        let look = self.look;
        let status = look.set.status.as_ref();
        let strategy = look.spec.update_strategy.as_ref();
        let kept = match strategy.map(|s| (s.type_.as_deref(), &s.rolling_update)) {
            Some((_, Some(_))) => look.partition(),
            Some((Some("RollingUpdate"), None)) => {
                i64::from(status.and_then(|s| s.current_replicas).unwrap_or(0))
            }
            _ => 0,
        };
        if ordinal < look.ordinals.start.saturating_add(kept) {
            &look.current
        } else {
            &look.update
        }
    }

    /// A pod of which there is one too many.
    fn scale_down(&mut self, pod: &Pod, is_first_unhealthy: bool) -> ControlFlow<()> {
        if pod.metadata.deletion_timestamp.is_some() {
            return self.hold();
        }
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let is_healthy = phase == Some("Running") && self.look.is_available(pod);
        if !is_healthy && !is_first_unhealthy {
            self.hold()?;
        }
        self.remove(pod);
        self.hold()
    }

    /// Removes pods of other revisions, the highest ordinals first: without `maxUnavailable` the next one when all above
    /// it are available, and whether it was healthy or not.
    fn update(&mut self) {
        let look = self.look;
        let lowest = look.ordinals.start.saturating_add(look.partition());
        let is_old = |pod: &Pod| identity::revision(pod) != look.update.name;
        let Some(most) = self.max_unavailable() else {
            for ordinal in (lowest..look.ordinals.end).rev() {
                let Some(pod) = look.members.get(&ordinal) else {
                    return;
                };
                if is_old(pod) && pod.metadata.deletion_timestamp.is_none() {
                    return self.replace(pod);
                }
                if look.is_unavailable(pod) {
                    return;
                }
            }
            return;
        };
        let wanted = look.members.range(look.ordinals.clone());
        let healthy = wanted.filter(|(_, pod)| !look.is_unavailable(pod)).count();
        let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
        let unavailable = look.ordinals.end - look.ordinals.start - healthy;
        let room = usize::try_from(most - unavailable).unwrap_or(0);
        let first = lowest.min(look.ordinals.end);
        let targets = look.members.range(first..look.ordinals.end).rev();
        let targets =
            targets.filter(|(_, pod)| is_old(pod) && pod.metadata.deletion_timestamp.is_none());
        for (_, pod) in targets.take(room.min(MAX_CHANGES)) {
            self.replace(pod);
        }
    }

    /// Removes a pod for its successor, unless it is removed already because it came to an end.
    fn replace(&mut self, pod: &Pod) {
        if !pod::is_over(pod) {
            self.remove(pod);
        }
    }

    /// How many pods may be unavailable, if the set says so: a share is rounded down, and one may be always.
    fn max_unavailable(&self) -> Option<i64> {
        let look = self.look;
        let rolling = look
            .spec
            .update_strategy
            .as_ref()?
            .rolling_update
            .as_ref()?;
        let most = match rolling.max_unavailable.as_ref()? {
            IntOrString::Int(count) => i64::from(*count),
            IntOrString::String(text) => {
                let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
                (look.ordinals.end - look.ordinals.start).saturating_mul(percent) / 100
            }
        };
        Some(most.max(1))
    }

    fn remove(&mut self, pod: &Pod) {
        self.count += 1;
        let message = self.words("Delete", pod.metadata.name.as_deref().unwrap_or_default());
        self.plan.change(delete(pod), "SuccessfulDelete", message);
    }

    /// The event about a pod that came to an end by itself.
    fn say_why(&mut self, pod: &Pod) {
        let (namespace, set) = (self.look.keeper.namespace(), self.look.keeper.name());
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let (reason, how) = if phase == Some("Failed") {
            ("RecreatingFailedPod", "failed")
        } else {
            ("RecreatingTerminatedPod", "terminated")
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let message = format!("StatefulSet {namespace}/{set} is recreating {how} Pod {name}");
        self.plan.warn(reason, message);
    }

    fn words(&self, verb: &str, pod: &str) -> String {
        let set = self.look.keeper.name();
        format!("{verb} Pod {pod} in StatefulSet {set} successful")
    }

    /// What is refused, for a quota perhaps, is tried again: nothing else would tell that there is room.
    fn again(&mut self) {
        self.plan.again_in = self.plan.again_in.into_iter().chain([RETRY]).min();
    }
}

/// The words about something that could not be done to a pod.
pub(super) fn failed(verb: &str, pod: &str, set: &str, why: &str) -> String {
    format!("{verb} Pod {pod} in StatefulSet {set} failed error: {why}")
}
