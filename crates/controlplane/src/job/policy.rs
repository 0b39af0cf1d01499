//! What a Job's policies say: which failures of pods count, and when enough indexes have succeeded.

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule, SuccessPolicy,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::indexes::Indexes;

/// What the failure of one pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It counts against the limits of the Job and of its index.
    Counts,
    /// It does not count.
    Ignored,
    /// Its index has failed for good.
    FailsIndex,
    /// The Job has failed, for this reason.
    FailsJob(String),
}

impl Meaning {
    /// Whether the failure is one of the Job's failures.
    pub(super) fn counts(&self) -> bool {
        *self != Self::Ignored
    }
}

/// What the first rule that matches the failed pod says; without one, the failure counts.
pub(super) fn failure(spec: &JobSpec, pod: &Pod) -> Meaning {
    let rules = spec.pod_failure_policy.iter().flat_map(|p| &p.rules);
    let found = rules
        .enumerate()
        .find_map(|(at, rule)| Some((at, rule, matched(rule, pod)?)));
    let Some((at, rule, what)) = found else {
        return Meaning::Counts;
    };
    match rule.action.as_str() {
        "Ignore" => Meaning::Ignored,
        "FailIndex" => Meaning::FailsIndex,
        "FailJob" => Meaning::FailsJob(format!("{what} matching FailJob rule at index {at}")),
        _ => Meaning::Counts,
    }
}

/// What of the pod matches the rule, in words.
fn matched(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let pod_name = format!(
        "{}/{}",
        text(&pod.metadata.namespace),
        text(&pod.metadata.name)
    );
    if let Some(codes) = &rule.on_exit_codes {
        let containers = status.container_statuses.iter().flatten();
        let mut all = containers.chain(status.init_container_statuses.iter().flatten());
        let (name, code) = all.find_map(|container| exit_code(container, codes))?;
        return Some(format!(
            "Container {name} for pod {pod_name} failed with exit code {code}"
        ));
    }
    let patterns = rule.on_pod_conditions.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| {
        let is_meant = |p: &PodFailurePolicyOnPodConditionsPattern| {
            let status = p.status.as_deref().unwrap_or("True");
            p.type_ == condition.type_ && status == condition.status
        };
        patterns.iter().any(is_meant)
    })?;
    Some(format!("Pod {pod_name} has condition {}", condition.type_))
}

fn exit_code<'a>(
    container: &'a ContainerStatus,
    codes: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(&'a str, i32)> {
    let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
    let is_meant = codes
        .container_name
        .as_ref()
        .is_none_or(|name| *name == container.name);
    let is_listed = codes.values.contains(&code);
    let matches = match codes.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        _ => false,
    };
    (is_meant && code != 0 && matches).then_some((container.name.as_str(), code))
}

/// Which rule the succeeded indexes fulfil, in words; `None` if none.
pub(super) fn success(
    policy: Option<&SuccessPolicy>,
    completions: u32,
    succeeded: &Indexes,
) -> Option<String> {
    if succeeded.count() == 0 {
        return None;
    }
    let at = policy?.rules.iter().position(|rule| {
        let wanted = rule
            .succeeded_count
            .map(|count| u32::try_from(count).unwrap_or(0));
        let Some(indexes) = &rule.succeeded_indexes else {
            return wanted.is_some_and(|wanted| succeeded.count() >= wanted);
        };
        let indexes = Indexes::parse(indexes, completions);
        let reached = indexes.overlap(succeeded);
        indexes.count() > 0
            && (reached == indexes.count() || wanted.is_some_and(|wanted| reached >= wanted))
    })?;
    Some(format!("Matched rules at index {at}"))
}
