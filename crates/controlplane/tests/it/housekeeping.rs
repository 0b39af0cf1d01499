//! Namespaces, garbage, certificates, tokens and roles, as a user sees them.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use apiserver::auth::User;
use apiserver::auth::pki::ClusterKeys;
use apiserver::store::Memory;
use apiserver::{ClusterSpec, Config, Server};
use k8s_openapi::ByteString;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use runtime::{Clock, Controllers, Options, Tasks};
use serde_json::{Value, json};

struct Env {
    client: Client,
    clock: Clock,
    _server: Server,
    _tasks: Tasks,
}

impl Env {
    async fn start() -> Self {
        let clock = Clock::simulated("2026-05-01T00:00:00Z".parse().unwrap());
        let config = Config {
            clock: {
                let clock = clock.clone();
                Arc::new(move || clock.now())
            },
            admission: Arc::new(|_| vec![]),
            handlers: apiserver::webhook::Handlers::default(),
            apis: vec![],
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 6443,
            security: apiserver::Security::default(),
            seed: None,
        };
        let server = Server::open(Memory::new(), config).await.unwrap();
        let keys = ClusterKeys::generate("test", clock.now()).unwrap();
        let spec = ClusterSpec {
            id: "test".to_owned(),
            server_names: vec!["*".to_owned()],
            keys: keys.clone(),
            service_cidr: "10.96.0.0/16".to_owned(),
            version: "v1.36.0".to_owned(),
        };
        let cluster = server.create_cluster(spec).await.unwrap();
        let user = User {
            name: "admin".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..User::default()
        };
        let client = Client::new(cluster.service(user), "default");
        let controllers = Controllers::new(client.clone(), clock.clone(), Options::default());
        let authority = Arc::new(keys.authority().unwrap());
        let controllers =
            controlplane::add_housekeeping(controllers, authority, cluster, &keys.ca_cert_pem);
        let tasks = Tasks::new();
        tasks.spawn("controllers", controllers.run(pending()));
        Self {
            client,
            clock,
            _server: server,
            _tasks: tasks,
        }
    }

    /// Any kind, by `apiVersion`, `Kind` and namespace.
    fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk(&gvk);
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    async fn create(&self, object: Value) -> DynamicObject {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let api = self.api(&version, &kind, &text(&object["metadata"]["namespace"]));
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    async fn config_map(&self, name: &str, owners: &[(&DynamicObject, bool)]) -> DynamicObject {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(owner, is_blocking)| {
                json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid,
                    "blockOwnerDeletion": is_blocking})
            })
            .collect();
        let metadata = json!({"namespace": "default", "name": name, "ownerReferences": owners});
        self.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
            .await
    }

    /// Names of the test's ConfigMaps in `default`.
    async fn config_maps(&self) -> String {
        let maps = self
            .api("v1", "ConfigMap", "default")
            .list(&Default::default())
            .await
            .unwrap();
        let names = maps.items.into_iter().filter_map(|map| map.metadata.name);
        names
            .filter(|name| name != "kube-root-ca.crt")
            .collect::<Vec<_>>()
            .join(" ")
    }

    async fn delete(&self, name: &str, params: DeleteParams) {
        self.api("v1", "ConfigMap", "default")
            .delete(name, &params)
            .await
            .unwrap();
    }

    /// Waits, in virtual time, until `check` holds.
    async fn until<F: Future<Output = bool>>(&self, what: &str, check: impl Fn() -> F) {
        for _ in 0..300 {
            if check().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("after 30 seconds still not: {what}");
    }

    async fn until_config_maps(&self, expect: &str) {
        self.until(expect, async || self.config_maps().await == expect)
            .await;
        // And it stays so.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(self.config_maps().await, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_gets_its_account_and_certificate_and_keeps_them() {
    let env = Env::start().await;
    env.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
        .await;
    let accounts = env.api("v1", "ServiceAccount", "team");
    let maps = env.api("v1", "ConfigMap", "team");
    let has = async || {
        accounts.get_opt("default").await.unwrap().is_some()
            && maps.get_opt("kube-root-ca.crt").await.unwrap().is_some()
    };
    env.until("account and certificate", has).await;
    let vandalism = json!({"data": {"ca.crt": "x"}});
    maps.patch(
        "kube-root-ca.crt",
        &PatchParams::default(),
        &Patch::Merge(vandalism),
    )
    .await
    .unwrap();
    accounts
        .delete("default", &DeleteParams::default())
        .await
        .unwrap();
    let is_repaired = async || {
        let map = maps.get("kube-root-ca.crt").await.unwrap();
        map.data["data"]["ca.crt"]
            .as_str()
            .unwrap()
            .contains("BEGIN CERTIFICATE")
            && has().await
    };
    env.until("repaired", is_repaired).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_and_goes() {
    let env = Env::start().await;
    env.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
        .await;
    env.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "team", "name": "held", "finalizers": ["example.com/hold"]}}))
        .await;
    env.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "team", "name": "s"}})).await;
    let namespaces = env.api("v1", "Namespace", "");
    namespaces
        .delete("team", &DeleteParams::default())
        .await
        .unwrap();
    let shows = async || {
        let namespace = namespaces.get("team").await.unwrap();
        let conditions = namespace.data["status"]["conditions"].to_string();
        conditions.contains("Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")
            && conditions.contains("Some resources are remaining: configmaps. has 1 resource instances")
    };
    env.until("the held ConfigMap is named", shows).await;
    assert!(
        env.api("v1", "Secret", "team")
            .get_opt("s")
            .await
            .unwrap()
            .is_none()
    );
    let free = json!({"metadata": {"finalizers": null}});
    env.api("v1", "ConfigMap", "team")
        .patch("held", &PatchParams::default(), &Patch::Merge(free))
        .await
        .unwrap();
    env.until("the namespace is gone", async || {
        namespaces.get_opt("team").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_their_last_owner_in_the_background() {
    let env = Env::start().await;
    let a = env.config_map("a", &[]).await;
    let b = env.config_map("b", &[]).await;
    let both = env.config_map("both", &[(&a, false), (&b, false)]).await;
    env.config_map("grandchild", &[(&both, false)]).await;
    env.delete("a", DeleteParams::background()).await;
    env.until_config_maps("b both grandchild").await;
    let both = env
        .api("v1", "ConfigMap", "default")
        .get("both")
        .await
        .unwrap();
    assert_eq!(
        both.metadata.owner_references.unwrap().len(),
        1,
        "the dead owner is no longer named"
    );
    env.delete("b", DeleteParams::background()).await;
    env.until_config_maps("").await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let env = Env::start().await;
    let owner = env.config_map("owner", &[]).await;
    env.config_map("child", &[(&owner, true)]).await;
    let maps = env.api("v1", "ConfigMap", "default");
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    maps.patch("child", &PatchParams::default(), &Patch::Merge(hold))
        .await
        .unwrap();
    env.delete("owner", DeleteParams::foreground()).await;
    env.until_config_maps("child owner").await;
    assert!(
        maps.get("child")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    let free = json!({"metadata": {"finalizers": null}});
    maps.patch("child", &PatchParams::default(), &Patch::Merge(free))
        .await
        .unwrap();
    env.until_config_maps("").await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_in_the_foreground_goes_too() {
    let env = Env::start().await;
    let a = env.config_map("a", &[]).await;
    let b = env.config_map("b", &[(&a, true)]).await;
    let owners = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b",
        "uid": b.metadata.uid, "blockOwnerDeletion": true}]}});
    env.api("v1", "ConfigMap", "default")
        .patch("a", &PatchParams::default(), &Patch::Merge(owners))
        .await
        .unwrap();
    env.delete("a", DeleteParams::foreground()).await;
    env.until_config_maps("").await;
}

#[tokio::test(start_paused = true)]
async fn orphans_live_on_without_the_owner() {
    let env = Env::start().await;
    let owner = env.config_map("owner", &[]).await;
    env.config_map("child", &[(&owner, true)]).await;
    env.delete("owner", DeleteParams::orphan()).await;
    env.until_config_maps("child").await;
    let child = env
        .api("v1", "ConfigMap", "default")
        .get("child")
        .await
        .unwrap();
    assert_eq!(child.metadata.owner_references, None);
}

#[tokio::test(start_paused = true)]
async fn an_object_born_to_a_dead_owner_goes() {
    let env = Env::start().await;
    let mut owner = env.config_map("owner", &[]).await;
    owner.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    env.config_map("child", &[(&owner, false)]).await;
    env.until_config_maps("owner").await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_defined_later_is_collected_too() {
    let env = Env::start().await;
    let owner = env.config_map("owner", &[]).await;
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    env.create(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gadgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]},
    })).await;
    let gadgets = env.api("example.com/v1", "Gadget", "default");
    env.until("gadgets are served", async || {
        gadgets.list(&Default::default()).await.is_ok()
    })
    .await;
    env.create(json!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"namespace": "default", "name": "g",
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}]}})).await;
    env.delete("owner", DeleteParams::background()).await;
    env.until("the gadget is gone", async || {
        gadgets.get_opt("g").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_gets_its_certificate_when_rbac_lets_it() {
    let env = Env::start().await;
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "system:node:n1");
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "system:nodes");
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = serde_json::to_value(ByteString(pem.into_bytes())).unwrap();
    let csr = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "csr-1"},
        "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"], "expirationSeconds": 3600},
    });
    env.create(csr).await;
    let csrs = env.api("certificates.k8s.io/v1", "CertificateSigningRequest", "");
    let is_signed =
        async || csrs.get("csr-1").await.unwrap().data["status"]["certificate"].is_string();
    env.until("signed", is_signed).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert!(
        csrs.get_opt("csr-1").await.unwrap().is_none(),
        "cleared away"
    );
}

#[tokio::test(start_paused = true)]
async fn cluster_info_is_signed_while_a_token_lives() {
    let env = Env::start().await;
    env.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-public", "name": "cluster-info"},
        "data": {"kubeconfig": "K"}})).await;
    let expires = runtime::rfc3339(env.clock.now() + Duration::from_secs(600));
    let fields = [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-signing", "true"),
        ("expiration", &expires),
    ];
    let data: BTreeMap<&str, ByteString> = fields
        .map(|(key, value)| (key, ByteString(value.as_bytes().to_vec())))
        .into();
    env.create(
        json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"namespace": "kube-system", "name": "bootstrap-token-abcdef"}, "data": data}),
    )
    .await;
    let info = env.api("v1", "ConfigMap", "kube-public");
    let is_signed = async || {
        info.get("cluster-info").await.unwrap().data["data"]["jws-kubeconfig-abcdef"].is_string()
    };
    env.until("signed", is_signed).await;
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert!(!is_signed().await);
    let secrets = env.api("v1", "Secret", "kube-system");
    assert!(
        secrets
            .get_opt("bootstrap-token-abcdef")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_holds_a_token_as_long_as_its_account_lives() {
    let env = Env::start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "default", "name": "robot"}});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"namespace": "default", "name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}},
    });
    env.create(account).await;
    env.create(secret.clone()).await;
    let secrets = env.api("v1", "Secret", "default");
    let token = async || {
        let secret = secrets.get_opt("robot-token").await.unwrap()?;
        let token = serde_json::from_value(secret.data["data"]["token"].clone()).ok()?;
        let ByteString(token) = token;
        Some((String::from_utf8(token).unwrap(), secret))
    };
    env.until("a token", async || token().await.is_some()).await;
    let (held, secret_now) = token().await.unwrap();
    for key in ["ca.crt", "namespace"] {
        assert!(secret_now.data["data"][key].is_string(), "{key}");
    }
    let review = async || {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": held}});
        let answer = env.create(review).await;
        answer.data["status"].clone()
    };
    assert_eq!(
        review().await["user"]["username"],
        "system:serviceaccount:default:robot"
    );
    let accounts = env.api("v1", "ServiceAccount", "default");
    accounts.delete("robot", &Default::default()).await.unwrap();
    env.until("gone", async || token().await.is_none()).await;
    assert_eq!(review().await["authenticated"], Value::Null);
    // Nor does one stay that never had an account.
    env.create(secret).await;
    let is_gone = async || secrets.get_opt("robot-token").await.unwrap().is_none();
    env.until("gone again", is_gone).await;
}

#[tokio::test(start_paused = true)]
async fn aggregated_roles_take_up_new_rules() {
    let env = Env::start().await;
    let rules = json!([{"apiGroups": ["example.com"], "resources": ["gadgets"], "verbs": ["get"]}]);
    env.create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": rules,
        "metadata": {"name": "gadgets-view", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}})).await;
    let roles = env.api("rbac.authorization.k8s.io/v1", "ClusterRole", "");
    let has = async |role: &str| {
        roles.get(role).await.unwrap().data["rules"]
            .to_string()
            .contains("gadgets")
    };
    env.until("view, edit and admin", async || {
        has("view").await && has("edit").await && has("admin").await
    })
    .await;
    roles
        .delete("gadgets-view", &DeleteParams::default())
        .await
        .unwrap();
    env.until("gone again", async || {
        !has("view").await && !has("edit").await && !has("admin").await
    })
    .await;
}
