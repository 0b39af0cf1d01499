//! Secrets of type `kubernetes.io/service-account-token` hold a token of their ServiceAccount.
//!
//! Dashboards, CI systems and older charts ask for tokens in this way, which never expire. Reads such Secrets and their
//! accounts; fills in `token`, `ca.crt`, `namespace` and the account's UID, repairs the last three, and deletes Secrets
//! whose account is gone or is another one of the same name. The API server takes a token only as long as its Secret has
//! it.

use std::sync::Arc;

use apiserver::auth::token::Bound;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::core::ApiResource;
use runtime::{Change, Cx, GatherError, ObjectRef, Outcome, Plan, Reconciler, Wait};
use serde_json::{Map, Value, json};

const SECRET_TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const TOKEN: &str = "token";
const AUTHORITY: &str = "ca.crt";
const NAMESPACE: &str = "namespace";
const ISSUE_FAILED: &str = "TokenIssueFailed";
const ACCOUNT_GONE: &str = "ServiceAccountGone";

/// Issues the tokens that Secrets hold.
pub trait TokenIssuer: Send + Sync + 'static {
    /// The token of `account` for the Secret `secret` in `namespace`.
    ///
    /// # Errors
    /// Why there is none.
    fn issue(&self, namespace: &str, secret: &str, account: &Bound) -> Result<String, String>;
}

impl TokenIssuer for apiserver::Cluster {
    fn issue(&self, namespace: &str, secret: &str, account: &Bound) -> Result<String, String> {
        self.issue_secret_token(namespace, secret, account)
            .map_err(|status| status.message)
    }
}

/// Fills Secrets with tokens.
pub struct TokenController {
    issuer: Arc<dyn TokenIssuer>,
    authority_pem: Arc<str>,
}

impl TokenController {
    /// Tokens are `issuer`'s; beside them Secrets hold the cluster's authority (PEM).
    #[must_use]
    pub fn new(issuer: Arc<dyn TokenIssuer>, authority_pem: &str) -> Self {
        Self {
            issuer,
            authority_pem: authority_pem.into(),
        }
    }
}

/// One Secret that holds a token, or is to.
pub struct World {
    /// `None` for Secrets of other types and those that are being deleted.
    secret: Option<Secret>,
    /// UID of the account that it names; `None` if there is none.
    account: Option<String>,
    authority_pem: Arc<str>,
}

/// What is no change of an object that can be known beforehand.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Put a new token into the Secret, and what else it lacks.
    Issue,
}

impl Reconciler for TokenController {
    const NAME: &'static str = "serviceaccount-token";
    type Object = Secret;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, secret: &Secret) -> Result<World, GatherError> {
        let is_ours = secret.type_.as_deref() == Some(SECRET_TYPE)
            && secret.metadata.deletion_timestamp.is_none();
        let mut world = World {
            secret: is_ours.then(|| secret.clone()),
            account: None,
            authority_pem: self.authority_pem.clone(),
        };
        if is_ours {
            let name = annotation(secret, ACCOUNT_NAME);
            let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
            let known = cx.get::<ServiceAccount>(namespace, name).await?;
            let known = known.and_then(|account| account.metadata.uid.clone());
            world.account = match known {
                Some(uid) if fits(secret, &uid) => Some(uid),
                // What the cache does not have yet would have the Secret deleted.
                _ => newest_uid(cx, namespace, name).await?,
            };
        }
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Act> {
        plan(world)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Act::Issue = act;
        let failed = |message: String| Wait {
            reason: ISSUE_FAILED,
            message,
        };
        let (Some(secret), Some(uid)) = (&world.secret, &world.account) else {
            return Ok(());
        };
        let target = target(secret);
        let account = Bound {
            name: annotation(secret, ACCOUNT_NAME).to_owned(),
            uid: uid.clone(),
        };
        let token = self
            .issuer
            .issue(&target.namespace, &target.name, &account)
            .map_err(failed)?;
        let mut patch = lacking(secret, uid, &world.authority_pem).unwrap_or_else(|| json!({}));
        patch["data"][TOKEN] = json!(ByteString(token.into_bytes()));
        // Of two passes over the same state only one may issue.
        patch["metadata"]["resourceVersion"] = json!(secret.metadata.resource_version);
        let kind = ApiResource::erase::<Secret>(&());
        cx.cluster()
            .merge_patch(&kind, (&target.namespace, &target.name), &patch, MANAGER)
            .await
            .map_err(|error| failed(runtime::chain(&error)))
    }

    fn status(_: &World, _: &Plan<Act>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

const MANAGER: &str = "apiary-serviceaccount-token";

/// The account's UID as the server has it now.
async fn newest_uid(cx: &Cx, namespace: &str, name: &str) -> Result<Option<String>, GatherError> {
    let kind = ApiResource::erase::<ServiceAccount>(&());
    let read = cx.cluster().live(&kind, namespace, name).await;
    let entry = read.map_err(|source| GatherError::Read {
        what: format!("ServiceAccount {namespace}/{name}"),
        source: Box::new(source),
    })?;
    Ok(entry.map(|entry| entry.header.uid))
}

/// Whether a Secret may be for the account with this UID, which a new one does not name yet.
fn fits(secret: &Secret, uid: &str) -> bool {
    let named = annotation(secret, ACCOUNT_UID);
    named.is_empty() || named == uid
}

fn annotation<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let annotations = secret.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(key))
        .map_or("", String::as_str)
}

fn target(secret: &Secret) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "Secret".into(),
        namespace: secret.metadata.namespace.clone().unwrap_or_default(),
        name: secret.metadata.name.clone().unwrap_or_default(),
    }
}

fn datum<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    let data = secret.data.as_ref();
    data.and_then(|data| data.get(key))
        .map_or(&[], |bytes| bytes.0.as_slice())
}

/// A merge patch that brings all but the token in order; `None` if it is.
fn lacking(secret: &Secret, uid: &str, authority_pem: &str) -> Option<Value> {
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let mut data = Map::new();
    for (key, want) in [(AUTHORITY, authority_pem), (NAMESPACE, namespace)] {
        if datum(secret, key) != want.as_bytes() {
            let bytes = ByteString(want.as_bytes().to_vec());
            data.insert(key.into(), json!(bytes));
        }
    }
    let mut patch = Map::new();
    if !data.is_empty() {
        patch.insert("data".into(), Value::Object(data));
    }
    if annotation(secret, ACCOUNT_UID) != uid {
        patch.insert(
            "metadata".into(),
            json!({"annotations": {ACCOUNT_UID: uid}}),
        );
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn plan(world: &World) -> Plan<Act> {
    let mut plan = Plan::default();
    let Some(secret) = &world.secret else {
        return plan;
    };
    let name = annotation(secret, ACCOUNT_NAME);
    let account = world.account.as_deref();
    let Some(uid) = account.filter(|uid| fits(secret, uid)) else {
        let named = annotation(secret, ACCOUNT_UID);
        let why = match account {
            None => format!("deleted: there is no ServiceAccount {name:?}"),
            Some(uid) => format!(
                "deleted: it is for the ServiceAccount {name:?} with UID {named}, which was deleted; that of now has UID {uid}"
            ),
        };
        plan.warn(ACCOUNT_GONE, why);
        plan.changes.push(Change::Delete {
            target: target(secret),
            uid: secret.metadata.uid.clone(),
        });
        return plan;
    };
    if datum(secret, TOKEN).is_empty() {
        plan.changes.push(Change::Act(Act::Issue));
    } else if let Some(patch) = lacking(secret, uid, &world.authority_pem) {
        plan.changes.push(Change::Patch {
            target: target(secret),
            subresource: "",
            patch,
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Plans for a Secret with these annotations (`name`, `uid`) and data.
    fn check(
        annotations: (&str, &str),
        data: &[(&str, &str)],
        account: Option<&str>,
        expect: &Expect,
    ) {
        let data: Map<String, Value> = data
            .iter()
            .map(|(key, text)| {
                let bytes = ByteString(text.as_bytes().to_vec());
                ((*key).to_owned(), json!(bytes))
            })
            .collect();
        let secret = json!({
            "type": SECRET_TYPE, "data": data,
            "metadata": {"name": "robot-token", "namespace": "dev", "uid": "u", "annotations": {
                ACCOUNT_NAME: annotations.0, ACCOUNT_UID: annotations.1,
            }},
        });
        let world = World {
            secret: Some(serde_json::from_value(secret).unwrap()),
            account: account.map(Into::into),
            authority_pem: "PEM".into(),
        };
        expect.assert_eq(&TokenController::plan(&world, Timestamp::UNIX_EPOCH).to_string());
    }

    const FULL: &[(&str, &str)] = &[(TOKEN, "t"), (AUTHORITY, "PEM"), (NAMESPACE, "dev")];

    #[test]
    fn what_has_no_token_gets_one_and_the_rest_is_repaired() {
        check(
            ("robot", ""),
            &[],
            Some("1"),
            &expect![[r#"
            act Issue
        "#]],
        );
        check(("robot", "1"), FULL, Some("1"), &expect![""]);
        check(
            ("robot", ""),
            FULL,
            Some("1"),
            &expect![[r#"
            patch Secret dev/robot-token {"metadata":{"annotations":{"kubernetes.io/service-account.uid":"1"}}}
        "#]],
        );
        let wrong = [(TOKEN, "t"), (AUTHORITY, "old"), (NAMESPACE, "dev")];
        check(
            ("robot", "1"),
            &wrong,
            Some("1"),
            &expect![[r#"
            patch Secret dev/robot-token {"data":{"ca.crt":"UEVN"}}
        "#]],
        );
    }

    #[test]
    fn a_secret_goes_with_its_account() {
        check(
            ("robot", "1"),
            FULL,
            None,
            &expect![[r#"
            delete Secret dev/robot-token
            warn ServiceAccountGone: deleted: there is no ServiceAccount "robot"
        "#]],
        );
        check(
            ("robot", ""),
            &[],
            None,
            &expect![[r#"
            delete Secret dev/robot-token
            warn ServiceAccountGone: deleted: there is no ServiceAccount "robot"
        "#]],
        );
        check(
            ("robot", "1"),
            FULL,
            Some("2"),
            &expect![[r#"
            delete Secret dev/robot-token
            warn ServiceAccountGone: deleted: it is for the ServiceAccount "robot" with UID 1, which was deleted; that of now has UID 2
        "#]],
        );
    }
}
