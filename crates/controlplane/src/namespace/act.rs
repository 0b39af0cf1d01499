//! Requests that are about a whole namespace.

use kube::core::ApiResource;
use runtime::{Cx, Wait};
use serde_json::Value;

use super::{Act, CONTENT, World};

pub(super) async fn act(cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
    match act {
        Act::DeleteAll(resource) => {
            let path = collection(resource, &world.name);
            let request = http::Request::delete(path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}"#.to_vec());
            let what = format!("deleting {} in namespace {}", resource.plural, world.name);
            send(cx, &what, request).await.map(drop)
        }
        Act::Finalize => finalize(cx, world).await,
    }
}

/// Caches may be a moment behind, and what they miss would be orphaned for ever: the server itself has to say that every
/// kind is empty. Nothing new can appear: nothing can be created in a namespace that is being deleted.
async fn finalize(cx: &Cx, world: &World) -> Result<(), Wait> {
    for resource in &world.kinds {
        let request = http::Request::get(format!("{}?limit=1", collection(resource, &world.name)));
        let what = format!("listing {} in namespace {}", resource.plural, world.name);
        let list = send(cx, &what, request.body(vec![])).await?;
        if list["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
        {
            return Err(Wait {
                reason: "SomeResourcesRemain",
                message: format!("some {} are still there", resource.plural),
            });
        }
    }
    let path = format!("/api/v1/namespaces/{}", world.name);
    let what = format!("finalizing namespace {}", world.name);
    let mut namespace = send(cx, &what, http::Request::get(&path).body(vec![])).await?;
    if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| finalizer != CONTENT);
    }
    let request = http::Request::put(format!("{path}/finalize"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(namespace.to_string().into_bytes());
    send(cx, &what, request).await.map(drop)
}

fn collection(resource: &ApiResource, namespace: &str) -> String {
    let root = if resource.group.is_empty() {
        "api"
    } else {
        "apis"
    };
    format!(
        "/{root}/{}/namespaces/{namespace}/{}",
        resource.api_version, resource.plural
    )
}

/// Sends one request; a missing object or kind is as good as an empty answer.
async fn send(
    cx: &Cx,
    what: &str,
    request: Result<http::Request<Vec<u8>>, http::Error>,
) -> Result<Value, Wait> {
    let failed = |why: String| Wait {
        reason: "ContentDeletionFailed",
        message: format!("{what}: {why}"),
    };
    let request = request.map_err(|error| failed(error.to_string()))?;
    match cx.cluster().request(request).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Value::Null),
        Err(kube::Error::Api(status)) => Err(failed(status.message.clone())),
        Err(error) => Err(failed(runtime::chain(&error))),
    }
}
