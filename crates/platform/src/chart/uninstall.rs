//! Removing a release: hooks, objects in the order of removal, and its history last, so that a removal that is cut off
//! goes on. Definitions and the namespace stay.

use std::time::Duration;

use api::application::App;
use api::application::app::reasons;
use render::HookEvent;
use render::release::Status;
use runtime::Wait;

use super::deploy::{is_kept, store, timeout};
use super::history::History;
use super::site::{Site, place};
use super::{hooks, record};

/// Removes a release and what was written beside it.
///
/// # Errors
/// What the cluster refused, or the hook that failed.
pub async fn uninstall(site: &Site, app: &App, history: &History) -> Result<(), Wait> {
    let limit = timeout(
        app.spec
            .uninstall
            .as_ref()
            .and_then(|operation| operation.timeout.as_deref()),
    );
    let done = tokio::time::timeout(limit, remove(site, app, history)).await;
    done.unwrap_or_else(|_| Err(too_slow(limit)))
}

pub(super) fn too_slow(limit: Duration) -> Wait {
    Wait {
        reason: reasons::RELEASE_FAILED,
        message: format!("it took longer than {} s", limit.as_secs()),
    }
}

async fn remove(site: &Site, app: &App, history: &History) -> Result<(), Wait> {
    let namespace = &app.spec.namespace;
    if let Some(latest) = &history.latest {
        let mut removing = latest.clone();
        removing.info.status = Status::Uninstalling;
        removing.info.deleted = Some(site.cluster().clock().now());
        removing.info.description = "Deletion in progress (or silently failed)".to_owned();
        store(site, &removing, true).await?;
        hooks::run(site, namespace, &latest.hooks, HookEvent::PreDelete).await?;
    }
    let mut objects = history.objects();
    objects.retain(|object| !is_kept(object));
    let kind = |object: &serde_json::Value| object["kind"].as_str().unwrap_or_default().to_owned();
    objects.sort_by(|a, b| render::uninstall_order(&kind(a), &kind(b)));
    for object in &objects {
        // A kind that is not served any more has no objects.
        if let Ok(place) = site.place(object, namespace).await {
            site.delete(&place).await?;
        }
    }
    if let Some(latest) = &history.latest {
        hooks::run(site, namespace, &latest.hooks, HookEvent::PostDelete).await?;
    }
    for (_, secret) in &history.revisions {
        site.delete(&place("v1", "Secret", namespace, secret))
            .await?;
    }
    record::forget(site, app).await
}
