//! Where the simulated kubelets of one cluster find its profile.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use runtime::Clock;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};

use super::Profile;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "simulated-pods";
/// The key with the rules.
const RULES: &str = "rules";
/// A watch of the ConfigMap lasts this long, in seconds.
const WATCH_SECONDS: u32 = 290;
/// Pause after the API did not answer; doubled each time up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Complaints about one version of the profile; further ones are left out.
const MAX_COMPLAINTS: usize = 16;

/// The profile as it is now, for any number of kubelets.
#[derive(Debug, Default)]
pub struct Source {
    profile: watch::Sender<Arc<Profile>>,
    wanted: Notify,
}

impl Source {
    /// The profile, for a kubelet: from now on it is read.
    #[must_use]
    pub fn want(&self) -> watch::Receiver<Arc<Profile>> {
        self.wanted.notify_one();
        self.profile.subscribe()
    }

    /// The profile as it is known.
    #[must_use]
    pub fn now(&self) -> Arc<Profile> {
        self.profile.borrow().clone()
    }

    /// Reads the profile as the control plane, as soon as somebody wants it, until the future is dropped.
    pub async fn follow(&self, client: Client, clock: Clock) {
        self.wanted.notified().await;
        let mut pause = MIN_PAUSE;
        loop {
            match Box::pin(self.watch(&client, &clock)).await {
                Ok(()) => pause = MIN_PAUSE,
                Err(error) => {
                    tracing::debug!(%error, "reading the profile of simulated pods");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    async fn watch(&self, client: &Client, clock: &Clock) -> Result<(), kube::Error> {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let only = format!("metadata.name={NAME}");
        let list = maps.list(&ListParams::default().fields(&only)).await?;
        self.take(list.items.first(), client, clock).await;
        let revision = list.metadata.resource_version.unwrap_or_default();
        let params = WatchParams::default().fields(&only).timeout(WATCH_SECONDS);
        let mut events = maps.watch(&params, &revision).await?.boxed();
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(map) | WatchEvent::Modified(map) => {
                    self.take(Some(&map), client, clock).await;
                }
                WatchEvent::Deleted(_) => self.take(None, client, clock).await,
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes over what a ConfigMap says, and tells what is wrong with it.
    async fn take(&self, map: Option<&ConfigMap>, client: &Client, clock: &Clock) {
        let rules = map.and_then(|map| map.data.as_ref()?.get(RULES));
        let (profile, mut complaints) = match rules {
            Some(text) => Profile::read(text),
            None => (Profile::default(), vec![]),
        };
        if let Some(map) = map
            && rules.is_none()
        {
            let keys = map.data.iter().flatten().map(|(key, _)| key.as_str());
            let keys: Vec<&str> = keys.take(MAX_COMPLAINTS).collect();
            complaints.push(format!(
                "there is no key {RULES:?}, only {}: the rules of simulated pods belong there",
                keys.join(", ")
            ));
        }
        // A cluster without rules disturbs nobody.
        let is_news = self.profile.borrow().has_rules() || profile.has_rules();
        self.profile.send_if_modified(|known| {
            *known = Arc::new(profile);
            is_news
        });
        if let Some(map) = map {
            for complaint in complaints.iter().take(MAX_COMPLAINTS) {
                tell(client, map, complaint, clock).await;
            }
        }
    }
}

/// An event about the ConfigMap; one per version and complaint.
async fn tell(client: &Client, map: &ConfigMap, complaint: &str, clock: &Clock) {
    let events: Api<Event> = Api::namespaced(client.clone(), NAMESPACE);
    let version = map.resource_version().unwrap_or_default();
    let digest = Sha256::digest(format!("{version}/{complaint}"));
    let suffix = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    let suffix: String = suffix.collect();
    let at = runtime::rfc3339(clock.now());
    let event = json!({
        "metadata": {"name": format!("{NAME}.{suffix}"), "namespace": NAMESPACE},
        "type": "Warning", "reason": "InvalidScript", "message": complaint,
        "count": 1, "firstTimestamp": at, "lastTimestamp": at,
        "source": {"component": "kubelet"}, "reportingComponent": "kubelet", "reportingInstance": "",
        "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": NAMESPACE, "name": NAME, "uid": map.uid()},
    });
    let Ok(event) = serde_json::from_value::<Event>(event) else {
        return;
    };
    match events.create(&PostParams::default(), &event).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => tracing::debug!(%error, "writing an event"),
        Ok(_) => {}
    }
}
