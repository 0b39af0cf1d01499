//! Every namespace has a ServiceAccount `default`; [`token`] fills Secrets with tokens of accounts.
//!
//! Reads namespaces; creates ServiceAccounts, and leaves alone what exists.

pub mod token;

use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

/// Keeps the `default` ServiceAccount of every namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceAccountController;

/// One namespace.
#[derive(Debug)]
pub struct World {
    name: String,
    is_deleting: bool,
}

impl Reconciler for ServiceAccountController {
    const NAME: &'static str = "serviceaccount";
    type Object = Namespace;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, _cx: &Cx, namespace: &Namespace) -> Result<World, GatherError> {
        Ok(World {
            name: namespace.metadata.name.clone().unwrap_or_default(),
            is_deleting: namespace.metadata.deletion_timestamp.is_some(),
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        if !world.is_deleting {
            let kind = ApiResource::erase::<ServiceAccount>(&());
            let account = DynamicObject::new("default", &kind).within(&world.name);
            plan.changes.push(Change::Create(Box::new(account)));
        }
        plan
    }

    fn status(
        _world: &World,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(is_deleting: bool, expect: &Expect) {
        let name = "team".to_owned();
        let plan =
            ServiceAccountController::plan(&World { name, is_deleting }, Timestamp::UNIX_EPOCH);
        expect.assert_eq(&plan.to_string());
    }

    #[test]
    fn a_living_namespace_gets_one() {
        check(
            false,
            &expect![[r#"
            create ServiceAccount team/default
        "#]],
        );
        check(true, &expect![[""]]);
    }
}
