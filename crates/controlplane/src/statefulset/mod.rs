//! StatefulSets keep pods that have a name, an order and storage of their own.
//!
//! Reads StatefulSets, and the pods, ControllerRevisions and PersistentVolumeClaims of their namespace; writes pods
//! (creates, adopts, corrects, releases, deletes), revisions (`history`), claims (creates, sets their owners) and the status.
//!
//! A pod is named `<set>-<ordinal>`, and so are its claims. With the policy `OrderedReady` pods are made in the order of
//! their ordinals, each when all before it are available, and go one by one in the opposite order; a pod that never becomes
//! available holds up everything, a rolling update that could mend it included, as in Kubernetes. `Parallel` waits for
//! nobody when it makes and removes pods; its rolling updates go one by one as well. `maxUnavailable` is heeded where it is
//! given: Kubernetes 1.36 does so behind a feature gate.
//!
//! - `look` works out where a set stands, `plan` and `claims` what is to be done, `status` what it shows: all pure.
//! - `identity` knows names, labels and volumes.

mod claims;
mod identity;
mod look;
mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use runtime::{Cx, GatherError, Note, Outcome, Plan, Reconciler};
use serde_json::Value;

use crate::claim::Keeper;
use crate::history::{History, Owner};

/// Keeps the pods of StatefulSets.
#[derive(Debug, Default)]
pub struct StatefulSetController;

/// One StatefulSet with what is, or could be, its own.
pub struct World {
    pub(crate) set: StatefulSet,
    /// All pods of the namespace that match the selector or name the set as an owner.
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) history: History,
    /// The claims of its pods that exist, by name.
    pub(crate) claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    /// Names of pods that are to be made, but that other pods have.
    pub(crate) taken: BTreeSet<String>,
}

impl Reconciler for StatefulSetController {
    const NAME: &'static str = "statefulset";
    const REPORTER: &'static str = "statefulset-controller";
    type Object = StatefulSet;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, set: &StatefulSet) -> Result<World, GatherError> {
        let mut world = World {
            set: set.clone(),
            pods: vec![],
            history: History::default(),
            claims: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        let Some(owner) = owner(set) else {
            return Ok(world);
        };
        world.pods = owner.keeper.candidates(cx, owner.selector).await?;
        world.history = History::read(cx, &owner).await?;
        let (claims, missing) = plan::lookups(&world, cx.now());
        let namespace = owner.keeper.namespace();
        for name in claims {
            if let Some(claim) = cx.get(namespace, &name).await? {
                world.claims.insert(name, claim);
            }
        }
        for name in missing {
            if cx.get::<Pod>(namespace, &name).await?.is_some() {
                world.taken.insert(name);
            }
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, now: Timestamp) -> Option<Value> {
        status::status(world, now)
    }

    fn refusal(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
        status::refusal(world, plan, outcome)
    }
}

fn keeper(set: &StatefulSet) -> Keeper<'_> {
    Keeper {
        api_version: "apps/v1",
        kind: "StatefulSet",
        meta: &set.metadata,
    }
}

/// How revisions depend on the set; `None` for an object without a spec.
fn owner(set: &StatefulSet) -> Option<Owner<'_>> {
    let spec = set.spec.as_ref()?;
    let status = set.status.as_ref();
    Some(Owner {
        keeper: keeper(set),
        selector: &spec.selector,
        template: &spec.template,
        collisions: status.and_then(|s| s.collision_count).unwrap_or(0),
        hash_label: "controller.kubernetes.io/hash",
    })
}
