//! What an App shows of its release.

use api::application::app::{reasons, statuses};
use render::release::{Release, Status as HelmStatus};
use runtime::{Outcome, Plan, Wait, rfc3339};
use serde_json::{Value, json};

use super::{Act, Target, World};

/// The platform's word for why an App is held back; `None` where Helm's own word says it.
fn word(why: &Wait) -> Option<&'static str> {
    Some(match why.reason {
        reasons::INVALID | reasons::CATALOG_NOT_FOUND | reasons::KUBECONFIG_NOT_FOUND => {
            statuses::RESOURCE_NOT_FOUND
        }
        reasons::CONFIG_NOT_FOUND | reasons::CONFIG_INVALID => {
            let is_secret =
                why.message.starts_with("secret") || why.message.starts_with("expected secret");
            if is_secret {
                statuses::SECRET_MERGE_FAILED
            } else {
                statuses::CONFIGMAP_MERGE_FAILED
            }
        }
        reasons::CORDONED => statuses::CORDONED,
        reasons::CORDON_INVALID => statuses::CORDON_FAILED,
        reasons::CATALOG_NOT_READY => statuses::INDEX_NOT_FOUND,
        reasons::CATALOG_EMPTY => statuses::CATALOG_EMPTY,
        reasons::APP_NOT_FOUND => statuses::APP_NOT_FOUND,
        reasons::VERSION_NOT_FOUND => statuses::APP_VERSION_NOT_FOUND,
        reasons::CHART_PULL_FAILED => statuses::CHART_PULL_FAILED,
        reasons::RENDER_FAILED => statuses::INVALID_MANIFEST,
        reasons::VALUES_INVALID => statuses::VALUES_SCHEMA_VIOLATION,
        reasons::RELEASE_TAKEN => statuses::ALREADY_EXISTS,
        reasons::RELEASE_FAILED | reasons::HOOK_FAILED => statuses::FAILED,
        _ => return None,
    })
}

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome) -> Value {
    let mut status = match &world.target {
        Target::Here { observed, .. } => {
            let history = &observed.history;
            installed(
                history.deployed.as_ref().or(history.latest.as_ref()),
                history.latest.as_ref(),
            )
        }
        // It can't be asked: what was known is not forgotten.
        Target::Away(_) => known(world),
    };
    if let Some(why) = outcome.failure.as_ref().or(plan.waits.first()) {
        if let Some(word) = word(why) {
            status["release"]["status"] = json!(word);
        }
        status["release"]["reason"] = json!(why.message);
    }
    status
}

/// The version that runs, and the state of the last operation.
fn installed(running: Option<&Release>, latest: Option<&Release>) -> Value {
    let Some((running, latest)) = running.zip(latest) else {
        return json!({"version": "", "appVersion": "", "release": {"status": statuses::NOT_INSTALLED}});
    };
    let is_deployed = latest.info.status.as_str() == statuses::DEPLOYED;
    json!({
        "version": running.chart.metadata.version,
        "appVersion": running.chart.metadata.app_version,
        "release": {
            "status": latest.info.status.as_str(),
            "reason": if is_deployed { None } else { Some(&latest.info.description) },
            "lastDeployed": running.info.last_deployed.map(rfc3339),
        },
    })
}

/// A word of the platform said why the App was held back then, so only Helm's words are repeated.
fn known(world: &World) -> Value {
    let status = world.app.status.clone().unwrap_or_default();
    let word = match status.release.status.as_str() {
        _ if status.version.is_empty() => statuses::NOT_INSTALLED,
        word @ (statuses::DEPLOYED | statuses::FAILED) => word,
        _ => HelmStatus::Unknown.as_str(),
    };
    json!({
        "version": status.version,
        "appVersion": status.app_version,
        "release": {"status": word, "lastDeployed": status.release.last_deployed},
    })
}
