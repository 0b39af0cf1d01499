//! Certificate signing requests: who asked is who is authenticated, and approving and signing need their own verbs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Admission, Operation, Request, edit};
use crate::auth::pki::CertificateRequest;
use crate::auth::{Attributes, Authorizer, MASTERS, user_info};
use crate::status::Status;

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Writes the requester into a new request, whatever the client claims, and keeps the request as it was first made:
/// whoever approves it trusts these fields.
pub(super) struct Requester;

#[async_trait::async_trait]
impl Admission for Requester {
    fn name(&self) -> &'static str {
        "CertificateRequester"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        if *request.resource.group != *GROUP || *request.resource.plural != *PLURAL {
            return Ok(());
        }
        match request.operation {
            Operation::Create => {
                if let Some(spec) = edit::map(object, "spec") {
                    claim(spec, request);
                }
            }
            Operation::Update => {
                if let Some(old) = request.old {
                    edit::set(object, "spec", old["spec"].clone());
                }
            }
            Operation::Delete | Operation::Connect => {}
        }
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let is_create = request.operation == Operation::Create;
        if !is_create || !request.is_for(GROUP, PLURAL, "") {
            return Ok(());
        }
        let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
        claim(&mut spec, request);
        if object["spec"].as_object() == Some(&spec) {
            return Ok(());
        }
        Err(request.forbidden("the requester was changed by admission: it must be who asks"))
    }
}

fn claim(spec: &mut Map<String, Value>, request: &Request<'_>) {
    let info = user_info(request.user);
    for field in ["username", "uid", "groups", "extra"] {
        match &info[field] {
            Value::Null => spec.remove(field),
            value => spec.insert(field.into(), value.clone()),
        };
    }
}

/// Whether the user may `verb` for the signer, by its name or by `<domain>/*`.
fn may(authorizer: &Authorizer, request: &Request<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or("", |(domain, _)| domain);
    [signer.to_owned(), format!("{domain}/*")]
        .into_iter()
        .any(|name| {
            let attributes = Attributes {
                verb: verb.into(),
                group: GROUP.into(),
                version: "v1".into(),
                resource: "signers".into(),
                name,
                ..Attributes::default()
            };
            authorizer
                .authorize(request.objects, request.user, &attributes)
                .allowed
        })
}

/// The signer of the request as it is stored.
fn signer<'a>(request: &Request<'a>, object: &'a Value) -> &'a str {
    edit::text(&request.old.unwrap_or(object)["spec"], "signerName")
}

pub(super) struct CertificateApproval(pub(super) Arc<Authorizer>);

#[async_trait::async_trait]
impl Admission for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        if request.operation != Operation::Update || !request.is_for(GROUP, PLURAL, "approval") {
            return Ok(());
        }
        let signer = signer(request, object);
        if may(&self.0, request, "approve", signer) {
            return Ok(());
        }
        Err(request.forbidden(&format!(
            "user not permitted to approve requests with signerName {signer:?}"
        )))
    }
}

pub(super) struct CertificateSigning(pub(super) Arc<Authorizer>);

#[async_trait::async_trait]
impl Admission for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        if request.operation != Operation::Update || !request.is_for(GROUP, PLURAL, "status") {
            return Ok(());
        }
        let is_same = request.old.is_some_and(|old| {
            old["status"]["certificate"] == object["status"]["certificate"]
                && old["status"]["conditions"] == object["status"]["conditions"]
        });
        let signer = signer(request, object);
        if is_same || may(&self.0, request, "sign", signer) {
            return Ok(());
        }
        Err(request.forbidden(&format!(
            "user not permitted to sign requests with signerName {signer:?}"
        )))
    }
}

pub(super) struct CertificateSubjectRestriction;

#[async_trait::async_trait]
impl Admission for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let is_create = request.operation == Operation::Create;
        let spec = &object["spec"];
        if !is_create || !request.is_for(GROUP, PLURAL, "") || spec["signerName"] != CLIENT_SIGNER {
            return Ok(());
        }
        let text = STANDARD
            .decode(edit::text(spec, "request"))
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        let parsed = CertificateRequest::from_pem(&text)
            .map_err(|error| request.forbidden(&format!("unable to parse the request: {error}")))?;
        if parsed.organizations.iter().any(|group| group == MASTERS) {
            return Err(request.forbidden(
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
            ));
        }
        Ok(())
    }
}
