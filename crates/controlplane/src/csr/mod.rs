//! Approves, signs and clears away CertificateSigningRequests.
//!
//! Approves kubelets' client certificates where RBAC lets the requester have them (`selfnodeclient`, `nodeclient`).
//! Signs what is approved for Kubernetes' own signers with the cluster's authority, and refuses what a signer's rules
//! forbid. Deletes requests that are over: pending ones after a day, decided ones after an hour, and those whose
//! certificate has expired. Requests for other signers are only cleared away.

mod plan;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use apiserver::auth::pki::{Authority, CertificateRequest, PkiError};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use runtime::{Cluster, Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::{Value, json};

/// Signs certificates for the cluster.
pub trait Signer: Send + Sync + 'static {
    /// The certificate (PEM) that answers `request`.
    ///
    /// # Errors
    /// If it can't be signed as asked.
    fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[&str],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<String, PkiError>;
}

impl Signer for Authority {
    fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[&str],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<String, PkiError> {
        Self::sign(self, request, usages, now, lifetime)
    }
}

/// Handles CertificateSigningRequests.
pub struct CsrController {
    signer: Arc<dyn Signer>,
}

impl CsrController {
    /// Signs with `signer`.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>) -> Self {
        Self { signer }
    }
}

/// One request.
pub struct World {
    pub(crate) csr: CertificateSigningRequest,
    /// What is asked for, or why it can't be read.
    pub(crate) request: Result<CertificateRequest, String>,
    /// Why it may be approved without anybody being asked.
    pub(crate) approval: Option<&'static str>,
    /// When the issued certificate ends.
    pub(crate) expires: Option<Timestamp>,
}

/// What is no change of one object.
#[derive(Debug)]
pub enum Act {
    /// Sign, and put the certificate into the status.
    Sign,
}

impl Reconciler for CsrController {
    const NAME: &'static str = "csr";
    type Object = CertificateSigningRequest;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, csr: &CertificateSigningRequest) -> Result<World, GatherError> {
        let request = std::str::from_utf8(&csr.spec.request.0)
            .map_err(|_| "spec.request is not PEM".to_owned())
            .and_then(|pem| CertificateRequest::from_pem(pem).map_err(|error| error.to_string()));
        let certificate = csr
            .status
            .as_ref()
            .and_then(|status| status.certificate.as_ref());
        let mut approval = None;
        if let Ok(request) = &request
            && plan::is_undecided(csr)
        {
            for (permission, message) in rules::permissions(csr, request) {
                if is_allowed(cx.cluster(), csr, permission).await? {
                    approval = Some(message);
                    break;
                }
            }
        }
        Ok(World {
            csr: csr.clone(),
            request,
            approval,
            expires: certificate.and_then(expires),
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Act::Sign = act;
        let failed = |message: String| Wait {
            reason: rules::SIGNER_VALIDATION_FAILURE,
            message,
        };
        let request = world.request.as_ref().map_err(|why| failed(why.clone()))?;
        let usages: Vec<&str> = world
            .csr
            .spec
            .usages
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let lifetime = rules::lifetime(&world.csr);
        let signed = self.signer.sign(request, &usages, cx.now(), lifetime);
        let certificate = signed.map_err(|error| failed(runtime::chain(&error)))?;
        let name = world.csr.metadata.name.as_deref().unwrap_or_default();
        let patch = json!({
            "metadata": {"resourceVersion": world.csr.metadata.resource_version},
            "status": {"certificate": ByteString(certificate.into_bytes())},
        });
        let request = http::Request::patch(format!(
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/status"
        ))
        .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .map_err(|error| failed(error.to_string()))?;
        let written = cx.cluster().request::<Value>(request).await;
        written
            .map(drop)
            .map_err(|error| failed(runtime::chain(&error)))
    }

    fn status(
        _world: &World,
        _plan: &Plan<Act>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        // The approval and the certificate are each written where they belong; there is no status of ours.
        None
    }
}

/// Asks the server whether the requester may have such a certificate.
async fn is_allowed(
    cluster: &Cluster,
    csr: &CertificateSigningRequest,
    permission: &'static str,
) -> Result<bool, GatherError> {
    let spec = &csr.spec;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": spec.username,
            "uid": spec.uid,
            "groups": spec.groups,
            "extra": spec.extra,
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "subresource": permission,
                "verb": "create",
            },
        },
    });
    let what =
        || format!("whether the requester may create certificatesigningrequests/{permission}");
    let request = http::Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes());
    let request = request.map_err(|error| GatherError::Unavailable {
        what: what(),
        why: error.to_string(),
    })?;
    let answer: Value = cluster
        .request(request)
        .await
        .map_err(|error| GatherError::Read {
            what: what(),
            source: Box::new(error),
        })?;
    Ok(answer["status"]["allowed"] == true)
}

fn expires(certificate: &ByteString) -> Option<Timestamp> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate.0).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
