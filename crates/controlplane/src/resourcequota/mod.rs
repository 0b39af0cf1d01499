//! ResourceQuotas show what their namespace uses.
//!
//! Reads ResourceQuotas and everything in their namespace that they count; writes their status. Admission charges a quota
//! before an object is stored; this controller counts again what is there. What is used beyond the last count is raised at
//! once. What is charged but not there is given back only when it has been too much for [`history::WINDOW`]: an object
//! that has just been charged is still on its way, and must not get lost.

mod count;
mod history;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use apiserver::admission::quota::Amounts;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::{Value, json};

use history::History;

/// Everything is counted again after this, whatever was missed.
const RESYNC: Duration = Duration::from_secs(300);

/// Counts what quotas limit.
#[derive(Debug, Default)]
pub struct ResourceQuotaController {
    /// By uid: what was charged but not there, while it is.
    surplus: Mutex<HashMap<String, History>>,
}

/// One quota and what is there of what it limits.
pub struct World {
    pub(crate) quota: ResourceQuota,
    /// What was counted, of all that the quota limits and that is served.
    pub(crate) counted: Amounts,
    /// What is charged for nothing, and may be given back.
    pub(crate) given_back: Amounts,
    /// When something of this changes by itself.
    pub(crate) again_at: Option<Timestamp>,
}

impl Reconciler for ResourceQuotaController {
    const NAME: &'static str = "resourcequota";
    const REPORTER: &'static str = "resourcequota-controller";
    type Object = ResourceQuota;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, quota: &ResourceQuota) -> Result<World, GatherError> {
        let now = cx.now();
        let (counted, ends) = count::count(cx, quota, now).await?;
        let uid = quota.metadata.uid.clone().unwrap_or_default();
        let surplus = charged(quota)
            .beyond(&counted)
            .only(|name, amount| !amount.is_zero() && counted.get(name).is_some());
        let mut all = self.surplus.lock().unwrap_or_else(PoisonError::into_inner);
        let (given_back, settles) = history::note(&mut all, uid, surplus, now);
        drop(all);
        Ok(World {
            quota: quota.clone(),
            counted,
            given_back,
            again_at: ends.into_iter().chain(settles).min(),
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan {
            again_in: Some(RESYNC),
            ..Plan::default()
        };
        if let Some(at) = world.again_at {
            plan.again_at(at, now);
        }
        plan
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        let hard = world.quota.spec.as_ref().and_then(|spec| spec.hard.clone());
        Some(json!({"hard": hard.unwrap_or_default(), "used": used(world).to_value()}))
    }
}

/// What the quota says is used.
fn charged(quota: &ResourceQuota) -> Amounts {
    let used = quota.status.as_ref().and_then(|s| s.used.as_ref());
    Amounts::of(&json!(used))
}

/// What is used: what was counted, or what was charged before it came if that is more.
fn used(world: &World) -> Amounts {
    let charged = charged(&world.quota).beyond(&world.given_back);
    let mut used = world.counted.clone();
    for (name, counted) in world.counted.iter() {
        if let Some(charged) = charged.get(name)
            && charged > counted
        {
            used.set(name, charged);
        }
    }
    used
}
