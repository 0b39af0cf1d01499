//! Requests to resources: verbs and subresources to the registry's functions, results to the shape the client wants.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};

use super::respond::{self, Body, Wish};
use super::shape::{Listed, Shape};
use super::watch::{self, Watch};
use super::{Admitted, connect, farewell, websocket, written};
use crate::auth::{Attributes, Authorizer, User};
use crate::negotiate::{self, Accepted, Offer, PatchType, Transform};
use crate::registry::{Call, DeleteOptions, Deleted, PatchBody, Shown, Target};
use crate::schema::{self, Expected, FieldValidation};
use crate::server::Cluster;
use crate::status::Status;
use crate::table::IncludeObject;

/// One request on its way through this room.
struct Exchange<'a> {
    cluster: &'a Arc<Cluster>,
    request: &'a Admitted,
    target: Target,
    accepted: Accepted,
    wish: Wish,
    shape: Shape,
}

/// Answers a request to a resource.
pub(super) async fn answer(
    cluster: &Arc<Cluster>,
    request: &Admitted,
    body: &[u8],
) -> Result<Response<Body>, Status> {
    let path = &request.path;
    let resource = cluster
        .registry()
        .types()
        .find(&path.group, &path.version, &path.resource)
        .ok_or_else(Status::no_such_resource)?;
    let namespace = if resource.namespaced {
        path.namespace.as_str()
    } else {
        ""
    };
    // The path of a namespace itself names it as what it is in, too. Who may do something there was decided by that.
    let is_itself = &*resource.storage == "namespaces" && path.namespace == path.name;
    let is_fit = resource.namespaced || path.namespace.is_empty() || is_itself;
    let is_unknown =
        !path.subresource.is_empty() && resource.subresource(&path.subresource).is_none();
    if is_fit && is_unknown && resource.custom.is_some() {
        let (group, plural) = (&resource.group, &resource.plural);
        return Err(Status::not_found(group, plural, &path.name));
    }
    if !is_fit || is_unknown {
        return Err(Status::no_such_resource());
    }
    if resource.namespaced && namespace.is_empty() && !path.name.is_empty() {
        return Err(Status::no_such_resource());
    }
    if !path.rest.is_empty() && path.subresource != "proxy" {
        return Err(Status::no_such_resource());
    }
    let target = Target::new(resource, namespace, &path.name, &path.subresource);
    check_verb(&target, request)?;
    if connect::is_connection(&target.subresource) {
        return connect::answer(cluster, request, &target, body).await;
    }
    let offer = if request.verb == "watch" {
        Offer::Watch
    } else if target.resource.verbs == ["create"] {
        Offer::WithoutTable
    } else {
        Offer::Objects
    };
    let has_protobuf = target.resource.custom.is_none();
    let accepted = negotiate::accept(request.header(&header::ACCEPT), offer, has_protobuf)?;
    let wish = Wish::new(&accepted, &request.headers, request.query.get("pretty"));
    let include = match accepted.transform {
        Some(Transform::Table(_)) => IncludeObject::parse(request.query.get("includeObject"))?,
        _ => IncludeObject::default(),
    };
    let shape = Shape::new(target.resource.clone(), &accepted, wish.pretty, include);
    let exchange = Exchange {
        cluster,
        request,
        target,
        accepted,
        wish,
        shape,
    };
    let mut response = exchange.answer(body).await?;
    if let Some(warning) = exchange.target.resource.deprecation() {
        respond::warn(&mut response, &[warning]);
    }
    Ok(response)
}

fn check_verb(target: &Target, request: &Admitted) -> Result<(), Status> {
    let verb = request.verb;
    let verbs: &[&str] = match target.subresource.as_str() {
        "" => &target.resource.verbs,
        name => target
            .resource
            .subresource(name)
            .map(|s| s.verbs.as_slice())
            .unwrap_or_default(),
    };
    let (is_named, is_main) = (!target.name.is_empty(), target.subresource.is_empty());
    let fits = match verb {
        "create" => !(is_named && is_main),
        "update" | "patch" => is_named,
        // All namespaces at once would be too easy a mistake.
        "deletecollection" => !target.resource.namespaced || !target.namespace.is_empty(),
        // The old `/watch/` paths have a verb of their own, whatever the method.
        "watch" => is_main && matches!(request.method, Method::GET | Method::HEAD),
        _ => true,
    };
    if fits && verbs.contains(&verb) {
        return Ok(());
    }
    if target.resource.custom.is_none() {
        return Err(Status::no_such_method());
    }
    Err(Status::method_not_allowed(
        &target.resource.group,
        &target.resource.plural,
        verb,
    ))
}

impl Exchange<'_> {
    async fn answer(&self, body: &[u8]) -> Result<Response<Body>, Status> {
        match self.request.verb {
            "get" => self.get().await,
            "list" => self.list().await,
            "watch" => self.watch().await,
            "deletecollection" => self.write(body).await,
            _ => {
                let kind = &self.target.resource.kind;
                self.accepted.check_shape(false, kind)?;
                self.write(body).await
            }
        }
    }

    async fn get(&self) -> Result<Response<Body>, Status> {
        let registry = self.cluster.registry();
        self.request.query.check_export()?;
        let asked = self.request.query.get("resourceVersion");
        let asked = asked.unwrap_or_default();
        crate::registry::revision(asked)?;
        registry.reached(asked).await?;
        let value = match self.target.subresource.as_str() {
            "scale" => Shown::Made(registry.scale(&self.target).await?),
            _ => registry.get(&self.target).await?,
        };
        self.shown(StatusCode::OK, value)
    }

    async fn list(&self) -> Result<Response<Body>, Status> {
        let options = self.request.query.list_options(&self.target.resource)?;
        let resource = &self.target.resource;
        self.accepted.check_shape(true, &resource.list_kind)?;
        let registry = self.cluster.registry();
        registry.reached(&options.resource_version).await?;
        let page = registry.list(&self.target, &options).await?;
        Ok(match self.shape.list(registry, &page)? {
            Listed::Stored(joined) if !self.wish.gzip && joined.is_long() => {
                let mut response = respond::encoded(StatusCode::OK, Bytes::new(), &self.wish);
                respond::vary(&mut response, "Accept-Encoding");
                *response.body_mut() = joined.boxed_unsync();
                response
            }
            Listed::Stored(joined) => respond::encoded(StatusCode::OK, joined.whole(), &self.wish),
            Listed::Bytes(bytes) => respond::encoded(StatusCode::OK, bytes, &self.wish),
            Listed::Value(value) => respond::object(StatusCode::OK, &value, &self.wish),
        })
    }

    async fn watch(&self) -> Result<Response<Body>, Status> {
        let options = self.request.query.list_options(&self.target.resource)?;
        let mut options = options;
        if !self.target.name.is_empty() {
            // The old `/watch/<resource>/<name>` form.
            options.fields = crate::select::FieldSelector::parse(
                &format!("metadata.name={}", self.target.name),
                &self.target.resource,
            )?;
        }
        let stream = watch::start(Watch {
            cluster: self.cluster.clone(),
            target: self.target.clone(),
            options,
            shape: self.shape.clone(),
            bookmarks: self.request.query.is_set("allowWatchBookmarks"),
            timeout_seconds: self.request.query.timeout_seconds()?,
            // Messages of WebSocket hold one event each; and an event must not wait for the conversion of the next.
            together: !websocket::is_upgrade(&self.request.headers)
                && !self
                    .cluster
                    .registry()
                    .is_converted_elsewhere(&self.target.resource),
        })
        .await?;
        let headers = &self.request.headers;
        if websocket::is_upgrade(headers) {
            let protocol = websocket::protocols(headers).first().copied();
            let upgrade = self.request.take_upgrade();
            let (response, socket) = websocket::accept(headers, upgrade, protocol)?;
            let encoding = self.shape.encoding;
            let sending = websocket::send_events(socket, stream, encoding);
            let cluster = self.cluster.clone();
            let over = async move { cluster.closed().await };
            tokio::spawn(farewell::carry(sending, over));
            return Ok(response);
        }
        let mut response = respond::raw(StatusCode::OK, self.shape.stream_type(), Bytes::new());
        *response.body_mut() = StreamBody::new(stream).boxed_unsync();
        Ok(response)
    }

    /// Everything that changes something, or that is asked with POST.
    async fn write(&self, body: &[u8]) -> Result<Response<Body>, Status> {
        let kind = match self.request.verb {
            "create" => "CreateOptions",
            "update" => "UpdateOptions",
            "patch" => "PatchOptions",
            _ => "DeleteOptions",
        };
        let query = &self.request.query;
        let mut call = Call {
            user: &self.request.user,
            dry_run: query.dry_run(kind)?,
            field_validation: query.field_validation(kind)?,
            manager: query.manager(
                kind,
                self.request.header(&header::USER_AGENT).unwrap_or_default(),
            )?,
            options: query.options(kind),
            ..Call::new(&self.request.user, "")
        };
        let outcome = match self.request.verb {
            "create" => self.create(&mut call, body).await,
            "update" => self.update(&mut call, body).await,
            "patch" => self.patch(&mut call, body).await,
            "delete" => self.delete(&mut call, body).await,
            _ => self.delete_collection(&mut call, body).await,
        };
        if let Some(notes) = &self.request.notes {
            for (key, value) in &call.audit {
                notes.add(key, value);
            }
        }
        let mut response = outcome?;
        respond::warn(&mut response, &call.warnings);
        Ok(response)
    }

    async fn create(&self, call: &mut Call<'_>, body: &[u8]) -> Result<Response<Body>, Status> {
        let registry = self.cluster.registry();
        let target = &self.target;
        let value = match target.subresource.as_str() {
            "" if target.resource.verbs == ["create"] => {
                let value = self.decode(call, body)?;
                if &*target.resource.plural == "bindings" {
                    let pods = self.pods(value["metadata"]["name"].as_str().unwrap_or_default())?;
                    return self.status(registry.bind(call, &pods, &value).await?);
                }
                let value = registry.own(call, target, &target.resource.schema, value);
                let value = registry.admit_subresource(call, target, value).await?;
                let place = (target.namespace.as_str(), "");
                let reviewed = self
                    .cluster
                    .review(&target.resource.plural, call.user, place, &value)
                    .await?;
                return self.one(StatusCode::CREATED, reviewed);
            }
            "" => self.decode(call, body)?,
            "binding" => {
                let binding = self.decode_kind(call, "Binding", body)?;
                return self.status(registry.bind(call, target, &binding).await?);
            }
            "eviction" => {
                let eviction = self.decode_kind(call, "Eviction", body)?;
                return self.status(registry.evict(call, target, &eviction).await?);
            }
            "token" => {
                let ask = self.decode_kind(call, "TokenRequest", body)?;
                let schema = Expected::body("TokenRequest").schema;
                let ask = registry.own(call, target, &schema, ask);
                let ask = registry.admit_subresource(call, target, ask).await?;
                let place = (target.namespace.as_str(), target.name.as_str());
                let token = self
                    .cluster
                    .review("serviceaccounts/token", call.user, place, &ask)
                    .await?;
                return self.one(StatusCode::CREATED, token);
            }
            _ => return Err(Status::no_such_resource()),
        };
        if target.resource.namespaced && target.namespace.is_empty() {
            return Err(Status::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        let created = registry.create(call, target, value).await?;
        self.shown(StatusCode::CREATED, created)
    }

    fn pods(&self, name: &str) -> Result<Target, Status> {
        let pods =
            crate::registry::find_builtin("", "v1", "pods").ok_or_else(Status::no_such_resource)?;
        Ok(Target::new(pods, &self.target.namespace, name, "binding"))
    }

    async fn update(&self, call: &mut Call<'_>, body: &[u8]) -> Result<Response<Body>, Status> {
        let registry = self.cluster.registry();
        if self.target.subresource == "scale" {
            let scale = self.decode_kind(call, "Scale", body)?;
            return self.one(
                StatusCode::OK,
                registry.update_scale(call, &self.target, &scale).await?,
            );
        }
        let value = self.decode(call, body)?;
        call.no_creation = self.no_creation(call.user);
        let (shown, created) = registry.update(call, &self.target, value).await?;
        self.shown(written(created), shown)
    }

    async fn patch(&self, call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
        let registry = self.cluster.registry();
        let kind = negotiate::patch_type(
            self.request.header(&header::CONTENT_TYPE),
            self.target.resource.custom.is_some(),
        )?;
        let force = self.request.query.is_set("force");
        let invalid = |cause| {
            Err(Status::invalid(
                "meta.k8s.io",
                "PatchOptions",
                "",
                vec![cause],
            ))
        };
        if kind == PatchType::Apply
            && self
                .request
                .query
                .get("fieldManager")
                .unwrap_or_default()
                .is_empty()
        {
            return invalid(crate::status::Cause::required(
                "fieldManager",
                "is required for apply patch",
            ));
        }
        if kind != PatchType::Apply && force {
            return invalid(crate::status::Cause::forbidden(
                "force",
                "may not be specified for non-apply patch",
            ));
        }
        let body = PatchBody { kind, bytes, force };
        if self.target.subresource == "scale" {
            return self.one(
                StatusCode::OK,
                registry.patch_scale(call, &self.target, &body).await?,
            );
        }
        if kind == PatchType::Apply {
            call.no_creation = self.no_creation(call.user);
        }
        let (shown, created) = registry.patch(call, &self.target, &body).await?;
        self.shown(written(created), shown)
    }

    /// Why the user may not create what the request names, should it be absent.
    fn no_creation(&self, user: &User) -> Option<Box<Status>> {
        let target = &self.target;
        let attributes = Attributes {
            verb: "create".into(),
            group: target.resource.group.to_string(),
            version: target.resource.version.to_string(),
            resource: target.resource.plural.to_string(),
            subresource: target.subresource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            ..Attributes::default()
        };
        let decision = self.cluster.authorize(user, &attributes);
        (!decision.allowed)
            .then(|| Box::new(Authorizer::forbidden(user, &attributes, &decision.reason)))
    }

    async fn delete(&self, call: &mut Call<'_>, body: &[u8]) -> Result<Response<Body>, Status> {
        let options = self.delete_options(call, body)?;
        let deleted = self
            .cluster
            .registry()
            .delete(call, &self.target, &options)
            .await?;
        self.cluster.after_delete(&self.target);
        let shown = match deleted {
            Deleted::Begun(shown) => shown,
            Deleted::Gone(shown) if self.target.resource.strategy.delete_returns_object => shown,
            Deleted::Gone(shown) => {
                let mut details = json!({
                    "name": self.target.name, "kind": self.target.resource.plural, "uid": shown.uid(),
                });
                if !self.target.resource.group.is_empty() {
                    details["group"] = (*self.target.resource.group).into();
                }
                return self.status(json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                }));
            }
        };
        self.shown(StatusCode::OK, shown)
    }

    async fn delete_collection(
        &self,
        call: &mut Call<'_>,
        body: &[u8],
    ) -> Result<Response<Body>, Status> {
        let list = self.request.query.list_options(&self.target.resource)?;
        let options = self.delete_options(call, body)?;
        let items = self
            .cluster
            .registry()
            .delete_collection(call, &self.target, &list, &options)
            .await?;
        self.cluster.after_delete(&self.target);
        let registry = self.cluster.registry();
        let meta = json!({"resourceVersion": registry.store().revision().to_string()});
        let value = self.shape.values(registry, &items, meta);
        Ok(respond::object(StatusCode::OK, &value, &self.wish))
    }

    fn delete_options(&self, call: &mut Call<'_>, body: &[u8]) -> Result<DeleteOptions, Status> {
        if body.is_empty() {
            return self.request.query.delete_options();
        }
        let content = negotiate::content_type(self.request.header(&header::CONTENT_TYPE))?;
        let expected = Expected::body("DeleteOptions");
        let decoded = schema::decode_as(&expected, content, body, FieldValidation::Ignore)?;
        let mut options = DeleteOptions::parse(&decoded.value)?;
        // Admission sees them as they were sent.
        if let (Some(seen), Some(sent)) = (call.options.as_object_mut(), decoded.value.as_object())
        {
            let is_said =
                |(member, _): &(&String, &Value)| !matches!(member.as_str(), "kind" | "apiVersion");
            seen.extend(
                sent.iter()
                    .filter(is_said)
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        }
        options.dry_run |= self.request.query.dry_run("DeleteOptions")?;
        Ok(options)
    }

    fn decode(&self, call: &mut Call<'_>, body: &[u8]) -> Result<Value, Status> {
        let content = negotiate::content_type(self.request.header(&header::CONTENT_TYPE))?;
        let decoded = schema::decode(&self.target.resource, content, body, call.field_validation)?;
        call.warnings.extend(decoded.warnings);
        Ok(decoded.value)
    }

    /// A body of another kind than the resource's: what subresources take.
    fn decode_kind(
        &self,
        call: &mut Call<'_>,
        kind: &'static str,
        body: &[u8],
    ) -> Result<Value, Status> {
        let content = negotiate::content_type(self.request.header(&header::CONTENT_TYPE))?;
        let decoded =
            schema::decode_as(&Expected::body(kind), content, body, call.field_validation)?;
        call.warnings.extend(decoded.warnings);
        Ok(decoded.value)
    }

    /// One object in the wanted shape; what is stored in it already is handed on.
    fn shown(&self, code: StatusCode, shown: Shown) -> Result<Response<Body>, Status> {
        if let Shown::Stored(object) = &shown {
            self.accepted
                .check_shape(false, &self.target.resource.kind)?;
            if let Some(bytes) = self.shape.stored(object)? {
                return Ok(respond::encoded(code, bytes, &self.wish));
            }
        }
        self.one(code, shown.into_value())
    }

    /// One object in the wanted shape.
    fn one(&self, code: StatusCode, value: Value) -> Result<Response<Body>, Status> {
        self.accepted
            .check_shape(false, &self.target.resource.kind)?;
        let shaped = self.shape.one(self.cluster.registry(), value);
        Ok(respond::object(code, &shaped, &self.wish))
    }

    /// A Status, which is never shaped.
    fn status(&self, value: Value) -> Result<Response<Body>, Status> {
        let code = value["code"]
            .as_u64()
            .and_then(|c| u16::try_from(c).ok())
            .unwrap_or(200);
        Ok(respond::object(
            StatusCode::from_u16(code).unwrap_or(StatusCode::OK),
            &value,
            &self.wish,
        ))
    }
}
