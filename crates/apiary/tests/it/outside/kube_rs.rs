//! kube-rs over the network, with the kubeconfig that `apiary` writes: typed and dynamic objects, watchers of both
//! strategies, a finalizer, server-side apply and its conflicts.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Client, Config, ResourceExt};
use serde_json::json;

use super::world::Fleet;

/// The longest that anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

async fn client(kubeconfig: &std::path::Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some(BTreeMap::from([("story".into(), "kube-rs".into())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("value".into(), value.into())])),
        ..ConfigMap::default()
    }
}

/// What a watcher of this strategy says while a ConfigMap comes, changes and goes.
async fn watched(api: &Api<ConfigMap>, strategy: InitialListStrategy) -> Vec<String> {
    let config = watcher::Config {
        initial_list_strategy: strategy,
        ..watcher::Config::default().labels("story=kube-rs")
    };
    let mut events = watcher::watcher(api.clone(), config).boxed();
    let mut seen = vec![];
    let post = PostParams::default();
    while let Some(event) = events.try_next().await.unwrap() {
        match event {
            Event::Init => seen.push("init".into()),
            Event::InitApply(map) => seen.push(format!("is {}", map.name_any())),
            Event::InitDone => {
                seen.push("done".into());
                let mut made = api.create(&post, &config_map("new", "1")).await.unwrap();
                made.data = config_map("new", "2").data;
                api.replace("new", &post, &made).await.unwrap();
                api.delete("new", &DeleteParams::default()).await.unwrap();
            }
            Event::Apply(map) => {
                let value = map.data.as_ref().and_then(|data| data.get("value"));
                seen.push(format!("{} {}", map.name_any(), value.unwrap()));
            }
            Event::Delete(map) => {
                seen.push(format!("gone {}", map.name_any()));
                return seen;
            }
        }
    }
    panic!("the watch ended: {seen:?}");
}

#[tokio::test]
async fn kube_rs_watches_and_applies() {
    let Some(fleet) = Fleet::shared() else { return };
    let hello = fleet.hello("kube-rs");
    let client = client(&hello.kubeconfig).await;
    let api: Api<ConfigMap> = Api::namespaced(client, "kube-rs");
    let post = PostParams::default();
    api.create(&post, &config_map("old", "0")).await.unwrap();
    for strategy in [
        InitialListStrategy::ListWatch,
        InitialListStrategy::StreamingList,
    ] {
        let watching = watched(&api, strategy);
        let seen = tokio::time::timeout(LIMIT, watching).await.unwrap();
        assert_eq!(
            seen,
            ["init", "is old", "done", "new 1", "new 2", "gone new"]
        );
    }

    let apply = |manager: &str, force: bool| PatchParams {
        field_manager: Some(manager.into()),
        force,
        ..PatchParams::default()
    };
    let patch = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"value": value}});
    let one = Patch::Apply(patch("1"));
    let made = api.patch("mine", &apply("one", false), &one).await.unwrap();
    let again = api.patch("mine", &apply("one", false), &one).await.unwrap();
    assert_eq!(made.resource_version(), again.resource_version());
    let two = Patch::Apply(patch("2"));
    let kube::Error::Api(conflict) = api
        .patch("mine", &apply("two", false), &two)
        .await
        .unwrap_err()
    else {
        panic!("not an answer of the API");
    };
    assert_eq!((conflict.code, &*conflict.reason), (409, "Conflict"));
    assert!(
        conflict.message.contains(r#"conflict with "one""#),
        "{}",
        conflict.message
    );
    api.patch("mine", &apply("two", true), &two).await.unwrap();

    let metadata = api
        .list_metadata(&ListParams::default().limit(1))
        .await
        .unwrap();
    assert_eq!(metadata.items.len(), 1);
    assert!(metadata.metadata.continue_.is_some());
    let stale = made;
    let refused = api.replace("mine", &post, &stale).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.reason == "Conflict"));
}
