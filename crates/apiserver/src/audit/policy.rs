//! The audit policy: the first rule that fits a request says how much of it is written down.

use serde::Deserialize;
use serde_json::Value;

use super::{Level, Stage};
use crate::auth::{Attributes, User};

/// Rules beyond this many are refused.
const RULES_MAX: usize = 10_000;
/// Larger policies are refused unread.
const BYTES_MAX: usize = 1 << 20;

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("audit policy: {0}")]
pub struct PolicyError(String);

/// An audit policy that was read and checked.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

/// What the policy wants of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) level: Level,
    pub(super) omit_stages: Vec<Stage>,
    pub(super) omit_managed_fields: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
    #[serde(skip)]
    checked: Option<Checked>,
}

/// What of a rule is not text any more once it is checked.
#[derive(Clone, Debug)]
struct Checked {
    level: Level,
    omit_stages: Vec<Stage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Policy {
    /// Reads a policy in YAML or JSON.
    ///
    /// # Errors
    /// What is wrong, with the field.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > BYTES_MAX {
            return Err(PolicyError(format!("larger than {BYTES_MAX} bytes")));
        }
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        file.check().map_err(PolicyError)
    }

    /// What the policy wants of a request.
    pub(super) fn wanted(&self, user: &User, request: &Attributes) -> Wanted {
        for rule in &self.rules {
            let Some(checked) = &rule.checked else {
                continue;
            };
            if !rule.matches(user, request) {
                continue;
            }
            let mut omit_stages = checked.omit_stages.clone();
            omit_stages.extend(&self.omit_stages);
            let level = if is_secret(request) && !rule.names(request) {
                checked.level.min(Level::Metadata)
            } else {
                checked.level
            };
            return Wanted {
                level,
                omit_stages,
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            };
        }
        Wanted {
            level: Level::None,
            omit_stages: Vec::new(),
            omit_managed_fields: self.omit_managed_fields,
        }
    }
}

/// Whether bodies of the request hold credentials.
fn is_secret(request: &Attributes) -> bool {
    matches!(
        (&*request.group, &*request.resource, &*request.subresource),
        ("", "secrets", _)
            | ("", "serviceaccounts", "token")
            | ("authentication.k8s.io", "tokenreviews", _)
    )
}

impl File {
    fn check(self) -> Result<Policy, String> {
        if self.api_version != "audit.k8s.io/v1" || self.kind != "Policy" {
            return Err(format!(
                "apiVersion, kind: want audit.k8s.io/v1 and Policy, not {:?} and {:?}",
                self.api_version, self.kind
            ));
        }
        if self.rules.len() > RULES_MAX {
            return Err(format!("rules: more than {RULES_MAX}"));
        }
        let mut rules = self.rules;
        for (at, rule) in rules.iter_mut().enumerate() {
            let checked = rule.check().map_err(|why| format!("rules[{at}].{why}"))?;
            rule.checked = Some(checked);
        }
        Ok(Policy {
            rules,
            omit_stages: stages(&self.omit_stages)?,
            omit_managed_fields: self.omit_managed_fields,
        })
    }
}

fn stages(names: &[String]) -> Result<Vec<Stage>, String> {
    names
        .iter()
        .enumerate()
        .map(|(at, name)| match name.as_str() {
            "RequestReceived" => Ok(Stage::RequestReceived),
            "ResponseStarted" => Ok(Stage::ResponseStarted),
            "ResponseComplete" => Ok(Stage::ResponseComplete),
            "Panic" => Ok(Stage::Panic),
            _ => Err(format!(
                "omitStages[{at}]: Invalid value: {name:?}: want RequestReceived, ResponseStarted, ResponseComplete or Panic"
            )),
        })
        .collect()
}

impl Rule {
    fn check(&self) -> Result<Checked, String> {
        let level = match self.level.as_str() {
            "" => return Err("level: Required value".into()),
            name => Level::ALL.into_iter().find(|level| level.name() == name),
        };
        let level = level.ok_or_else(|| {
            format!(
                "level: Unsupported value: {:?}: want None, Metadata, Request or RequestResponse",
                self.level
            )
        })?;
        for (at, url) in self.non_resource_urls.iter().enumerate() {
            let why = if url == "*" {
                continue;
            } else if !url.starts_with('/') {
                "must begin with /"
            } else if url.trim_end_matches('*').contains('*') || url.ends_with("**") {
                "may have * only as its last character"
            } else {
                continue;
            };
            return Err(format!(
                "nonResourceURLs[{at}]: Invalid value: {url:?}: {why}"
            ));
        }
        if !self.non_resource_urls.is_empty()
            && (!self.resources.is_empty() || !self.namespaces.is_empty())
        {
            return Err(
                "nonResourceURLs: a rule is about resources (resources, namespaces) or about paths, not both"
                    .into(),
            );
        }
        for (at, resources) in self.resources.iter().enumerate() {
            let group = &resources.group;
            let is_name =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            if group != "*" && !group.chars().all(is_name) {
                return Err(format!(
                    "resources[{at}].group: Invalid value: {group:?}: want the name of an API group without its version"
                ));
            }
            if !resources.resource_names.is_empty() && resources.resources.is_empty() {
                return Err(format!(
                    "resources[{at}].resourceNames: names need at least one resource in resources[{at}].resources"
                ));
            }
        }
        Ok(Checked {
            level,
            omit_stages: stages(&self.omit_stages)?,
        })
    }

    fn matches(&self, user: &User, request: &Attributes) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|item| item == word);
        if !self.users.is_empty() && !has(&self.users, &user.name) {
            return false;
        }
        if !self.user_groups.is_empty() && !user.groups.iter().any(|g| has(&self.user_groups, g)) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, &request.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return request.is_resource()
                && (self.namespaces.is_empty() || has(&self.namespaces, &request.namespace))
                && (self.resources.is_empty()
                    || self.resources.iter().any(|r| r.matches(request)));
        }
        if !self.non_resource_urls.is_empty() {
            return !request.is_resource()
                && self.non_resource_urls.iter().any(|url| {
                    url == &request.path
                        || url
                            .strip_suffix('*')
                            .is_some_and(|start| request.path.starts_with(start))
                });
        }
        true
    }

    /// Whether the rule names the request's resource, and does not only sweep it up.
    fn names(&self, request: &Attributes) -> bool {
        self.resources.iter().any(|entry| {
            entry.group == request.group
                && entry.matches(request)
                && entry
                    .resources
                    .iter()
                    .any(|resource| resource.split('/').next() == Some(request.resource.as_str()))
        })
    }
}

impl GroupResources {
    fn matches(&self, request: &Attributes) -> bool {
        if self.group != "*" && self.group != request.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !self.resource_names.contains(&request.name) {
            return false;
        }
        self.resources.iter().any(|pattern| {
            if pattern == "*" {
                return true;
            }
            match pattern.split_once('/') {
                None => *pattern == request.resource && request.subresource.is_empty(),
                Some((resource, "*")) => resource == request.resource,
                Some(("*", subresource)) => {
                    !subresource.is_empty() && subresource == request.subresource
                }
                Some((resource, subresource)) => {
                    resource == request.resource && subresource == request.subresource
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: ["watch"]
  resources: [{group: "", resources: ["endpoints", "services", "services/status"]}]
- level: None
  userGroups: ["system:nodes"]
  verbs: ["get"]
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: Request
  resources: [{group: "", resources: ["secrets"], resourceNames: ["known"]}]
- level: RequestResponse
  namespaces: ["a", ""]
  omitStages: [Panic]
  omitManagedFields: true
  resources: [{group: "", resources: ["pods/*", "secrets", "*/scale"]}, {group: "*", resources: ["jobs"]}]
- level: RequestResponse
  resources: [{group: ""}, {group: authentication.k8s.io}]
- level: Metadata
"#;

    /// `user verb group/resource/subresource namespace name`, or `user verb path`.
    fn check(requests: &str, expected: Expect) {
        let policy = Policy::parse(POLICY).unwrap();
        let mut text = String::new();
        for line in requests.trim().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (user, group) = words[0].split_once('@').unwrap_or((words[0], "g"));
            let user = User::authenticated(user, [group.to_owned()]);
            let mut request = Attributes {
                verb: words[1].into(),
                ..Attributes::default()
            };
            if words[2].starts_with('/') {
                request.path = words[2].into();
            } else {
                let parts: Vec<&str> = words[2].split('/').collect();
                request.group = parts[0].replace("core", "");
                request.resource = parts[1].into();
                request.subresource = parts.get(2).copied().unwrap_or_default().into();
                request.namespace = words.get(3).copied().unwrap_or_default().replace('-', "");
                request.name = words.get(4).copied().unwrap_or_default().into();
            }
            let wanted = policy.wanted(&user, &request);
            text += &format!("{} => {:?}", line.trim(), wanted.level);
            if wanted.level != Level::None {
                text += &format!(" without {:?}", wanted.omit_stages);
            }
            if wanted.omit_managed_fields {
                text += " nor managed fields";
            }
            text += "\n";
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        check(
            "
            system:kube-proxy watch core/services a
            system:kube-proxy watch core/services/status a
            system:kube-proxy list core/services a
            n@system:nodes get core/nodes - n
            jane get /healthz/ping
            jane get /version/x
            jane get core/pods/log a p
            jane get core/pods b p
            jane get apps/deployments/scale a d
            jane get core/replicationcontrollers/scale a d
            jane get batch/jobs a j
            jane get apps/deployments a d
            ",
            expect![[r#"
                system:kube-proxy watch core/services a => None
                system:kube-proxy watch core/services/status a => None
                system:kube-proxy list core/services a => RequestResponse without [RequestReceived]
                n@system:nodes get core/nodes - n => None
                jane get /healthz/ping => None
                jane get /version/x => Metadata without [RequestReceived]
                jane get core/pods/log a p => RequestResponse without [Panic, RequestReceived] nor managed fields
                jane get core/pods b p => RequestResponse without [RequestReceived]
                jane get apps/deployments/scale a d => Metadata without [RequestReceived]
                jane get core/replicationcontrollers/scale a d => RequestResponse without [Panic, RequestReceived] nor managed fields
                jane get batch/jobs a j => RequestResponse without [Panic, RequestReceived] nor managed fields
                jane get apps/deployments a d => Metadata without [RequestReceived]
            "#]],
        );
    }

    #[test]
    fn credentials_are_written_only_where_a_rule_names_them() {
        check(
            "
            jane get core/secrets b known
            jane get core/secrets a s
            jane get core/secrets b s
            jane create core/serviceaccounts/token b default
            jane create authentication.k8s.io/tokenreviews
            ",
            expect![[r#"
                jane get core/secrets b known => Request without [RequestReceived]
                jane get core/secrets a s => RequestResponse without [Panic, RequestReceived] nor managed fields
                jane get core/secrets b s => Metadata without [RequestReceived]
                jane create core/serviceaccounts/token b default => Metadata without [RequestReceived]
                jane create authentication.k8s.io/tokenreviews => Metadata without [RequestReceived]
            "#]],
        );
    }

    fn check_refused(policies: &[&str], expected: Expect) {
        let refused: Vec<String> = policies
            .iter()
            .map(|rest| {
                let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rest}");
                let error = Policy::parse(&text).unwrap_err().to_string();
                error.lines().next().unwrap_or_default().to_owned()
            })
            .collect();
        expected.assert_eq(&(refused.join("\n") + "\n"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check_refused(
            &[
                "rules: [{}]",
                "rules: [{level: Metadata}, {level: All}]",
                "rules: [{level: None, nonResourceURLs: [healthz]}]",
                "rules: [{level: None, nonResourceURLs: ['/a*b']}]",
                "rules: [{level: None, nonResourceURLs: ['*'], namespaces: [a]}]",
                "rules: [{level: None, resources: [{group: apps/v1}]}]",
                "rules: [{level: None, resources: [{group: '', resourceNames: [a]}]}]",
                "omitStages: [Never]",
                "rules: [{level: None, omitStages: [Panic, Never]}]",
            ],
            expect![[r#"
                audit policy: rules[0].level: Required value
                audit policy: rules[1].level: Unsupported value: "All": want None, Metadata, Request or RequestResponse
                audit policy: rules[0].nonResourceURLs[0]: Invalid value: "healthz": must begin with /
                audit policy: rules[0].nonResourceURLs[0]: Invalid value: "/a*b": may have * only as its last character
                audit policy: rules[0].nonResourceURLs: a rule is about resources (resources, namespaces) or about paths, not both
                audit policy: rules[0].resources[0].group: Invalid value: "apps/v1": want the name of an API group without its version
                audit policy: rules[0].resources[0].resourceNames: names need at least one resource in resources[0].resources
                audit policy: omitStages[0]: Invalid value: "Never": want RequestReceived, ResponseStarted, ResponseComplete or Panic
                audit policy: rules[0].omitStages[1]: Invalid value: "Never": want RequestReceived, ResponseStarted, ResponseComplete or Panic
            "#]],
        );
        let wrong = Policy::parse("apiVersion: audit.k8s.io/v1beta1\nkind: Policy").unwrap_err();
        assert!(
            wrong
                .to_string()
                .contains("want audit.k8s.io/v1 and Policy"),
            "{wrong}"
        );
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, user: [a]}]";
        let wrong = Policy::parse(text).unwrap_err().to_string();
        assert!(wrong.contains("user"), "{wrong}");
    }
}
