//! The kinds that are questions: access reviews, token reviews, and the request for a token. Nothing is stored.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::authenticate::TokenSpec;
use super::token::{Bound, TokenError};
use super::{
    Attributes, Authenticator, Authorizer, Objects, Selectors, User, selectors, wire_time,
};
use crate::object::Object;
use crate::status::{Cause, Status};

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const TOKEN_SECONDS_DEFAULT: i64 = 3600;
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
/// What kubelets ask for on behalf of old clients that never read their token again.
const TOKEN_SECONDS_PROJECTED: i64 = 3607;
/// What such a token gets instead, with a warning after what was asked for.
const TOKEN_SECONDS_EXTENDED: i64 = 365 * 24 * 60 * 60;

/// What a review looks at.
pub struct ReviewContext<'a> {
    pub authenticator: &'a Authenticator,
    pub authorizer: &'a Authorizer,
    pub objects: &'a dyn Objects,
    /// Who asks.
    pub user: &'a User,
    /// From the path; empty for cluster-scoped reviews.
    pub namespace: &'a str,
    /// From the path: the service account of a token request, otherwise empty.
    pub name: &'a str,
    /// Of a token review: what another issuer's authentication said, if the token is of one.
    pub external: Option<Result<User, String>>,
    pub now: Timestamp,
}

/// Answers the review in `body`, which was posted to `resource` (plural; `serviceaccounts/token` for a TokenRequest).
///
/// # Errors
/// The Status that the client gets, 404 when `resource` is none of the reviews.
pub fn review(resource: &str, body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    if !body.is_object() {
        return Err(Status::bad_request("the body is not an object"));
    }
    match resource {
        "subjectaccessreviews" => subject_access_review(body, cx),
        "localsubjectaccessreviews" => local_subject_access_review(body, cx),
        "selfsubjectaccessreviews" => self_subject_access_review(body, cx),
        "selfsubjectrulesreviews" => self_subject_rules_review(body, cx),
        "tokenreviews" => token_review(body, cx),
        "selfsubjectreviews" => Ok(self_subject_review(body, cx)),
        "serviceaccounts/token" => token_request(body, cx),
        _ => Err(Status::no_such_resource()),
    }
}

/// The review with its answer.
fn answer(body: &Value, status: Value) -> Value {
    let mut review = body.clone();
    let metadata = review["metadata"].as_object().cloned().unwrap_or_default();
    review["metadata"] = metadata.into();
    review["status"] = status;
    review
}

/// An answer that repeats nothing of the question.
fn bare_answer(body: &Value, metadata: Value, status: Value) -> Value {
    let mut review = json!({"metadata": metadata, "status": status});
    for member in ["apiVersion", "kind"] {
        review[member] = body[member].clone();
    }
    review
}

fn subject_access_review(body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    let mut causes = spec_problems(&body["spec"], true);
    causes.extend(metadata_problem(body, false));
    checked(causes)?;
    Ok(decide(body, cx, &subject(&body["spec"])))
}

fn local_subject_access_review(body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    let spec = &body["spec"];
    let mut causes = spec_problems(spec, true);
    causes.extend(metadata_problem(body, true));
    let namespace = &spec["resourceAttributes"]["namespace"];
    if spec["resourceAttributes"].is_object()
        && namespace.as_str().unwrap_or_default() != cx.namespace
    {
        causes.push(Cause::invalid(
            "spec.resourceAttributes.namespace",
            &namespace.as_str().unwrap_or_default().into(),
            "must match metadata.namespace",
        ));
    }
    if spec["nonResourceAttributes"].is_object() {
        causes.push(path_invalid(spec, "disallowed on this kind of request"));
    }
    checked(causes)?;
    Ok(decide(body, cx, &subject(spec)))
}

fn self_subject_access_review(body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    let mut causes = spec_problems(&body["spec"], false);
    causes.extend(metadata_problem(body, false));
    checked(causes)?;
    Ok(decide(body, cx, cx.user))
}

fn decide(body: &Value, cx: &ReviewContext<'_>, user: &User) -> Value {
    let request = attributes(&body["spec"]);
    let decision = cx.authorizer.authorize(cx.objects, user, &request);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    let error = request.selectors.evaluation_error();
    if !error.is_empty() {
        status["evaluationError"] = error.into();
    }
    answer(body, status)
}

fn self_subject_rules_review(body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    let namespace = body["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = cx.authorizer.rules_for(cx.objects, cx.user, namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in &found.rules {
        if !rule.resources.is_empty() {
            let mut row = rule.clone();
            row.urls.clear();
            resources.push(row.to_value());
        }
        if !rule.urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    let mut errors = found.unresolved;
    if cx.user.node().is_some() {
        // What a kubelet may do without RBAC is not in the lists.
        errors.insert(
            0,
            "node authorizer does not support user rule resolution".into(),
        );
    }
    let mut status = json!({
        "resourceRules": resources, "nonResourceRules": paths, "incomplete": !errors.is_empty(),
    });
    match errors.as_slice() {
        [] => {}
        [one] => status["evaluationError"] = one.as_str().into(),
        many => status["evaluationError"] = format!("[{}]", many.join(", ")).into(),
    }
    let mut review = bare_answer(body, json!({}), status);
    review["spec"] = json!({});
    Ok(review)
}

fn token_review(body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    let spec = &body["spec"];
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let asked = texts(&spec["audiences"]);
    let audiences = if asked.is_empty() {
        cx.authenticator.audiences()
    } else {
        &asked
    };
    let reviewed = match &cx.external {
        // Such a token is for whomever its issuer was told to be for, so it is for this cluster.
        Some(Ok(user)) => {
            let matched = cx.authenticator.own_audiences(audiences);
            matched.map(|matched| (user.clone(), matched))
        }
        Some(Err(why)) => Err(TokenError(why.clone())),
        None => cx
            .authenticator
            .authenticate_token(cx.objects, token, audiences, cx.now),
    };
    let status = match reviewed {
        Ok((user, matched)) => {
            json!({"authenticated": true, "user": user_info(&user), "audiences": matched})
        }
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    };
    Ok(answer(body, status))
}

fn self_subject_review(body: &Value, cx: &ReviewContext<'_>) -> Value {
    let metadata = json!({"creationTimestamp": wire_time(cx.now)});
    bare_answer(body, metadata, json!({"userInfo": user_info(cx.user)}))
}

/// A user as `authentication.k8s.io/v1` `UserInfo`, without empty members.
pub(crate) fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(field.into(), text.clone().into());
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    info.into()
}

fn token_request(body: &Value, cx: &ReviewContext<'_>) -> Result<Value, Status> {
    let account = cx
        .objects
        .get("serviceaccounts", cx.namespace, cx.name)
        .ok_or_else(|| Status::not_found("", "serviceaccounts", cx.name))?;
    let spec = &body["spec"];
    let seconds = token_seconds(spec)?;
    let asked = texts(&spec["audiences"]);
    let audiences = if asked.is_empty() {
        cx.authenticator.audiences().to_vec()
    } else {
        asked
    };
    let mut token = TokenSpec {
        namespace: cx.namespace,
        service_account: bound(&account),
        audiences: &audiences,
        pod: None,
        secret: None,
        node: None,
        lifetime_seconds: seconds,
        warn_after_seconds: None,
    };
    bind(&spec["boundObjectRef"], cx, &mut token)?;
    let is_for_us = audiences
        .iter()
        .all(|a| cx.authenticator.audiences().contains(a));
    if token.pod.is_some() && seconds == TOKEN_SECONDS_PROJECTED && is_for_us {
        token.lifetime_seconds = TOKEN_SECONDS_EXTENDED;
        token.warn_after_seconds = Some(seconds);
    }
    let signed = cx.authenticator.issue_token(token, cx.now)?;
    let expires = cx.now.as_second().saturating_add(seconds);
    let expires = Timestamp::from_second(expires).unwrap_or(Timestamp::MAX);
    let status = json!({"token": signed, "expirationTimestamp": wire_time(expires)});
    let mut review = answer(body, status);
    if !review["spec"].is_object() {
        review["spec"] = json!({});
    }
    review["metadata"]["name"] = cx.name.into();
    review["metadata"]["namespace"] = cx.namespace.into();
    review["metadata"]["uid"] = (*account.header.uid).into();
    review["metadata"]["creationTimestamp"] = wire_time(cx.now).into();
    // Always written.
    if review["spec"]["boundObjectRef"].is_null() {
        review["spec"]["boundObjectRef"] = Value::Null;
    }
    review["spec"]["audiences"] = json!(audiences);
    review["spec"]["expirationSeconds"] = seconds.into();
    Ok(review)
}

fn token_seconds(spec: &Value) -> Result<i64, Status> {
    let given = &spec["expirationSeconds"];
    let seconds = given.as_i64().unwrap_or(TOKEN_SECONDS_DEFAULT);
    let why = if seconds < TOKEN_SECONDS_MIN {
        "may not specify a duration less than 10 minutes"
    } else if seconds > TOKEN_SECONDS_MAX {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(seconds);
    };
    let cause = Cause::invalid("spec.expirationSeconds", given, why);
    Err(Status::invalid(
        AUTHENTICATION,
        "TokenRequest",
        "",
        vec![cause],
    ))
}

/// Binds the token to the object that the request names.
fn bind(
    reference: &Value,
    cx: &ReviewContext<'_>,
    token: &mut TokenSpec<'_>,
) -> Result<(), Status> {
    if reference.is_null() {
        return Ok(());
    }
    let name = reference["name"].as_str().unwrap_or_default();
    let uid = reference["uid"].as_str().unwrap_or_default();
    let find = |resource: &str, namespace: &str| -> Result<_, Status> {
        let found = cx
            .objects
            .get(resource, namespace, name)
            .ok_or_else(|| Status::not_found("", resource, name))?;
        if !uid.is_empty() && *found.header.uid != *uid {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict("", resource, name, &why));
        }
        Ok(found)
    };
    match (
        reference["apiVersion"].as_str().unwrap_or("v1"),
        reference["kind"].as_str().unwrap_or_default(),
    ) {
        ("v1", "Pod") => {
            let pod = find("pods", cx.namespace)?;
            let value = pod.value();
            let account = value["spec"]["serviceAccountName"].as_str();
            if account.unwrap_or_default() != cx.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    cx.name
                )));
            }
            token.node = value["spec"]["nodeName"]
                .as_str()
                .and_then(|node| cx.objects.get("nodes", "", node))
                .map(|node| bound(&node));
            token.pod = Some(bound(&pod));
        }
        ("v1", "Secret") => token.secret = Some(bound(&*find("secrets", cx.namespace)?)),
        ("v1", "Node") => token.node = Some(bound(&*find("nodes", "")?)),
        (version, kind) => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {version}, Kind={kind}: want a v1 Pod, Node or Secret"
            )));
        }
    }
    Ok(())
}

fn bound(object: &Object) -> Bound {
    Bound {
        name: object.header.name.to_string(),
        uid: object.header.uid.to_string(),
    }
}

/// What is wrong with the spec of an access review; `names_subject` if it says whom it is about.
fn spec_problems(spec: &Value, names_subject: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let resource = &spec["resourceAttributes"];
    match (
        resource.is_object(),
        spec["nonResourceAttributes"].is_object(),
    ) {
        (true, true) => causes.push(path_invalid(
            spec,
            "cannot be specified in combination with resourceAttributes",
        )),
        (false, false) => causes.push(Cause::invalid(
            "spec.resourceAttributes",
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    let has_user = spec["user"].as_str().is_some_and(|user| !user.is_empty());
    if names_subject && !has_user && texts(&spec["groups"]).is_empty() {
        causes.push(Cause::invalid(
            "spec.user",
            &"".into(),
            "at least one of user or group must be specified",
        ));
    }
    causes.extend(selectors::problems(resource));
    causes
}

/// `nonResourceAttributes` is wrong; shown as Kubernetes shows it.
fn path_invalid(spec: &Value, why: &str) -> Cause {
    let path = &spec["nonResourceAttributes"];
    let shown = json!({"Path": text(path, "path"), "Verb": text(path, "verb")});
    Cause::invalid("spec.nonResourceAttributes", &shown, why)
}

/// Reviews have no metadata, but for the namespace of those that have one.
fn metadata_problem(body: &Value, has_namespace: bool) -> Option<Cause> {
    let fields = body["metadata"].as_object()?;
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    let is_fine = fields.iter().all(|(field, value)| {
        field == "managedFields" || (has_namespace && field == "namespace") || is_empty(value)
    });
    let why = if has_namespace {
        "must be empty except for namespace"
    } else {
        "must be empty"
    };
    (!is_fine).then(|| Cause::invalid("metadata", &body["metadata"], why))
}

/// A refusal names no kind: to Kubernetes a review has none by then.
fn checked(causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(AUTHORIZATION, "", "", causes))
}

fn subject(spec: &Value) -> User {
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text(spec, "user"),
        uid: text(spec, "uid"),
        groups: texts(&spec["groups"]),
        extra: extra
            .map(|(key, v)| (key.to_lowercase(), texts(v)))
            .collect(),
    }
}

/// What an access review asks about; its spec was checked.
fn attributes(spec: &Value) -> Attributes {
    let resource = &spec["resourceAttributes"];
    if !resource.is_object() {
        let path = &spec["nonResourceAttributes"];
        return Attributes {
            verb: text(path, "verb"),
            path: text(path, "path"),
            ..Attributes::default()
        };
    }
    Attributes {
        verb: text(resource, "verb"),
        group: text(resource, "group"),
        version: text(resource, "version"),
        // Without a resource the question is about every resource.
        resource: Some(text(resource, "resource"))
            .filter(|resource| !resource.is_empty())
            .unwrap_or_else(|| "*".into()),
        subresource: text(resource, "subresource"),
        namespace: text(resource, "namespace"),
        name: text(resource, "name"),
        path: String::new(),
        selectors: Selectors::of(resource),
    }
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|v| v.as_str().map(Into::into)).collect()
}
