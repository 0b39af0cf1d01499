//! Requests to groups that others serve: extension servers, and parts of this process.

use std::sync::Arc;

use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::path::Path;
use super::query::Query;
use super::respond::{self, Body, Wish};
use super::shape::Shape;
use crate::aggregation::{Api, ApiAnswer, ApiRequest, Delegated, Route};
use crate::negotiate::{self, Accepted, Offer};
use crate::resource::Resource;
use crate::server::Cluster;
use crate::status::Status;
use crate::table::IncludeObject;

/// Answers a request through whoever serves its group version.
pub(super) async fn answer(
    cluster: &Arc<Cluster>,
    route: Route,
    (path, query): (Path, Query),
    request: Delegated,
) -> Result<Response<Body>, Status> {
    match route {
        Route::Remote(remote) => request.pass_on(cluster, &remote).await,
        Route::InProcess(api) => in_process(cluster, &*api, (path, query), request).await,
    }
}

async fn in_process(
    cluster: &Arc<Cluster>,
    api: &dyn Api,
    (path, query): (Path, Query),
    mut request: Delegated,
) -> Result<Response<Body>, Status> {
    let resources = api.resources().iter();
    let resource = resources
        .into_iter()
        .find(|resource| *resource.plural == *path.resource)
        .ok_or_else(Status::no_such_resource)?;
    check_verb(resource, &path, request.verb)?;
    let offer = if request.verb == "watch" {
        Offer::Watch
    } else {
        Offer::Objects
    };
    let accept = respond::text(&request.parts.headers, &header::ACCEPT);
    let accepted = negotiate::accept(accept, offer, false)?;
    let wish = Wish::new(&accepted, &request.parts.headers, query.get("pretty"));
    let include = IncludeObject::parse(query.get("includeObject"))?;
    request.strip();
    let body = super::read(respond::outgoing(request.body)).await?;
    let asked = ApiRequest {
        cluster: cluster.spec().id.clone(),
        user: request.user,
        method: request.parts.method,
        verb: request.verb,
        resource: path.resource,
        namespace: path.namespace,
        name: path.name,
        subresource: path.subresource,
        uri: request.parts.uri,
        headers: request.parts.headers,
        body,
    };
    match api.answer(asked).await? {
        ApiAnswer::Response(response) => Ok(response),
        ApiAnswer::Object(code, value) => {
            let shape = Shape::new(resource.clone(), &accepted, wish.pretty, include);
            let shown = shown(cluster, &shape, &accepted, code, value)?;
            Ok(respond::object(code, &shown, &wish))
        }
    }
}

fn check_verb(resource: &Resource, path: &Path, verb: &str) -> Result<(), Status> {
    if resource.namespaced == path.namespace.is_empty() && !path.name.is_empty() {
        return Err(Status::no_such_resource());
    }
    if !resource.namespaced && !path.namespace.is_empty() {
        return Err(Status::no_such_resource());
    }
    let verbs = match path.subresource.as_str() {
        "" => &resource.verbs,
        name => match resource.subresource(name) {
            Some(subresource) => &subresource.verbs,
            None => return Err(Status::no_such_resource()),
        },
    };
    if verbs.contains(&verb) {
        return Ok(());
    }
    Err(Status::method_not_allowed(
        &resource.group,
        &resource.plural,
        verb,
    ))
}

/// An object or a list of the resource in the wanted shape; anything else as it is.
fn shown(
    cluster: &Cluster,
    shape: &Shape,
    accepted: &Accepted,
    code: StatusCode,
    value: Value,
) -> Result<Value, Status> {
    let resource = &shape.resource;
    let is_of = |kind: &str| {
        value["kind"] == kind && value["apiVersion"].as_str() == Some(&resource.api_version())
    };
    if !code.is_success() {
        return Ok(value);
    }
    if is_of(&resource.list_kind) {
        accepted.check_shape(true, &resource.list_kind)?;
        let items = value["items"].as_array().cloned().unwrap_or_default();
        let meta = match &value["metadata"] {
            Value::Null => json!({}),
            meta => meta.clone(),
        };
        return Ok(shape.values(cluster.registry(), &items, meta));
    }
    if is_of(&resource.kind) {
        accepted.check_shape(false, &resource.kind)?;
        return Ok(shape.one(cluster.registry(), value));
    }
    Ok(value)
}
