use expect_test::expect;
use serde_json::{Value, json};

use super::{Write, pod, world};
use crate::auth::tests::World;

fn limited(limits: Value) -> World {
    let mut world = world();
    world.put(
        "limitranges",
        json!({
            "metadata": {"namespace": "dev", "name": "range"}, "spec": {"limits": limits},
        }),
    );
    world
}

fn using(resources: Value) -> Value {
    let mut object = pod(json!({}));
    object["spec"]["containers"][0]["resources"] = resources;
    object
}

#[tokio::test]
async fn defaults_are_set_and_noted() {
    let world = limited(json!([{
        "type": "Container", "default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m"},
        "max": {"storage": "1Gi"},
    }]));
    let mut out = Vec::new();
    for resources in [
        json!({}),
        json!({"requests": {"cpu": "200m"}}),
        json!({"limits": {"cpu": "2", "memory": "1Gi"}}),
    ] {
        let made = Write::create("pods dev/web", using(resources))
            .run(&world)
            .await;
        out.push(match made {
            Ok(made) => format!(
                "{} {}",
                made["spec"]["containers"][0]["resources"], made["metadata"]["annotations"]
            ),
            Err(status) => status.message,
        });
    }
    expect![[r#"
        {"limits":{"cpu":"500m","memory":"512Mi","storage":"1Gi"},"requests":{"cpu":"100m","memory":"512Mi","storage":"1Gi"}} {"kubernetes.io/limit-ranger":"LimitRanger plugin set: cpu, memory, storage request for container c; cpu, memory, storage limit for container c"}
        {"limits":{"cpu":"500m","memory":"512Mi","storage":"1Gi"},"requests":{"cpu":"200m","memory":"512Mi","storage":"1Gi"}} {"kubernetes.io/limit-ranger":"LimitRanger plugin set: memory, storage request for container c; cpu, memory, storage limit for container c"}
        {"limits":{"cpu":"2","memory":"1Gi","storage":"1Gi"},"requests":{"cpu":"2","memory":"1Gi","storage":"1Gi"}} {"kubernetes.io/limit-ranger":"LimitRanger plugin set: storage request for container c; storage limit for container c"}"#]].assert_eq(&out.join("\n"));
    // Another namespace has no limits.
    let made = Write::create("pods default/web", using(json!({})))
        .run(&world)
        .await
        .unwrap();
    assert_eq!(made["spec"]["containers"][0]["resources"], json!({}));
}

#[tokio::test]
async fn bounds_of_containers() {
    let world = limited(json!([{
        "type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1", "memory": "1Gi"},
        "default": {"memory": "512Mi"}, "maxLimitRequestRatio": {"cpu": "2"},
    }]));
    let cpu = |request: &str, limit: &str| {
        Write::create(
            "pods dev/web",
            using(json!({"requests": {"cpu": request}, "limits": {"cpu": limit}})),
        )
    };
    cpu("500m", "1").check(&world, expect!["allowed"]).await;
    cpu("50m", "100m").check(&world, expect![[r#"403 pods "web" is forbidden: minimum cpu usage per Container is 100m, but request is 50m"#]]).await;
    cpu("0.7", "1.2").check(&world, expect![[r#"403 pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 1200m"#]]).await;
    cpu("200m", "1").check(&world, expect![[r#"403 pods "web" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000"#]]).await;
    cpu("0", "2").check(&world, expect![[r#"403 pods "web" is forbidden: [minimum cpu usage per Container is 100m, but request is 0, maximum cpu usage per Container is 1, but limit is 2, cpu max limit to request ratio per Container is 2, but no request is specified or request is 0]"#]]).await;
    let big = using(
        json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1536Mi"}}),
    );
    Write::create("pods dev/web", big)
        .check(&world, expect![[r#"403 pods "web" is forbidden: maximum memory usage per Container is 1Gi, but limit is 1536Mi"#]])
        .await;
}

#[tokio::test]
async fn bounds_of_pods_count_all_containers() {
    let world = limited(json!([{"type": "Pod", "max": {"memory": "1Gi"}}]));
    let memory =
        |amount: &str| json!({"limits": {"memory": amount}, "requests": {"memory": amount}});
    let create = |containers: Value, init: Value| {
        Write::create(
            "pods dev/web",
            pod(json!({"containers": containers, "initContainers": init})),
        )
    };
    let one = |amount: &str| json!({"name": amount, "resources": memory(amount)});
    create(json!([one("512Mi"), one("512Mi")]), json!([]))
        .check(&world, expect!["allowed"])
        .await;
    create(json!([one("512Mi"), one("513Mi")]), json!([]))
        .check(&world, expect![[r#"403 pods "web" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 1025Mi"#]])
        .await;
    create(json!([one("512Mi")]), json!([one("900Mi")]))
        .check(&world, expect!["allowed"])
        .await;
    let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": memory("600Mi")});
    create(json!([one("512Mi")]), json!([sidecar]))
        .check(&world, expect![[r#"403 pods "web" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 1112Mi"#]])
        .await;
    create(json!([{"name": "free"}]), json!([]))
        .check(&world, expect![[r#"403 pods "web" is forbidden: maximum memory usage per Pod is 1Gi.  No limit is specified"#]])
        .await;
}

#[tokio::test]
async fn bounds_of_claims() {
    let world = limited(json!([{
        "type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "10Gi"},
    }]));
    let claim = |size: &str| {
        let object = json!({"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": size}}}});
        Write::create("persistentvolumeclaims dev/x", object)
    };
    claim("5Gi").check(&world, expect!["allowed"]).await;
    claim("500Mi").check(&world, expect![[r#"403 persistentvolumeclaims "x" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"#]]).await;
    claim("11Gi").check(&world, expect![[r#"403 persistentvolumeclaims "x" is forbidden: maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 11Gi"#]]).await;
}

#[tokio::test]
async fn claims_grow_only_when_their_class_lets_them() {
    let mut world = world();
    for (name, grows) in [("gold", true), ("tin", false)] {
        world.put(
            "storageclasses.storage.k8s.io",
            json!({"metadata": {"name": name}, "allowVolumeExpansion": grows}),
        );
    }
    let claim = |class: &str, size: &str, phase: &str| {
        json!({
            "metadata": {"name": "x"}, "status": {"phase": phase},
            "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}},
        })
    };
    let grow = |class: &str, phase: &str, size: &str| {
        let (old, new) = (claim(class, "1Gi", phase), claim(class, size, phase));
        Write::update("persistentvolumeclaims dev/x", old, new)
    };
    grow("gold", "Bound", "2Gi")
        .check(&world, expect!["allowed"])
        .await;
    grow("gold", "Pending", "2Gi")
        .check(&world, expect![[r#"403 persistentvolumeclaims "x" is forbidden: Only bound persistent volume claims can be expanded"#]])
        .await;
    grow("gold", "Pending", "1024Mi")
        .check(&world, expect!["allowed"])
        .await;
    grow("tin", "Bound", "2Gi")
        .check(&world, expect![[r#"403 persistentvolumeclaims "x" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"#]])
        .await;
    grow("none", "Bound", "2Gi")
        .check(&world, expect![[r#"403 persistentvolumeclaims "x" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"#]])
        .await;
    grow("", "Bound", "2Gi").check(&world, expect![[r#"403 persistentvolumeclaims "x" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"#]]).await;
}
