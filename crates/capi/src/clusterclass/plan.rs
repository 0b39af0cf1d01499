//! What to do about a ClusterClass. Pure.

use std::collections::BTreeMap;
use std::convert::Infallible;

use jiff::Timestamp;
use runtime::{ObjectRef, Plan};

use super::World;
use crate::hook::FRESH;
use crate::{object, pause};

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    if pause::is_paused(None, &world.class.metadata) {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.class.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let owner = object::owner_ref(&world.class, false);
    for template in &world.templates {
        let what = ObjectRef::of(template);
        let change = object::adopt(what, &template.metadata, &owner, &BTreeMap::new());
        plan.changes.extend(change);
    }
    for discovered in world.discovered.values() {
        let until = match discovered {
            Ok(_) => now.checked_add(FRESH).unwrap_or(Timestamp::MAX),
            Err(unanswered) => unanswered.until,
        };
        plan.again_at(until, now);
    }
    plan
}
