//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, by number.
//!
//! Each is named `<owner>-<hash>` and holds the template as a patch that brings it back, which `kubectl rollout undo`
//! applies. A template has one revision, found by comparing templates: a template that comes back gets its old revision
//! with a new number. The hash serves to be unique and stable only; if the name is taken, the next one is tried, and the
//! owner's status counts that.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use runtime::{Cx, GatherError};

use crate::claim::{Claim, Keeper, selects};

pub(crate) use plan::{Current, current, equal, keep, surplus, template_of};

/// On pods, the revision that they are of; on the revisions of DaemonSets, their hash.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// Who has revisions, as far as they depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) keeper: Keeper<'a>,
    pub(crate) selector: &'a LabelSelector,
    /// The present template.
    pub(crate) template: &'a PodTemplateSpec,
    /// `status.collisionCount`.
    pub(crate) collisions: i32,
    /// Label of a revision with its hash.
    pub(crate) hash_label: &'static str,
}

/// The revisions of one owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Its own and those that it is about to adopt, the oldest first.
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    /// Its own that its selector no longer selects.
    pub(crate) strays: Vec<Arc<ControllerRevision>>,
    /// The present template's revision, under its name but without being ours.
    pub(crate) elsewhere: Option<Arc<ControllerRevision>>,
    /// How many names were taken up to the one that the present template has or gets.
    pub(crate) collisions: i32,
}

impl History {
    /// Reads the revisions of `owner`.
    pub(crate) async fn read(cx: &Cx, owner: &Owner<'_>) -> Result<Self, GatherError> {
        let all = owner.keeper.candidates(cx, owner.selector).await?;
        let mut history = Self::of(all, owner);
        if !equal(&history, owner).is_empty() {
            return Ok(history);
        }
        let namespace = owner.keeper.namespace();
        loop {
            let name = plan::name(owner, history.collisions);
            match cx.get::<ControllerRevision>(namespace, &name).await? {
                None => return Ok(history),
                Some(there) if template_of(&there).as_ref() == Some(owner.template) => {
                    history.elsewhere = Some(there);
                    return Ok(history);
                }
                Some(_) => history.collisions = history.collisions.saturating_add(1),
            }
        }
    }

    /// Sorts out which of these revisions are the owner's.
    fn of(all: Vec<Arc<ControllerRevision>>, owner: &Owner<'_>) -> Self {
        let mut history = Self {
            collisions: owner.collisions,
            ..Self::default()
        };
        for revision in all {
            let meta = &revision.metadata;
            match owner.keeper.claim(meta, selects(owner.selector, meta)) {
                Claim::Own | Claim::Orphan => history.revisions.push(revision),
                Claim::Released => history.strays.push(revision),
                Claim::Foreign => {}
            }
        }
        history.revisions.sort_by_cached_key(|revision| {
            let created = revision.metadata.creation_timestamp.as_ref().map(|t| t.0);
            (revision.revision, created, revision.metadata.name.clone())
        });
        history
    }
}
