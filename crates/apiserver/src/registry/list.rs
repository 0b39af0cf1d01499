//! LIST: consistent pages of a collection, and the rules of `resourceVersion` around them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Registry, Target};
use crate::go;
use crate::object::Object;
use crate::select::{FieldSelector, LabelSelector};
use crate::status::{Cause, Status};

/// How long a read waits for a revision that has not come yet.
const REVISION_TIMEOUT: Duration = Duration::from_secs(3);

/// What a list or watch asks for.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// 0: no limit.
    pub limit: usize,
    pub continue_token: String,
    pub resource_version: String,
    /// `Exact` or `NotOlderThan`.
    pub resource_version_match: String,
    pub send_initial_events: Option<bool>,
}

/// One page of a list.
pub struct Page {
    pub objects: Vec<Arc<Object>>,
    /// What the list is consistent at.
    pub revision: u64,
    /// How the list goes on.
    pub continue_token: Option<String>,
    /// Only when nothing was selected away.
    pub remaining: Option<usize>,
}

/// A `continue` token: where a list stopped and at which revision it was.
#[derive(Debug, Deserialize, Serialize)]
struct Token {
    v: String,
    /// -1: go on at whatever is newest.
    rv: i64,
    /// `<namespace>/<name>` of the last object that was sent.
    start: String,
    /// A mark of the cluster whose list it is.
    c: String,
}

impl ListOptions {
    /// The rules that tie `resourceVersion`, its match and `sendInitialEvents` together.
    ///
    /// # Errors
    /// 422 that names the parameter.
    pub fn check(&self, is_watch: bool) -> Result<(), Status> {
        let forbidden = |field: &str, why: &str| Err(Cause::forbidden(field, why));
        let has_match = !self.resource_version_match.is_empty();
        if !is_watch
            && !self.continue_token.is_empty()
            && !matches!(self.resource_version.as_str(), "" | "0")
        {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let verdict = if has_match && is_watch && self.send_initial_events.is_none() {
            forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        } else if has_match && !is_watch && self.resource_version.is_empty() {
            forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            )
        } else if has_match && !self.continue_token.is_empty() {
            forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            )
        } else if has_match
            && !matches!(
                self.resource_version_match.as_str(),
                "Exact" | "NotOlderThan"
            )
        {
            let allowed = ["Exact", "NotOlderThan", ""];
            Err(Cause::not_supported(
                "resourceVersionMatch",
                &json!(self.resource_version_match),
                &allowed,
            ))
        } else if self.resource_version_match == "Exact" && self.resource_version == "0" {
            forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            )
        } else if self.send_initial_events.is_some() && !is_watch {
            forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            )
        } else if self.send_initial_events.is_some()
            && self.resource_version_match != "NotOlderThan"
        {
            forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
        } else {
            Ok(())
        };
        verdict.map_err(|cause| Status::invalid("meta.k8s.io", "ListOptions", "", vec![cause]))
    }

    /// The number in `resourceVersion`; 0 for none and for "any".
    ///
    /// # Errors
    /// As [`revision`].
    pub fn revision(&self) -> Result<u64, Status> {
        revision(&self.resource_version)
    }
}

/// The number in the `resourceVersion` of a read; 0 for none and for "any".
///
/// # Errors
/// 400 if it is no number.
pub fn revision(asked: &str) -> Result<u64, Status> {
    if asked.is_empty() {
        return Ok(0);
    }
    go::parse_uint(asked).map_err(|why| {
        Status::bad_request(format!("resourceVersion: Invalid value: {asked:?}: {why}"))
    })
}

impl Registry {
    /// Waits until the revision that a read asks for has come. Empty and `0` ask for none.
    ///
    /// # Errors
    /// 504 when it does not come soon.
    pub async fn reached(&self, resource_version: &str) -> Result<(), Status> {
        // What is no number is refused by who knows what it is for.
        let asked: u64 = resource_version.parse().unwrap_or_default();
        if asked <= self.store.revision() {
            return Ok(());
        }
        let mut changes = self.store.subscribe();
        let reached = async {
            while asked > self.store.revision() {
                if changes.next().await.is_none() {
                    break;
                }
            }
        };
        let _late = tokio::time::timeout(REVISION_TIMEOUT, reached).await;
        let now = self.store.revision();
        if asked > now {
            return Err(Status::too_large_revision(asked, now));
        }
        Ok(())
    }

    /// The collection of `target` (in its namespace, or everywhere), as far as the options select it.
    ///
    /// # Errors
    /// 410 when the asked revision is gone, 504 when it has not come yet, 400/422 for options that make no sense, 500 when
    /// objects cannot be converted to the version that is asked for.
    pub async fn list(&self, target: &Target, options: &ListOptions) -> Result<Page, Status> {
        options.check(false)?;
        let namespace = (!target.namespace.is_empty()).then_some(target.namespace.as_str());
        let storage = &*target.resource.storage;
        let token = (!options.continue_token.is_empty())
            .then(|| Token::decode(&options.continue_token, &self.mark()))
            .transpose()?;
        let asked = options.revision().map_err(|status| {
            Status::bad_request(format!("invalid resource version: {}", status.message))
        })?;
        let now = self.store.revision();
        if asked > now {
            return Err(Status::too_large_revision(asked, now));
        }
        let is_exact = options.resource_version_match == "Exact"
            || (asked > 0 && options.limit > 0 && options.resource_version_match.is_empty());
        let listing = match &token {
            Some(token) if token.rv > 0 => {
                let revision = token.rv.unsigned_abs();
                self.store
                    .list_at(storage, namespace, revision)
                    .map_err(|_| expired_token(token))?
            }
            None if is_exact => self.store.list_at(storage, namespace, asked).map_err(|_| {
                Status::expired("The resourceVersion for the provided list is too old.")
            })?,
            _ => self.store.list(storage, namespace),
        };
        let start = token.map(|token| token.start).unwrap_or_default();
        let mut listing = listing;
        // Fields are selected in the version that was asked for; otherwise only what is shown has to be converted.
        let selects_fields = !options.fields.is_everything();
        if selects_fields {
            listing.objects = self.shown(&target.resource, listing.objects).await?;
        }
        let mut page = self.page(target, options, listing, &start);
        if !selects_fields {
            page.objects = self.shown(&target.resource, page.objects).await?;
        }
        Ok(page)
    }

    fn page(
        &self,
        target: &Target,
        options: &ListOptions,
        listing: crate::store::Listing,
        start: &str,
    ) -> Page {
        let selects = !options.labels.is_everything() || !options.fields.is_everything();
        // A list from "any" revision is served whole, as the watch cache of Kubernetes does.
        let limit = if options.resource_version == "0" {
            0
        } else {
            options.limit
        };
        let is_after = |object: &Object| {
            start.is_empty()
                || (&*object.header.namespace, &*object.header.name)
                    > start.split_once('/').unwrap_or(("", start))
        };
        let mut rest = listing
            .objects
            .into_iter()
            .filter(|o| is_after(o))
            .filter(|o| !selects || self.selects(target, options, o));
        if limit == 0 {
            return Page {
                objects: rest.collect(),
                revision: listing.revision,
                continue_token: None,
                remaining: None,
            };
        }
        let objects: Vec<_> = rest.by_ref().take(limit).collect();
        let left = rest.count();
        let continue_token = (left > 0).then(|| {
            let last = objects
                .last()
                .map(|o| format!("{}/{}", o.header.namespace, o.header.name));
            Token::at(listing.revision, last.unwrap_or_default(), self.mark()).encode()
        });
        let remaining = (left > 0 && !selects).then_some(left);
        Page {
            objects,
            revision: listing.revision,
            continue_token,
            remaining,
        }
    }

    /// What marks the continue tokens of this cluster; those of others are refused.
    fn mark(&self) -> String {
        hex::encode(&Sha256::digest(self.store.id())[..6])
    }

    /// Whether label and field selectors select the object.
    pub(crate) fn selects(&self, target: &Target, options: &ListOptions, object: &Object) -> bool {
        options.labels.matches(&object.header)
            && options
                .fields
                .matches(&object.header, || self.present(&target.resource, object))
    }
}

impl Token {
    fn at(revision: u64, start: String, mark: String) -> Self {
        Self {
            v: "meta.k8s.io/v1".into(),
            rv: i64::try_from(revision).unwrap_or(i64::MAX),
            start,
            c: mark,
        }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    fn decode(text: &str, mark: &str) -> Result<Self, Status> {
        let bad = |why: &str| {
            Status::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| bad(&error.to_string()))?;
        let token: Self = serde_json::from_slice(&bytes)
            .map_err(|error| bad(&go::json_error(&bytes).unwrap_or_else(|| error.to_string())))?;
        let is_whole = token.v == "meta.k8s.io/v1" && !token.start.is_empty() && token.rv != 0;
        if !is_whole || token.c != mark {
            return Err(bad("it was not made by this server"));
        }
        Ok(token)
    }
}

/// 410 with a token that goes on at the newest state.
fn expired_token(token: &Token) -> Status {
    let on = Token {
        v: token.v.clone(),
        rv: -1,
        start: token.start.clone(),
        c: token.c.clone(),
    };
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.continue_token = Some(on.encode());
    status
}
