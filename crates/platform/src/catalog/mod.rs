//! Catalogs are read, and listed as AppCatalogEntries.
//!
//! Reads Catalogs, their repositories' indexes and the entries that are there; writes one entry for each of the newest
//! versions of each chart, deletes the others, and says in the Catalog's status whether its index could be read. While a
//! repository does not answer, what was read before stays. Catalogs of type `community` have no entries. Metadata files
//! beside charts (`application.giantswarm.io/metadata`) are absent: entries have what the index says.

mod plan;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::application::catalog::{Repository, reasons};
use api::application::labels::CATALOG;
use api::application::{AppCatalogEntry, CATALOG_NAMESPACES, Catalog};
use jiff::Timestamp;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::{Value, json};

use crate::repository::{FetchError, Fetched, Index, Repositories};

/// Keeps the entries of Catalogs.
#[derive(Debug)]
pub struct CatalogController {
    repositories: Arc<Repositories>,
}

/// One Catalog, its index and its entries.
#[derive(Debug)]
pub struct World {
    pub(crate) catalog: Catalog,
    pub(crate) index: Fetched<Index>,
    pub(crate) entries: Vec<Arc<AppCatalogEntry>>,
}

impl CatalogController {
    /// A controller that reads through `repositories`.
    #[must_use]
    pub fn new(repositories: Arc<Repositories>) -> Self {
        Self { repositories }
    }
}

/// The repositories of a Catalog that this process may read. Directories belong to whoever runs the process, so that
/// only Catalogs in the platform's own namespaces may name them.
///
/// # Errors
/// Why none of them is.
pub(crate) fn repositories(catalog: &Catalog) -> Result<Vec<Repository>, String> {
    let namespace = catalog.metadata.namespace.as_deref().unwrap_or_default();
    let mut why = "spec.repositories must name a repository: type helm and its URL".to_owned();
    let mut usable = vec![];
    for repository in catalog.repositories() {
        if repository.type_ != "helm" {
            why = format!(
                "repository type {:?} is not supported, only \"helm\"",
                repository.type_
            );
        } else if repository.url.starts_with("file:") && !CATALOG_NAMESPACES.contains(&namespace) {
            why = format!(
                "only Catalogs in namespaces {} may name directories",
                CATALOG_NAMESPACES.join(" and ")
            );
        } else {
            usable.push(repository.clone());
        }
    }
    if usable.is_empty() {
        Err(why)
    } else {
        Ok(usable)
    }
}

/// Why there is no index, as a reason and a message.
pub(crate) fn problem(error: &FetchError) -> (&'static str, String) {
    let reason = match error {
        FetchError::Unreachable(_) | FetchError::NotFound(_) => reasons::CATALOG_UNREACHABLE,
        FetchError::Invalid(_) => reasons::INDEX_INVALID,
    };
    (reason, error.to_string())
}

impl Reconciler for CatalogController {
    const NAME: &'static str = "catalog";
    type Object = Catalog;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, catalog: &Catalog) -> Result<World, GatherError> {
        let meta = &catalog.metadata;
        let selector = Selector::label(CATALOG, meta.name.as_deref().unwrap_or_default());
        let entries = cx
            .list::<AppCatalogEntry>(meta.namespace.as_deref(), &selector)
            .await?;
        let index = match repositories(catalog) {
            Ok(repositories) if meta.deletion_timestamp.is_none() => {
                self.repositories.index(cx, &repositories)
            }
            Ok(_) => Fetched::Loading,
            Err(why) => Fetched::Failed(FetchError::Invalid(why)),
        };
        Ok(World {
            catalog: catalog.clone(),
            index,
            entries,
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(
        world: &World,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(json!({"apps": world.index.value().map(|index| index.entries.len())}))
    }
}
