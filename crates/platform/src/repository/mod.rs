//! Helm repositories: indexes and charts, fetched in the background and kept for a while.
//!
//! Nobody ever waits for a repository: who asks is told how things stand, and is woken when that changes. An index is read
//! again now and then while somebody looks at it; what was read stays in use while the repository does not answer. A
//! repository is a URL with an `index.yaml` under it, or a directory (`file:///…`) with an `index.yaml`, or with charts,
//! packed or not. OCI registries are absent.

mod fetch;
mod index;
mod shelf;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::application::catalog::Repository;
use render::Chart;
use runtime::Cx;

pub use index::{Index, Missing, Version};
pub use shelf::Fetched;
use shelf::{Fetch, Shelf};

/// How often the index of a web server is read again.
const INDEX_REFRESH: Duration = Duration::from_secs(300);
/// How often a directory is read again.
const DIRECTORY_REFRESH: Duration = Duration::from_secs(15);
/// Indexes and charts kept at once; those that nobody looked at for longest go first.
const MAX_INDEXES: usize = 256;
const MAX_CHARTS: usize = 32;

/// Why something could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server or directory does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It answers that there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What it has is not what it should be, or is beyond a limit.
    #[error("{0}")]
    Invalid(String),
}

/// All repositories that somebody looks at.
pub struct Repositories {
    http: reqwest::Client,
    indexes: Shelf<Index>,
    charts: Shelf<Chart>,
}

impl Repositories {
    /// No repository yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            http: fetch::client(),
            indexes: Shelf::new(MAX_INDEXES),
            charts: Shelf::new(MAX_CHARTS),
        }
    }

    /// The index of the first of these repositories that has one. Wakes the object of the pass when that changes.
    #[must_use]
    pub fn index(&self, cx: &Cx, repositories: &[Repository]) -> Fetched<Index> {
        let mut last = Fetched::Failed(FetchError::NotFound("no repository is named".to_owned()));
        for repository in repositories {
            let url = repository.url.trim_end_matches('/').to_owned();
            let refresh = if url.starts_with("file:") {
                DIRECTORY_REFRESH
            } else {
                INDEX_REFRESH
            };
            let http = self.http.clone();
            let fetch: Fetch<Index> = {
                let url = url.clone();
                Arc::new(move || {
                    let (http, url) = (http.clone(), url.clone());
                    Box::pin(async move { fetch::index(&http, &url).await })
                })
            };
            last = self.indexes.look(cx, &url, Some(refresh), fetch);
            if !matches!(last, Fetched::Failed(_)) {
                break;
            }
        }
        last
    }

    /// The chart at a URL of an index. Wakes the object of the pass when it is there.
    #[must_use]
    pub fn chart(&self, cx: &Cx, url: &str, digest: Option<&str>) -> Fetched<Chart> {
        let http = self.http.clone();
        let key = format!("{url}#{}", digest.unwrap_or_default());
        let (url, digest) = (url.to_owned(), digest.map(str::to_owned));
        // Directories change under their name; archives do not.
        let refresh = url.starts_with("file:").then_some(DIRECTORY_REFRESH);
        let fetch: Fetch<Chart> = Arc::new(move || {
            let (http, url, digest) = (http.clone(), url.clone(), digest.clone());
            Box::pin(async move { fetch::chart(&http, &url, digest.as_deref()).await })
        });
        self.charts.look(cx, &key, refresh, fetch)
    }
}

impl Default for Repositories {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Repositories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Repositories({} indexes, {} charts)",
            self.indexes.len(),
            self.charts.len()
        )
    }
}
