//! ServiceAccounts, reviews and certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::Operations;
use crate::world::{Suite, conditions, revision};

fn accounts(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "ServiceAccount", "serviceaccounts")
}

#[tokio::test(start_paused = true)]
async fn serviceaccounts_should_run_through_the_lifecycle_of_a_serviceaccount() {
    let suite = Suite::new().await;
    let kind = accounts(&suite);
    let labels = json!({"test-serviceaccount-static": "true"});
    let created = kind
        .create(json!({"metadata": {"name": "testserviceaccount", "labels": labels}}))
        .await;
    let read = kind.get("testserviceaccount").await;
    assert_eq!(created["metadata"]["uid"], read["metadata"]["uid"]);
    let query = "labelSelector=test-serviceaccount-static%3Dtrue";
    let mut watch = kind.watch(&format!("{query}&timeoutSeconds=180")).await;
    watch.expect("ADDED").await;
    // What a typed client sends when it marshals a whole object.
    let patch = json!({"metadata": {}, "automountServiceAccountToken": false});
    let patched = kind.strategic("testserviceaccount", patch).await;
    assert!(revision(&patched) > revision(&created));
    watch.expect("MODIFIED").await;
    let list = kind.everywhere().list(query).await;
    assert_eq!(list["items"][0]["automountServiceAccountToken"], false);
    assert_eq!(list["items"][0]["metadata"]["name"], "testserviceaccount");
    kind.delete_collection("").await;
    watch.expect("DELETED").await;
}

#[tokio::test(start_paused = true)]
async fn serviceaccounts_should_update_a_serviceaccount() {
    let suite = Suite::new().await;
    let kind = accounts(&suite);
    let object = json!({"metadata": {"name": "e2e-sa"}, "automountServiceAccountToken": false});
    let created = kind.create(object).await;
    assert_eq!(created["automountServiceAccountToken"], false);
    let updated = kind
        .update("e2e-sa", |account| {
            account["automountServiceAccountToken"] = json!(true);
        })
        .await;
    assert_eq!(updated["automountServiceAccountToken"], true);
}

#[tokio::test(start_paused = true)]
async fn serviceaccounts_should_guarantee_kube_root_ca_crt_exist_in_any_namespace() {
    const NAME: &str = "kube-root-ca.crt";
    let suite = Suite::new().await;
    let kind = suite.namespaced("v1", "ConfigMap", "configmaps");
    let is_whole = |map: &Value| {
        map["data"]["ca.crt"]
            .as_str()
            .is_some_and(|pem| !pem.is_empty())
    };
    let first = kind.until(NAME, "it is made", is_whole).await;
    kind.delete(NAME).await;
    kind.until(NAME, "it is made anew", |map| {
        is_whole(map) && map["metadata"]["uid"] != first["metadata"]["uid"]
    })
    .await;
    kind.put(
        NAME,
        json!({"metadata": {"name": NAME}, "data": {"ca.crt": ""}}),
    )
    .await;
    kind.until(NAME, "it is put right", is_whole).await;
}

#[tokio::test(start_paused = true)]
async fn serviceaccounts_should_create_a_serviceaccounttoken_and_ensure_a_successful_tokenreview() {
    let suite = Suite::new().await;
    let kind = accounts(&suite);
    kind.create(json!({"metadata": {"name": "e2e-sa"}})).await;
    // Everything about the token is left to the server.
    let request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": {"audiences": null, "expirationSeconds": null, "boundObjectRef": null}, "status": {"token": "", "expirationTimestamp": null}});
    let response = suite.post(&kind.path("e2e-sa/token"), request).await.ok();
    let token = &response["status"]["token"];
    assert!(token.as_str().is_some_and(|token| !token.is_empty()));
    let reviews = suite.cluster_wide("authentication.k8s.io/v1", "TokenReview", "tokenreviews");
    let review = reviews.create(json!({"spec": {"token": token}})).await;
    assert_eq!(review["status"]["authenticated"], true);
    assert_eq!(review["status"].get("error"), None);
    let user = &review["status"]["user"];
    assert_eq!(user["username"], "system:serviceaccount:conformance:e2e-sa");
}

#[tokio::test(start_paused = true)]
async fn serviceaccounts_should_allow_opting_out_of_api_token_automount() {
    let suite = Suite::new().await;
    let (accounts, pods) = (accounts(&suite), suite.namespaced("v1", "Pod", "pods"));
    for (name, mounts) in [("mount", true), ("nomount", false)] {
        let object = json!({"metadata": {"name": name}, "automountServiceAccountToken": mounts});
        accounts.create(object).await;
    }
    // What the pod says counts; if it says nothing, the account; and mounting is what both mean.
    for (account, of_account) in [("default", true), ("mount", true), ("nomount", false)] {
        for of_pod in [None, Some(true), Some(false)] {
            let name = format!("pod-{account}-{of_pod:?}")
                .replace(['(', ')'], "-")
                .to_lowercase();
            let name = name.trim_end_matches('-');
            let mut spec = json!({"serviceAccountName": account, "restartPolicy": "Never", "containers": [{"name": "token-test", "image": "agnhost"}]});
            if let Some(mounts) = of_pod {
                spec["automountServiceAccountToken"] = json!(mounts);
            }
            let pod = pods
                .create(json!({"metadata": {"name": name}, "spec": spec}))
                .await;
            let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
            let is_mounted = mounts
                .into_iter()
                .flatten()
                .any(|mount| mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount");
            assert_eq!(is_mounted, of_pod.unwrap_or(of_account), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn subjectreview_should_support_subjectreview_api_operations() {
    let suite = Suite::new().await;
    let account = accounts(&suite)
        .create(json!({"metadata": {"name": "e2e"}}))
        .await;
    let user = "system:serviceaccount:conformance:e2e";
    let groups = [
        "system:authenticated",
        "system:serviceaccounts",
        "system:serviceaccounts:conformance",
    ];
    let uid = account["metadata"]["uid"].as_str().unwrap();
    let maps = suite.namespaced("v1", "ConfigMap", "configmaps");

    for is_allowed in [false, true] {
        if is_allowed {
            let roles = suite.namespaced(
                "rbac.authorization.k8s.io/v1",
                "RoleBinding",
                "rolebindings",
            );
            let subject =
                json!({"kind": "ServiceAccount", "name": "e2e", "namespace": "conformance"});
            let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
            roles
                .create(
                    json!({"metadata": {"name": "e2e"}, "subjects": [subject], "roleRef": role}),
                )
                .await;
        }
        let spec = |user: &str| {
            let attributes = json!({"verb": "list", "resource": "configmaps", "namespace": "conformance", "version": "v1"});
            json!({"spec": {"resourceAttributes": attributes, "user": user, "groups": groups, "uid": uid}})
        };
        let version = "authorization.k8s.io/v1";
        let reviews = suite.cluster_wide(version, "SubjectAccessReview", "subjectaccessreviews");
        let review = reviews.create(spec(user)).await;
        let mut headers = vec![("impersonate-user", user), ("impersonate-uid", uid)];
        headers.extend(groups.map(|group| ("impersonate-group", group)));
        let answer = suite.send(Method::GET, &maps.path(""), &headers, "").await;
        let code = if is_allowed { 200 } else { 403 };
        assert_eq!(
            (answer.code, &review["status"]["allowed"]),
            (code, &json!(is_allowed))
        );

        let local = suite.namespaced(
            version,
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
        );
        let mut object = spec(user);
        object["metadata"] = json!({"namespace": "conformance"});
        let review = local.create(object).await;
        assert_eq!(review["status"]["allowed"], is_allowed);
    }
}

/// A signing request in PEM, as an API object carries it.
fn signing_request() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["e2e.example.com".to_owned()]).unwrap();
    STANDARD.encode(params.serialize_request(&key).unwrap().pem().unwrap())
}

#[tokio::test(start_paused = true)]
async fn certificates_api_should_support_csr_api_operations() {
    const SIGNER: &str = "example.com/e2e-conformance";
    let suite = Suite::new().await;
    let resources = [
        "certificatesigningrequests/approval",
        "certificatesigningrequests/status",
    ];
    suite.discovers("certificates.k8s.io/v1", &resources).await;
    let kind = suite.cluster_wide(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
    );
    let spec = json!({
        "request": signing_request(), "signerName": SIGNER, "expirationSeconds": 3600,
        "usages": ["digital signature", "key encipherment", "server auth"],
    });
    let mut object = json!({"metadata": {"name": "csr"}, "spec": spec});
    kind.create(object.clone()).await;
    let of_signer = format!("fieldSelector=spec.signerName%3D{SIGNER}");
    assert_eq!(kind.count(&of_signer).await, 1);
    object["metadata"] = json!({});
    Operations::new(kind.clone(), object).run().await;
    assert_eq!(kind.get("csr").await["spec"]["expirationSeconds"], 3600);

    let condition = |ty: &str| json!({"type": ty, "status": "True", "reason": "E2E", "message": "Set from e2e test"});
    let read = kind.get("csr/approval").await;
    assert_eq!(read["kind"], "CertificateSigningRequest");
    let patch = json!({"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"conditions": [condition("ApprovalPatch")]}});
    let patched = kind.merge("csr/approval", patch).await;
    assert_eq!(
        patched["metadata"]["annotations"]["patchedapproval"],
        "true"
    );
    assert_eq!(patched["status"]["conditions"][0]["type"], "ApprovalPatch");
    let updated = kind
        .update("csr/approval", |csr| {
            let all = csr["status"]["conditions"].as_array_mut().unwrap();
            all.push(condition("Approved"));
        })
        .await;
    assert_eq!(updated["status"]["conditions"][1]["type"], "Approved");

    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["e2e.example.com".to_owned()]).unwrap();
    let certificate = STANDARD.encode(params.self_signed(&key).unwrap().pem());
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"certificate": certificate}});
    let patched = kind.merge("csr/status", patch).await;
    assert_eq!(patched["status"]["certificate"], certificate);
    assert_eq!(patched["metadata"]["annotations"]["patchedstatus"], "true");
    let updated = kind
        .update("csr/status", |csr| {
            let all = csr["status"]["conditions"].as_array_mut().unwrap();
            all.push(condition("StatusUpdate"));
        })
        .await;
    assert!(conditions(&updated).contains_key("StatusUpdate"));
    kind.delete_collection(&of_signer).await;
    assert_eq!(kind.count(&of_signer).await, 0);
}
