//! Admission webhooks that a server in the cluster answers, over TLS and behind a Service.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agnhost::Agnhost;
use crate::crd::{define, definition};
use crate::kind::Kind;
use crate::world::{Suite, names, revision};

/// The namespace in which every ConfigMap is refused by a configuration that is in force.
const MARKERS: &str = "markers";

/// A suite whose namespace is that of the webhooks.
struct Hooked {
    suite: Suite,
    agnhost: Agnhost,
}

impl Hooked {
    async fn new() -> Self {
        Self::of(Suite::new().await).await
    }

    async fn of(suite: Suite) -> Self {
        let hooked = json!({"metadata": {"labels": {"hooked": "true"}}});
        suite.namespaces().strategic(&suite.ns, hooked).await;
        suite.make_namespace(MARKERS).await;
        let marked = json!({"metadata": {"labels": {"hooked-markers": "true"}}});
        suite.namespaces().strategic(MARKERS, marked).await;
        let agnhost = Agnhost::start(&suite, "e2e-test-webhook", 8443).await;
        Self { suite, agnhost }
    }

    fn validating(&self) -> Kind<'_> {
        self.suite.cluster_wide(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        )
    }

    fn mutating(&self) -> Kind<'_> {
        self.suite.cluster_wide(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        )
    }

    fn maps(&self) -> Kind<'_> {
        self.suite.namespaced("v1", "ConfigMap", "configmaps")
    }

    fn pods(&self) -> Kind<'_> {
        self.suite.namespaced("v1", "Pod", "pods")
    }

    /// A webhook for these operations on resources of a group, in the namespace of the test, that is answered at `path`.
    fn webhook(
        &self,
        name: &str,
        path: &str,
        operations: &[&str],
        resource: (&str, &str),
    ) -> Value {
        let (group, plural) = resource;
        let versions = if group.is_empty() { "v1" } else { "*" };
        json!({
            "name": format!("{name}.k8s.io"), "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": self.agnhost.client_config(&self.suite, path),
            "namespaceSelector": {"matchLabels": {"hooked": "true"}},
            "rules": [{"operations": operations, "apiGroups": [group], "apiVersions": [versions], "resources": [plural]}],
        })
    }

    /// The one that denies ConfigMaps which say so, except in namespaces that are to be skipped.
    fn deny_maps(&self) -> Value {
        let operations = ["CREATE", "UPDATE", "DELETE"];
        let mut webhook = self.webhook(
            "deny-unwanted-configmap-data",
            "/configmaps",
            &operations,
            MAPS,
        );
        let skipped =
            json!({"key": "skip-webhook-admission", "operator": "NotIn", "values": ["yes"]});
        webhook["namespaceSelector"]["matchExpressions"] = json!([skipped]);
        webhook
    }

    /// The one that adds to ConfigMaps what their data ask for.
    fn mutate_maps(&self, stage: usize) -> Value {
        let name = format!("adding-configmap-data-stage-{stage}");
        self.webhook(&name, "/mutating-configmaps", &["CREATE"], MAPS)
    }

    /// Denies ConfigMaps but cannot be asked: nobody trusts its certificate.
    fn unreachable(&self, name: &str, policy: &str) -> Value {
        let mut webhook = self.webhook(name, "/configmaps", &["CREATE"], MAPS);
        webhook["failurePolicy"] = json!(policy);
        let config = webhook["clientConfig"].as_object_mut().unwrap();
        config.remove("caBundle");
        webhook
    }

    /// Creates a configuration of these webhooks and of the one that shows that it is in force.
    async fn register(&self, kind: &Kind<'_>, name: &str, webhooks: Value) -> Value {
        let created = kind.create(self.configuration(name, webhooks)).await;
        self.is_in_force().await;
        created
    }

    fn configuration(&self, name: &str, mut webhooks: Value) -> Value {
        let ready = "is-webhook-configuration-ready";
        let mut marker = self.webhook(ready, "/always-deny", &["CREATE"], MAPS);
        marker["failurePolicy"] = json!("Ignore");
        marker["namespaceSelector"] = json!({"matchLabels": {"hooked-markers": "true"}});
        marker["objectSelector"] = json!({"matchLabels": {"hooked": "true"}});
        webhooks.as_array_mut().unwrap().push(marker);
        json!({"metadata": {"name": name}, "webhooks": webhooks})
    }

    /// What was configured counts at once.
    async fn is_in_force(&self) {
        let marker = json!({"metadata": {"name": "marker", "labels": {"hooked": "true"}}});
        let refused = self.maps().within(MARKERS).try_create(marker).await;
        let refused = refused.refused();
        assert!(
            refused.contains("denied the request: this webhook denies all requests"),
            "{refused}"
        );
    }

    /// The refusal of something, which has to contain `word`.
    async fn is_denied(&self, kind: &Kind<'_>, object: Value, word: &str) {
        let refused = kind.try_create(object).await.refused();
        assert!(
            refused.contains("denied the request") && refused.contains(word),
            "{refused}"
        );
    }

    /// Whether a new ConfigMap that asks for it is changed.
    async fn mutates(&self) -> bool {
        let created = self.maps().create(to_be_mutated("some")).await;
        self.maps().delete("some").await;
        created["data"].get("mutation-stage-1").is_some()
    }

    /// Whether a new ConfigMap that is not wanted is denied.
    async fn denies(&self) -> bool {
        let answer = self.maps().try_create(unwanted("some")).await;
        if answer.code < 300 {
            self.maps().delete("some").await;
            return false;
        }
        let refused = answer.refused();
        assert!(refused.contains("denied the request"), "{refused}");
        true
    }
}

const MAPS: (&str, &str) = ("", "configmaps");

fn unwanted(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"webhook-e2e-test": "webhook-disallow"}})
}

fn to_be_mutated(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"mutation-start": "yes"}})
}

/// A pod of one container with a label for the webhook.
fn pod(name: &str, container: &str, label: &str) -> Value {
    let labels = json!({"webhook-e2e-test": label});
    let containers = json!([{"name": container, "image": "pause"}]);
    json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}})
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_include_webhook_resources_in_discovery_documents() {
    let suite = Suite::new().await;
    let resources = [
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ];
    suite
        .discovers("admissionregistration.k8s.io/v1", &resources)
        .await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_be_able_to_deny_pod_and_configmap_creation() {
    let hooked = Hooked::new().await;
    let webhooks = json!([
        hooked.webhook("deny-unwanted-pods", "/pods", &["CREATE"], ("", "pods")),
        hooked.deny_maps(),
        hooked.unreachable("fail-open", "Ignore"),
    ]);
    hooked
        .register(&hooked.validating(), "deny", webhooks)
        .await;
    let (pods, maps) = (hooked.pods(), hooked.maps());
    let disallowed = pod("disallowed-pod", "webhook-disallow", "webhook-disallow");
    let refused = pods.try_create(disallowed).await.refused();
    for word in [
        "the pod contains unwanted container name",
        "the pod contains unwanted label",
    ] {
        assert!(refused.contains(word), "{refused}");
    }
    let hanging = pod("hanging-pod", "wait-forever", "wait-forever");
    let refused = pods.try_create(hanging).await.refused();
    assert!(
        refused.contains("webhook") && refused.contains("deadline"),
        "{refused}"
    );
    pods.assert_gone("hanging-pod").await;

    let word = "the configmap contains unwanted key and value";
    hooked
        .is_denied(&maps, unwanted("disallowed-configmap"), word)
        .await;
    let name = "allowed-configmap";
    let mut object = maps
        .create(json!({"metadata": {"name": name}, "data": {"admit": "this"}}))
        .await;
    object["data"]["webhook-e2e-test"] = json!("webhook-disallow");
    let refused = maps.try_put(name, object).await.refused();
    assert!(refused.contains(word), "{refused}");
    let patch = json!({"data": {"webhook-e2e-test": "webhook-disallow"}});
    let refused = maps.try_patch(name, "strategic", patch).await.refused();
    assert!(refused.contains(word), "{refused}");

    hooked.suite.make_namespace("exempted").await;
    let labels = json!({"hooked": "true", "skip-webhook-admission": "yes"});
    let patch = json!({"metadata": {"labels": labels}});
    hooked.suite.namespaces().strategic("exempted", patch).await;
    maps.within("exempted").create(unwanted("some")).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_be_able_to_deny_attaching_pod() {
    let hooked = Hooked::of(Suite::with_nodes(1).await).await;
    let resource = ("", "pods/attach");
    let webhook = hooked.webhook("deny-attaching-pod", "/pods/attach", &["CONNECT"], resource);
    hooked
        .register(&hooked.validating(), "attach", json!([webhook]))
        .await;
    let pods = hooked.pods();
    let name = "to-be-attached-pod";
    let containers = json!([{"name": "container1", "image": "pause"}]);
    pods.create(json!({"metadata": {"name": name}, "spec": {"containers": containers}}))
        .await;
    pods.until(name, "it runs", |pod| pod["status"]["phase"] == "Running")
        .await;
    // The two ways in which kubectl asks, the second when the first is not possible.
    let path = pods.path(&format!(
        "{name}/attach?container=container1&stdin=true&stdout=true"
    ));
    let sockets = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    for (method, headers) in [
        (http::Method::GET, &sockets[..]),
        (http::Method::POST, &spdy[..]),
    ] {
        let answer = hooked.suite.send(method, &path, headers, "").await;
        let refused = answer.refused();
        assert!(
            refused.contains("attaching to pod 'to-be-attached-pod' is not allowed"),
            "{refused}"
        );
    }
}

/// Defines a custom kind of two versions, the first of which is stored, with this schema.
async fn make_kind<'a>(hooked: &'a Hooked, schema: Value) -> Kind<'a> {
    let (group, plural, kind) = ("webhook.example.com", "e2e-tests", "E2e-test");
    let object = definition(group, plural, kind, "Namespaced", &["v1", "v2"], schema);
    define(&hooked.suite, object).await;
    hooked
        .suite
        .namespaced("webhook.example.com/v1", kind, plural)
}

fn anything() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

const CUSTOM: (&str, &str) = ("webhook.example.com", "e2e-tests");

/// Webhooks that change custom objects as they ask for: the first when they are created and updated, then the second when they
/// are created.
async fn mutate_custom(hooked: &Hooked) {
    let path = "/mutating-custom-resource";
    let webhook = |stage: usize, operations: &[&str]| {
        let name = format!("mutate-custom-resource-data-stage-{stage}");
        hooked.webhook(&name, path, operations, CUSTOM)
    };
    let webhooks = json!([webhook(1, &["CREATE", "UPDATE"]), webhook(2, &["CREATE"])]);
    hooked
        .register(&hooked.mutating(), "custom", webhooks)
        .await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_be_able_to_deny_custom_resource_creation_update_and_deletion() {
    let hooked = Hooked::new().await;
    let kind = make_kind(&hooked, anything()).await;
    let operations = ["CREATE", "UPDATE", "DELETE"];
    let webhook = hooked.webhook(
        "deny-unwanted-data",
        "/custom-resource",
        &operations,
        CUSTOM,
    );
    hooked
        .register(&hooked.validating(), "custom", json!([webhook]))
        .await;
    let word = "the custom resource contains unwanted data";
    hooked
        .is_denied(&kind, unwanted("cr-instance-1"), word)
        .await;

    let name = "cr-instance-2";
    let mut object = kind
        .create(json!({"metadata": {"name": name}, "data": {"webhook-e2e-test": "webhook-nondeletable"}}))
        .await;
    object["data"]["webhook-e2e-test"] = json!("webhook-disallow");
    let refused = kind.try_put(name, object).await.refused();
    assert!(refused.contains(word), "{refused}");
    let path = kind.path(name);
    let answer = hooked
        .suite
        .send(http::Method::DELETE, &path, &[], "")
        .await;
    let refused = answer.refused();
    let word = "the custom resource cannot be deleted because it contains unwanted key and value";
    assert!(refused.contains(word), "{refused}");
    kind.update(name, |object| {
        object["data"]["webhook-e2e-test"] = json!("webhook-allow");
    })
    .await;
    kind.delete(name).await;
    kind.assert_gone(name).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_unconditionally_reject_operations_on_fail_closed_webhook() {
    let hooked = Hooked::new().await;
    let mut webhook = hooked.unreachable("fail-closed", "Fail");
    let chosen = json!({"key": "fail-closed-webhook", "operator": "In", "values": ["yes"]});
    webhook["namespaceSelector"]["matchExpressions"] = json!([chosen]);
    hooked
        .register(&hooked.validating(), "closed", json!([webhook]))
        .await;
    let labels = json!({"hooked": "true", "fail-closed-webhook": "yes"});
    hooked
        .suite
        .namespaces()
        .create(json!({"metadata": {"name": "fail-closed", "labels": labels}}))
        .await;
    let maps = hooked.maps().within("fail-closed");
    let answer = maps.try_create(json!({"metadata": {"name": "foo"}})).await;
    let refused = answer.refused();
    assert!(refused.starts_with("500 InternalError: "), "{refused}");
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_mutate_configmap() {
    let hooked = Hooked::new().await;
    let webhooks = json!([hooked.mutate_maps(1), hooked.mutate_maps(2)]);
    hooked.register(&hooked.mutating(), "maps", webhooks).await;
    let created = hooked.maps().create(to_be_mutated("to-be-mutated")).await;
    let expected =
        json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
    assert_eq!(created["data"], expected);
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_mutate_pod_and_apply_defaults_after_mutation() {
    let hooked = Hooked::new().await;
    let resource = ("", "pods");
    let webhook = hooked.webhook(
        "adding-init-container",
        "/mutating-pods",
        &["CREATE"],
        resource,
    );
    hooked
        .register(&hooked.mutating(), "pods", json!([webhook]))
        .await;
    let containers = json!([{"name": "example", "image": "pause"}]);
    let object =
        json!({"metadata": {"name": "webhook-to-be-mutated"}, "spec": {"containers": containers}});
    let created = hooked.pods().create(object).await;
    let inits = created["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(inits.len(), 1);
    assert_eq!(inits[0]["name"], "webhook-added-init-container");
    assert_eq!(inits[0]["terminationMessagePolicy"], "File");
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_not_be_able_to_mutate_or_prevent_deletion_of_webhook_configuration_objects()
 {
    let hooked = Hooked::new().await;
    let (validating, mutating) = (hooked.validating(), hooked.mutating());
    let about = |name: &str, path: &str, operation: &str| {
        let group = "admissionregistration.k8s.io";
        let mut webhook = hooked.webhook(name, path, &[operation], (group, ""));
        webhook["rules"][0]["resources"] = json!([
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
        ]);
        webhook
    };
    let denies = about("deny-deletions", "/always-deny", "DELETE");
    hooked
        .register(&validating, "blocking", json!([denies]))
        .await;
    let labels = about("add-label", "/add-label", "CREATE");
    hooked
        .register(&mutating, "blocking", json!([labels]))
        .await;
    for kind in [&validating, &mutating] {
        let mut dummy = hooked.webhook("dummy", "", &["CREATE"], ("", "invalid"));
        dummy["failurePolicy"] = json!("Ignore");
        let created = hooked.register(kind, "dummy", json!([dummy])).await;
        assert_eq!(created["metadata"].get("labels"), None);
        kind.delete("dummy").await;
        kind.assert_gone("dummy").await;
    }
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_mutate_custom_resource() {
    let hooked = Hooked::new().await;
    let kind = make_kind(&hooked, anything()).await;
    mutate_custom(&hooked).await;
    let created = kind.create(to_be_mutated("cr-instance-1")).await;
    let expected =
        json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
    assert_eq!(created["data"], expected);
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_mutate_custom_resource_with_pruning() {
    let hooked = Hooked::new().await;
    // The schema does not know what the second stage adds.
    let text = json!({"type": "string"});
    let known = json!({"mutation-start": text, "mutation-stage-1": text});
    let data = json!({"type": "object", "properties": known});
    let schema = json!({"type": "object", "properties": {"data": data}});
    let kind = make_kind(&hooked, schema).await;
    mutate_custom(&hooked).await;
    let created = kind.create(to_be_mutated("cr-instance-1")).await;
    let expected = json!({"mutation-start": "yes", "mutation-stage-1": "yes"});
    assert_eq!(created["data"], expected);
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_mutate_custom_resource_with_different_stored_version() {
    let hooked = Hooked::new().await;
    let kind = make_kind(&hooked, anything()).await;
    mutate_custom(&hooked).await;
    kind.create(to_be_mutated("cr-instance-1")).await;
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": anything()}});
    let versions = json!([version("v1", false), version("v2", true)]);
    crate::crd::definitions(&hooked.suite)
        .strategic(
            "e2e-tests.webhook.example.com",
            json!({"spec": {"versions": versions}}),
        )
        .await;
    let second = hooked
        .suite
        .namespaced("webhook.example.com/v2", "E2e-test", "e2e-tests");
    let patch = json!([{"op": "add", "path": "/dummy", "value": "test"}]);
    let patched = second.json_patch("cr-instance-1", patch).await;
    let expected =
        json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
    assert_eq!(patched["data"], expected);
    assert_eq!(patched["dummy"], "test");
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_deny_crd_creation() {
    let hooked = Hooked::new().await;
    let resource = ("apiextensions.k8s.io", "customresourcedefinitions");
    let mut webhook = hooked.webhook("deny-crd", "/crd", &["CREATE"], resource);
    let object = webhook.as_object_mut().unwrap();
    object.remove("namespaceSelector");
    object.insert(
        "objectSelector".into(),
        json!({"matchLabels": {"hooked": "true"}}),
    );
    hooked
        .register(&hooked.validating(), "crd", json!([webhook]))
        .await;
    let (group, plural, kind) = ("webhook.example.com", "denied", "Denied");
    let mut crd = definition(group, plural, kind, "Namespaced", &["v1"], anything());
    crd["metadata"]["labels"] = json!({"hooked": "true", "webhook-e2e-test": "webhook-disallow"});
    let crds = crate::crd::definitions(&hooked.suite);
    hooked
        .is_denied(&crds, crd, "the crd contains unwanted label")
        .await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_honor_timeout() {
    let hooked = Hooked::new().await;
    let kind = hooked.validating();
    // Policy, timeout, whether the write goes through, and after how many seconds.
    let cases = [
        ("Fail", Some(1), false, 1),
        ("Ignore", Some(1), true, 1),
        ("Fail", Some(10), true, 5),
        ("Fail", None, true, 5),
    ];
    for (policy, timeout, passes, seconds) in cases {
        let path = "/always-allow-delay-5s";
        let mut webhook = hooked.webhook("slow", path, &["CREATE"], MAPS);
        webhook["failurePolicy"] = json!(policy);
        if let Some(timeout) = timeout {
            webhook["timeoutSeconds"] = json!(timeout);
        }
        hooked.register(&kind, "slow", json!([webhook])).await;
        let start = tokio::time::Instant::now();
        let answer = hooked
            .maps()
            .try_create(json!({"metadata": {"name": "slow"}}))
            .await;
        let took = start.elapsed();
        assert!(
            took.abs_diff(Duration::from_secs(seconds)) < Duration::from_millis(100),
            "{took:?}"
        );
        if passes {
            answer.ok();
            hooked.maps().delete("slow").await;
        } else {
            let refused = answer.refused();
            assert!(
                refused.contains("context deadline exceeded")
                    && refused.contains("/always-allow-delay-5s?timeout=1s"),
                "{refused}"
            );
        }
        kind.delete("slow").await;
    }
}

/// Without the rule for creations it does nothing; with it again, it does.
async fn can_be_changed(hooked: &Hooked, kind: &Kind<'_>, made: Value) {
    let updated = kind
        .update("changing", |hook| {
            hook["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
        })
        .await;
    assert!(revision(&updated) > revision(&made));
    let acts = || async {
        if kind.kind.starts_with('V') {
            hooked.denies().await
        } else {
            hooked.mutates().await
        }
    };
    assert!(!acts().await);
    let patch =
        json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]);
    let patched = kind.json_patch("changing", patch).await;
    assert!(revision(&patched) > revision(&updated));
    assert!(acts().await);
    kind.delete("changing").await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_patching_updating_a_validating_webhook_should_work() {
    let hooked = Hooked::new().await;
    let kind = hooked.validating();
    let made = hooked
        .register(&kind, "changing", json!([hooked.deny_maps()]))
        .await;
    assert!(hooked.denies().await);
    can_be_changed(&hooked, &kind, made).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_patching_updating_a_mutating_webhook_should_work() {
    let hooked = Hooked::new().await;
    let kind = hooked.mutating();
    let made = hooked
        .register(&kind, "changing", json!([hooked.mutate_maps(1)]))
        .await;
    can_be_changed(&hooked, &kind, made).await;
}

/// Ten labelled configurations, which are listed.
async fn make_ten(hooked: &Hooked, kind: &Kind<'_>, webhook: &Value) {
    for at in 0..10 {
        let mut object = hooked.configuration(&format!("listed-{at}"), json!([webhook]));
        object["metadata"]["labels"] = json!({"e2e-list-test-uuid": "some"});
        kind.create(object).await;
    }
    assert_eq!(names(&kind.list(LISTED).await).len(), 10);
    hooked.is_in_force().await;
}

const LISTED: &str = "labelSelector=e2e-list-test-uuid%3Dsome";

#[tokio::test(start_paused = true)]
async fn admissionwebhook_listing_validating_webhooks_should_work() {
    let hooked = Hooked::new().await;
    let kind = hooked.validating();
    make_ten(&hooked, &kind, &hooked.deny_maps()).await;
    assert!(hooked.denies().await);
    kind.delete_collection(LISTED).await;
    assert!(!hooked.denies().await);
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_listing_mutating_webhooks_should_work() {
    let hooked = Hooked::new().await;
    let kind = hooked.mutating();
    make_ten(&hooked, &kind, &hooked.mutate_maps(1)).await;
    assert!(hooked.mutates().await);
    kind.delete_collection(LISTED).await;
    assert!(!hooked.mutates().await);
}

/// A webhook that is only asked about what the expressions choose.
fn conditional(hooked: &Hooked, expressions: &[&str]) -> Value {
    let mut webhook = hooked.webhook("with-match-conditions", "/always-deny", &["CREATE"], MAPS);
    let conditions = expressions.iter().enumerate();
    webhook["matchConditions"] = conditions
        .map(|(at, text)| json!({"name": format!("expression-{at}"), "expression": text}))
        .collect();
    webhook
}

/// Match conditions are kept as they are written, and can be changed.
async fn keeps_match_conditions(hooked: &Hooked, kind: &Kind<'_>) {
    let one = ["object.metadata.namespace == 'production'"];
    let two = [one[0], "object.metadata.namespace == 'staging'"];
    let webhook = conditional(hooked, &one);
    kind.create(hooked.configuration("conditional", json!([webhook])))
        .await;
    let found = kind.get("conditional").await["webhooks"][0]["matchConditions"].clone();
    assert_eq!(found, webhook["matchConditions"]);
    let webhook = conditional(hooked, &two);
    kind.update("conditional", |hook| {
        hook["webhooks"][0]["matchConditions"] = webhook["matchConditions"].clone();
    })
    .await;
    let found = kind.get("conditional").await["webhooks"][0]["matchConditions"].clone();
    assert_eq!(found, webhook["matchConditions"]);
    kind.delete("conditional").await;
}

/// What is no expression is refused.
async fn refuses_bad_conditions(hooked: &Hooked, kind: &Kind<'_>) {
    let webhook = conditional(hooked, &["... [] bad expression"]);
    let object = hooked.configuration("conditional", json!([webhook]));
    let refused = kind.try_create(object).await.refused();
    assert!(refused.contains("compilation failed"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_be_able_to_create_and_update_validating_webhook_configurations_with_match_conditions()
 {
    let hooked = Hooked::new().await;
    keeps_match_conditions(&hooked, &hooked.validating()).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_be_able_to_create_and_update_mutating_webhook_configurations_with_match_conditions()
 {
    let hooked = Hooked::new().await;
    keeps_match_conditions(&hooked, &hooked.mutating()).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_reject_validating_webhook_configurations_with_invalid_match_conditions()
 {
    let hooked = Hooked::new().await;
    refuses_bad_conditions(&hooked, &hooked.validating()).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_reject_mutating_webhook_configurations_with_invalid_match_conditions()
 {
    let hooked = Hooked::new().await;
    refuses_bad_conditions(&hooked, &hooked.mutating()).await;
}

#[tokio::test(start_paused = true)]
async fn admissionwebhook_should_mutate_everything_except_skip_me_configmaps() {
    let hooked = Hooked::new().await;
    let mut webhook = hooked.mutate_maps(1);
    webhook["matchConditions"] =
        json!([{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]);
    hooked
        .register(&hooked.mutating(), "skipping", json!([webhook]))
        .await;
    let created = hooked.maps().create(to_be_mutated("other")).await;
    let expected = json!({"mutation-start": "yes", "mutation-stage-1": "yes"});
    assert_eq!(created["data"], expected);
    let created = hooked.maps().create(to_be_mutated("skip-me")).await;
    assert_eq!(created["data"], json!({"mutation-start": "yes"}));
}
