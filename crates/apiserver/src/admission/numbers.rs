//! What is counted of webhooks and policies; the names are those of Kubernetes.

use std::time::Duration;

use super::Operation;
use crate::metrics::Family;
use crate::status::Status;

const LATENCIES: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
const CONDITIONS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];
const EXPRESSIONS: &[f64] = &[0.0000005, 0.001, 0.01, 0.1, 1.0];

/// The admission numbers of one logical cluster.
#[derive(Debug)]
pub(crate) struct Numbers {
    latencies: Family,
    requests: Family,
    rejections: Family,
    fail_open: Family,
    condition_errors: Family,
    condition_exclusions: Family,
    condition_seconds: Family,
    validating_checks: Family,
    validating_seconds: Family,
    mutating_checks: Family,
    mutating_seconds: Family,
}

/// What is above stands for no status of HTTP.
const CODE_MAX: u16 = 600;

/// How the call of a webhook ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Called<'a> {
    Allowed,
    /// It could not be asked, which its failure policy forgives.
    FailedOpen {
        code: u16,
    },
    /// It could not be asked.
    Failed {
        code: u16,
    },
    Denied(&'a Status),
    /// The request could not be shown to it.
    Internal,
}

/// Whose match conditions they are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Matching {
    MutatingWebhook,
    ValidatingWebhook,
    Policy,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        const CONDITION: &[&str] = &["name", "kind", "type", "operation"];
        const CHECK: &[&str] = &[
            "policy",
            "policy_binding",
            "error_type",
            "enforcement_action",
        ];
        const MUTATION: &[&str] = &["policy", "policy_binding", "error_type"];
        Self {
            latencies: Family::histogram(
                "apiserver_admission_webhook_admission_duration_seconds",
                "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
                &["name", "type", "operation", "rejected"],
                LATENCIES,
            ),
            requests: Family::counter(
                "apiserver_admission_webhook_request_total",
                "Calls of admission webhooks by name, type, operation, HTTP status code and whether the request was rejected.",
                &["name", "type", "operation", "code", "rejected"],
            ),
            rejections: Family::counter(
                "apiserver_admission_webhook_rejection_count",
                "Rejections by admission webhooks by name, type, operation, kind of error and code.",
                &["name", "type", "operation", "error_type", "rejection_code"],
            ),
            fail_open: Family::counter(
                "apiserver_admission_webhook_fail_open_count",
                "Calls of admission webhooks that failed and were forgiven, by name and type.",
                &["name", "type"],
            ),
            condition_errors: Family::counter(
                "apiserver_admission_match_condition_evaluation_errors_total",
                "Match conditions that could not be evaluated, by name and kind of what has them.",
                CONDITION,
            ),
            condition_exclusions: Family::counter(
                "apiserver_admission_match_condition_exclusions_total",
                "Requests that match conditions excluded, by name and kind of what has them.",
                CONDITION,
            ),
            condition_seconds: Family::histogram(
                "apiserver_admission_match_condition_evaluation_seconds",
                "Time that match conditions took, by name and kind of what has them.",
                CONDITION,
                CONDITIONS,
            ),
            validating_checks: Family::counter(
                "apiserver_validating_admission_policy_check_total",
                "Checks by validating admission policies, by policy, binding, kind of error and action.",
                CHECK,
            ),
            validating_seconds: Family::histogram(
                "apiserver_validating_admission_policy_check_duration_seconds",
                "Time that expressions of validating admission policies took.",
                CHECK,
                EXPRESSIONS,
            ),
            mutating_checks: Family::counter(
                "apiserver_mutating_admission_policy_check_total",
                "Checks by mutating admission policies, by policy, binding and kind of error.",
                MUTATION,
            ),
            mutating_seconds: Family::histogram(
                "apiserver_mutating_admission_policy_check_duration_seconds",
                "Time that expressions of mutating admission policies took.",
                MUTATION,
                EXPRESSIONS,
            ),
        }
    }

    /// Appends all of them.
    pub(crate) fn write(&self, text: &mut String) {
        let Self {
            latencies,
            requests,
            rejections,
            fail_open,
            condition_errors,
            condition_exclusions,
            condition_seconds,
            validating_checks,
            validating_seconds,
            mutating_checks,
            mutating_seconds,
        } = self;
        for family in [
            latencies,
            requests,
            rejections,
            fail_open,
            condition_errors,
            condition_exclusions,
            condition_seconds,
            validating_checks,
            validating_seconds,
            mutating_checks,
            mutating_seconds,
        ] {
            family.write(text);
        }
    }

    /// A webhook was called.
    pub(super) fn called(
        &self,
        webhook: &str,
        is_mutating: bool,
        operation: Operation,
        took: Duration,
        how: Called<'_>,
    ) {
        let ty = if is_mutating { "admit" } else { "validating" };
        let operation = operation.as_str();
        let (code, error) = match how {
            Called::Allowed => (200, None),
            Called::FailedOpen { code } => (code, None),
            Called::Failed { code } => (code, Some("calling_webhook_error")),
            Called::Denied(status) => (status.code, Some("no_error")),
            Called::Internal => (0, Some("apiserver_internal_error")),
        };
        // A webhook chooses its code, so what is no code of HTTP is counted as the last one.
        let code = code.min(CODE_MAX).to_string();
        let rejected = if error.is_some() { "true" } else { "false" };
        if let Some(error) = error {
            self.rejections.add(&[webhook, ty, operation, error, &code]);
        }
        self.requests
            .add(&[webhook, ty, operation, &code, rejected]);
        self.latencies
            .observe(&[webhook, ty, operation, rejected], took.as_secs_f64());
        if matches!(how, Called::FailedOpen { .. }) {
            self.fail_open.add(&[webhook, ty]);
        }
    }

    /// The match conditions of what is called `name` were evaluated; nothing is known of those that could not be.
    pub(super) fn matched(
        &self,
        name: &str,
        matching: Matching,
        operation: Operation,
        took: Duration,
        holds: Option<bool>,
    ) {
        let (kind, ty) = match matching {
            Matching::MutatingWebhook => ("webhook", "admit"),
            Matching::ValidatingWebhook => ("webhook", "validating"),
            // Kubernetes counts both kinds of policies as one.
            Matching::Policy => ("policy", "validate"),
        };
        let labels = [name, kind, ty, operation.as_str()];
        self.condition_seconds.observe(&labels, took.as_secs_f64());
        match holds {
            Some(true) => {}
            Some(false) => self.condition_exclusions.add(&labels),
            None => self.condition_errors.add(&labels),
        }
    }

    /// A validation of a policy was followed by `action`.
    pub(super) fn checked(
        &self,
        policy: &str,
        binding: &str,
        error: &str,
        action: &str,
        took: Duration,
    ) {
        let labels = [policy, binding, error, action];
        self.validating_checks.add(&labels);
        self.validating_seconds.observe(&labels, took.as_secs_f64());
    }

    /// A mutation of a policy was evaluated.
    pub(super) fn mutated(&self, policy: &str, binding: &str, error: &str, took: Duration) {
        let labels = [policy, binding, error];
        self.mutating_checks.add(&labels);
        self.mutating_seconds.observe(&labels, took.as_secs_f64());
    }
}
