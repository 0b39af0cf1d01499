//! Groups that parts of this process serve.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::Value;

use crate::auth::User;
use crate::crd::Compiled;
use crate::discovery::Priority;
use crate::resource::Resource;
use crate::rest::Body;
use crate::status::{Cause, Status};

/// One group version that a part of this process serves, in one cluster or in all of them.
///
/// The server has authenticated who asks and checked that they may; discovery and OpenAPI documents are made from
/// [`Api::resources`]. It never stores anything of the group: what there is, only the API knows.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// What is served, all of one group version that is none of Kubernetes' own; see [`declare`]. It must always be the
    /// same.
    fn resources(&self) -> &[Arc<Resource>];

    /// Where clients look the group up; behind all custom resources by default.
    fn priority(&self) -> Priority {
        Priority {
            group: 100,
            version: 100,
        }
    }

    /// Whether this stands in for an extension server that users may install: there is no APIService for it, and one that
    /// names a Service does not lead there. Otherwise an APIService says that the group version is served here, and is kept.
    fn is_stand_in(&self) -> bool {
        false
    }

    /// Answers a request within the group version. A request that is given up by its client drops the future.
    ///
    /// # Errors
    /// The refusal, for example [`Status::not_found`].
    async fn answer(&self, request: ApiRequest) -> Result<ApiAnswer, Status>;
}

/// A request to an [`Api`]. Whatever could be used to act as the user has been removed from the headers.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The id of the logical cluster.
    pub cluster: String,
    /// Who asks, and may.
    pub user: User,
    pub method: Method,
    /// The verb that was allowed: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// Plural.
    pub resource: String,
    /// Empty for cluster-scoped resources and for all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Empty for the object itself; whatever follows in the path as well.
    pub subresource: String,
    /// Path and query as the client wrote them.
    pub uri: Uri,
    pub headers: HeaderMap,
    /// At most as long as bodies for built-in kinds.
    pub body: Bytes,
}

impl ApiRequest {
    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// What an [`Api`] answers.
pub enum ApiAnswer {
    /// An object, a list (with `items`), or a `Status`: written in the encoding that the client wishes; objects and lists of
    /// the resource that was asked for also as a table or as metadata alone.
    Object(StatusCode, Value),
    /// Anything, as it is: streams, plain text.
    Response(Response<Body>),
}

/// The resources of a group version for [`Api::resources`], from a CustomResourceDefinition that says what they look like:
/// names, scope, schema, columns, subresources. It is stored nowhere. `verbs` are those that the API answers.
///
/// # Errors
/// What is wrong with the schema.
pub fn declare(
    definition: &Value,
    verbs: &[&'static str],
) -> Result<Vec<Arc<Resource>>, Vec<Cause>> {
    let compiled = Compiled::of(definition);
    if !compiled.violations.is_empty() {
        return Err(compiled.violations.clone());
    }
    let resources = compiled.served().map(|resource| {
        let mut resource = (**resource).clone();
        resource.verbs = verbs.to_vec();
        Arc::new(resource)
    });
    Ok(resources.collect())
}
