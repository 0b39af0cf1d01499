//! Paths that name no resource: version, health, discovery, OpenAPI, service-account issuer discovery, metrics.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

use super::Admitted;
use super::health;
use super::respond::{self, Body, Wish};
use crate::discovery;
use crate::negotiate::{self, Offer, Transform};
use crate::openapi::{Answer, Ask};
use crate::registry::Served;
use crate::resource::Resource;
use crate::server::Cluster;
use crate::status::Status;

/// Answers a request to a document.
pub(super) async fn answer(
    cluster: &Cluster,
    request: &Admitted,
) -> Result<Response<Body>, Status> {
    if request.verb != "get" && request.verb != "head" {
        return Err(Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ));
    }
    let segments: Vec<&str> = request.path.segments.iter().map(String::as_str).collect();
    let served = cluster.registry().types().served();
    let (aggregation, store) = (cluster.aggregation(), cluster.registry().store());
    let document = |value: Option<Value>| {
        let accepted = negotiate::accept(request.header(&header::ACCEPT), Offer::Document, true)?;
        let wish = Wish::new(&accepted, &request.headers, request.query.get("pretty"));
        value
            .map(|v| respond::object(StatusCode::OK, &v, &wish))
            .ok_or_else(Status::no_such_resource)
    };
    match segments.as_slice() {
        [] => {
            let remote = aggregation.versions(store);
            document(Some(discovery::index(&served.resources, &remote)))
        }
        ["version"] => document(Some(discovery::server_version(
            &cluster.version(),
            "linux/amd64",
        ))),
        [check @ ("healthz" | "livez" | "readyz"), rest @ ..] => {
            Ok(health::answer(cluster, check, rest, request))
        }
        ["api"] => discovered(cluster, request, true),
        ["apis"] => discovered(cluster, request, false),
        ["api", version] => document(discovery::resource_list(&served.resources, "", version)),
        ["apis", group] => {
            let remote = aggregation.versions(store);
            document(discovery::group(&served.resources, &remote, group))
        }
        ["apis", group, version] => document(discovery::resource_list(
            &all_resources(cluster, &served),
            group,
            version,
        )),
        ["openapi", rest @ ..] => open_api(cluster, &served, rest, request).await,
        [".well-known", "openid-configuration"] => document(Some(cluster.issuer_document())),
        ["openid", "v1", "jwks"] => document(Some(cluster.issuer_keys())),
        ["metrics"] => Ok(respond::raw(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            cluster.metrics(),
        )),
        _ => Err(Status::no_such_resource()),
    }
}

fn ask(request: &Admitted) -> Ask<'_> {
    Ask {
        accept: request.header(&header::ACCEPT),
        accept_encoding: request.header(&header::ACCEPT_ENCODING),
        if_none_match: request.header(&header::IF_NONE_MATCH),
        hash: request.query.get("hash"),
    }
}

/// What is served here: by the registry, and by parts of this process, which go before it.
fn all_resources<'a>(cluster: &Cluster, served: &'a Served) -> Cow<'a, [Arc<Resource>]> {
    let others = cluster.aggregation().resources(cluster.registry().store());
    if others.is_empty() {
        return Cow::Borrowed(&served.resources);
    }
    let is_free = |r: &&Arc<Resource>| {
        let is_same = |o: &Arc<Resource>| o.group == r.group && o.version == r.version;
        !others.iter().any(is_same)
    };
    let own = served.resources.iter().filter(is_free);
    Cow::Owned(own.chain(&others).cloned().collect())
}

/// `/openapi/<rest>`.
async fn open_api(
    cluster: &Cluster,
    served: &Served,
    rest: &[&str],
    request: &Admitted,
) -> Result<Response<Body>, Status> {
    let (aggregation, store) = (cluster.aggregation(), cluster.registry().store());
    let resources = all_resources(cluster, served);
    let (documents, ask) = (cluster.open_api(), ask(request));
    Ok(written(match rest {
        ["v2"] => match aggregation.open_api_v2(store) {
            parts if parts.is_empty() => documents.v2(&resources, &ask),
            parts => {
                let merged = aggregation.merged();
                let resources = resources.into_owned();
                Box::pin(documents.v2_merged(resources, parts, merged, &ask)).await
            }
        },
        ["v3"] => documents.v3_index(&resources, &aggregation.open_api_v3(store), &ask),
        ["v3", group_version @ ..] => documents.v3(&resources, &group_version.join("/"), &ask),
        _ => return Err(Status::no_such_resource()),
    }))
}

fn written(answer: Answer) -> Response<Body> {
    let code = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond::raw(code, answer.content_type, answer.body);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn discovered(
    cluster: &Cluster,
    request: &Admitted,
    legacy: bool,
) -> Result<Response<Body>, Status> {
    let served = cluster.registry().types().served();
    let accepted = negotiate::accept(request.header(&header::ACCEPT), Offer::Discovery, true)?;
    let wish = Wish::new(&accepted, &request.headers, request.query.get("pretty"));
    if accepted.transform != Some(Transform::Discovery) {
        let value = if legacy {
            discovery::api_versions(&cluster.address())
        } else {
            let store = cluster.registry().store();
            let remote = cluster.aggregation().versions(store);
            discovery::group_list(&served.resources, &remote)
        };
        let mut response = respond::object(StatusCode::OK, &value, &wish);
        respond::vary(&mut response, "Accept");
        return Ok(response);
    }
    let document = &cluster.discovery(&served, legacy).1;
    let is_known = document.is_known(request.header(&header::IF_NONE_MATCH));
    let (code, body) = if is_known {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, document.body.clone())
    };
    let mut response = respond::encoded(code, body, &wish);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(discovery::AGGREGATED_CONTENT_TYPE),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(header::ETAG, etag);
    }
    respond::vary(&mut response, "Accept");
    Ok(response)
}
