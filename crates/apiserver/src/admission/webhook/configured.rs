//! Webhook configurations, compiled.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use crate::admission::matching::{Matcher, texts};
use crate::admission::policy::Conditions;
use crate::auth::Objects;
use crate::webhook::ClientConfig;

/// Storage names of the two kinds of configurations.
pub(super) const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
pub(super) const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

/// One webhook of one configuration.
pub(super) struct Webhook {
    /// Name of the configuration.
    pub(super) configuration: String,
    pub(super) name: String,
    /// Tells webhooks of equal names apart: configuration, name, and how many of that name come before.
    pub(super) uid: String,
    pub(super) is_mutating: bool,
    pub(super) client: ClientConfig,
    pub(super) matcher: Matcher,
    pub(super) conditions: Conditions,
    /// `failurePolicy: Ignore`.
    pub(super) ignores_failures: bool,
    pub(super) timeout: Duration,
    /// The webhook does nothing else than answer, at least when told that it is a dry run.
    pub(super) is_fit_for_dry_run: bool,
    /// The first version of AdmissionReview in its list that is known here.
    pub(super) review_version: Option<&'static str>,
    /// `reinvocationPolicy: IfNeeded`.
    pub(super) wants_again: bool,
}

/// The webhooks of all configurations of one kind, in the order in which they are called.
pub(super) struct Configured {
    resource: &'static str,
    known: ArcSwapOption<(u64, Vec<Arc<Webhook>>)>,
}

impl Configured {
    pub(super) fn new(resource: &'static str) -> Self {
        Self {
            resource,
            known: ArcSwapOption::empty(),
        }
    }

    /// What is configured now.
    pub(super) fn get(&self, objects: &dyn Objects) -> Arc<(u64, Vec<Arc<Webhook>>)> {
        // Read before the list: what changes in between is read again by the next request.
        let revision = objects.revision_of(self.resource);
        if let Some(known) = self.known.load_full().filter(|known| known.0 == revision) {
            return known;
        }
        let mut configurations: Vec<Value> = objects
            .list(self.resource, None)
            .iter()
            .map(|object| object.value())
            .collect();
        configurations.sort_by(|a, b| name(a).cmp(name(b)));
        let is_mutating = self.resource == MUTATING;
        let webhooks = configurations
            .iter()
            .flat_map(|configuration| compile(configuration, is_mutating));
        let made = Arc::new((revision, webhooks.map(Arc::new).collect()));
        self.known.store(Some(made.clone()));
        made
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn compile(configuration: &Value, is_mutating: bool) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = vec![];
    for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
        let own = webhook["name"].as_str().unwrap_or_default();
        let before = webhooks.iter().filter(|other| other.name == own).count();
        let versions = texts(&webhook["admissionReviewVersions"]);
        let review_version = versions.iter().find_map(|version| match &**version {
            "v1" => Some("v1"),
            "v1beta1" => Some("v1beta1"),
            _ => None,
        });
        let side_effects = webhook["sideEffects"].as_str().unwrap_or_default();
        webhooks.push(Webhook {
            configuration: name(configuration).into(),
            name: own.into(),
            uid: format!("{}/{own}/{before}", name(configuration)),
            is_mutating,
            client: ClientConfig::of(&webhook["clientConfig"]),
            matcher: Matcher::of(webhook, "rules"),
            conditions: Conditions::of(&webhook["matchConditions"], false),
            ignores_failures: webhook["failurePolicy"] == "Ignore",
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(10)),
            is_fit_for_dry_run: matches!(side_effects, "None" | "NoneOnDryRun"),
            review_version,
            wants_again: webhook["reinvocationPolicy"] == "IfNeeded",
        });
    }
    webhooks
}
