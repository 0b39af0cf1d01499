//! Who gets in: credentials over the connector of the process, with the same refusals as over the network.

use std::sync::Arc;

use apiserver::auth::pki::Issued;
use base64::Engine;
use controlplane::ControlPlane;
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use kube::Client;
use runtime::Connector;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::world::World;

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// How a client is told to reach a cluster, still without credentials.
fn config(plane: &ControlPlane) -> kube::Config {
    let mut config = kube::Config::new("https://127.0.0.1:6443".parse().unwrap());
    config.tls_server_name =
        Some(plane.cluster.spec().server_names[0].clone()).filter(|name| name != "*");
    config.root_cert = Some(vec![authority(plane)]);
    config
}

fn authority(plane: &ControlPlane) -> Vec<u8> {
    let pem = plane.cluster.spec().keys.ca_cert_pem.as_bytes();
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

fn with_certificate(mut config: kube::Config, issued: &Issued) -> kube::Config {
    let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    config.auth_info.client_certificate_data = Some(encode(&issued.cert_pem));
    config.auth_info.client_key_data = Some(encode(&issued.key_pem).into());
    config
}

fn with_token(mut config: kube::Config, token: &str) -> kube::Config {
    config.auth_info.token = Some(token.to_owned().into());
    config
}

/// A client certificate that is signed by the cluster.
fn administrator(world: &World, plane: &ControlPlane) -> Issued {
    let authority = plane.cluster.spec().keys.authority().unwrap();
    let day = SignedDuration::from_hours(24);
    authority
        .issue_client("admin", &["system:masters"], world.clock.now(), day)
        .unwrap()
}

async fn request(
    client: &Client,
    method: http::Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    client
        .request(request.body(body.to_string().into_bytes()).unwrap())
        .await
}

async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    client
        .request(http::Request::get(path).body(vec![]).unwrap())
        .await
}

/// Who the server says the client is, or the code and words of its refusal.
async fn who(client: &Client) -> String {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    match request(client, http::Method::POST, path, &review).await {
        Ok(review) => {
            let user = &review["status"]["userInfo"];
            format!("{} {}", user["username"].as_str().unwrap(), user["groups"])
        }
        Err(kube::Error::Api(status)) => format!("{} {}", status.code, status.message),
        Err(error) => panic!("{error}"),
    }
}

async fn who_with(world: &World, config: kube::Config) -> String {
    match world.planes.connector().connect(config).await {
        Ok(client) => who(&client).await,
        Err(error) => runtime::chain(&error),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_knows_its_own_credentials_and_no_others() {
    let world = World::new(0).await;
    let (first, second) = (world.plane.clone(), world.second("second.test").await);
    let (one, two) = (
        administrator(&world, &first),
        administrator(&world, &second),
    );
    let masters = "admin [\"system:masters\",\"system:authenticated\"]";
    assert_eq!(
        who_with(&world, with_certificate(config(&first), &one)).await,
        masters
    );
    assert_eq!(
        who_with(&world, with_certificate(config(&second), &two)).await,
        masters
    );
    assert_eq!(
        who_with(&world, with_certificate(config(&first), &two)).await,
        "401 Unauthorized"
    );
    assert_eq!(
        who_with(&world, with_certificate(config(&second), &one)).await,
        "401 Unauthorized"
    );
    // A certificate without its key, and a server that somebody else vouches for, do not get as far.
    let stolen = Issued {
        key_pem: two.key_pem.clone(),
        ..one.clone()
    };
    assert_eq!(
        who_with(&world, with_certificate(config(&first), &stolen)).await,
        "connecting to https://127.0.0.1:6443/: tls: private key does not match public key of the client certificate"
    );
    let mut mistrusting = config(&first);
    mistrusting.root_cert = Some(vec![authority(&second)]);
    assert_eq!(
        who_with(&world, mistrusting).await,
        "connecting to https://127.0.0.1:6443/: tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    let mut nowhere = config(&first);
    nowhere.tls_server_name = Some("third.test".into());
    assert!(
        who_with(&world, nowhere)
            .await
            .ends_with("no cluster is called \"third.test\" here")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_in_one_cluster_is_in_no_other() {
    let world = World::new(1).await;
    let second = world.second("second.test").await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}});
    world
        .post("/api/v1/namespaces/default/configmaps", map)
        .await;
    world
        .until("/api/v1/nodes/node-1", "the node registers", |node| {
            node["spec"].is_object()
        })
        .await;
    let lists = [
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/nodes",
        "/api/v1/events",
    ];
    for list in lists {
        let theirs = get(&second.client, list).await.unwrap().to_string();
        assert!(
            !theirs.contains("mine") && !theirs.contains("node-1"),
            "{list}: {theirs}"
        );
    }
    let uid = async |plane: &Arc<ControlPlane>| {
        get(&plane.client, "/api/v1/namespaces/kube-system")
            .await
            .unwrap()["metadata"]["uid"]
            .clone()
    };
    assert_ne!(uid(&world.plane).await, uid(&second).await);
    // The other goes, with everything; this one stays.
    world.planes.remove("second.test").await.unwrap();
    assert!(get(&second.client, "/api/v1/nodes").await.is_err());
    assert!(world.planes.server().cluster("second.test").is_none());
    assert_eq!(
        world
            .get("/api/v1/namespaces/default/configmaps/mine")
            .await["data"]["a"],
        "b"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_of_one_cluster_is_no_token_of_another() {
    let world = World::new(0).await;
    let second = world.second("second.test").await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    world
        .until(
            &format!("{accounts}/default"),
            "the account exists",
            |account| account["metadata"].is_object(),
        )
        .await;
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let granted = world.post(&format!("{accounts}/default/token"), ask).await;
    let token = granted["status"]["token"].as_str().unwrap();
    let own = who_with(&world, with_token(config(&world.plane), token)).await;
    assert!(
        own.starts_with("system:serviceaccount:default:default "),
        "{own}"
    );
    assert_eq!(
        who_with(&world, with_token(config(&second), token)).await,
        "401 Unauthorized"
    );
    // It ends with its account.
    world
        .delete(&format!("{accounts}/default"), Value::Null)
        .await;
    assert_eq!(
        who_with(&world, with_token(config(&world.plane), token)).await,
        "401 Unauthorized"
    );
}

/// As `kubeadm init` leaves it: a token, and what its bearers may.
async fn let_bootstrap(world: &World) {
    let data = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    let group = "system:bootstrappers:kubeadm:default-node-token";
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "data": {
            "token-id": data("abcdef"), "token-secret": data("0123456789abcdef"), "auth-extra-groups": data(group),
            "usage-bootstrap-authentication": data("true"),
        },
    });
    world
        .post("/api/v1/namespaces/kube-system/secrets", secret)
        .await;
    for role in [
        "system:node-bootstrapper",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    ] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("test-{}", role.rsplit(':').next().unwrap())},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        });
        world
            .post(
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                binding,
            )
            .await;
    }
}

/// A request for the certificate of a node's kubelet, with its key.
fn kubelet_request(node: &str) -> (Value, rcgen::KeyPair) {
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, format!("system:node:{node}"));
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "system:nodes");
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let csr = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": format!("csr-{node}")},
        "spec": {
            "request": ByteString(pem.into_bytes()), "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    });
    (csr, key)
}

#[tokio::test(start_paused = true)]
async fn a_joining_node_trades_its_token_for_a_certificate() {
    let world = World::new(0).await;
    let_bootstrap(&world).await;
    let token = with_token(config(&world.plane), "abcdef.0123456789abcdef");
    let client = world.planes.connector().connect(token).await.unwrap();
    let (csr, key) = kubelet_request("n1");
    request(&client, http::Method::POST, CSRS, &csr)
        .await
        .unwrap();
    let refused = get(&client, "/api/v1/nodes").await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("cannot list resource \"nodes\""),
        "{refused}"
    );
    let signed = world
        .until(&format!("{CSRS}/csr-n1"), "it is signed", |csr| {
            csr["status"]["certificate"].is_string()
        })
        .await;
    assert_eq!(signed["spec"]["username"], "system:bootstrap:abcdef");
    let approved = &signed["status"]["conditions"][0];
    assert_eq!(
        (&approved["type"], &approved["reason"]),
        (&json!("Approved"), &json!("AutoApproved"))
    );
    let certificate: ByteString =
        serde_json::from_value(signed["status"]["certificate"].clone()).unwrap();
    let issued = Issued {
        cert_pem: String::from_utf8(certificate.0).unwrap(),
        key_pem: key.serialize_pem(),
    };
    let node = with_certificate(config(&world.plane), &issued);
    assert_eq!(
        who_with(&world, node).await,
        "system:node:n1 [\"system:nodes\",\"system:authenticated\"]"
    );
}

#[tokio::test(start_paused = true)]
async fn a_certificate_for_another_is_not_approved_by_itself() {
    let world = World::new(0).await;
    let_bootstrap(&world).await;
    let token = with_token(config(&world.plane), "abcdef.0123456789abcdef");
    let client = world.planes.connector().connect(token).await.unwrap();
    let (mut csr, _) = kubelet_request("n1");
    csr["spec"]["signerName"] = "kubernetes.io/kube-apiserver-client".into();
    request(&client, http::Method::POST, CSRS, &csr)
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let csr = world.get(&format!("{CSRS}/csr-n1")).await;
    assert!(
        csr["status"]["conditions"].is_null() && csr["status"]["certificate"].is_null(),
        "{csr}"
    );
    let wrong = with_token(config(&world.plane), "abcdef.ffffffffffffffff");
    assert_eq!(who_with(&world, wrong).await, "401 Unauthorized");
}
