//! Events about simulated pods: the same one is counted up rather than written anew.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as ApiEvent, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::pod::Event;

/// Events that are remembered of one pod.
const REMEMBERED_MAX: usize = 32;

/// What was told of each pod.
#[derive(Default)]
pub(super) struct Told {
    pods: HashMap<(String, String), Vec<Known>>,
    /// Tells apart what is told at the same moment.
    serial: u64,
}

struct Known {
    uid: Option<String>,
    event: Event,
    /// Of the object in the API.
    name: String,
    count: i32,
}

impl Told {
    /// The pod is gone.
    pub(super) fn forget(&mut self, pod: &(String, String)) {
        self.pods.remove(pod);
    }

    /// Forgets the pods that are not there.
    pub(super) fn keep(&mut self, is_there: impl Fn(&(String, String)) -> bool) {
        self.pods.retain(|at, _| is_there(at));
    }

    /// Tells an event about a pod on a node; nobody's life depends on it.
    pub(super) async fn tell(
        &mut self,
        client: &Client,
        (node, pod): (&str, &Pod),
        event: &Event,
        now: Timestamp,
    ) {
        let namespace = pod.namespace().unwrap_or_default();
        let events: Api<ApiEvent> = Api::namespaced(client.clone(), &namespace);
        let at = runtime::rfc3339(now);
        let known = self
            .pods
            .entry((namespace.clone(), pod.name_any()))
            .or_default();
        let is_same = |known: &&mut Known| known.uid == pod.uid() && known.event == *event;
        if let Some(known) = known.iter_mut().find(is_same) {
            known.count += 1;
            let patch = json!({"count": known.count, "lastTimestamp": at});
            let counted = events
                .patch(&known.name, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            if counted.is_ok() {
                return;
            }
        }
        known.retain(|known| known.uid == pod.uid() && known.event != *event);
        let mut object = json!({
            "metadata": {}, "type": if event.is_warning { "Warning" } else { "Normal" },
            "reason": event.reason, "message": event.message, "count": 1, "firstTimestamp": at, "lastTimestamp": at,
            "source": {"component": "kubelet", "host": node},
            "reportingComponent": "kubelet", "reportingInstance": node,
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod.name_any(), "uid": pod.uid()},
        });
        if !event.field.is_empty() {
            object["involvedObject"]["fieldPath"] = event.field.clone().into();
        }
        let Ok(mut object) = serde_json::from_value::<ApiEvent>(object) else {
            return;
        };
        self.serial += 1;
        let seed = format!("{node}/{:?}/{now}/{}", pod.uid(), self.serial);
        let digest = Sha256::digest(seed);
        let suffix = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        let name = format!("{}.{}", pod.name_any(), suffix.collect::<String>());
        object.metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        };
        match events.create(&PostParams::default(), &object).await {
            Ok(_) if known.len() < REMEMBERED_MAX => known.push(Known {
                uid: pod.uid(),
                event: event.clone(),
                name,
                count: 1,
            }),
            Ok(_) => {}
            Err(error) => tracing::debug!(pod = pod.name_any(), %error, "writing an event"),
        }
    }
}
