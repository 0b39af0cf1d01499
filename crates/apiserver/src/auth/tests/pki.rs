use expect_test::expect;
use rcgen::{CertificateParams, DnType, KeyPair, KeyUsagePurpose, SanType};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::parse_x509_certificate;

use super::{hours, now};
use crate::auth::pki::{CLIENT_USAGES, CertificateRequest, ClusterKeys, SERVER_USAGES, pem};

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn shown(pem: &str) -> String {
    let der = der(pem);
    let (rest, cert) = parse_x509_certificate(&der).unwrap();
    assert!(rest.is_empty());
    let extensions: Vec<String> = cert
        .extensions()
        .iter()
        .map(|e| {
            let critical = if e.critical { " critical" } else { "" };
            let text = format!("{:?}", e.parsed_extension());
            let text = if text.contains("KeyIdentifier") {
                "…".into()
            } else {
                text
            };
            format!("  {}{critical} {text}", e.oid)
        })
        .collect();
    format!(
        "subject {}\nissuer {}\nfrom {} to {}\n{}",
        cert.subject(),
        cert.issuer(),
        cert.validity().not_before,
        cert.validity().not_after,
        extensions.join("\n"),
    )
}

#[test]
fn an_authority_is_one() {
    let keys = ClusterKeys::generate("hello", now()).unwrap();
    expect![[r#"
        subject CN=hello
        issuer CN=hello
        from Jun  1 11:55:00 2026 +00:00 to May 29 12:00:00 2036 +00:00
          2.5.29.15 critical KeyUsage(KeyUsage { flags: 37 })
          2.5.29.19 critical BasicConstraints(BasicConstraints { ca: true, path_len_constraint: None })
          2.5.29.14 …
          2.5.29.17 SubjectAlternativeName(SubjectAlternativeName { general_names: [DNSName("hello")] })"#]].assert_eq(&shown(&keys.ca_cert_pem));
    keys.authority().unwrap();
}

#[test]
fn each_group_is_an_organization() {
    let keys = ClusterKeys::generate("hello", now()).unwrap();
    let issued = keys
        .authority()
        .unwrap()
        .issue_client("jane", &["ops", "devs", "qa"], now(), hours(1))
        .unwrap();
    expect![[r#"
        subject O=ops, O=devs, O=qa, CN=jane
        issuer CN=hello
        from Jun  1 11:55:00 2026 +00:00 to Jun  1 13:00:00 2026 +00:00
          2.5.29.15 critical KeyUsage(KeyUsage { flags: 5 })
          2.5.29.37 ExtendedKeyUsage(ExtendedKeyUsage { any: false, server_auth: false, client_auth: true, code_signing: false, email_protection: false, time_stamping: false, ocsp_signing: false, other: [] })
          2.5.29.19 critical BasicConstraints(BasicConstraints { ca: false, path_len_constraint: None })
          2.5.29.35 …"#]].assert_eq(&shown(&issued.cert_pem));
}

#[test]
fn rustls_accepts_a_server_certificate_for_its_names_only() {
    let keys = ClusterKeys::generate("hello", now()).unwrap();
    let issued = keys
        .authority()
        .unwrap()
        .issue_server(
            &["hello.org-acme.clusters.apiary.internal", "kubernetes"],
            &["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            now(),
            hours(1),
        )
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(&keys.ca_cert_pem)).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
    let accepts = |name: &str, at: jiff::Timestamp| {
        use rustls::client::danger::ServerCertVerifier as _;
        let seconds = u64::try_from(at.as_second()).unwrap();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&der(&issued.cert_pem), &[], &name, &[], time)
            .is_ok()
    };
    assert!(accepts("hello.org-acme.clusters.apiary.internal", now()));
    assert!(accepts("127.0.0.1", now()));
    assert!(accepts("::1", now()));
    assert!(!accepts("other.org-acme.clusters.apiary.internal", now()));
    assert!(!accepts("127.0.0.2", now()));
    assert!(!accepts("kubernetes", now() + hours(2)));
}

#[test]
fn nothing_outlives_the_authority() {
    let keys = ClusterKeys::generate("hello", now() - hours(10 * 365 * 24 - 1)).unwrap();
    let issued = keys
        .authority()
        .unwrap()
        .issue_client("jane", &[], now(), hours(100))
        .unwrap();
    let cert = der(&issued.cert_pem);
    let (_, cert) = parse_x509_certificate(&cert).unwrap();
    let end = (now() + hours(1)).as_second();
    assert_eq!(cert.validity().not_after.timestamp(), end);
}

/// The key inside a PKCS#8 envelope: PKCS#1 for RSA, SEC 1 for EC.
fn unwrapped(pkcs8: &[u8]) -> Vec<u8> {
    yasna::parse_der(pkcs8, |reader| {
        reader.read_sequence(|reader| {
            reader.next().read_u8()?;
            reader.next().read_der()?;
            reader.next().read_bytes()
        })
    })
    .unwrap()
}

/// Keys as kubeadm and Cluster API write them: RSA in PKCS#1 or PKCS#8, EC in SEC 1 after its parameters.
fn foreign_keys() -> [String; 4] {
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let p256 = KeyPair::generate().unwrap();
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let parameters = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    [
        pem("RSA PRIVATE KEY", &unwrapped(rsa.serialized_der())),
        rsa.serialize_pem(),
        pem("EC PARAMETERS", &parameters)
            + &pem("EC PRIVATE KEY", &unwrapped(p256.serialized_der())),
        pem("EC PRIVATE KEY", &unwrapped(p384.serialized_der())),
    ]
}

/// A certificate authority as somebody else's tool would make it.
fn foreign_authority(key_pem: &str) -> String {
    let key = crate::auth::pki::read_key("test", key_pem).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "kubernetes");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn foreign_keys_issue_and_sign() {
    for key in foreign_keys() {
        let keys = ClusterKeys::from_pem(&foreign_authority(&key), &key, &key).unwrap();
        let authenticator = crate::auth::Authenticator::new(&keys, super::ISSUER, vec![]).unwrap();
        let issued = keys
            .authority()
            .unwrap()
            .issue_client("jane", &["ops"], now(), hours(1))
            .unwrap();
        let world = super::World::default();
        let user = authenticator
            .authenticate(&world, Some(&der(&issued.cert_pem)), None, now())
            .unwrap();
        assert_eq!((&*user.name, &*user.groups[0]), ("jane", "ops"));
        let mut world = super::World::default();
        world.account("default", "robot");
        let token = authenticator
            .issue_token(super::authenticate::spec("robot"), now())
            .unwrap();
        authenticator
            .authenticate(&world, None, Some(&format!("Bearer {token}")), now())
            .unwrap();
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let ours = ClusterKeys::generate("hello", now()).unwrap();
    let other = ClusterKeys::generate("other", now()).unwrap();
    let cases = [
        (&*ours.ca_cert_pem, &*other.ca_key_pem, &*ours.sa_key_pem),
        ("nonsense", &*ours.ca_key_pem, &*ours.sa_key_pem),
        (&*ours.ca_cert_pem, "nonsense", &*ours.sa_key_pem),
        (&*ours.ca_cert_pem, &*ours.ca_key_pem, &*ours.ca_cert_pem),
    ];
    let errors: Vec<String> = cases
        .iter()
        .map(|(cert, key, sa)| {
            ClusterKeys::from_pem(cert, key, sa)
                .unwrap_err()
                .to_string()
        })
        .collect();
    expect![[r#"
        certificate authority: the certificate is not of the key
        certificate is not PEM: want a block BEGIN CERTIFICATE
        private key is not PEM: want a block BEGIN PRIVATE KEY
        private key is not PEM: want a block BEGIN PRIVATE KEY"#]]
    .assert_eq(&errors.join("\n"));
}

#[test]
fn keys_survive_a_record_and_never_show() {
    let keys = ClusterKeys::generate("hello", now()).unwrap();
    let record = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<ClusterKeys>(&record).unwrap(), keys);
    assert!(!format!("{keys:?}").contains("PRIVATE"));
}

fn kubelet_request() -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, "system:node:worker-1");
    params.subject_alt_names = vec![
        SanType::DnsName("worker-1".try_into().unwrap()),
        SanType::IpAddress("10.0.0.7".parse().unwrap()),
    ];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

#[test]
fn a_request_is_read_and_signed_as_it_stands() {
    let keys = ClusterKeys::generate("hello", now()).unwrap();
    let request = CertificateRequest::from_pem(&kubelet_request()).unwrap();
    assert_eq!(request.common_name, "system:node:worker-1");
    assert_eq!(request.organizations, ["system:nodes"]);
    assert_eq!(request.dns_names, ["worker-1"]);
    assert_eq!(
        request.addresses,
        ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]
    );
    let authority = keys.authority().unwrap();
    let signed = authority
        .sign(&request, SERVER_USAGES, now(), hours(24))
        .unwrap();
    expect![[r#"
        subject O=system:nodes, CN=system:node:worker-1
        issuer CN=hello
        from Jun  1 11:55:00 2026 +00:00 to Jun  2 12:00:00 2026 +00:00
          2.5.29.15 critical KeyUsage(KeyUsage { flags: 5 })
          2.5.29.37 ExtendedKeyUsage(ExtendedKeyUsage { any: false, server_auth: true, client_auth: false, code_signing: false, email_protection: false, time_stamping: false, ocsp_signing: false, other: [] })
          2.5.29.19 critical BasicConstraints(BasicConstraints { ca: false, path_len_constraint: None })
          2.5.29.35 …
          2.5.29.17 SubjectAlternativeName(SubjectAlternativeName { general_names: [DNSName("worker-1"), IPAddress([10, 0, 0, 7])] })"#]].assert_eq(&shown(&signed));
    let error = authority
        .sign(
            &request,
            &["client auth", "world domination"],
            now(),
            hours(1),
        )
        .unwrap_err();
    expect![[r#"usage "world domination" is unknown: want for example "client auth""#]]
        .assert_eq(&error.to_string());
    authority
        .sign(&request, CLIENT_USAGES, now(), hours(24))
        .unwrap();
}

#[test]
fn a_tampered_request_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let text = kubelet_request();
    let body: String = text.lines().filter(|l| !l.starts_with("---")).collect();
    let mut der = STANDARD.decode(body).unwrap();
    let at = der.windows(12).position(|w| w == b"system:nodes").unwrap();
    der[at + 7] = b'm';
    let tampered = pem("CERTIFICATE REQUEST", &der);
    let errors = [
        tampered.as_str(),
        "hello",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    ]
    .map(|text| CertificateRequest::from_pem(text).unwrap_err().to_string());
    expect![[r#"
        certificate signing request: the signature is not of the key in it
        certificate signing request: not PEM: want a block BEGIN CERTIFICATE REQUEST
        certificate signing request: not PKCS#10"#]]
    .assert_eq(&errors.join("\n"));
}
