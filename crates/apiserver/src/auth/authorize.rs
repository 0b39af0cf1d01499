//! Whether a user may do something: `system:masters`, kubelets, then RBAC.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::rbac::Rule;
use super::relations::Relations;
use super::{Attributes, MASTERS, Objects, SERVICE_ACCOUNT_PREFIX, User, node};
use crate::status::Status;

pub(crate) const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
pub(crate) const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
pub(crate) const ROLES: &str = "roles.rbac.authorization.k8s.io";
pub(crate) const ROLE_BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";

/// The answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Which binding allowed it, or what went wrong; often empty.
    pub reason: String,
}

/// The rules that apply to a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub rules: Vec<Rule>,
    /// Roles that a binding names and nobody has created.
    pub unresolved: Vec<String>,
}

/// Decides for one logical cluster. Bindings and roles are read once and kept until one of them changes.
#[derive(Debug, Default)]
pub struct Authorizer {
    snapshot: ArcSwapOption<Snapshot>,
    /// What kubelets need for their pods.
    relations: Relations,
}

/// RBAC at one moment.
#[derive(Debug)]
struct Snapshot {
    /// Of cluster roles, cluster role bindings, roles and role bindings.
    revisions: [u64; 4],
    cluster: Arc<Bindings>,
    namespaced: Arc<HashMap<Box<str>, Bindings>>,
    /// Roles that somebody needed, by namespace (empty for cluster roles) and name; nothing for a missing one. Never
    /// more than there are role references in bindings, and dropped when a role changes.
    roles: RwLock<HashMap<Box<str>, RulesByName>>,
}

type RulesByName = HashMap<Box<str>, Option<Arc<[Rule]>>>;

/// The bindings of one scope, by whom they bind.
#[derive(Debug, Default)]
struct Bindings {
    bindings: Vec<Binding>,
    users: HashMap<Box<str>, Vec<Grant>>,
    groups: HashMap<Box<str>, Vec<Grant>>,
}

#[derive(Debug)]
struct Binding {
    name: Box<str>,
    namespace: Box<str>,
    role: Box<str>,
    is_cluster_role: bool,
}

/// One subject of one binding.
#[derive(Clone, Copy, Debug)]
struct Grant {
    binding: usize,
    subject: Subject,
}

#[derive(Clone, Copy, Debug)]
enum Subject {
    User,
    Group,
    ServiceAccount,
}

impl Authorizer {
    /// An authorizer that has read nothing yet. Use one per logical cluster: what it keeps is keyed by revisions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `user` may do `request`.
    pub fn authorize(&self, objects: &dyn Objects, user: &User, request: &Attributes) -> Decision {
        if user.is_in(MASTERS) {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        let from_node = user
            .node()
            .map(|name| node::authorize(name, request, objects, &self.relations));
        if let Some(decision) = &from_node
            && decision.allowed
        {
            return decision.clone();
        }
        let namespace = if request.is_resource() {
            &*request.namespace
        } else {
            ""
        };
        let mut unresolved = Vec::new();
        let snapshot = self.snapshot(objects);
        let found = snapshot.visit(
            objects,
            user,
            namespace,
            |binding, subject, rules| match rules {
                Some(rules) if rules.iter().any(|rule| rule.allows(request)) => {
                    Some(binding.allows(subject))
                }
                Some(_) => None,
                None => {
                    unresolved.push(binding.unresolved());
                    None
                }
            },
        );
        if let Some(reason) = found {
            return Decision {
                allowed: true,
                reason,
            };
        }
        Decision {
            allowed: false,
            reason: refusal(from_node, unresolved),
        }
    }

    /// All RBAC rules of `user` in `namespace` (empty for those that hold everywhere).
    pub fn rules_for(&self, objects: &dyn Objects, user: &User, namespace: &str) -> Rules {
        let mut found = Rules::default();
        let snapshot = self.snapshot(objects);
        let _: Option<()> = snapshot.visit(objects, user, namespace, |binding, _, rules| {
            match rules {
                Some(rules) => found.rules.extend_from_slice(rules),
                None => found.unresolved.push(binding.unresolved()),
            }
            None
        });
        found
    }

    /// The refusal that a client sees.
    #[must_use]
    pub fn forbidden(user: &User, request: &Attributes, reason: &str) -> Status {
        let mut why = if request.is_resource() {
            let mut resource = request.resource.clone();
            if !request.subresource.is_empty() {
                resource = format!("{resource}/{}", request.subresource);
            }
            let scope = if request.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", request.namespace)
            };
            format!(
                "User {:?} cannot {} resource {resource:?} in API group {:?} {scope}",
                user.name, request.verb, request.group
            )
        } else {
            format!(
                "User {:?} cannot {} path {:?}",
                user.name, request.verb, request.path
            )
        };
        // What the client chose must not look like HTML to a browser.
        why = why
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        Status::forbidden(&request.group, &request.resource, &request.name, &why)
    }

    fn snapshot(&self, objects: &dyn Objects) -> Arc<Snapshot> {
        // Revisions first: what changes while the lists are read makes the next call read again.
        let revisions = [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS]
            .map(|resource| objects.revision_of(resource));
        let old = self.snapshot.load_full();
        if let Some(current) = old.as_ref().filter(|s| s.revisions == revisions) {
            return current.clone();
        }
        let cluster = match &old {
            Some(old) if old.revisions[1] == revisions[1] => old.cluster.clone(),
            _ => Arc::new(cluster_bindings(objects)),
        };
        let namespaced = match &old {
            Some(old) if old.revisions[3] == revisions[3] => old.namespaced.clone(),
            _ => Arc::new(namespaced_bindings(objects)),
        };
        let fresh = Arc::new(Snapshot {
            revisions,
            cluster,
            namespaced,
            roles: RwLock::default(),
        });
        self.snapshot.store(Some(fresh.clone()));
        fresh
    }
}

fn refusal(from_node: Option<Decision>, unresolved: Vec<String>) -> String {
    let from_node = from_node.map(|decision| decision.reason);
    let mut reasons: Vec<String> = from_node.into_iter().filter(|r| !r.is_empty()).collect();
    match unresolved.as_slice() {
        [] => {}
        [one] => reasons.push(format!("RBAC: {one}")),
        many => reasons.push(format!("RBAC: [{}]", many.join(", "))),
    }
    reasons.join("\n")
}

impl Snapshot {
    /// Shows the bindings of `user` in `namespace` with their rules (nothing when the role is missing) until `look`
    /// finds what it wants.
    fn visit<T>(
        &self,
        objects: &dyn Objects,
        user: &User,
        namespace: &str,
        mut look: impl FnMut(&Binding, Matched<'_>, Option<&[Rule]>) -> Option<T>,
    ) -> Option<T> {
        let local = (!namespace.is_empty())
            .then(|| self.namespaced.get(namespace))
            .flatten();
        for scope in [Some(&*self.cluster), local].into_iter().flatten() {
            for (binding, subject) in scope.of(user) {
                let rules = self.rules(objects, binding);
                let found = look(binding, subject, rules.as_deref());
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    fn rules(&self, objects: &dyn Objects, binding: &Binding) -> Option<Arc<[Rule]>> {
        let (resource, namespace) = if binding.is_cluster_role {
            (CLUSTER_ROLES, "")
        } else {
            (ROLES, &*binding.namespace)
        };
        {
            let known = self.roles.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(rules) = known
                .get(namespace)
                .and_then(|names| names.get(&*binding.role))
            {
                return rules.clone();
            }
        }
        let rules: Option<Arc<[Rule]>> = objects
            .get(resource, namespace, &binding.role)
            .map(|role| Rule::list_of_object(&role).into());
        self.roles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(namespace.into())
            .or_default()
            .insert(binding.role.clone(), rules.clone());
        rules
    }
}

impl Binding {
    fn role_kind(&self) -> &'static str {
        if self.is_cluster_role {
            "ClusterRole"
        } else {
            "Role"
        }
    }

    fn allows(&self, subject: Matched<'_>) -> String {
        let (kind, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", self.name.to_string())
        } else {
            ("RoleBinding", format!("{}/{}", self.name, self.namespace))
        };
        format!(
            "RBAC: allowed by {kind} {name:?} of {} {:?} to {subject}",
            self.role_kind(),
            self.role
        )
    }

    fn unresolved(&self) -> String {
        format!(
            "{}.rbac.authorization.k8s.io {:?} not found",
            self.role_kind().to_lowercase(),
            self.role
        )
    }
}

impl Bindings {
    /// The bindings of `user` with the subject that matched.
    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = (&'a Binding, Matched<'a>)> {
        let by_name = self.users.get(&*user.name).into_iter().flatten();
        let by_group = user.groups.iter().flat_map(|group| {
            let grants = self.groups.get(&**group).into_iter().flatten();
            grants.map(move |grant| (grant, &**group))
        });
        by_name
            .map(|grant| (grant, &*user.name))
            .chain(by_group)
            .map(|(grant, who)| {
                let subject = grant.subject;
                (&self.bindings[grant.binding], Matched { subject, who })
            })
    }

    fn add(&mut self, namespace: &str, binding: &Value) {
        let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
        let index = self.bindings.len();
        self.bindings.push(Binding {
            name: text(&binding["metadata"]["name"]),
            namespace: namespace.into(),
            role: text(&binding["roleRef"]["name"]),
            is_cluster_role: binding["roleRef"]["kind"] == "ClusterRole",
        });
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let name = text(&subject["name"]);
            let (map, who, subject) = match subject["kind"].as_str() {
                Some("User") => (&mut self.users, name, Subject::User),
                Some("Group") => (&mut self.groups, name, Subject::Group),
                Some("ServiceAccount") => {
                    let home = subject["namespace"].as_str();
                    let home = home.filter(|home| !home.is_empty()).unwrap_or(namespace);
                    let who = format!("{SERVICE_ACCOUNT_PREFIX}{home}:{name}");
                    (&mut self.users, who.into(), Subject::ServiceAccount)
                }
                _ => continue,
            };
            map.entry(who).or_default().push(Grant {
                binding: index,
                subject,
            });
        }
    }
}

/// A subject and the user or group that it is.
#[derive(Clone, Copy, Debug)]
struct Matched<'a> {
    subject: Subject,
    who: &'a str,
}

impl fmt::Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.who;
        match self.subject {
            Subject::User => write!(f, "User {who:?}"),
            Subject::Group => write!(f, "Group {who:?}"),
            Subject::ServiceAccount => {
                let account = who.strip_prefix(SERVICE_ACCOUNT_PREFIX).unwrap_or(who);
                let (namespace, name) = account.split_once(':').unwrap_or(("", account));
                write!(f, "ServiceAccount \"{name}/{namespace}\"")
            }
        }
    }
}

fn cluster_bindings(objects: &dyn Objects) -> Bindings {
    let mut all = Bindings::default();
    for binding in objects.list(CLUSTER_ROLE_BINDINGS, None) {
        all.add("", &binding.value());
    }
    all
}

fn namespaced_bindings(objects: &dyn Objects) -> HashMap<Box<str>, Bindings> {
    let mut all: HashMap<Box<str>, Bindings> = HashMap::new();
    for binding in objects.list(ROLE_BINDINGS, None) {
        let namespace = &binding.header.namespace;
        all.entry(namespace.clone())
            .or_default()
            .add(namespace, &binding.value());
    }
    all
}
