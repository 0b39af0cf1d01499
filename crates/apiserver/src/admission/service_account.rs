//! ServiceAccount: every pod has an account that exists, its pull secrets and its token.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Admission, Operation, Request, edit};
use crate::object::Object;
use crate::status::Status;

const DEFAULT: &str = "default";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Annotation of pods that show what a kubelet runs by itself.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// How long a pod waits for the default account, which a controller creates just after the namespace.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

pub(super) struct ServiceAccount;

#[async_trait::async_trait]
impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    async fn admit(&self, request: &mut Request<'_>, pod: &mut Value) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is_for("", "pods", "") {
            return Ok(());
        }
        if !pod["metadata"]["annotations"][MIRROR].is_null() {
            return check_mirror(request, pod);
        }
        let seed = seed(request, pod);
        let Some(spec) = edit::map(pod, "spec") else {
            return Ok(());
        };
        let name = ["serviceAccountName", "serviceAccount"]
            .iter()
            .filter_map(|field| spec.get(*field)?.as_str())
            .find(|name| !name.is_empty())
            .unwrap_or(DEFAULT)
            .to_owned();
        // The old name of the field shows the same.
        spec.insert("serviceAccountName".into(), name.clone().into());
        spec.insert("serviceAccount".into(), name.clone().into());
        let account = find(request, &name).await?.value();
        let spec = &mut pod["spec"];
        let has_pull_secrets = edit::items(spec, "imagePullSecrets").next().is_some();
        if !has_pull_secrets && edit::items(&account, "imagePullSecrets").next().is_some() {
            edit::set(
                spec,
                "imagePullSecrets",
                account["imagePullSecrets"].clone(),
            );
        }
        let mounts = spec["automountServiceAccountToken"]
            .as_bool()
            .or_else(|| account["automountServiceAccountToken"].as_bool())
            .unwrap_or(true);
        if mounts {
            mount_token(spec, &seed);
        }
        Ok(())
    }
}

fn check_mirror(request: &Request<'_>, pod: &Value) -> Result<(), Status> {
    let spec = &pod["spec"];
    if !edit::text(spec, "serviceAccountName").is_empty() {
        return Err(request.forbidden("a mirror pod may not reference service accounts"));
    }
    let mut volumes = edit::items(spec, "volumes");
    if volumes.any(|volume| !volume["secret"].is_null()) {
        return Err(request.forbidden("a mirror pod may not reference secrets"));
    }
    Ok(())
}

async fn find(request: &Request<'_>, name: &str) -> Result<Arc<Object>, Status> {
    let tries = if name == DEFAULT { TRIES } else { 1 };
    for attempt in 0..tries {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(account) = request
            .objects
            .get("serviceaccounts", request.namespace, name)
        {
            return Ok(account);
        }
    }
    Err(request.forbidden(&format!(
        "error looking up service account {}/{name}: serviceaccount {name:?} not found",
        request.namespace
    )))
}

/// Five characters that are the same for the same pod (or template): the volume's name only has to be free in its pod.
fn seed(request: &Request<'_>, pod: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let name = if request.name.is_empty() {
        edit::text(&pod["metadata"], "generateName")
    } else {
        request.name
    };
    Sha256::digest(format!("{}/{name}", request.namespace))
        .iter()
        .take(5)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

fn mount_token(spec: &mut Value, seed: &str) {
    let existing = edit::items(spec, "volumes")
        .map(|volume| edit::text(volume, "name"))
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(ToOwned::to_owned);
    let has_volume = existing.is_some();
    let name = existing.unwrap_or_else(|| format!("{VOLUME_PREFIX}{seed}"));
    let mut is_mounted = false;
    for field in ["initContainers", "containers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let is_there = edit::items(container, "volumeMounts")
                .any(|mount| mount["mountPath"] == TOKEN_PATH);
            if is_there {
                continue;
            }
            if let Some(mounts) = edit::list(container, "volumeMounts") {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
                is_mounted = true;
            }
        }
    }
    if is_mounted
        && !has_volume
        && let Some(volumes) = edit::list(spec, "volumes")
    {
        volumes.push(token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}
