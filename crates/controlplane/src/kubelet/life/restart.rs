//! Whether a container that ended is started again: pure.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};

use crate::kubelet::script::Role;

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubelet) enum Cause {
    Itself,
    /// A probe that failed: rules for exit codes do not count.
    Probe,
}

/// Whether there is another run.
pub(in crate::kubelet) fn again(
    pod: &Pod,
    (role, container): (Role, &Container),
    code: i32,
    cause: Cause,
) -> bool {
    let own = container.restart_policy.as_deref();
    let spec = pod.spec.as_ref();
    let policy = own.or_else(|| spec.and_then(|spec| spec.restart_policy.as_deref()));
    let policy = policy.unwrap_or("Always");
    let mut rules = container.restart_policy_rules.iter().flatten();
    let by_rule = cause == Cause::Itself && own.is_some() && rules.any(|rule| is_for(rule, code));
    match role {
        Role::Ephemeral => false,
        Role::Sidecar => true,
        Role::Init => (code != 0 || cause == Cause::Probe) && (by_rule || policy != "Never"),
        Role::App => by_rule || wants(policy, code, cause),
    }
}

fn wants(policy: &str, code: i32, cause: Cause) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => code != 0 || cause == Cause::Probe,
        _ => true,
    }
}

/// A rule that restarts whole pods restarts their container at least.
fn is_for(rule: &ContainerRestartRule, code: i32) -> bool {
    rule.exit_codes.as_ref().is_some_and(|codes| {
        let is_listed = codes.values.iter().flatten().any(|listed| *listed == code);
        match codes.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The codes of 0, 1 and 42 that are followed by another run.
    fn check(policy: &str, container: Value, role: Role, expected: &[i32]) {
        let pod = json!({"metadata": {}, "spec": {"restartPolicy": policy, "containers": []}});
        let pod = serde_json::from_value(pod).unwrap();
        let mut container = container;
        container["name"] = json!("c");
        let container: Container = serde_json::from_value(container).unwrap();
        let codes = [0, 1, 42];
        let again: Vec<i32> = codes
            .into_iter()
            .filter(|code| again(&pod, (role, &container), *code, Cause::Itself))
            .collect();
        assert_eq!(again, expected, "{policy} {role:?}");
    }

    #[test]
    fn policies_of_pods_and_containers() {
        check("Always", json!({}), Role::App, &[0, 1, 42]);
        check("OnFailure", json!({}), Role::App, &[1, 42]);
        check("Never", json!({}), Role::App, &[]);
        check("Always", json!({}), Role::Init, &[1, 42]);
        check("Never", json!({}), Role::Init, &[]);
        check(
            "Never",
            json!({"restartPolicy": "Always"}),
            Role::Sidecar,
            &[0, 1, 42],
        );
        check("Always", json!({}), Role::Ephemeral, &[]);
        check(
            "Never",
            json!({"restartPolicy": "OnFailure"}),
            Role::App,
            &[1, 42],
        );
        let rules = |operator: &str| {
            json!({"restartPolicy": "Never", "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}]})
        };
        check("Always", rules("In"), Role::App, &[42]);
        check("Always", rules("NotIn"), Role::App, &[0, 1]);
        check("Never", rules("In"), Role::Init, &[42]);
    }
}
