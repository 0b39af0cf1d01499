//! Static pods: a node runs them whatever the API says, and shows them there as mirror pods.
//!
//! A mirror that is deleted comes back, and what it shows goes on as it was; one that has no manifest any more, or another
//! one, is deleted. Mirrors that others made for the node, which do not say when they were seen, are left alone.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::life::later;
use super::{Key, Kubelet, REFUSED_PAUSE, key};

/// The annotation that makes a pod a mirror; its value is the hash of what it mirrors.
const MIRROR: &str = "kubernetes.io/config.mirror";
const HASH: &str = "kubernetes.io/config.hash";
const SEEN: &str = "kubernetes.io/config.seen";
const SOURCE: &str = "kubernetes.io/config.source";

/// Among the alarms of pods, that of all mirrors: no pod is called like this.
pub(super) const ALARM: Key = (String::new(), String::new());

/// Whether the pod shows a static one.
pub(super) fn is_mirror(pod: &Pod) -> bool {
    hash(pod).is_some()
}

fn hash(pod: &Pod) -> Option<&String> {
    pod.metadata.annotations.as_ref()?.get(MIRROR)
}

/// What is to be done about one mirror.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Create(Box<Pod>),
    Delete(Key),
}

/// The mirrors of the static pods on a node, held against those that are there: pure.
pub(super) fn plan(
    statics: &[Pod],
    (node, uid): (&str, &str),
    there: &[&Pod],
    now: Timestamp,
) -> Vec<Act> {
    let wanted: Vec<Pod> = statics
        .iter()
        .map(|pod| mirror(pod, (node, uid), now))
        .collect();
    let is_wanted = |pod: &Pod| {
        let mut wanted = wanted.iter();
        wanted.any(|wanted| key(wanted) == key(pod) && hash(wanted) == hash(pod))
    };
    let is_own = |pod: &Pod| {
        let annotations = pod.metadata.annotations.as_ref();
        is_mirror(pod) && annotations.is_some_and(|all| all.contains_key(SEEN))
    };
    let old = there.iter().filter(|pod| is_own(pod) && !is_wanted(pod));
    let mut acts: Vec<Act> = old.map(|pod| Act::Delete(key(pod))).collect();
    let is_there = |wanted: &Pod| there.iter().any(|pod| key(pod) == key(wanted));
    let new = wanted.iter().filter(|wanted| !is_there(wanted));
    acts.extend(new.map(|pod| Act::Create(Box::new(pod.clone()))));
    acts
}

fn mirror(pod: &Pod, (node, uid): (&str, &str), now: Timestamp) -> Pod {
    let mut mirror = pod.clone();
    let digest = Sha256::digest(json!([pod, node]).to_string());
    let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    let digest: String = digest.collect();
    let meta = &mut mirror.metadata;
    meta.name = Some(format!("{}-{node}", pod.name_any()));
    meta.namespace.get_or_insert_with(|| "default".into());
    let annotations = meta.annotations.get_or_insert_default();
    for (name, value) in [
        (HASH, digest.clone()),
        (MIRROR, digest),
        (SEEN, now.to_string()),
        (SOURCE, "file".into()),
    ] {
        annotations.insert(name.into(), value);
    }
    let owner =
        json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": true}]);
    meta.owner_references = serde_json::from_value(owner).ok();
    mirror.status = None;
    if let Some(spec) = &mut mirror.spec {
        spec.node_name = Some(node.to_owned());
        // Nobody can send them away.
        let all = serde_json::from_value(json!({"operator": "Exists", "effect": "NoExecute"}));
        let tolerations = spec.tolerations.get_or_insert_default();
        tolerations.extend(all.ok());
    }
    mirror
}

impl Kubelet {
    /// Makes the mirrors what they should be; what the API refuses is tried again later.
    pub(super) async fn mirror(&mut self) -> Result<(), kube::Error> {
        let mirrors: Vec<&Pod> = self
            .pods
            .values()
            .map(|pod| &**pod)
            .filter(|pod| is_mirror(pod))
            .collect();
        if self.spec.static_pods.is_empty() && mirrors.is_empty() {
            return Ok(());
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.get(&self.spec.node_name).await?;
        let (name, uid) = (node.name_any(), node.uid().unwrap_or_default());
        let now = self.clock.now();
        for act in plan(&self.spec.static_pods, (&name, &uid), &mirrors, now) {
            let result = match &act {
                Act::Create(pod) => {
                    let (namespace, _) = key(pod);
                    let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
                    pods.create(&PostParams::default(), pod).await.map(drop)
                }
                Act::Delete(at) => {
                    let old = self.pods.get(at);
                    match old {
                        Some(old) => self.remove(at, old).await,
                        None => Ok(()),
                    }
                }
            };
            match result {
                // It is there already, and comes by the watch.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(kube::Error::Api(status)) => {
                    tracing::info!(
                        node = name,
                        why = status.message,
                        "the API refuses a mirror pod"
                    );
                    self.alarms.insert(ALARM, later(now, REFUSED_PAUSE));
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// A mirror is gone: what it showed is remembered, if it comes back.
    pub(super) fn lose(&mut self, at: &Key, mirror: Pod) {
        let Some(status) = mirror.status else { return };
        let names = self.spec.static_pods.iter();
        let mut names = names.map(|pod| format!("{}-{}", pod.name_any(), self.spec.node_name));
        if names.any(|name| name == at.1) {
            self.unmirrored.insert(at.clone(), status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statics() -> Vec<Pod> {
        let pod = json!({
            "metadata": {"name": "etcd", "namespace": "kube-system", "labels": {"tier": "control-plane"}},
            "spec": {"hostNetwork": true, "containers": [{"name": "etcd", "image": "etcd:3"}]},
        });
        vec![serde_json::from_value(pod).unwrap()]
    }

    fn acts(statics: &[Pod], there: &[&Pod]) -> Vec<Act> {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        plan(statics, ("n1", "u1"), there, now)
    }

    #[test]
    fn a_mirror_says_what_it_is() {
        let created = acts(&statics(), &[]);
        let [Act::Create(mirror)] = created.as_slice() else {
            panic!("{created:?}");
        };
        let text = serde_json::to_string_pretty(mirror).unwrap();
        expect_test::expect_file!["mirror.golden.json"].assert_eq(&text);
        // Nothing more is to be done then.
        assert_eq!(acts(&statics(), &[mirror]), []);
    }

    #[test]
    fn a_mirror_of_another_manifest_goes() {
        let created = acts(&statics(), &[]);
        let [Act::Create(mirror)] = created.as_slice() else {
            panic!("{created:?}");
        };
        let mut changed = statics();
        changed[0].spec.as_mut().unwrap().containers[0].image = Some("etcd:4".into());
        let gone = Act::Delete(("kube-system".into(), "etcd-n1".into()));
        // The new one is made when the old one is gone.
        assert_eq!(acts(&changed, &[mirror]), std::slice::from_ref(&gone));
        assert_eq!(acts(&[], &[mirror]), [gone]);
        let foreign = json!({"metadata": {"name": "p", "annotations": {MIRROR: "of somebody"}}});
        for other in [json!({"metadata": {"name": "p"}}), foreign] {
            let other: Pod = serde_json::from_value(other).unwrap();
            assert_eq!(acts(&[], &[&other]), []);
        }
    }
}
