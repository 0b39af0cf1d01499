//! A cluster as a place of work: reads and writes of single objects, with errors that name the object.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::application::app::reasons;
use api::application::{App, PLATFORM_NAMESPACE};
use http::HeaderValue;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::client::Body;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use runtime::{Cluster, Cx, Wait};
use serde_json::Value;
use tower::{BoxError, service_fn};

/// The longest one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Field manager of the objects of charts.
pub(super) const MANAGER: &str = "apiary-chart";
/// With whose rights tenants' charts are installed on the management cluster.
const TENANT: &str = "system:serviceaccount:default:automation";

/// A cluster to work on.
#[derive(Clone)]
pub struct Site {
    cluster: Arc<Cluster>,
    /// With our own rights.
    client: Client,
    /// With the rights that the objects of the chart are written with.
    author: Client,
}

/// An object of a release as it is addressed on a cluster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) resource: ApiResource,
    /// Empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Site {
    /// The cluster that `cx` reads, for work on an App.
    #[must_use]
    pub fn of(cx: &Cx, app: &App) -> Self {
        let client = cx.client();
        let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
        let is_tenants = app.spec.kube_config.in_cluster && namespace != PLATFORM_NAMESPACE;
        let author = if is_tenants {
            impersonating(&client, TENANT)
        } else {
            client.clone()
        };
        Self {
            cluster: Arc::clone(cx.cluster()),
            client,
            author,
        }
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Where an object belongs; `namespace` is for those that name none.
    pub(super) async fn place(&self, object: &Value, namespace: &str) -> Result<Place, Wait> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let name = text(&object["metadata"]["name"]);
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        if kind.is_empty() || version.is_empty() || name.is_empty() {
            return Err(failed(format!(
                "an object without apiVersion, kind or name: {kind} {name}"
            )));
        }
        let served = self.cluster.served(group, Some(version), &kind).await;
        let served = served.map_err(|error| failed(format!("{kind} {name}: {}", said(&error))))?;
        let Some(served) = served else {
            return Err(failed(format!(
                "{kind} {name}: no matches for kind {kind:?} in version {api_version:?}"
            )));
        };
        let own = text(&object["metadata"]["namespace"]);
        let namespace = match (served.is_namespaced, own.is_empty()) {
            (false, _) => String::new(),
            (true, true) => namespace.to_owned(),
            (true, false) => own,
        };
        Ok(Place {
            resource: served.resource,
            namespace,
            name,
        })
    }

    fn api(&self, client: &Client, place: &Place) -> Api<DynamicObject> {
        if place.namespace.is_empty() {
            Api::all_with(client.clone(), &place.resource)
        } else {
            Api::namespaced_with(client.clone(), &place.namespace, &place.resource)
        }
    }

    pub(super) async fn get(&self, place: &Place) -> Result<Option<DynamicObject>, kube::Error> {
        within(self.api(&self.client, place).get_opt(&place.name)).await
    }

    /// Server-side apply, with the rights of the chart's author.
    pub(super) async fn apply(&self, place: &Place, mut object: Value) -> Result<(), Wait> {
        if !place.namespace.is_empty() {
            object["metadata"]["namespace"] = place.namespace.clone().into();
        }
        let params = PatchParams::apply(MANAGER).force();
        let api = self.api(&self.author, place);
        let applied = within(api.patch(&place.name, &params, &Patch::Apply(object))).await;
        applied.map(drop).map_err(|error| refused(place, &error))
    }

    /// Server-side apply of what is the platform's own, with our rights.
    pub(super) async fn apply_own(
        &self,
        object: &Value,
        subresource: &str,
    ) -> Result<DynamicObject, kube::Error> {
        let place = known(object);
        let params = PatchParams::apply("apiary-app").force();
        let api = self.api(&self.client, &place);
        let patch = Patch::Apply(object);
        if subresource.is_empty() {
            within(api.patch(&place.name, &params, &patch)).await
        } else {
            within(api.patch_subresource(subresource, &place.name, &params, &patch)).await
        }
    }

    /// Deletes in the background; a missing object is fine.
    pub(super) async fn delete(&self, place: &Place) -> Result<(), Wait> {
        let api = self.api(&self.client, place);
        match within(api.delete(&place.name, &DeleteParams::background())).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(refused(place, &error)),
        }
    }

    pub(super) async fn list(
        &self,
        place: &Place,
        selector: &str,
    ) -> Result<Vec<DynamicObject>, kube::Error> {
        let api = self.api(&self.client, place);
        let list = within(api.list(&ListParams::default().labels(selector))).await?;
        Ok(list.items)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Site")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resource,
            namespace,
            name,
        } = self;
        if namespace.is_empty() {
            write!(f, "{} {name}", resource.kind)
        } else {
            write!(f, "{} {namespace}/{name}", resource.kind)
        }
    }
}

/// The place of an object of a kind that every cluster of the platform has, with its namespace in it.
pub(super) fn known(object: &Value) -> Place {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let gvk = GroupVersionKind::gvk(group, version, &text(&object["kind"]));
    Place {
        resource: ApiResource::from_gvk(&gvk),
        namespace: text(&object["metadata"]["namespace"]),
        name: text(&object["metadata"]["name"]),
    }
}

pub(super) fn place(api_version: &str, kind: &str, namespace: &str, name: &str) -> Place {
    known(
        &serde_json::json!({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name}}),
    )
}

pub(super) fn failed(message: String) -> Wait {
    Wait {
        reason: reasons::RELEASE_FAILED,
        message,
    }
}

pub(super) fn refused(place: &Place, error: &kube::Error) -> Wait {
    failed(format!("{place}: {}", said(error)))
}

/// The server's own words.
pub(super) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => runtime::chain(other),
    }
}

pub(super) async fn within<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let done = tokio::time::timeout(REQUEST_TIMEOUT, request).await;
    done.unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

/// The same client with another's rights.
fn impersonating(client: &Client, user: &'static str) -> Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    let service = service_fn(move |mut request: http::Request<Body>| {
        let client = client.clone();
        request
            .headers_mut()
            .insert("impersonate-user", HeaderValue::from_static(user));
        async move { client.send(request).await.map_err(BoxError::from) }
    });
    Client::new(service, namespace)
}
