//! Reading certificate signing requests (PKCS#10).

use std::net::IpAddr;

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::PkiError;

/// A certificate signing request whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
    pub(super) subject: Vec<u8>,
    pub(super) spki: Vec<u8>,
    pub(super) alternative_names: Option<Vec<u8>>,
}

impl CertificateRequest {
    /// Reads a `CERTIFICATE REQUEST` and checks that the requester has the key.
    ///
    /// # Errors
    /// When the text is not such a request or the signature is wrong.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let bad = |why: &str| PkiError::Request(why.into());
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
            .map_err(|_| bad("not PEM: want a block BEGIN CERTIFICATE REQUEST"))?;
        let (_, parsed) =
            X509CertificationRequest::from_der(&der).map_err(|_| bad("not PKCS#10"))?;
        parsed
            .verify_signature()
            .map_err(|_| bad("the signature is not of the key in it"))?;
        let info = &parsed.certification_request_info;
        let (common_name, organizations) = subject_names(&info.subject);
        let mut request = Self {
            common_name,
            organizations,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            subject: info.subject.as_raw().to_vec(),
            spki: info.subject_pki.raw.to_vec(),
            alternative_names: None,
        };
        let extensions = info
            .iter_attributes()
            .filter_map(|attribute| match attribute.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(request) => Some(&request.extensions),
                _ => None,
            })
            .flatten();
        for extension in extensions {
            if extension.oid != OID_X509_EXT_SUBJECT_ALT_NAME {
                continue;
            }
            let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension()
            else {
                return Err(bad("its alternative names cannot be read"));
            };
            request.alternative_names = Some(extension.value.to_vec());
            for name in &names.general_names {
                request.take(name)?;
            }
        }
        Ok(request)
    }

    fn take(&mut self, name: &GeneralName<'_>) -> Result<(), PkiError> {
        match name {
            GeneralName::DNSName(dns) => self.dns_names.push((*dns).into()),
            GeneralName::RFC822Name(email) => self.emails.push((*email).into()),
            GeneralName::URI(uri) => self.uris.push((*uri).into()),
            GeneralName::IPAddress(bytes) => self.addresses.push(address(bytes)?),
            _ => {
                return Err(PkiError::Request(
                    "an alternative name is none of DNS, IP, email, URI".into(),
                ));
            }
        }
        Ok(())
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, PkiError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    <[u8; 16]>::try_from(bytes)
        .map(IpAddr::from)
        .map_err(|_| PkiError::Request("an IP address has neither 4 nor 16 bytes".into()))
}

/// Common name (the last one, empty without one) and organizations of a subject: user and groups.
pub(crate) fn subject_names(subject: &X509Name<'_>) -> (String, Vec<String>) {
    let common_name = subject.iter_common_name().last().map(text);
    let organizations = subject.iter_organization().map(text).collect();
    (common_name.unwrap_or_default(), organizations)
}

/// The text of a name's attribute, whichever string type it has.
pub(crate) fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute.as_str().map_or_else(
        |_| String::from_utf8_lossy(attribute.as_slice()).into_owned(),
        Into::into,
    )
}
