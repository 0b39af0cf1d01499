use expect_test::expect;
use serde_json::{Value, json};

use super::{Write, pod, world};
use crate::auth::tests::World;

/// The namespace `dev` with these labels, named without their prefix.
fn labelled(labels: &Value) -> World {
    let mut world = world();
    world.put("namespaces", namespace(labels));
    world
}

fn namespace(labels: &Value) -> Value {
    let labels: serde_json::Map<String, Value> = labels
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), value.clone()))
        .collect();
    json!({"kind": "Namespace", "metadata": {"name": "dev", "uid": "dev", "labels": labels}})
}

fn host() -> Value {
    pod(json!({"hostNetwork": true, "automountServiceAccountToken": false}))
}

#[tokio::test]
async fn what_is_enforced_is_refused() {
    let world = labelled(&json!({"enforce": "baseline"}));
    let create = |object| Write::create("pods dev/web", object);
    create(pod(json!({})))
        .check_warned(
            &world,
            expect![[r#"
            allowed
            audit: pod-security.kubernetes.io/enforce-policy: baseline:latest"#]],
        )
        .await;
    create(host()).check_warned(&world, expect![[r#"
        403 pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)
        audit: pod-security.kubernetes.io/enforce-policy: baseline:latest"#]]).await;
    // The pods of other namespaces may do everything.
    Write::create("pods default/web", host())
        .check_warned(
            &world,
            expect![[r#"
            allowed
            audit: pod-security.kubernetes.io/enforce-policy: privileged:latest"#]],
        )
        .await;
}

#[tokio::test]
async fn what_is_not_enforced_is_warned_about() {
    let world =
        labelled(&json!({"warn": "baseline", "warn-version": "v1.30", "audit": "restricted"}));
    Write::create("pods dev/web", host())
        .check_warned(&world, expect![[r#"
            allowed
            warning: would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)
            audit: pod-security.kubernetes.io/audit-violations: would violate PodSecurity "restricted:latest": host namespaces (hostNetwork=true), allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
            audit: pod-security.kubernetes.io/enforce-policy: privileged:latest"#]])
        .await;
    let workload = |kind: &str| json!({"kind": kind, "metadata": {"name": "web"}, "spec": {"template": {"spec": host()["spec"]}}});
    Write::create("deployments.apps dev/web", workload("Deployment"))
        .check_warned(&world, expect![[r#"
            allowed
            warning: would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)
            audit: pod-security.kubernetes.io/audit-violations: would violate PodSecurity "restricted:latest": host namespaces (hostNetwork=true), allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]])
        .await;
    let jobs = json!({"kind": "CronJob", "metadata": {"name": "web"}, "spec": {"jobTemplate": workload("Job")}});
    Write::create("cronjobs.batch dev/web", jobs)
        .check_warned(&world, expect![[r#"
            allowed
            warning: would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)
            audit: pod-security.kubernetes.io/audit-violations: would violate PodSecurity "restricted:latest": host namespaces (hostNetwork=true), allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]])
        .await;
    Write::create(
        "deployments.apps dev/web",
        json!({"metadata": {"name": "web"}}),
    )
    .check_warned(&world, expect!["allowed"])
    .await;
    Write::create("deployments/status.apps dev/web", workload("Deployment"))
        .check_warned(&world, expect!["allowed"])
        .await;
    Write::create("configmaps dev/web", workload("ConfigMap"))
        .check_warned(&world, expect!["allowed"])
        .await;
}

#[tokio::test]
async fn updates_matter_when_they_bring_images_or_containers() {
    let world = labelled(&json!({"enforce": "baseline"}));
    let update = |change: fn(&mut Value)| {
        let mut new = host();
        change(&mut new);
        Write::update("pods dev/web", host(), new)
    };
    update(|pod| pod["metadata"]["labels"] = json!({"a": "b"}))
        .check(&world, expect!["allowed"])
        .await;
    update(|pod| pod["spec"]["containers"][0]["image"] = "j".into())
        .check(&world, expect![[r#"403 pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)"#]])
        .await;
    update(|pod| pod["spec"]["ephemeralContainers"] = json!([{"name": "d"}]))
        .check(&world, expect![[r#"403 pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)"#]])
        .await;
}

#[tokio::test]
async fn labels_of_namespaces_are_checked() {
    let world = world();
    let create = |labels| Write::create("namespaces /dev", namespace(&labels));
    create(json!({"enforce": "strict"}))
        .check(&world, expect![[r#"422 Namespace "dev" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted"#]])
        .await;
    create(json!({"enforce": "restricted", "enforce-version": "v1.99"}))
        .check(&world, expect!["allowed"])
        .await;
    // What was wrong before may stay so, but not become something else wrong.
    let update = |old, new| Write::update("namespaces /dev", namespace(&old), namespace(&new));
    update(
        json!({"warn": "x"}),
        json!({"warn": "x", "audit": "baseline"}),
    )
    .check(&world, expect!["allowed"])
    .await;
    update(json!({"warn": "x"}), json!({"warn": "y"}))
        .check(&world, expect![[r#"422 Namespace "dev" is invalid: metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "y": must be one of privileged, baseline, restricted"#]])
        .await;
}

// Time stands still: how many pods are looked at must not depend on the machine.
#[tokio::test(start_paused = true)]
async fn pods_that_break_a_new_level_are_named() {
    let mut world = world();
    let mut put = |name: &str, spec: Value, owner: &str| {
        let mut object = pod(spec);
        object["metadata"]["name"] = name.into();
        if !owner.is_empty() {
            object["metadata"]["ownerReferences"] = json!([{"uid": owner, "controller": true}]);
        }
        world.put("pods", object);
    };
    put("a", json!({}), "");
    put("host-b", json!({"hostPID": true}), "set");
    put("host-a", json!({"hostPID": true}), "set");
    put("host-c", json!({"hostPID": true}), "");
    put(
        "raw",
        json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]}),
        "",
    );
    let update = |old, new| Write::update("namespaces /dev", namespace(&old), namespace(&new));
    update(json!({}), json!({"enforce": "baseline"}))
        .check_warned(&world, expect![[r#"
            allowed
            warning: existing pods in namespace "dev" violate the new PodSecurity enforce level "baseline:latest"
            warning: host-a (and 2 other pods): host namespaces
            warning: raw: privileged"#]])
        .await;
    update(
        json!({"enforce": "restricted"}),
        json!({"enforce": "baseline"}),
    )
    .check_warned(&world, expect!["allowed"])
    .await;
    for number in 0..3000 {
        let owner = json!([{"uid": "many", "controller": true}]);
        world.put("pods", json!({"metadata": {"namespace": "dev", "name": format!("more-{number}"), "ownerReferences": owner}, "spec": {}}));
    }
    update(json!({}), json!({"enforce": "baseline"}))
        .check_warned(&world, expect![[r#"
            allowed
            warning: new PodSecurity enforce level only checked against the first 3000 of 3005 existing pods
            warning: existing pods in namespace "dev" violate the new PodSecurity enforce level "baseline:latest"
            warning: host-a (and 2 other pods): host namespaces
            warning: raw: privileged"#]])
        .await;
}
