//! Watches alone: what they take, and what they do not put up with.

use std::convert::Infallible;

use http::{Request, Response};
use serde_json::json;

use super::*;
use crate::testing::Api;
use crate::{CacheLimits, Clock, Cluster, ClusterOptions, GatherError, Selector};

const THINGS: &str = "test.io/v1/things";

fn things() -> kube::core::ApiResource {
    kube::core::ApiResource {
        group: "test.io".into(),
        version: "v1".into(),
        api_version: "test.io/v1".into(),
        kind: "Thing".into(),
        plural: "things".into(),
    }
}

/// A cluster that keeps three objects of a kind.
fn small(client: Client) -> Arc<Cluster> {
    let options = ClusterOptions {
        limits: CacheLimits {
            objects: 3,
            ..CacheLimits::default()
        },
        ..ClusterOptions::default()
    };
    Cluster::new(client, Clock::system(), options)
}

/// The names of all things, or why nobody knows.
async fn names(cluster: &Cluster) -> String {
    match cluster.entries(&things(), None, &Selector::all()).await {
        Ok(entries) => {
            let names: Vec<&str> = entries.iter().map(|e| &*e.header.name).collect();
            names.join(" ")
        }
        Err(GatherError::Unavailable { why, .. }) => why,
        Err(error) => error.to_string(),
    }
}

/// Resolves when the kind is known or given up.
async fn until(cluster: &Cluster, is_it: impl Fn(&Progress) -> bool) {
    cluster.kind(&things()).progress.wait_for(is_it).await;
}

/// Hundreds of clusters times dozens of kinds wait in such a task.
#[tokio::test]
async fn an_idle_watch_is_small() {
    let clock = Clock::system();
    let client = Api::default().client();
    let cluster = Cluster::new(client.clone(), clock, ClusterOptions::default());
    let watch = Watch {
        cache: cluster.kind(&cluster.follow_definitions()),
        client,
        kinds_changed: cluster.kinds_changed(),
        request_timeout: Duration::from_secs(1),
        watch_timeout: Duration::from_secs(1),
        bookmarks: true,
        seed: 0,
        shared: None,
        texts: None,
    };
    let size = size_of_val(&watch.run());
    assert!(size < 1536, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_kind_with_too_many_objects_is_given_up_and_tried_again() {
    let api = Api::default();
    let put = |name: &str| {
        api.put(
            THINGS,
            json!({"metadata": {"namespace": "ns", "name": name}}),
        );
    };
    for name in ["a", "b", "c"] {
        put(name);
    }
    let cluster = small(api.client());
    assert_eq!(names(&cluster).await, "a b c");
    // One more comes by the watch.
    put("d");
    let is_given_up = |progress: &Progress| matches!(progress, Progress::Failed(_));
    until(&cluster, is_given_up).await;
    assert_eq!(names(&cluster).await, "the kind has more than 3 objects");
    assert!(
        cluster
            .kind(&things())
            .list(None, None, &Selector::all())
            .is_empty()
    );
    // The next time it is a list that is too long; the one after that is short enough.
    tokio::time::sleep(TOO_MUCH_PAUSE + Duration::from_secs(1)).await;
    assert_eq!(names(&cluster).await, "the kind has more than 3 objects");
    api.delete(THINGS, "ns", "a");
    until(&cluster, |progress| *progress == Progress::Synced).await;
    assert_eq!(names(&cluster).await, "b c d");
}

#[tokio::test(start_paused = true)]
async fn lists_without_an_end_are_given_up() {
    for items in [
        json!([{"metadata": {"name": "a", "resourceVersion": "1"}}]),
        json!([{"no": "object"}]),
        json!([]),
    ] {
        let page =
            json!({"metadata": {"resourceVersion": "1", "continue": "more"}, "items": items});
        let service = tower::service_fn(move |request: Request<Body>| {
            let mut response = Response::new(Body::from(page.to_string().into_bytes()));
            if !request.uri().path().ends_with("/things") {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let cluster = small(Client::new(service, "default"));
        let expected = match items.as_array().map(Vec::len) {
            Some(0) => "the list does not end",
            _ => "the kind has more than 3 objects",
        };
        assert_eq!(names(&cluster).await, expected);
    }
}
