//! Nothing of one logical cluster opens another: tokens, certificates, continue tokens, paths.

use std::sync::Arc;

use apiserver::auth::{ClusterKeys, User};
use apiserver::store::backup::Snapshot;
use apiserver::store::{Memory, Mutation, Storage, StorageError, Store, StoredCluster};
use apiserver::{Cluster, ClusterSpec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use expect_test::expect;
use http::Request;
use http_body_util::{BodyExt, Full};
use jiff::SignedDuration;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{World, now};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A world, and a second cluster beside it in the same server, each with some ConfigMaps and a service account.
pub(crate) async fn two() -> (World, World) {
    let one = World::new().await;
    let spec = ClusterSpec {
        id: "other".into(),
        server_names: vec!["other.example.com".into()],
        keys: ClusterKeys::generate("other", now()).unwrap(),
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    };
    let cluster = one.server.create_cluster(spec).await.unwrap();
    let admin = User::authenticated("admin", ["system:masters".to_owned()]);
    let other = World {
        service: cluster.service(admin),
        cluster,
        ..one.seen_by(User::anonymous())
    };
    for world in [&one, &other] {
        for name in ["a", "b", "c"] {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
            world.post(MAPS, map).await.ok();
        }
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
        world
            .post("/api/v1/namespaces/default/serviceaccounts", account)
            .await
            .ok();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "all"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "robot"},
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers"}],
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        world.post(bindings, binding).await.ok();
    }
    (one, other)
}

/// The code of a GET over the network with these credentials.
async fn code(
    cluster: &Arc<Cluster>,
    certificate: Option<&[u8]>,
    token: Option<&str>,
    path: &str,
) -> u16 {
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let service = cluster.network_service(certificate.map(<[u8]>::to_vec));
    service.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn tokens_open_the_cluster_that_made_them() {
    let (one, other) = two().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/robot/token";
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = one.post(path, ask).await.ok();
    let token = token["status"]["token"].as_str().unwrap();
    assert_eq!(code(&one.cluster, None, Some(token), MAPS).await, 200);
    assert_eq!(code(&other.cluster, None, Some(token), MAPS).await, 401);
    let data = |text: &str| STANDARD.encode(text);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "data": {"token-id": data("abcdef"), "token-secret": data("0123456789abcdef"),
            "usage-bootstrap-authentication": data("true")},
    });
    one.post("/api/v1/namespaces/kube-system/secrets", secret)
        .await
        .ok();
    let token = Some("abcdef.0123456789abcdef");
    assert_eq!(code(&one.cluster, None, token, MAPS).await, 200);
    assert_eq!(code(&other.cluster, None, token, MAPS).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_token_is_nobodys_however_it_is_shown() {
    let (one, other) = two().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/robot/token";
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = one.post(path, ask).await.ok();
    let token = token["status"]["token"].as_str().unwrap();
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let status = |answer: Value| answer["status"]["authenticated"] == true;
    assert!(status(one.post(reviews, review.clone()).await.ok()));
    assert!(!status(other.post(reviews, review).await.ok()));
    // As browsers send it.
    let protocol = format!(
        "base64url.bearer.authorization.k8s.io.{}, v5.channel.k8s.io",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token)
    );
    for (world, good) in [(&one, 200), (&other, 401)] {
        let request = Request::builder()
            .uri(MAPS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-protocol", &protocol)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let service = world.cluster.network_service(None);
        let answer = service.oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), good);
    }
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_that_of_the_connection_whatever_a_request_says() {
    let (one, other) = two().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hidden"}});
    other.post(MAPS, map).await.ok();
    let hidden = format!("{MAPS}/hidden");
    let absolute = format!("https://other.example.com{hidden}");
    for (uri, header, value) in [
        (&hidden, "host", "other.example.com"),
        (&hidden, "x-forwarded-host", "other.example.com"),
        (&hidden, "forwarded", "host=other.example.com"),
        (&hidden, "x-logical-cluster", "other"),
        (&absolute, "host", "other.example.com"),
        (&absolute, "accept", "*/*"),
    ] {
        let request = Request::builder()
            .uri(uri)
            .header(header, value)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let answer = one.service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 404, "{header}: {value}");
    }
    other.get(&hidden).await.ok();
}

#[tokio::test(start_paused = true)]
async fn revisions_and_uids_of_one_cluster_say_nothing_in_another() {
    let (one, other) = two().await;
    for n in 0..20 {
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{n}")}});
        one.post(MAPS, map).await.ok();
    }
    let list = one.get(MAPS).await.ok();
    let ahead = list["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("{MAPS}?resourceVersion={ahead}&resourceVersionMatch=Exact");
    let refused = other.get(&exact).await;
    assert!(matches!(refused.code, 410 | 504), "{}", refused.body);
    let uid = &one.get(&format!("{MAPS}/a")).await.ok()["metadata"]["uid"];
    let options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
    let refused = other
        .send(
            http::Method::DELETE,
            &format!("{MAPS}/a"),
            "application/json",
            options.to_string(),
        )
        .await;
    assert_eq!(refused.code, 409);
    other.get(&format!("{MAPS}/a")).await.ok();
}

#[tokio::test(start_paused = true)]
async fn certificates_open_the_cluster_whose_authority_signed_them() {
    let (one, other) = two().await;
    let authority = one.cluster.spec().keys.authority().unwrap();
    let issued = authority
        .issue_client(
            "root",
            &["system:masters"],
            now(),
            SignedDuration::from_hours(1),
        )
        .unwrap();
    let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
    assert_eq!(code(&one.cluster, Some(&der), None, MAPS).await, 200);
    assert_eq!(code(&other.cluster, Some(&der), None, MAPS).await, 401);
    // A good token of the other cluster beside a certificate that is not: it is the token's account.
    assert_eq!(code(&other.cluster, Some(&der), Some("x"), MAPS).await, 401);
}

#[tokio::test(start_paused = true)]
async fn lists_go_on_in_the_cluster_where_they_began() {
    let (one, other) = two().await;
    let page = one.get(&format!("{MAPS}?limit=1")).await.ok();
    let token = page["metadata"]["continue"].as_str().unwrap();
    let next = format!("{MAPS}?limit=1&continue={token}");
    assert_eq!(
        one.get(&next).await.ok()["items"][0]["metadata"]["name"],
        "b"
    );
    expect!["400 BadRequest: invalid continue token: continue key is not valid: it was not made by this server"]
        .assert_eq(&other.get(&next).await.refused());
}

#[tokio::test(start_paused = true)]
async fn no_path_leads_out_of_where_somebody_may_be() {
    let (one, _) = two().await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    one.post(bindings, binding).await.ok();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"hidden": "yes"}});
    one.post("/api/v1/namespaces/kube-system/configmaps", map)
        .await
        .ok();
    let jane = one.seen_by(User::authenticated("jane", []));
    assert_eq!(jane.get(&format!("{MAPS}/a")).await.code, 200);
    for path in [
        "/api/v1/namespaces/kube-system/configmaps/a",
        "/api/v1/namespaces/default/../kube-system/configmaps/a",
        "/api/v1/namespaces/default/%2e%2e/kube-system/configmaps/a",
        "/api/v1/namespaces/default%2f..%2fkube-system/configmaps/a",
        "/api/v1/namespaces/default%2fconfigmaps/../kube-system/configmaps/a",
        "/api/v1/namespaces/default/configmaps/..%2f..%2fkube-system%2fconfigmaps%2fa",
        "/api/v1/namespaces/default/configmaps/a/../../../kube-system/configmaps/a",
        "/api/v1/namespaces/default%00/configmaps/a",
        "/api/v1/namespaces//kube-system/configmaps/a",
        "/api/v1/namespaces/./kube-system/configmaps/a",
        "/api/v1/configmaps?fieldSelector=metadata.namespace%3Ddefault",
        "/api/v1/watch/namespaces/kube-system/configmaps",
        "/clusters/other/api/v1/namespaces/default/configmaps",
        "/other/api/v1/namespaces/default/configmaps",
    ] {
        let answer = jane.get(path).await;
        assert!(
            matches!(answer.code, 400 | 403 | 404),
            "{path}: {} {}",
            answer.code,
            answer.body
        );
        assert!(!answer.body.to_string().contains("hidden"), "{path}");
    }
    let headers = [
        "x-remote-user",
        "x-forwarded-user",
        "x-original-url",
        "x-rewrite-url",
    ];
    for header in headers {
        let request = Request::builder()
            .uri("/api/v1/namespaces/kube-system/configmaps/a")
            .header(header, "admin")
            .header("x-remote-group", "system:masters")
            .body(Full::new(Bytes::new()))
            .unwrap();
        let service = one.cluster.network_service(None);
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 403, "{header}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(
            body["message"]
                .as_str()
                .unwrap()
                .contains("system:anonymous")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_tokens_are_rotated_without_a_break() {
    let (one, other) = two().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/robot/token";
    let token = async || {
        let ask =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = one.post(path, ask).await.ok();
        answer["status"]["token"].as_str().unwrap().to_owned()
    };
    let keys = async || {
        let keys = one.get("/openid/v1/jwks").await.ok();
        keys["keys"].as_array().unwrap().len()
    };
    let old = token().await;
    one.server.rotate_token_key("test").await.unwrap();
    let new = token().await;
    assert_eq!(keys().await, 2);
    for (token, good) in [(&old, 200), (&new, 200)] {
        assert_eq!(code(&one.cluster, None, Some(token), MAPS).await, good);
        assert_eq!(code(&other.cluster, None, Some(token), MAPS).await, 401);
    }
    one.server.set_version("test", "v1.36.1").await.unwrap();
    one.server.forget_old_token_keys("test").await.unwrap();
    assert_eq!(keys().await, 1);
    assert_eq!(code(&one.cluster, None, Some(&old), MAPS).await, 401);
    assert_eq!(code(&one.cluster, None, Some(&new), MAPS).await, 200);
    for _ in 0..5 {
        one.server.rotate_token_key("test").await.unwrap();
    }
    assert_eq!(keys().await, 3);
    assert_eq!(code(&one.cluster, None, Some(&new), MAPS).await, 401);
}

/// A log that a thread of its own writes, as it does one on disk.
#[derive(Clone, Default)]
struct Apart(Memory);

impl Storage for Apart {
    fn load(&mut self) -> Result<Vec<StoredCluster>, StorageError> {
        self.0.load()
    }

    fn commit(&mut self, batch: &[Mutation]) -> Result<(), StorageError> {
        self.0.commit(batch)
    }

    fn compact(&mut self) -> Result<bool, StorageError> {
        self.0.compact()
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.0.snapshot()
    }

    fn is_inline(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_version_and_keys_that_change_together_are_all_kept() {
    let log = Apart::default();
    let world = World::stored_in(log.clone()).await;
    let server = &world.server;
    let changes = tokio::join!(
        server.rotate_token_key("test"),
        server.set_version("test", "v1.36.1"),
        server.rotate_token_key("test"),
    );
    let (Ok(()), Ok(()), Ok(())) = changes else {
        panic!("{changes:?}")
    };
    // As a restart finds it.
    let records = Store::open(log.0).unwrap().records();
    let spec: ClusterSpec = serde_json::from_value(records[0].1.clone()).unwrap();
    assert_eq!(spec.version, "v1.36.1");
    assert_eq!(spec.keys.sa_key_pem.matches("-----BEGIN").count(), 3);
}
