//! Keeps one kind's cache current: list, then watch from there, for ever.
//!
//! One task per kind and cluster. It never ends by itself: whatever the server does is answered by trying again later.

mod lines;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use self::lines::{Lines, TooLong};
use crate::backoff;
use crate::cache::{Entry, Header, KindCache, Origin, Progress};
use crate::changes::Changes;
use crate::shared::Shared;
use crate::texts::Texts;

const PAGE_SIZE: usize = 500;
const RETRY_MIN: Duration = Duration::from_millis(800);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The pause after a kind had more objects than are kept.
const TOO_MUCH_PAUSE: Duration = Duration::from_secs(300);
/// Pages in a row without any object, after which a list is given up.
const EMPTY_PAGES_MAX: usize = 100;

pub(crate) struct Watch {
    pub(crate) cache: Arc<KindCache>,
    pub(crate) client: Client,
    /// Fires when the server may serve other kinds than before.
    pub(crate) kinds_changed: Changes,
    pub(crate) request_timeout: Duration,
    /// How long one watch request lasts.
    pub(crate) watch_timeout: Duration,
    /// Whether the server is asked to tell from time to time how far it is.
    pub(crate) bookmarks: bool,
    pub(crate) seed: u64,
    pub(crate) shared: Option<Shared>,
    pub(crate) texts: Option<Arc<dyn Texts>>,
}

#[derive(Debug)]
enum Trouble {
    /// The server doesn't serve this kind.
    NotServed,
    /// The revision is too old: list again.
    Expired,
    /// The server answered a watch with an error: whatever it means, a new list starts from what is true.
    Refused(String),
    /// There is more than is kept of a kind.
    TooMuch(String),
    Failed(String),
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Self::NotServed,
            kube::Error::Api(status) if status.code == 410 => Self::Expired,
            kube::Error::Api(status) => Self::Failed(status.message.clone()),
            _ => Self::Failed(crate::chain(&error)),
        }
    }
}

impl Watch {
    pub(crate) async fn run(mut self) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut failures = 0;
        loop {
            // What only a beginning needs is boxed: the task waits for the rest of its life.
            let trouble = match Box::pin(self.list()).await {
                Ok(version) => {
                    let before = self.cache.progress.replace(Progress::Synced);
                    if before != Progress::Synced {
                        self.cache.arrived.notify();
                    }
                    let started = Instant::now();
                    let trouble = self.follow(version, &mut rng).await;
                    if started.elapsed() >= Duration::from_secs(1) {
                        failures = 0;
                    }
                    trouble
                }
                Err(trouble) => trouble,
            };
            let kind = &self.cache.resource.kind;
            match trouble {
                Trouble::Expired => {
                    tracing::debug!(kind, "listing again, the watch's revision is gone");
                    failures += 1;
                    if failures == 1 {
                        continue;
                    }
                }
                Trouble::NotServed => {
                    self.cache.replace(vec![], None);
                    let before = self.cache.progress.replace(Progress::NotServed);
                    if matches!(before, Progress::Starting | Progress::Failed(_)) {
                        self.cache.arrived.notify();
                    }
                    failures += 1;
                }
                Trouble::Refused(why) => {
                    tracing::debug!(kind, why, "listing again, the watch was refused");
                    failures += 1;
                }
                Trouble::TooMuch(why) => {
                    self.give_up(why).await;
                    continue;
                }
                Trouble::Failed(why) => {
                    tracing::debug!(kind, why, "listing failed");
                    // This task alone changes it.
                    let is_first = matches!(
                        self.cache.progress.get(),
                        Progress::Starting | Progress::Failed(_)
                    );
                    if is_first {
                        self.cache
                            .progress
                            .replace(Progress::Failed(Arc::from(why)));
                    }
                    failures += 1;
                }
            }
            let pause = backoff(failures, RETRY_MIN, RETRY_MAX, 0.2, &mut rng);
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => {}
                () = self.kinds_changed.changed() => {}
            }
        }
    }

    /// Lets go of everything for a while: whoever reads the kind is told why, and nobody takes its objects for deleted ones.
    async fn give_up(&self, why: String) {
        let (kind, group) = (&self.cache.resource.kind, &self.cache.resource.group);
        let seconds = TOO_MUCH_PAUSE.as_secs();
        tracing::warn!(
            kind,
            group,
            why,
            seconds,
            "the objects of a kind are not kept, it is tried again later"
        );
        let why = Progress::Failed(Arc::from(why));
        self.cache.progress.replace(why);
        self.cache.replace(vec![], None);
        tokio::time::sleep(TOO_MUCH_PAUSE).await;
    }

    /// Watches from `version` on, reconnecting as needed, until a list is needed.
    async fn follow(&self, mut version: String, rng: &mut StdRng) -> Trouble {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            match self.watch(&mut version, rng).await {
                Ok(()) if started.elapsed() >= Duration::from_secs(1) => {
                    failures = 0;
                    continue;
                }
                Ok(()) => failures += 1,
                Err(Trouble::Failed(why)) => {
                    let kind = &self.cache.resource.kind;
                    tracing::debug!(kind, why, "watch broke off");
                    failures += 1;
                }
                Err(trouble) => return trouble,
            }
            tokio::time::sleep(backoff(failures, RETRY_MIN, RETRY_MAX, 0.2, rng)).await;
        }
    }

    /// Fills the cache with what there is; returns the version to watch from.
    async fn list(&self) -> Result<String, Trouble> {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            metadata: PageMeta<'a>,
            #[serde(borrow, default)]
            items: Option<Vec<&'a RawValue>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct PageMeta<'a> {
            #[serde(borrow)]
            resource_version: Cow<'a, str>,
            #[serde(rename = "continue", borrow, default)]
            next: Option<Cow<'a, str>>,
        }
        let mut entries = vec![];
        let mut next = String::new();
        let (mut counted, mut empty_pages) = (self.cache.counting(), 0);
        loop {
            let mut query = format!("limit={PAGE_SIZE}");
            if !next.is_empty() {
                query.push_str("&continue=");
                query.extend(next.bytes().map(query_byte));
            }
            let request = self.request(&query)?;
            let text = timeout(self.request_timeout, self.client.request_text(request));
            let text = text
                .await
                .map_err(|_| Trouble::Failed("the list timed out".to_owned()))??;
            let page: Page<'_> = serde_json::from_str(&text)
                .map_err(|e| Trouble::Failed(format!("the list is unreadable: {e}")))?;
            let items = page.items.unwrap_or_default();
            empty_pages = if items.is_empty() { empty_pages + 1 } else { 0 };
            if empty_pages > EMPTY_PAGES_MAX {
                return Err(Trouble::Failed("the list does not end".to_owned()));
            }
            for item in items {
                // Those that are skipped as malformed count as well: a list of them must end, too.
                counted.add(item.get().len());
                if let Some(why) = counted.excess() {
                    return Err(Trouble::TooMuch(why));
                }
                let entry = self.parse(item);
                entries.extend(entry.map(|entry| match &self.shared {
                    Some(shared) => shared.entry(entry),
                    None => Arc::new(entry),
                }));
            }
            match page.metadata.next {
                Some(token) if !token.is_empty() => next = token.into_owned(),
                _ => {
                    let version = page.metadata.resource_version.into_owned();
                    drop(counted);
                    self.cache.replace(entries, version.parse().ok());
                    return Ok(version);
                }
            }
        }
    }

    /// One watch request; moves `version` along. `Ok` when the server ended it in an orderly way.
    async fn watch(&self, version: &mut String, rng: &mut StdRng) -> Result<(), Trouble> {
        let seconds = self
            .watch_timeout
            .mul_f64(rng.random_range(0.9..1.1))
            .as_secs();
        let query = format!(
            "watch=true&allowWatchBookmarks={}&timeoutSeconds={seconds}&resourceVersion={version}",
            self.bookmarks
        );
        let mut body = Box::pin(self.open(&query)).await?;
        let silence_max = Duration::from_secs(seconds) + self.request_timeout;
        let mut lines = Lines::default();
        loop {
            let frame = timeout(silence_max, body.frame()).await;
            let frame = frame.map_err(|_| Trouble::Failed("the watch fell silent".to_owned()))?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|error| Trouble::Failed(crate::chain(&error)))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let mut rest = &data[..];
            let too_long = |_: TooLong| Trouble::Failed(TooLong::told());
            while let Some(line) = lines.next(&mut rest).map_err(too_long)? {
                self.event(&line, version)?;
                if let Some(why) = self.cache.excess() {
                    return Err(Trouble::TooMuch(why));
                }
            }
        }
    }

    /// Sends a watch request; the body of its answer is the events.
    async fn open(&self, query: &str) -> Result<Body, Trouble> {
        let request = self.request(query)?.map(Body::from);
        let response = timeout(self.request_timeout, self.client.send(request));
        let response = response
            .await
            .map_err(|_| Trouble::Failed("the watch did not start".to_owned()))??;
        match response.status().as_u16() {
            200..=299 => Ok(response.into_body()),
            404 => Err(Trouble::NotServed),
            410 => Err(Trouble::Expired),
            code => Err(Trouble::Refused(format!(
                "the watch was answered with HTTP {code}"
            ))),
        }
    }

    fn event(&self, line: &[u8], version: &mut String) -> Result<(), Trouble> {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(rename = "type", borrow)]
            what: Cow<'a, str>,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        let text = std::str::from_utf8(line).map_err(|e| Trouble::Failed(e.to_string()))?;
        let event: Event<'_> = serde_json::from_str(text)
            .map_err(|e| Trouble::Failed(format!("an event is unreadable: {e}")))?;
        match &*event.what {
            "ADDED" | "MODIFIED" => {
                if let Some(entry) = self.parse(event.object) {
                    version.clone_from(&entry.header.resource_version);
                    self.cache.upsert(Arc::new(entry), Origin::Watch);
                }
            }
            "DELETED" => {
                if let Some(entry) = self.parse(event.object) {
                    version.clone_from(&entry.header.resource_version);
                    self.cache.removed(&entry.header);
                }
            }
            "BOOKMARK" => {
                #[derive(Deserialize)]
                struct Bookmark {
                    metadata: BookmarkMeta,
                }
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct BookmarkMeta {
                    resource_version: String,
                }
                if let Ok(bookmark) = serde_json::from_str::<Bookmark>(event.object.get()) {
                    self.cache
                        .bookmark(bookmark.metadata.resource_version.parse().ok());
                    *version = bookmark.metadata.resource_version;
                }
            }
            "ERROR" => {
                let status: kube::core::Status =
                    serde_json::from_str(event.object.get()).unwrap_or_default();
                return Err(match status.code {
                    410 => Trouble::Expired,
                    _ => Trouble::Refused(status.message),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn parse(&self, raw: &RawValue) -> Option<Entry> {
        let texts = self.texts.as_ref();
        let known = |header: &Header| texts?.text(&self.cache.resource, header);
        match Entry::parse(raw, known) {
            Ok(entry) => Some(entry),
            Err(why) => {
                let kind = &self.cache.resource.kind;
                tracing::warn!(kind, why, "skipping a malformed object");
                self.cache.malformed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn request(&self, query: &str) -> Result<http::Request<Vec<u8>>, Trouble> {
        let resource = &self.cache.resource;
        let path = crate::cluster::path(resource, None, None);
        http::Request::get(format!("{path}?{query}"))
            .body(vec![])
            .map_err(|error| Trouble::Failed(error.to_string()))
    }
}

/// Continue tokens are opaque; only characters that are safe in a query are left as they are.
fn query_byte(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests;
