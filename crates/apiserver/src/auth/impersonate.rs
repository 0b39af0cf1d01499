//! Acting as somebody else: the `Impersonate-*` headers.
//!
//! Not here yet: the finer verbs of constrained impersonation; the plain verb `impersonate` decides.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::{
    ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, Attributes, Authorizer,
    SERVICE_ACCOUNT_PREFIX, User, service_account_groups,
};
use crate::status::Status;

const PREFIX: &str = "impersonate-";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";

/// The user that `headers` ask to be instead of `user`, when `may` allows `user` every part of it; `user` itself without
/// such headers. Remove the headers before the request goes anywhere else.
///
/// # Errors
/// 403 for the first part that is not allowed; 400 for groups, UID or extra values without a user, or unreadable headers.
pub fn impersonate(
    user: User,
    headers: &HeaderMap,
    may: impl Fn(&Attributes) -> bool,
) -> Result<User, Status> {
    let Some(wanted) = Wanted::read(headers)? else {
        return Ok(user);
    };
    for request in wanted.requests() {
        if !may(&request) {
            return Err(Authorizer::forbidden(&user, &request, ""));
        }
    }
    Ok(wanted.into_user())
}

/// Whether `headers` ask for anything that [`impersonate`] decides about.
#[must_use]
pub fn impersonates(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

struct Wanted {
    name: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let all = |key: &str| -> Result<Vec<String>, Status> {
            let values = headers.get_all(key).iter();
            values.map(|value| text(key, value.as_bytes())).collect()
        };
        let one = |key: &str| -> Result<Option<String>, Status> {
            let first = all(key)?.into_iter().next();
            Ok(first.filter(|value| !value.is_empty()))
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            if let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) {
                let value = text(name.as_str(), value.as_bytes())?;
                extra.entry(unescape(key)).or_default().push(value);
            }
        }
        let groups = all("impersonate-group")?;
        let uid = one("impersonate-uid")?;
        let Some(name) = one("impersonate-user")? else {
            if groups.is_empty() && uid.is_none() && extra.is_empty() {
                return Ok(None);
            }
            return Err(Status::bad_request(
                "requested groups, uid or extra without impersonating a user: set the header Impersonate-User",
            ));
        };
        Ok(Some(Self {
            name,
            uid,
            groups,
            extra,
        }))
    }

    /// Everything that the impersonator must be allowed.
    fn requests(&self) -> Vec<Attributes> {
        let on = |group: &str, resource: &str, name: &str| Attributes {
            verb: "impersonate".into(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            name: name.into(),
            ..Attributes::default()
        };
        let mut requests = vec![match self.service_account() {
            Some((namespace, name)) => Attributes {
                namespace: namespace.into(),
                ..on("", "serviceaccounts", name)
            },
            None => on("", "users", &self.name),
        }];
        requests.extend(self.groups.iter().map(|group| on("", "groups", group)));
        for (key, values) in &self.extra {
            requests.extend(values.iter().map(|value| Attributes {
                subresource: key.clone(),
                ..on(AUTHENTICATION_GROUP, "userextras", value)
            }));
        }
        requests.extend(
            self.uid
                .iter()
                .map(|uid| on(AUTHENTICATION_GROUP, "uids", uid)),
        );
        requests
    }

    fn service_account(&self) -> Option<(&str, &str)> {
        self.name
            .strip_prefix(SERVICE_ACCOUNT_PREFIX)?
            .split_once(':')
    }

    fn into_user(mut self) -> User {
        if self.groups.is_empty()
            && let Some((namespace, _)) = self.service_account()
        {
            self.groups = service_account_groups(namespace).into();
        }
        let scope = if self.name == ANONYMOUS {
            ALL_UNAUTHENTICATED
        } else {
            ALL_AUTHENTICATED
        };
        let has_scope = self
            .groups
            .iter()
            .any(|g| g == ALL_AUTHENTICATED || g == ALL_UNAUTHENTICATED);
        if !has_scope {
            self.groups.push(scope.into());
        }
        User {
            name: self.name,
            uid: self.uid.unwrap_or_default(),
            groups: self.groups,
            extra: self.extra,
        }
    }
}

fn text(header: &str, bytes: &[u8]) -> Result<String, Status> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Status::bad_request(format!("header {header} is not UTF-8")))
}

/// `%2f` → `/`: keys of extra values are percent-encoded, because `/` cannot stand in a header's name. A broken escape
/// stays as it is.
fn unescape(key: &str) -> String {
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
