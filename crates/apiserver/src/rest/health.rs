//! `/healthz`, `/livez` and `/readyz`: checks one by one, for probes and people.

use http::{Response, StatusCode};

use super::Admitted;
use super::respond::{self, Body};
use crate::server::Cluster;

/// What was set up before the cluster answered its first request, by the names that Kubernetes has for it.
const SET_UP: [&str; 3] = [
    "poststarthook/crd-informer-synced",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/apiservice-registration-controller",
];

const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers for `endpoint`, or for the one check that `rest` of the path names.
pub(super) fn answer(
    cluster: &Cluster,
    endpoint: &str,
    rest: &[&str],
    request: &Admitted,
) -> Response<Body> {
    let mut checks: Vec<(&str, Result<(), String>)> = vec![
        ("ping", Ok(())),
        ("log", Ok(())),
        ("etcd", cluster.storage_health()),
    ];
    if endpoint == "readyz" {
        checks.push(("etcd-readiness", cluster.storage_health()));
        checks.push(("informer-sync", Ok(())));
    }
    checks.extend(SET_UP.map(|name| (name, Ok(()))));
    if endpoint == "readyz" {
        let verdict = if cluster.is_closed() {
            Err("the server ends".to_owned())
        } else {
            Ok(())
        };
        checks.push(("shutdown", verdict));
    }
    if !rest.is_empty() {
        let name = rest.join("/");
        return match checks.into_iter().find(|(known, _)| *known == name) {
            Some((_, Ok(()))) => respond::raw(StatusCode::OK, PLAIN, "ok"),
            Some((_, Err(why))) => {
                tracing::warn!(check = name, why, "a health check failed");
                let text = "internal server error: reason withheld\n";
                respond::raw(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
            None => respond::raw(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n"),
        };
    }
    let mut excluded: Vec<&str> = request.query.all("exclude").collect();
    let mut text = String::new();
    let mut is_well = true;
    for (name, result) in &checks {
        let before = excluded.len();
        excluded.retain(|excluded| excluded != name);
        if excluded.len() < before {
            text.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match result {
            Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                is_well = false;
                // Everybody may ask.
                tracing::warn!(check = name, why, "a health check failed");
                text.push_str(&format!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(", ");
        text.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {names}\n"
        ));
    }
    if !is_well {
        text.push_str(&format!("{endpoint} check failed\n"));
        return respond::raw(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text);
    }
    if request.query.get("verbose").is_none() {
        return respond::raw(StatusCode::OK, PLAIN, "ok");
    }
    text.push_str(&format!("{endpoint} check passed\n"));
    respond::raw(StatusCode::OK, PLAIN, text)
}
