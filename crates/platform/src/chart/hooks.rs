//! Hooks: objects that exist around an operation, one after the other, each to its end.

use std::time::Duration;

use api::application::app::reasons;
use kube::core::DynamicObject;
use render::{Hook, HookEvent};
use runtime::Wait;

use super::site::{Place, Site, refused};

/// How often a hook is looked at.
const POLL: Duration = Duration::from_millis(500);

/// When a hook is removed.
const BEFORE_CREATION: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// Runs the hooks of an event by weight. The caller limits how long they may take.
pub(super) async fn run(
    site: &Site,
    namespace: &str,
    hooks: &[Hook],
    event: HookEvent,
) -> Result<(), Wait> {
    let mut hooks: Vec<&Hook> = hooks
        .iter()
        .filter(|hook| hook.events.contains(&event))
        .collect();
    hooks.sort_by(|a, b| a.weight.cmp(&b.weight).then_with(|| a.name.cmp(&b.name)));
    let mut succeeded = vec![];
    for hook in hooks {
        let place = start(site, namespace, hook).await?;
        match finish(site, &place).await {
            Ok(()) => succeeded.push((hook, place)),
            Err(why) => {
                if has(hook, FAILED) {
                    site.delete(&place).await?;
                }
                return Err(why);
            }
        }
    }
    for (_, place) in succeeded.iter().filter(|(hook, _)| has(hook, SUCCEEDED)) {
        site.delete(place).await?;
    }
    Ok(())
}

fn has(hook: &Hook, policy: &str) -> bool {
    if hook.delete_policies.is_empty() {
        return policy == BEFORE_CREATION;
    }
    hook.delete_policies.iter().any(|have| have == policy)
}

fn hook_failed(message: String) -> Wait {
    Wait {
        reason: reasons::HOOK_FAILED,
        message,
    }
}

async fn start(site: &Site, namespace: &str, hook: &Hook) -> Result<Place, Wait> {
    let object = render::yaml::first(&hook.manifest)
        .map_err(|e| hook_failed(format!("hook {}: {e}", hook.path)))?;
    let place = site.place(&object, namespace).await?;
    if has(hook, BEFORE_CREATION) {
        site.delete(&place).await?;
        while site
            .get(&place)
            .await
            .map_err(|error| refused(&place, &error))?
            .is_some()
        {
            tokio::time::sleep(POLL).await;
        }
    }
    site.apply(&place, object).await?;
    Ok(place)
}

/// Jobs and Pods have an end; other objects are done when they are there.
async fn finish(site: &Site, place: &Place) -> Result<(), Wait> {
    if place.resource.kind != "Job" && place.resource.kind != "Pod" {
        return Ok(());
    }
    loop {
        let object = site
            .get(place)
            .await
            .map_err(|error| refused(place, &error))?;
        let Some(object) = object else {
            return Err(hook_failed(format!(
                "hook {place} was deleted before its end"
            )));
        };
        if let Some(end) = end(&object) {
            return end.map_err(|why| hook_failed(format!("hook {place} failed: {why}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn end(object: &DynamicObject) -> Option<Result<(), String>> {
    let status = &object.data["status"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match status["phase"].as_str() {
        Some("Succeeded") => return Some(Ok(())),
        Some("Failed") => return Some(Err(text(&status["message"]))),
        _ => {}
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    for condition in conditions.filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Complete") => return Some(Ok(())),
            Some("Failed") => return Some(Err(text(&condition["message"]))),
            _ => {}
        }
    }
    None
}
