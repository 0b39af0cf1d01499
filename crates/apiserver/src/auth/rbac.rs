//! RBAC rules: matching a request, and whether some rules cover others (nobody may hand out more than they have).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use super::{Attributes, User};
use crate::object::Object;

/// Rules are taken apart into at most this many single permissions to compare them.
const PERMISSIONS_MAX: usize = 20_000;

/// One `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub verbs: Vec<Box<str>>,
    pub api_groups: Vec<Box<str>>,
    pub resources: Vec<Box<str>>,
    pub resource_names: Vec<Box<str>>,
    pub urls: Vec<Box<str>>,
}

fn has(list: &[Box<str>], word: &str) -> bool {
    list.iter().any(|item| **item == *word)
}

fn has_or_star(list: &[Box<str>], word: &str) -> bool {
    list.iter().any(|item| **item == *word || **item == *"*")
}

impl Rule {
    /// Reads a rule; what is missing or of another type is empty.
    #[must_use]
    pub fn from_value(value: &Value) -> Self {
        let list = |field: &str| -> Vec<Box<str>> {
            let items = value[field].as_array().into_iter().flatten();
            items.filter_map(|v| v.as_str().map(Into::into)).collect()
        };
        Self {
            verbs: list("verbs"),
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    /// The rules of a Role or ClusterRole.
    #[must_use]
    pub fn list_of(role: &Value) -> Vec<Self> {
        let rules = role["rules"].as_array().into_iter().flatten();
        rules.map(Self::from_value).collect()
    }

    /// The rules of a stored Role or ClusterRole.
    pub(super) fn list_of_object(role: &Object) -> Vec<Self> {
        Self::list_of(&role.value())
    }

    /// The rule as `PolicyRule`, without empty members.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = Map::new();
        for (field, list) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !list.is_empty() {
                value.insert(field.into(), json!(list));
            }
        }
        Value::Object(value)
    }

    /// Whether the rule allows the request.
    #[must_use]
    pub fn allows(&self, request: &Attributes) -> bool {
        if !has_or_star(&self.verbs, &request.verb) {
            return false;
        }
        if !request.is_resource() {
            return self.urls.iter().any(|url| url_covers(url, &request.path));
        }
        has_or_star(&self.api_groups, &request.group)
            && self
                .resources
                .iter()
                .any(|r| resource_covers(r, &request.resource, &request.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, &request.name))
    }

    /// Whether this rule alone allows everything that `other` does.
    fn covers(&self, other: &Self) -> bool {
        let all = |mine: &[Box<str>], theirs: &[Box<str>]| {
            has(mine, "*") || theirs.iter().all(|word| has(mine, word))
        };
        let names = if other.resource_names.is_empty() {
            self.resource_names.is_empty()
        } else {
            self.resource_names.is_empty()
                || other
                    .resource_names
                    .iter()
                    .all(|n| has(&self.resource_names, n))
        };
        all(&self.verbs, &other.verbs)
            && all(&self.api_groups, &other.api_groups)
            && other.resources.iter().all(|theirs| {
                let (resource, sub) = theirs.split_once('/').unwrap_or((theirs, ""));
                self.resources
                    .iter()
                    .any(|mine| resource_covers(mine, resource, sub))
            })
            && other
                .urls
                .iter()
                .all(|theirs| self.urls.iter().any(|mine| url_covers(mine, theirs)))
            && names
    }

    /// How many single permissions the rule stands for.
    fn size(&self) -> usize {
        let resources = self
            .api_groups
            .len()
            .saturating_mul(self.resources.len())
            .saturating_mul(self.resource_names.len().max(1));
        resources
            .saturating_add(self.urls.len())
            .saturating_mul(self.verbs.len())
    }

    /// The single permissions that the rule stands for.
    fn permissions(&self) -> Vec<Self> {
        let one = |word: &str| vec![Box::from(word)];
        let names: Vec<Vec<Box<str>>> = if self.resource_names.is_empty() {
            vec![Vec::new()]
        } else {
            self.resource_names.iter().map(|n| one(n)).collect()
        };
        let mut found = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    found.extend(names.iter().map(|names| Self {
                        verbs: one(verb),
                        api_groups: one(group),
                        resources: one(resource),
                        resource_names: names.clone(),
                        urls: Vec::new(),
                    }));
                }
            }
        }
        for url in &self.urls {
            found.extend(self.verbs.iter().map(|verb| Self {
                verbs: one(verb),
                urls: one(url),
                ..Self::default()
            }));
        }
        found
    }
}

/// How Kubernetes names a rule in messages.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (label, list) in [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ] {
            if !list.is_empty() {
                parts.push(format!("{label}:{}", quoted(list)));
            }
        }
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`.
pub(super) fn quoted<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<String> = words.iter().map(|w| format!("{:?}", w.as_ref())).collect();
    format!("[{}]", words.join(" "))
}

/// Whether `pattern` (`*`, `pods`, `pods/log`, `*/scale`) stands for the resource or subresource.
fn resource_covers(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if subresource.is_empty() {
        // It may have slashes of its own: an audience of tokens is asked for as a resource, and often is a URL.
        return pattern == resource;
    }
    let head = pattern
        .strip_suffix(subresource)
        .and_then(|rest| rest.strip_suffix('/'));
    head.is_some_and(|head| head == "*" || head == resource)
}

/// Whether `pattern` (`*`, `/healthz`, `/apis/*`) stands for the path.
fn url_covers(pattern: &str, path: &str) -> bool {
    pattern == path
        || pattern
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}

/// What of `wanted` is not in `held`, verbs of the same resource put together; empty when everything is.
///
/// # Errors
/// When `wanted` stands for more permissions than anybody compares.
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Result<Vec<Rule>, String> {
    let mut lacking = Vec::new();
    let mut budget = PERMISSIONS_MAX;
    for rule in wanted {
        if held.iter().any(|mine| mine.covers(rule)) {
            continue;
        }
        budget = budget.checked_sub(rule.size()).ok_or_else(|| {
            format!("the rules stand for more than {PERMISSIONS_MAX} permissions: use fewer or wider rules")
        })?;
        lacking.extend(
            rule.permissions()
                .into_iter()
                .filter(|permission| !held.iter().any(|mine| mine.covers(permission))),
        );
    }
    Ok(compact(lacking))
}

/// Puts the verbs of one resource together, in their order; paths stay apart.
fn compact(permissions: Vec<Rule>) -> Vec<Rule> {
    let mut found: Vec<Rule> = Vec::new();
    let mut by_target: BTreeMap<Rule, usize> = BTreeMap::new();
    for permission in permissions {
        let target = Rule {
            verbs: Vec::new(),
            ..permission.clone()
        };
        match by_target.get(&target) {
            Some(at) => found[*at].verbs.extend(permission.verbs),
            None => {
                if permission.urls.is_empty() {
                    by_target.insert(target, found.len());
                }
                found.push(permission);
            }
        }
    }
    found
}

/// Why `user`, who holds `held`, may not grant `wanted`; nothing when they may. `unresolved` are roles of the user that
/// could not be read.
#[must_use]
pub fn escalation(
    user: &User,
    held: &[Rule],
    wanted: &[Rule],
    unresolved: &[String],
) -> Option<String> {
    let lacking = match missing(held, wanted) {
        Ok(lacking) if lacking.is_empty() => return None,
        Ok(lacking) => lacking,
        Err(why) => return Some(why),
    };
    let lines: BTreeSet<String> = lacking.iter().map(ToString::to_string).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        lines.join("\n")
    );
    if !unresolved.is_empty() {
        let errors = match unresolved {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        why += &format!("; resolution errors: [{errors}]");
    }
    Some(why)
}
