//! What guards the clusters of a server: who somebody is, what they may, and what is written down of it.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use crate::audit::Audit;
use crate::auth::{self, Attributes, Authentication, Decision, ReviewContext, User};
use crate::server::Cluster;
use crate::status::Status;

/// The audit of a cluster, by the cluster's id; none writes nothing down.
pub type AuditOf = Arc<dyn Fn(&str) -> Option<Audit> + Send + Sync>;
/// Whose tokens a cluster believes beside its own, by the cluster's id; none is believed without.
pub type AuthenticationOf = Arc<dyn Fn(&str) -> Option<Arc<Authentication>> + Send + Sync>;

/// What a server may be told about its security. The default adds nothing to what every cluster has.
#[derive(Clone, Default)]
pub struct Security {
    /// Who writes down what is asked of each cluster; nobody by default. Called once for each cluster.
    pub audit: Option<AuditOf>,
    /// Whose tokens each cluster believes; none but its own by default. Called once for each cluster.
    pub authentication: Option<AuthenticationOf>,
}

impl Security {
    pub(crate) fn audit(&self, cluster: &str) -> Option<Audit> {
        self.audit.as_ref().and_then(|audit| audit(cluster))
    }

    pub(crate) fn authentication(&self, cluster: &str) -> Option<Arc<Authentication>> {
        let authentication = self.authentication.as_ref();
        authentication.and_then(|authentication| authentication(cluster))
    }
}

impl Cluster {
    /// Who sends a request for `path` with these credentials; `headers` count if they come from a proxy.
    pub(crate) async fn authenticate(
        &self,
        certificate: Option<&[u8]>,
        authorization: Option<&str>,
        (path, headers): (&str, &HeaderMap),
    ) -> Result<User, Status> {
        let now = self.registry().now();
        let proxied = certificate.and_then(|c| self.authenticator.proxied_user(c, headers, now));
        if let Some(user) = proxied {
            return Ok(user);
        }
        let store = self.registry().store();
        let own = self
            .authenticator
            .authenticate(store, certificate, authorization, now);
        let Some(authentication) = &self.authentication else {
            return own;
        };
        if certificate.is_none() && authorization.is_none() {
            return own.and_then(|user| match authentication.allows_anonymous(path) {
                true => Ok(user),
                false => Err(Status::unauthorized()),
            });
        }
        let token = authorization.and_then(auth::bearer);
        let external = token.filter(|token| authentication.is_responsible(token));
        let (Err(status), Some(token)) = (&own, external) else {
            return own;
        };
        authentication
            .authenticate(token, now)
            .await
            .map_err(|why| {
                tracing::debug!(why, "a token of another issuer is refused");
                status.clone()
            })
    }

    /// Whether the user may.
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Decision {
        self.authorizer
            .authorize(self.registry().store(), user, attributes)
    }

    /// The token of `account` that the Secret `secret` of type `kubernetes.io/service-account-token` is to hold.
    ///
    /// # Errors
    /// 500 when signing fails.
    pub fn issue_secret_token(
        &self,
        namespace: &str,
        secret: &str,
        account: &auth::token::Bound,
    ) -> Result<String, Status> {
        self.authenticator
            .issue_legacy_token(namespace, secret, account)
    }

    /// Answers an access or token review; `resource` is its plural, or `serviceaccounts/token`.
    pub(crate) async fn review(
        &self,
        resource: &str,
        user: &User,
        place: (&str, &str),
        body: &Value,
    ) -> Result<Value, Status> {
        let now = self.registry().now();
        let token = body["spec"]["token"].as_str().unwrap_or_default();
        let external = match &self.authentication {
            Some(authentication)
                if resource == "tokenreviews" && authentication.is_responsible(token) =>
            {
                Some(authentication.authenticate(token, now).await)
            }
            _ => None,
        };
        let cx = ReviewContext {
            authenticator: &self.authenticator,
            authorizer: &self.authorizer,
            objects: self.registry().store(),
            user,
            namespace: place.0,
            name: place.1,
            external,
            now,
        };
        auth::review(resource, body, &cx)
    }
}
