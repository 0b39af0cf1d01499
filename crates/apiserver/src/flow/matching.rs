//! Which flow schema a request belongs to.

use serde::Deserialize;

use crate::auth::{Attributes, SERVICE_ACCOUNT_PREFIX, User};

/// The `spec` of a FlowSchema.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SchemaSpec {
    pub(super) priority_level_configuration: Reference,
    pub(super) matching_precedence: i64,
    pub(super) distinguisher_method: Option<DistinguisherMethod>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    pub(super) name: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct DistinguisherMethod {
    #[serde(rename = "type")]
    pub(super) by: Distinguisher,
}

/// What tells the flows of a schema apart.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(super) enum Distinguisher {
    ByUser,
    ByNamespace,
    #[serde(other)]
    Unknown,
}

/// Subjects, and what they do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    user: Option<Reference>,
    group: Option<Reference>,
    service_account: Option<Account>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Account {
    namespace: Box<str>,
    name: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<Box<str>>,
    api_groups: Vec<Box<str>>,
    resources: Vec<Box<str>>,
    namespaces: Vec<Box<str>>,
    cluster_scope: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: Vec<Box<str>>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<Box<str>>,
}

fn has(list: &[Box<str>], word: &str) -> bool {
    list.iter().any(|item| **item == *word || **item == *"*")
}

impl Rule {
    pub(super) fn matches(&self, user: &User, request: &Attributes) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(user)) {
            return false;
        }
        if request.is_resource() {
            self.resource_rules.iter().any(|rule| rule.matches(request))
        } else {
            let mut rules = self.non_resource_rules.iter();
            rules.any(|rule| rule.matches(request))
        }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        let is_named = |wanted: &str, name: &str| wanted == "*" || wanted == name;
        if let Some(wanted) = &self.user {
            return is_named(&wanted.name, &user.name);
        }
        if let Some(wanted) = &self.group {
            return &*wanted.name == "*" || user.is_in(&wanted.name);
        }
        let Some(wanted) = &self.service_account else {
            return false;
        };
        user.name
            .strip_prefix(SERVICE_ACCOUNT_PREFIX)
            .and_then(|account| account.split_once(':'))
            .is_some_and(|(namespace, name)| {
                *wanted.namespace == *namespace && is_named(&wanted.name, name)
            })
    }
}

impl ResourceRule {
    fn matches(&self, request: &Attributes) -> bool {
        let is_resource = |wanted: &str| {
            if request.subresource.is_empty() {
                return wanted == request.resource;
            }
            wanted
                .split_once('/')
                .is_some_and(|(head, tail)| head == request.resource && tail == request.subresource)
        };
        has(&self.verbs, &request.verb)
            && self
                .resources
                .iter()
                .any(|wanted| **wanted == *"*" || is_resource(wanted))
            && has(&self.api_groups, &request.group)
            && if request.namespace.is_empty() {
                self.cluster_scope
            } else {
                has(&self.namespaces, &request.namespace)
            }
    }
}

impl PathRule {
    fn matches(&self, request: &Attributes) -> bool {
        // `/healthz` is also for what is below it.
        let is_below = |url: &str| {
            let url = url.strip_suffix('*').unwrap_or(url);
            let url = url.strip_suffix('/').unwrap_or(url);
            request
                .path
                .strip_prefix(url)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        has(&self.verbs, &request.verb)
            && self
                .urls
                .iter()
                .any(|url| **url == *"*" || **url == *request.path || is_below(url))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    /// Which of the requests `user[@group] verb group/resource[/subresource]|/path [namespace]` the rule takes.
    fn check(rule: Value, requests: &str, expected: Expect) {
        let rule: Rule = serde_json::from_value(rule).unwrap();
        let mut text = String::new();
        for line in requests.trim().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (user, group) = words[0].split_once('@').unwrap_or((words[0], "g"));
            let user = User::authenticated(user, [group.to_owned()]);
            let mut request = Attributes {
                verb: words[1].into(),
                namespace: words.get(3).copied().unwrap_or_default().into(),
                ..Attributes::default()
            };
            if words[2].starts_with('/') {
                request.path = words[2].into();
            } else {
                let parts: Vec<&str> = words[2].split('/').collect();
                request.group = parts[0].replace("core", "");
                request.resource = parts[1].into();
                request.subresource = parts.get(2).copied().unwrap_or_default().into();
            }
            text += &format!("{} {}\n", line.trim(), rule.matches(&user, &request));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn subjects_and_what_they_do_both_have_to_fit() {
        check(
            json!({
                "subjects": [
                    {"kind": "User", "user": {"name": "jane"}},
                    {"kind": "Group", "group": {"name": "testers"}},
                    {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}},
                    {"kind": "ServiceAccount", "serviceAccount": {"namespace": "b", "name": "c"}},
                ],
                "resourceRules": [
                    {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"],
                        "namespaces": ["a"]},
                    {"verbs": ["*"], "apiGroups": [""], "resources": ["nodes"], "clusterScope": true},
                ],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]}],
            }),
            "
            jane get apps/deployments a
            joe@testers get apps/deployments/scale a
            joe get apps/deployments a
            jane get apps/deployments b
            jane list apps/deployments a
            jane get apps/deployments/status a
            jane list core/nodes
            jane list core/nodes a
            system:serviceaccount:a:x get /healthz
            system:serviceaccount:b:x get /healthz
            system:serviceaccount:b:c get /healthz/ping
            jane get /healthzz
            jane get /api
            jane get /api/v1
            jane post /api/v1
            ",
            expect![[r#"
                jane get apps/deployments a true
                joe@testers get apps/deployments/scale a true
                joe get apps/deployments a false
                jane get apps/deployments b false
                jane list apps/deployments a false
                jane get apps/deployments/status a false
                jane list core/nodes true
                jane list core/nodes a false
                system:serviceaccount:a:x get /healthz true
                system:serviceaccount:b:x get /healthz false
                system:serviceaccount:b:c get /healthz/ping true
                jane get /healthzz false
                jane get /api false
                jane get /api/v1 true
                jane post /api/v1 false
            "#]],
        );
    }
}
