//! Acting as somebody else: the `Impersonate-*` headers.
//!
//! Whoever has the verb `impersonate` on all parts of a user may act as that user whatever the request. The finer verbs
//! say more: `impersonate:<mode>` on the parts, and `impersonate-on:<mode>:<verb>` on what the request is about. They
//! are asked first, and never make anybody one of `system:masters`.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::{
    ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, Attributes, Authorizer, Decision, MASTERS,
    NODE_PREFIX, NODES, SERVICE_ACCOUNT_PREFIX, User, service_account_groups,
};
use crate::select::subdomain_problems;
use crate::status::Status;

const PREFIX: &str = "impersonate-";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";
/// In the extra values of a service account whose token is bound to a node.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// From so many groups or extra values on it is first asked whether all of them are allowed.
const MANY: usize = 4;

/// Whom somebody acts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    pub user: User,
    /// The verb that allowed it, if it was one of the finer ones.
    pub constraint: Option<String>,
}

/// Whom `headers` ask to be instead of `user` for `request`, when `may` allows `user` every part of it; nobody without
/// such headers. Remove the headers before the request goes anywhere else.
///
/// # Errors
/// 403 for the first thing that is not allowed; 400 for groups, UID or extra values without a user, or unreadable
/// headers.
pub fn impersonate(
    user: &User,
    headers: &HeaderMap,
    request: &Attributes,
    may: impl Fn(&Attributes) -> Decision,
) -> Result<Option<Impersonated>, Status> {
    let Some(wanted) = Wanted::read(headers)? else {
        return Ok(None);
    };
    let asking = Asking { user, may: &may };
    let mut first = None;
    for mode in [
        Mode::AssociatedNode,
        Mode::ArbitraryNode,
        Mode::ServiceAccount,
        Mode::UserInfo,
        Mode::Legacy,
    ] {
        if !mode.is_for(&wanted, user) {
            continue;
        }
        match asking.try_mode(mode, &wanted, request) {
            Ok(impersonated) => return Ok(Some(impersonated)),
            Err(refusal) => first = first.or(Some(refusal)),
        }
    }
    Err(first.unwrap_or_else(|| Status::forbidden("", "users", &wanted.name, "nobody may")))
}

/// Whether `headers` ask for anything that [`impersonate`] decides about.
#[must_use]
pub fn impersonates(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// By which verbs it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A pod's service account as the node that the pod runs on.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    /// Anybody who is neither node nor service account.
    UserInfo,
    /// The plain verb.
    Legacy,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        match self {
            Self::Legacy => "impersonate".into(),
            _ => format!("impersonate:{}", self.name()),
        }
    }

    /// Whether `user` can become `wanted` in this way at all.
    fn is_for(self, wanted: &Wanted, user: &User) -> bool {
        let is_name_only =
            wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        match self {
            Self::AssociatedNode => {
                let bound = user.extra.get(NODE_NAME).map(Vec::as_slice);
                is_name_only
                    && service_account(&user.name).is_some()
                    && matches!((node(&wanted.name), bound), (Some(node), Some([one])) if one == node)
            }
            Self::ArbitraryNode => is_name_only && node(&wanted.name).is_some(),
            Self::ServiceAccount => is_name_only && service_account(&wanted.name).is_some(),
            Self::UserInfo => {
                node(&wanted.name).is_none() && service_account(&wanted.name).is_none()
            }
            Self::Legacy => true,
        }
    }
}

/// Who asks, and whom to ask.
struct Asking<'a, F> {
    user: &'a User,
    may: &'a F,
}

impl<F: Fn(&Attributes) -> Decision> Asking<'_, F> {
    fn try_mode(
        &self,
        mode: Mode,
        wanted: &Wanted,
        request: &Attributes,
    ) -> Result<Impersonated, Status> {
        let verb = mode.verb();
        if mode == Mode::Legacy {
            self.confirm_parts(&verb, wanted)?;
            return Ok(wanted.become_with(None));
        }
        self.confirm(&Attributes {
            verb: format!("impersonate-on:{}:{}", mode.name(), request.verb),
            ..request.clone()
        })?;
        self.confirm_constrained(mode, &verb, wanted)?;
        Ok(wanted.become_with(Some(verb)))
    }

    fn confirm(&self, request: &Attributes) -> Result<(), Status> {
        let decision = (self.may)(request);
        if decision.allowed {
            return Ok(());
        }
        Err(Authorizer::forbidden(self.user, request, &decision.reason))
    }

    /// Every part of `wanted`, by the plain verb.
    fn confirm_parts(&self, verb: &str, wanted: &Wanted) -> Result<(), Status> {
        self.confirm(&match service_account(&wanted.name) {
            Some((namespace, name)) => account_attributes(verb, "", namespace, name),
            None => attributes(verb, "", "users", &wanted.name),
        })?;
        self.confirm_uid(verb, wanted)?;
        for group in &wanted.groups {
            self.confirm(&attributes(verb, "", "groups", group))?;
        }
        self.confirm_extra(verb, wanted)
    }

    /// Every part of `wanted`, by one of the finer verbs.
    fn confirm_constrained(&self, mode: Mode, verb: &str, wanted: &Wanted) -> Result<(), Status> {
        const GROUP: &str = AUTHENTICATION_GROUP;
        self.confirm(&match (node(&wanted.name), service_account(&wanted.name)) {
            // It is its own node, whichever that is.
            (Some(_), _) if mode == Mode::AssociatedNode => attributes(verb, GROUP, "nodes", "*"),
            (Some(node), _) => attributes(verb, GROUP, "nodes", node),
            (None, Some((namespace, name))) => account_attributes(verb, GROUP, namespace, name),
            (None, None) => attributes(verb, GROUP, "users", &wanted.name),
        })?;
        self.confirm_uid(verb, wanted)?;
        self.confirm_groups(verb, &wanted.groups)?;
        if wanted.extra.is_empty() {
            return Ok(());
        }
        let any = attributes(verb, GROUP, "userextras", "");
        if let Some(why) = extra_problem(&wanted.extra) {
            return Err(Authorizer::forbidden(self.user, &any, &why));
        }
        let count = wanted.extra.values().map(Vec::len).sum::<usize>();
        let all = Attributes {
            subresource: "*".into(),
            name: "*".into(),
            ..any
        };
        if count >= MANY && self.confirm(&all).is_ok() {
            return Ok(());
        }
        self.confirm_extra(verb, wanted)
    }

    fn confirm_groups(&self, verb: &str, groups: &[String]) -> Result<(), Status> {
        let on = |group: &str| attributes(verb, AUTHENTICATION_GROUP, "groups", group);
        if groups.iter().any(String::is_empty) {
            let why = "impersonating the empty string group is not allowed";
            return Err(Authorizer::forbidden(self.user, &on(""), why));
        }
        if groups.iter().any(|group| group == MASTERS) {
            let why = "impersonating the system:masters group is not allowed";
            return Err(Authorizer::forbidden(self.user, &on(MASTERS), why));
        }
        if groups.len() >= MANY && self.confirm(&on("*")).is_ok() {
            return Ok(());
        }
        groups.iter().try_for_each(|group| self.confirm(&on(group)))
    }

    fn confirm_uid(&self, verb: &str, wanted: &Wanted) -> Result<(), Status> {
        if wanted.uid.is_empty() {
            return Ok(());
        }
        self.confirm(&attributes(verb, AUTHENTICATION_GROUP, "uids", &wanted.uid))
    }

    fn confirm_extra(&self, verb: &str, wanted: &Wanted) -> Result<(), Status> {
        for (key, values) in &wanted.extra {
            for value in values {
                self.confirm(&Attributes {
                    subresource: key.clone(),
                    ..attributes(verb, AUTHENTICATION_GROUP, "userextras", value)
                })?;
            }
        }
        Ok(())
    }
}

fn attributes(verb: &str, group: &str, resource: &str, name: &str) -> Attributes {
    Attributes {
        verb: verb.into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        name: name.into(),
        ..Attributes::default()
    }
}

fn account_attributes(verb: &str, group: &str, namespace: &str, name: &str) -> Attributes {
    Attributes {
        namespace: namespace.into(),
        ..attributes(verb, group, "serviceaccounts", name)
    }
}

/// Name of the node of a kubelet's user name.
fn node(user: &str) -> Option<&str> {
    let node = user.strip_prefix(NODE_PREFIX)?;
    subdomain_problems(node).is_empty().then_some(node)
}

/// Namespace and name of a service account's user name.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let is_label = namespace.len() <= 63 && !namespace.contains('.');
    let is_fine =
        is_label && subdomain_problems(namespace).is_empty() && subdomain_problems(name).is_empty();
    is_fine.then_some((namespace, name))
}

/// What the finer verbs do not take for extra values.
fn extra_problem(extra: &BTreeMap<String, Vec<String>>) -> Option<String> {
    extra.iter().find_map(|(key, values)| {
        if key.is_empty() {
            return Some("impersonating the empty string key in extra is not allowed".into());
        }
        if let Some(why) = path_key_problem(key) {
            return Some(format!(
                "impersonating an invalid key in extra is not allowed: {why}"
            ));
        }
        if key.chars().any(char::is_uppercase) {
            return Some(format!(
                "impersonating a non-lowercase key in extra is not allowed: {key:?}"
            ));
        }
        values
            .iter()
            .any(String::is_empty)
            .then(|| "impersonating the empty string value in extra is not allowed".to_owned())
    })
}

/// What is wrong with `key` as `<domain>/<path>`.
fn path_key_problem(key: &str) -> Option<String> {
    const PATH: &str = "A-Za-z0-9/\\-._~%!$&'()*+,;=:";
    let (shown, why) = match key.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            let is_path = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
            if let Some(why) = subdomain_problems(domain).into_iter().next() {
                (domain, why)
            } else if path.chars().all(is_path) {
                return None;
            } else {
                let why = format!("Invalid path (regex used for validation is '[{PATH}]+')");
                (path, why)
            }
        }
        _ => (
            key,
            "must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned(),
        ),
    };
    Some(format!("extra.key: Invalid value: {shown:?}: {why}"))
}

struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let all = |key: &str| -> Result<Vec<String>, Status> {
            let values = headers.get_all(key).iter();
            values.map(|value| text(key, value.as_bytes())).collect()
        };
        let one = |key: &str| -> Result<String, Status> {
            Ok(all(key)?.into_iter().next().unwrap_or_default())
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            if let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) {
                let value = text(name.as_str(), value.as_bytes())?;
                extra.entry(unescape(key)).or_default().push(value);
            }
        }
        let wanted = Self {
            name: one("impersonate-user")?,
            uid: one("impersonate-uid")?,
            groups: all("impersonate-group")?,
            extra,
        };
        if !wanted.name.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted.groups.is_empty() && wanted.uid.is_empty() && wanted.extra.is_empty() {
            return Ok(None);
        }
        Err(Status::bad_request(format!(
            "requested {} without impersonating a user name",
            wanted.shown()
        )))
    }

    /// As Kubernetes shows it.
    fn shown(&self) -> String {
        let list = |items: &[String]| {
            let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
            format!("[]string{{{}}}", items.join(", "))
        };
        let groups = match self.groups.as_slice() {
            [] => "[]string(nil)".to_owned(),
            groups => list(groups),
        };
        let extra: Vec<String> = (self.extra.iter())
            .map(|(key, values)| format!("{key:?}:{}", list(values)))
            .collect();
        let extra = match extra.as_slice() {
            [] => "map[string][]string(nil)".to_owned(),
            _ => format!("map[string][]string{{{}}}", extra.join(", ")),
        };
        format!(
            "&user.DefaultInfo{{Name:\"\", UID:{:?}, Groups:{groups}, Extra:{extra}}}",
            self.uid
        )
    }

    /// The user, by `constraint` if one of the finer verbs allowed it.
    fn become_with(&self, constraint: Option<String>) -> Impersonated {
        let mut groups = self.groups.clone();
        if groups.is_empty() {
            if let Some((namespace, _)) = service_account(&self.name) {
                groups = service_account_groups(namespace).into();
            } else if constraint.is_some() && node(&self.name).is_some() {
                groups = vec![NODES.into()];
            }
        }
        let is_in = |group: &str| groups.iter().any(|g| g == group);
        let scope = if self.name == ANONYMOUS {
            Some(ALL_UNAUTHENTICATED)
        } else {
            (!is_in(ALL_UNAUTHENTICATED)).then_some(ALL_AUTHENTICATED)
        };
        if let Some(scope) = scope.filter(|scope| !is_in(scope)) {
            groups.push(scope.into());
        }
        Impersonated {
            user: User {
                name: self.name.clone(),
                uid: self.uid.clone(),
                groups,
                extra: self.extra.clone(),
            },
            constraint,
        }
    }
}

fn text(header: &str, bytes: &[u8]) -> Result<String, Status> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Status::bad_request(format!("header {header} is not UTF-8")))
}

/// `%2f` → `/`: keys of extra values are percent-encoded, because `/` cannot stand in a header's name. A broken escape
/// stays as it is.
pub(super) fn unescape(key: &str) -> String {
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3);
        let decoded = digits
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| hex::decode(digits).ok());
        match decoded.as_deref() {
            Some([byte]) => {
                out.push(*byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}
