//! Whether an extension server answers: the condition `Available` of its APIService.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::API_SERVICES;
use super::remote::{Ask, Dialer, Remote, RemoteSpec};
use super::routes::MAX_REMOTES;
use crate::auth::{MASTERS, Objects, wire_time};
use crate::object::{Key, Object};
use crate::registry::Registry;
use crate::store::{Change, Expected};
use crate::webhook::resolve::SERVICE_LABEL;

/// The answer must come in this time.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses that are asked; one that answers is enough.
const MAX_ATTEMPTS: usize = 5;
/// As whom.
const USER: &str = "system:kube-aggregator";

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn unavailable(reason: &'static str, message: String) -> Self {
        Self {
            status: "False",
            reason,
            message,
        }
    }

    pub(super) fn crowded() -> Self {
        let message = format!("at most {MAX_REMOTES} extension API servers are supported");
        Self::unavailable("TooManyAPIServices", message)
    }

    pub(super) fn shadowing() -> Self {
        let message = "this group is Kubernetes' own: all versions of it are answered here";
        Self::unavailable("GroupServedHere", message.into())
    }

    pub(super) fn is_available(&self) -> bool {
        self.status == "True"
    }

    /// Whether only asking again can tell that it has changed.
    pub(super) fn is_of_probe(&self) -> bool {
        matches!(self.reason, "FailedDiscoveryCheck" | "Passed")
    }

    pub(super) fn condition(&self, since: &str) -> Value {
        json!({
            "lastTransitionTime": since, "message": self.message, "reason": self.reason,
            "status": self.status, "type": "Available",
        })
    }
}

/// Looks at the Service and asks what is behind it.
pub(super) async fn check(remote: &Remote, dialer: Dialer<'_>) -> Verdict {
    if let Err(verdict) = check_objects(&remote.spec, dialer.objects) {
        return verdict;
    }
    match probe(remote, dialer).await {
        Ok(()) => Verdict {
            status: "True",
            reason: "Passed",
            message: "all checks passed".into(),
        },
        Err(why) => Verdict::unavailable("FailedDiscoveryCheck", why),
    }
}

/// What the Service and its EndpointSlices say, in the order in which Kubernetes looks at them.
fn check_objects(spec: &RemoteSpec, objects: &dyn Objects) -> Result<(), Verdict> {
    let RemoteSpec {
        namespace,
        service: name,
        port,
        ..
    } = spec;
    let Some(service) = objects.get("services", namespace, name) else {
        let message = format!("service/{name} in {namespace:?} is not present");
        return Err(Verdict::unavailable("ServiceNotFound", message));
    };
    let service = service.value();
    let ty = service["spec"]["type"].as_str().unwrap_or("ClusterIP");
    if ty != "ClusterIP" {
        return Ok(());
    }
    let ports = service["spec"]["ports"].as_array();
    let Some(found) = ports.into_iter().flatten().find(|p| p["port"] == *port) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Err(Verdict::unavailable("ServicePortError", message));
    };
    let port_name = found["name"].as_str().unwrap_or_default();
    let mut slices = objects.list("endpointslices.discovery.k8s.io", Some(namespace));
    slices.retain(|slice| slice.header.label(SERVICE_LABEL) == Some(name));
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Err(Verdict::unavailable("EndpointsNotFound", message));
    }
    if !slices.iter().any(|s| is_active(&s.value(), port_name)) {
        let message = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
        );
        return Err(Verdict::unavailable("MissingEndpoints", message));
    }
    Ok(())
}

/// Whether somebody in the slice is ready, at a port of this name.
fn is_active(slice: &Value, port_name: &str) -> bool {
    let of = |list: &str| slice[list].as_array().into_iter().flatten();
    of("endpoints").any(|e| e["conditions"]["ready"] != false)
        && of("ports")
            .any(|p| p["name"].as_str().unwrap_or_default() == port_name && !p["port"].is_null())
}

/// Asks several addresses at once for what every extension server has: the resources of its group version.
async fn probe(remote: &Remote, dialer: Dialer<'_>) -> Result<(), String> {
    let RemoteSpec { group, version, .. } = &remote.spec;
    let path = format!("/apis/{group}/{version}");
    let url = |address: &dyn std::fmt::Display| format!("https://{address}{path}");
    let missing =
        |url: String, why: String| format!("failing or missing response from {url}: {why}");
    let addresses = tokio::time::timeout(TIMEOUT, remote.addresses(dialer)).await;
    let mut addresses = match addresses.unwrap_or_else(|_| Err("i/o timeout".into())) {
        Ok(addresses) => addresses,
        Err(why) => return Err(missing(url(&remote.host()), why)),
    };
    addresses.truncate(MAX_ATTEMPTS);
    let ask = Ask {
        path: &path,
        accept: "application/json",
        etag: None,
        user: (USER, &[MASTERS]),
        timeout: TIMEOUT,
    };
    let mut attempts: FuturesUnordered<_> = addresses
        .into_iter()
        .map(|address| {
            let ask = &ask;
            async move { (address, remote.probe(dialer, address, ask).await) }
        })
        .collect();
    let mut last = Ok(());
    while let Some((address, answered)) = attempts.next().await {
        let url = url(&address);
        last = match answered {
            Ok(code) if code.is_success() => return Ok(()),
            Ok(code) => {
                let why = format!("bad status from {url}: {}", code.as_u16());
                Err(missing(url, why))
            }
            Err(why) => Err(missing(url.clone(), format!("Get {url:?}: {why}"))),
        };
    }
    last
}

/// Writes the condition into an APIService, unless it says so already.
pub(super) async fn write(registry: &Registry, object: &Object, condition: Value) {
    let mut value = object.value();
    if !set(&mut value, condition) {
        return;
    }
    let key = Key::new(API_SERVICES, "", &object.header.name);
    let expected = Expected::Revision(object.header.revision);
    // What was written in between is looked at again because of that.
    let written = registry.store().write(&key, expected, Change::Put(value));
    if let Err(error) = written.await {
        tracing::debug!(%error, name = &*key.name, "the condition of an APIService stays as it is");
    }
}

/// The condition of what was found out about a remote, at the time of the registry.
pub(super) async fn report(registry: &Registry, name: &str, verdict: &Verdict) {
    let key = Key::new(API_SERVICES, "", name);
    if let Some(object) = registry.store().get(&key) {
        let condition = verdict.condition(&wire_time(registry.now()));
        write(registry, &object, condition).await;
    }
}

/// Puts the condition among the others; its time stays if its status does. False if it says so already.
fn set(value: &mut Value, mut condition: Value) -> bool {
    if !value["status"]["conditions"].is_array() {
        value["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = value["status"]["conditions"].as_array_mut() else {
        return false;
    };
    let Some(known) = conditions.iter_mut().find(|c| c["type"] == "Available") else {
        conditions.push(condition);
        return true;
    };
    if known["status"] == condition["status"] {
        condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
    }
    let has_changed = *known != condition;
    *known = condition;
    has_changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_last_change_of_the_status() {
        let verdict = |status, reason| Verdict {
            status,
            reason,
            message: reason.to_lowercase(),
        };
        let mut value = json!({"status": {"conditions": [{"type": "Other"}]}});
        let mut times = vec![];
        for (time, status, reason) in [
            ("1", "False", "A"),
            ("2", "False", "A"),
            ("3", "False", "B"),
            ("4", "True", "C"),
        ] {
            let has_changed = set(&mut value, verdict(status, reason).condition(time));
            let known = &value["status"]["conditions"][1];
            times.push(format!(
                "{has_changed} {} {}",
                known["lastTransitionTime"], known["reason"]
            ));
        }
        assert_eq!(
            times,
            [
                "true \"1\" \"A\"",
                "false \"1\" \"A\"",
                "true \"1\" \"B\"",
                "true \"4\" \"C\""
            ]
        );
    }
}
