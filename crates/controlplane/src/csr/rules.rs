//! What Kubernetes' own signers sign. Pure.

use apiserver::auth::pki::CertificateRequest;
use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

pub(super) const API_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Reason of `Failed`: the request breaks its signer's rules.
pub(super) const SIGNER_VALIDATION_FAILURE: &str = "SignerValidationFailure";

/// A certificate's lifetime if the request doesn't say, and the longest.
const LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);
const LIFETIME_MIN: SignedDuration = SignedDuration::from_mins(10);

/// Whether it is us who sign for this signer.
pub(super) fn is_ours(signer: &str) -> bool {
    [API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY].contains(&signer)
}

/// The permissions, any of which lets the requester have the certificate without being asked, and what to say then.
pub(super) fn permissions(
    csr: &CertificateSigningRequest,
    request: &CertificateRequest,
) -> Vec<(&'static str, &'static str)> {
    if csr.spec.signer_name != KUBELET_CLIENT || violation(csr, request).is_some() {
        return vec![];
    }
    let is_self = csr.spec.username.as_ref() == Some(&request.common_name);
    let renewal = (
        "selfnodeclient",
        "Auto approving self kubelet client certificate after SubjectAccessReview.",
    );
    let first = (
        "nodeclient",
        "Auto approving kubelet client certificate after SubjectAccessReview.",
    );
    if is_self {
        vec![renewal, first]
    } else {
        vec![first]
    }
}

/// Why the request's signer may not sign it.
pub(super) fn violation(
    csr: &CertificateSigningRequest,
    request: &CertificateRequest,
) -> Option<String> {
    let usages: Vec<&str> = csr
        .spec
        .usages
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let common = ["digital signature", "key encipherment"];
    let only = |purpose: &str| {
        usages.contains(&purpose)
            && usages
                .iter()
                .all(|usage| *usage == purpose || common.contains(usage))
    };
    let needs = |purpose: &str| {
        format!(
            "usages must be {purpose:?} with \"digital signature\" and, for RSA keys, \"key encipherment\", and no others; got {usages:?}"
        )
    };
    let has_mail_or_uri = !request.emails.is_empty() || !request.uris.is_empty();
    let has_host = !request.dns_names.is_empty() || !request.addresses.is_empty();
    match csr.spec.signer_name.as_str() {
        API_CLIENT if !only("client auth") => Some(needs("client auth")),
        KUBELET_CLIENT | KUBELET_SERVING if request.organizations != ["system:nodes"] => {
            Some("the subject's organization must be system:nodes alone".to_owned())
        }
        KUBELET_CLIENT | KUBELET_SERVING if !is_node(&request.common_name) => {
            Some("the subject's common name must be system:node:<name>".to_owned())
        }
        KUBELET_CLIENT | KUBELET_SERVING if has_mail_or_uri => {
            Some("email and URI alternative names are not allowed".to_owned())
        }
        KUBELET_CLIENT if has_host => {
            Some("DNS and IP alternative names are not allowed".to_owned())
        }
        KUBELET_SERVING if !has_host => {
            Some("at least one DNS or IP alternative name is needed".to_owned())
        }
        KUBELET_CLIENT if !only("client auth") || !usages.contains(&"digital signature") => {
            Some(needs("client auth"))
        }
        KUBELET_SERVING if !only("server auth") || !usages.contains(&"digital signature") => {
            Some(needs("server auth"))
        }
        _ => None,
    }
}

fn is_node(common_name: &str) -> bool {
    common_name
        .strip_prefix("system:node:")
        .is_some_and(|name| !name.is_empty())
}

/// How long the certificate is to last.
pub(super) fn lifetime(csr: &CertificateSigningRequest) -> SignedDuration {
    let asked = csr
        .spec
        .expiration_seconds
        .map(|seconds| SignedDuration::from_secs(seconds.into()));
    asked
        .unwrap_or(LIFETIME_MAX)
        .clamp(LIFETIME_MIN, LIFETIME_MAX)
}
