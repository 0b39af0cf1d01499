//! Aggregated ClusterRoles hold the rules of all ClusterRoles that their selectors match.
//!
//! Reads ClusterRoles; applies `rules` of those with an `aggregationRule`.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::{Value, json};

/// Fills aggregated ClusterRoles.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterRoleController;

/// One aggregated ClusterRole and what it is made of.
#[derive(Debug)]
pub struct World {
    name: String,
    /// Selected ClusterRoles, per selector by name; empty for a role that is not aggregated.
    sources: Vec<Arc<ClusterRole>>,
    is_aggregated: bool,
}

impl Reconciler for ClusterRoleController {
    const NAME: &'static str = "clusterrole-aggregation";
    type Object = ClusterRole;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, role: &ClusterRole) -> Result<World, GatherError> {
        let mut sources = vec![];
        for selector in role
            .aggregation_rule
            .iter()
            .flat_map(|rule| rule.cluster_role_selectors.iter().flatten())
        {
            sources.extend(cx.list(None, &Selector::from(selector)).await?);
        }
        Ok(World {
            name: role.metadata.name.clone().unwrap_or_default(),
            sources,
            is_aggregated: role.aggregation_rule.is_some()
                && role.metadata.deletion_timestamp.is_none(),
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        if world.is_aggregated {
            let kind = ApiResource::erase::<ClusterRole>(&());
            let mut role = DynamicObject::new(&world.name, &kind);
            role.data = json!({"rules": rules(world)});
            plan.apply(role);
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

/// Each rule once, in the order of the sources. A role that selects itself adds nothing.
fn rules(world: &World) -> Vec<&PolicyRule> {
    let others = world
        .sources
        .iter()
        .filter(|role| role.metadata.name.as_ref() != Some(&world.name));
    let mut rules: Vec<&PolicyRule> = vec![];
    for rule in others.flat_map(|role| role.rules.iter().flatten()) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn role(name: &str, resources: &[&str]) -> Arc<ClusterRole> {
        let rule =
            |resource: &&str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
        let rules: Vec<Value> = resources.iter().map(rule).collect();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
        Arc::new(serde_json::from_value(role).unwrap())
    }

    fn check(sources: Vec<Arc<ClusterRole>>, is_aggregated: bool, expect: &Expect) {
        let world = World {
            name: "view".to_owned(),
            sources,
            is_aggregated,
        };
        let plan = ClusterRoleController::plan(&world, Timestamp::UNIX_EPOCH);
        let of = |rule: &&PolicyRule| rule.resources.clone().unwrap_or_default().join(",");
        let resources: Vec<String> = rules(&world).iter().map(of).collect();
        expect.assert_eq(&format!("{plan}{}", resources.join(" ")));
    }

    #[test]
    fn rules_are_gathered_once_each() {
        let sources = vec![
            role("a", &["pods", "nodes"]),
            role("b", &["nodes", "events"]),
            role("view", &["secrets"]),
        ];
        check(
            sources,
            true,
            &expect![[r#"
            apply ClusterRole view
            pods nodes events"#]],
        );
    }

    #[test]
    fn other_roles_are_left_alone() {
        check(vec![], false, &expect![[""]]);
    }
}
