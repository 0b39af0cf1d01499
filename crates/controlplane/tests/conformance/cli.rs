//! What kubectl asks the server for, as requests. The same tests run kubectl itself in the outside tests (`cli.rs` there), and
//! those of its proxy do so alone.

use serde_json::json;

use crate::world::{Suite, names};

#[tokio::test(start_paused = true)]
async fn kubectl_client_kubectl_api_versions_should_check_if_v1_is_in_available_api_versions() {
    let suite = Suite::new().await;
    let versions = suite.get("/api").await.ok();
    assert_eq!(versions["kind"], "APIVersions");
    assert_eq!(versions["versions"], json!(["v1"]));
}

#[tokio::test(start_paused = true)]
async fn kubectl_client_kubectl_version_should_check_is_all_data_is_printed() {
    let suite = Suite::new().await;
    let version = suite.get("/version").await.ok();
    let text = version["gitVersion"].as_str().unwrap();
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let major = parts[0].strip_prefix('v').unwrap();
    assert!(
        is_number(major) && is_number(parts[1]) && !parts[2].is_empty(),
        "{text}"
    );
    for field in ["gitCommit", "buildDate", "goVersion", "platform"] {
        assert!(version[field].is_string(), "{field}: {version:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn kubectl_client_kubectl_cluster_info_should_check_if_kubernetes_control_plane_services_is_included_in_cluster_info()
 {
    // The control plane is the server that answers; beside it are shown the services that say so.
    let suite = Suite::new().await;
    let services = suite
        .namespaced("v1", "Service", "services")
        .within("kube-system");
    let dns = json!({"metadata": {"name": "kube-dns", "labels": {"kubernetes.io/cluster-service": "true"}}, "spec": {"ports": [{"name": "dns", "port": 53}]}});
    services.create(dns).await;
    let list = services
        .list("labelSelector=kubernetes.io%2Fcluster-service%3Dtrue")
        .await;
    assert_eq!(names(&list), ["kube-dns"]);
}

#[tokio::test(start_paused = true)]
async fn kubectl_client_kubectl_diff_should_check_if_kubectl_diff_finds_a_difference_for_deployments()
 {
    let suite = Suite::new().await;
    let kind = suite.namespaced("apps/v1", "Deployment", "deployments");
    let container = |image: &str| json!({"name": "agnhost", "image": image});
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container("agnhost:1")]}});
    let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
    let created = kind
        .create(json!({"metadata": {"name": "a"}, "spec": spec}))
        .await;
    // What would be is patched and not kept.
    let patch = json!({"spec": {"template": {"spec": {"containers": [container("busybox:2")]}}}});
    let path = format!(
        "{}?dryRun=All&fieldManager=kubectl-client-side-apply",
        kind.path("a")
    );
    let merged = suite
        .patch(&path, "strategic", patch.to_string())
        .await
        .ok();
    let images = |object: &serde_json::Value| {
        object["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(images(&merged), "busybox:2");
    let live = kind.get("a").await;
    assert_eq!(images(&live), "agnhost:1");
    assert_eq!(live["spec"], created["spec"]);
}
