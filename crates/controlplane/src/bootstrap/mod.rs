//! Bootstrap tokens: what lets a machine without any credentials join.
//!
//! Signs the ConfigMap `kube-public/cluster-info` with every token that is meant for it, so that a machine that knows
//! the token can trust what it reads there, and deletes tokens that have expired.

mod signature;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use runtime::{Change, Cx, GatherError, ObjectRef, Outcome, Plan, Reconciler, Selector};
use serde_json::{Map, Value, json};

const TOKENS: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const SECRET_PREFIX: &str = "bootstrap-token-";
const INFO_NAMESPACE: &str = "kube-public";
const INFO: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

/// Keeps the signatures of `cluster-info`, and clears away expired tokens. It works through the namespace of the tokens,
/// of which there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootstrapController;

/// The tokens, and what is signed with them.
#[derive(Default)]
pub struct World {
    tokens: Vec<Token>,
    /// The data of `cluster-info`, if there is such a ConfigMap.
    info: Option<BTreeMap<String, String>>,
}

/// One bootstrap token. Its secret must not be shown, so it has no `Debug`.
struct Token {
    name: String,
    uid: Option<String>,
    id: String,
    secret: String,
    signs: bool,
    expires: Option<Timestamp>,
}

impl Reconciler for BootstrapController {
    const NAME: &'static str = "bootstrap";
    type Object = Namespace;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, namespace: &Namespace) -> Result<World, GatherError> {
        if namespace.metadata.name.as_deref() != Some(TOKENS) {
            return Ok(World::default());
        }
        let secrets = cx.list::<Secret>(Some(TOKENS), &Selector::all()).await?;
        let info = cx.get::<ConfigMap>(INFO_NAMESPACE, INFO).await?;
        Ok(World {
            tokens: secrets
                .iter()
                .filter_map(|secret| Token::read(secret))
                .collect(),
            info: info.map(|info| info.data.clone().unwrap_or_default()),
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        for token in world.tokens.iter().filter(|token| token.is_expired(now)) {
            let target = object("Secret", TOKENS, &token.name);
            let uid = token.uid.clone();
            plan.changes.push(Change::Delete { target, uid });
        }
        if let Some(info) = &world.info {
            let data = signatures(world, info, now);
            if !data.is_empty() {
                let target = object("ConfigMap", INFO_NAMESPACE, INFO);
                let patch = json!({"data": data});
                plan.changes.push(Change::Patch {
                    target,
                    subresource: "",
                    patch,
                });
            }
        }
        let ends = world.tokens.iter().filter_map(|token| token.expires);
        let next = ends.filter(|end| *end > now).min();
        plan.again_in = next.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
        plan
    }

    fn status(
        _world: &World,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        None
    }
}

/// What must change among the signatures; null for one that must go.
fn signatures(
    world: &World,
    info: &BTreeMap<String, String>,
    now: Timestamp,
) -> Map<String, Value> {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    if let Some(kubeconfig) = info.get(KUBECONFIG) {
        let signing = world
            .tokens
            .iter()
            .filter(|token| token.signs && !token.is_expired(now));
        for token in signing {
            if let Some(signature) = signature::detached(kubeconfig, &token.id, &token.secret) {
                wanted.insert(format!("{SIGNATURE_PREFIX}{}", token.id), signature);
            }
        }
    }
    let stale = info
        .keys()
        .filter(|key| key.starts_with(SIGNATURE_PREFIX) && !wanted.contains_key(*key));
    let mut changes: Map<String, Value> = stale.map(|key| (key.clone(), Value::Null)).collect();
    for (key, signature) in wanted {
        if info.get(&key) != Some(&signature) {
            changes.insert(key, Value::String(signature));
        }
    }
    changes
}

impl Token {
    /// Secrets that are no well-formed tokens are none.
    fn read(secret: &Secret) -> Option<Self> {
        let name = secret.metadata.name.clone()?;
        let id = name.strip_prefix(SECRET_PREFIX)?.to_owned();
        if secret.type_.as_deref() != Some(SECRET_TYPE)
            || secret.metadata.deletion_timestamp.is_some()
        {
            return None;
        }
        let text = |key: &str| {
            let bytes = &secret.data.as_ref()?.get(key)?.0;
            String::from_utf8(bytes.clone()).ok()
        };
        Some(Self {
            uid: secret.metadata.uid.clone(),
            signs: text("usage-bootstrap-signing").as_deref() == Some("true")
                && text("token-id").as_ref() == Some(&id),
            secret: text("token-secret")?,
            // A time that can't be read counts as over: a token must not live longer than meant.
            expires: text("expiration").map(|end| end.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
            name,
            id,
        })
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
