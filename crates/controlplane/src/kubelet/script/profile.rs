//! Settings for many pods at once: an ordered list of rules, in a ConfigMap of the cluster.
//!
//! The ConfigMap is `kube-system/simulated-pods`; its key `rules` has a YAML list:
//!
//! ```yaml
//! - namespaces: ["load-*"]                # none: all
//!   selector: {matchLabels: {app: web}}   # none: all pods
//!   images: ["*:canary"]                  # none: all
//!   containers: [proxy]                   # none: the app containers
//!   settings: {failure-rate: 5%, cpu: 100m}
//! ```
//!
//! The first rule that is for a container counts, and no other. What a pod's own annotations say counts before it. Kubelets
//! have no right to read a ConfigMap that none of their pods uses, so one task of the control plane reads it for all
//! simulated kubelets of the cluster, as soon as there is the first.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use runtime::Selector;
use serde::Deserialize;
use serde_json::Value;

use super::settings::Settings;

/// Rules of a profile; further ones are left out, and it is told.
pub(super) const MAX_RULES: usize = 1000;

/// The rules of a cluster.
#[derive(Debug, Default)]
pub struct Profile {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    namespaces: Vec<String>,
    selector: Option<Selector>,
    images: Vec<String>,
    containers: Vec<String>,
    settings: Settings,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    namespaces: Vec<String>,
    selector: Option<LabelSelector>,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    containers: Vec<String>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
}

impl Profile {
    /// Reads rules; says what is wrong with those that cannot be read. A setting that is wrong is left out, and nothing
    /// else of its rule.
    #[must_use]
    pub fn read(text: &str) -> (Self, Vec<String>) {
        let written: Vec<Value> = match serde_saphyr::from_str::<Option<Vec<Value>>>(text) {
            Ok(written) => written.unwrap_or_default(),
            Err(error) => {
                return (Self::default(), vec![format!("no list of rules: {error}")]);
            }
        };
        let mut complaints = vec![];
        if written.len() > MAX_RULES {
            complaints.push(format!(
                "{} rules are too many: those after the first {MAX_RULES} are left out",
                written.len()
            ));
        }
        let mut rules = vec![];
        for (at, rule) in written.into_iter().take(MAX_RULES).enumerate() {
            let rule: Written = match serde_json::from_value(rule) {
                Ok(rule) => rule,
                Err(error) => {
                    complaints.push(format!("rule {}: {error}", at + 1));
                    continue;
                }
            };
            let mut settings = Settings::default();
            for (name, value) in rule.settings {
                let value = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                if let Err(why) = settings.set(&name, &value) {
                    complaints.push(format!("rule {}: {name}: {why}", at + 1));
                }
            }
            rules.push(Rule {
                namespaces: rule.namespaces,
                selector: rule.selector.as_ref().map(Selector::from),
                images: rule.images,
                containers: rule.containers,
                settings,
            });
        }
        (Self { rules }, complaints)
    }

    /// Whether it says anything.
    pub(super) const fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// What the first rule for a container says.
    pub(super) fn settings(
        &self,
        pod: &Pod,
        container: &Container,
        is_app: bool,
    ) -> Option<&Settings> {
        let image = container.image.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let rule = self.rules.iter().find(|rule| {
            let is_named = match rule.containers.as_slice() {
                [] => is_app,
                named => fits(named, &container.name),
            };
            is_named
                && (rule.namespaces.is_empty() || fits(&rule.namespaces, namespace))
                && (rule.images.is_empty() || fits(&rule.images, image))
                && rule.selector.as_ref().is_none_or(|selector| {
                    let labels = pod.metadata.labels.clone().unwrap_or_default();
                    selector.matches(&labels, std::iter::empty())
                })
        });
        rule.map(|rule| &rule.settings)
    }
}

/// Whether one of the patterns fits; `*` stands for any text.
fn fits(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| is_like(pattern, text))
}

fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*:404", "webserver:404", true),
            ("*:404", "webserver:4040", false),
            ("a*c", "ac", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_for_a_container_counts() {
        let (profile, complaints) = Profile::read(
            "
            - {namespaces: [load-*], images: ['*:bad'], settings: {pull-error: gone}}
            - {selector: {matchLabels: {app: web}}, settings: {exit-code: 3, run-time: 5s}}
            - {containers: [i*], settings: {run-time: 7s}}
            ",
        );
        assert_eq!(complaints, [""; 0]);
        let said = |namespace: &str, app: &str, container: &str, image: &str, is_app| {
            let pod =
                json!({"metadata": {"name": "p", "namespace": namespace, "labels": {"app": app}}});
            let pod = serde_json::from_value(pod).unwrap();
            let container = Container {
                name: container.into(),
                image: Some(image.into()),
                ..Container::default()
            };
            let found = profile.settings(&pod, &container, is_app);
            found.map(|s| (s.pull_error.clone(), s.run_time.map(|time| time.as_secs())))
        };
        assert_eq!(
            said("load-1", "web", "c", "a:bad", true),
            Some((Some("gone".into()), None))
        );
        assert_eq!(
            said("default", "web", "c", "a:bad", true),
            Some((None, Some(5)))
        );
        assert_eq!(
            said("default", "web", "init", "a:bad", false),
            Some((None, Some(7)))
        );
        assert_eq!(said("default", "db", "c", "a", true), None);
    }

    #[test]
    fn what_is_wrong_with_a_profile_is_said() {
        let said = |text: &str| Profile::read(text).1.join("\n");
        expect![[r#"
            rule 1: unknown field `name`, expected one of `namespaces`, `selector`, `images`, `containers`, `settings`
            rule 2: run-time: "5" is no duration: write numbers with units, such as 5s, 1m30s or 500ms"#]]
        .assert_eq(&said("[{name: a}, {settings: {run-time: 5, exit-code: 1}}]"));
        assert!(said("rules: []").starts_with("no list of rules: "));
        assert_eq!(said(""), "");
    }

    #[test]
    fn rules_are_bounded() {
        let text = "- {settings: {exit-code: 1}}\n".repeat(MAX_RULES + 1);
        let (profile, complaints) = Profile::read(&text);
        assert_eq!(profile.rules.len(), MAX_RULES);
        assert_eq!(
            complaints,
            ["1001 rules are too many: those after the first 1000 are left out"]
        );
    }
}
