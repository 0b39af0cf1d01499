//! What a cluster begins with: the objects that all clusters share, and the first of its own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::{join, join_all, join3};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::aggregation::{self, Api};
use crate::auth::{self, User};
use crate::flow;
use crate::object::Key;
use crate::registry::{Call, Target};
use crate::schema::FieldValidation;
use crate::server::{Cluster, ServerError};
use crate::status::Status;

/// Namespaces that every cluster has.
const SYSTEM_NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// How long the start of a server waits for what all clusters begin with, in all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause after what a cluster begins with could not be written; each further one is twice as long.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

impl Cluster {
    /// What a new cluster begins with.
    ///
    /// # Errors
    /// When one of the objects cannot be written.
    pub(crate) async fn write_first_objects(&self) -> Result<(), ServerError> {
        let written = async {
            self.ensure_first_objects().await?;
            aggregation::ensure_trust(self.registry(), &self.spec().keys).await
        };
        Box::pin(written)
            .await
            .map_err(|source| ServerError::Bootstrap {
                id: self.spec().id.clone(),
                source: Box::new(source),
            })
    }

    /// The same for a cluster that was there before. Its users may have made that impossible, with a policy, a quota or a
    /// webhook that never answers, and that must keep no other cluster from being served: what cannot be written until
    /// `deadline` is tried again in the background.
    pub(crate) async fn restore_first_objects(self: &Arc<Self>, deadline: Instant) {
        let written = Box::pin(self.ensure_first_objects());
        let why = match tokio::time::timeout_at(deadline, written).await {
            Ok(Ok(())) => return,
            Ok(Err(status)) => status.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        let cluster = &*self.spec().id;
        tracing::warn!(
            cluster,
            why,
            "what a cluster begins with is not as it should be"
        );
        tokio::spawn(keep_restoring(Arc::downgrade(self), self.ending()));
    }

    /// Namespaces and the Service of the API itself. What exists stays as it is, but for the port where the API is. What cannot
    /// be written does not keep the rest from it.
    async fn ensure_first_objects(&self) -> Result<(), Status> {
        // What does not need each other is written at once, so that it shares commits.
        let namespaces = SYSTEM_NAMESPACES.iter().map(|name| {
            let object =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.ensure("", "v1", "namespaces", object, "")
        });
        let (namespaces, range) = join(join_all(namespaces), self.ensure_service_range()).await;
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP", "clusterIP": self.registry().service_cidr().first().to_string(),
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self.config.port}],
            },
        });
        let service = self.ensure("", "v1", "services", service, "/spec/ports/0/targetPort");
        let address = self.config.address.to_string();
        let endpoints = json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address}],
                "ports": [{"name": "https", "port": self.config.port, "protocol": "TCP"}]}],
        });
        let at = "/subsets/0/ports/0/port";
        let endpoints = self.ensure("", "v1", "endpoints", endpoints, at);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": self.config.port, "protocol": "TCP"}],
        });
        let at = "/ports/0/port";
        let slice = self.ensure("discovery.k8s.io", "v1", "endpointslices", slice, at);
        let (service, endpoints, slice) = Box::pin(join3(service, endpoints, slice)).await;
        let all = [range, service, endpoints, slice];
        namespaces.into_iter().chain(all).collect()
    }

    /// The range of the addresses of Services, as an object, which is ready from the first.
    async fn ensure_service_range(&self) -> Result<(), Status> {
        let (group, plural) = ("networking.k8s.io", "servicecidrs");
        let mut range = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": [self.spec().service_cidr]},
        });
        self.ensure(group, "v1", plural, range.clone(), "").await?;
        let resource = self.registry().types().find(group, "v1", plural);
        let resource = resource.ok_or_else(Status::no_such_resource)?;
        let target = Target::new(resource, "", "kubernetes", "status");
        let known = self.registry().get(&target).await?.into_value();
        if !known["status"]["conditions"].is_null() {
            return Ok(());
        }
        range["status"] = json!({"conditions": [{
            "type": "Ready", "status": "True", "reason": "Default",
            "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": crate::registry::timestamp(self.registry().now()),
        }]});
        let user = server_user();
        let mut call = Call::new(&user, "kube-apiserver");
        let updated = self.registry().update(&mut call, &target, range).await;
        updated.map(drop)
    }

    /// Creates a built-in object unless it is there. One that is gets its value `at` a JSON pointer, unless that is empty.
    async fn ensure(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        object: Value,
        at: &str,
    ) -> Result<(), Status> {
        let resource = self
            .registry()
            .types()
            .find(group, version, plural)
            .ok_or_else(Status::no_such_resource)?;
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        let (namespace, name) = (text("namespace").to_owned(), text("name").to_owned());
        let user = server_user();
        let mut call = Call {
            field_validation: FieldValidation::Strict,
            ..Call::new(&user, "kube-apiserver")
        };
        let key = Key::new(&resource.storage, &namespace, &name);
        let Some(known) = self.registry().store().get(&key) else {
            let target = Target::new(resource, &namespace, "", "");
            let created = self.registry().create(&mut call, &target, object).await;
            return created.map(drop);
        };
        let mut known: Value = serde_json::from_slice(&known.json).map_err(Status::internal)?;
        let wanted = object.pointer(at).filter(|_| !at.is_empty());
        let (Some(wanted), Some(value)) = (wanted, known.pointer_mut(at)) else {
            return Ok(());
        };
        if value == wanted {
            return Ok(());
        }
        *value = wanted.clone();
        let target = Target::new(resource, &namespace, &name, "");
        let updated = self.registry().update(&mut call, &target, known).await;
        updated.map(drop)
    }
}

/// Tries again to write what a cluster begins with, until that is done or the cluster ends.
async fn keep_restoring(cluster: Weak<Cluster>, mut closed: watch::Receiver<bool>) {
    let mut pause = RETRY_MIN;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // An error means that the cluster is gone, which is the end as well.
            _ = closed.wait_for(|closed| *closed) => return,
        }
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        match Box::pin(cluster.ensure_first_objects()).await {
            Ok(()) => return,
            Err(error) => {
                let cluster = &*cluster.spec().id;
                tracing::debug!(cluster, %error, "what a cluster begins with is tried again later");
            }
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// The server itself.
pub(crate) fn server_user() -> User {
    User {
        name: "system:apiserver".into(),
        groups: vec!["system:masters".into()],
        ..User::default()
    }
}

/// When the shared objects were made: they are the same in every cluster, so none of a cluster's own times fits.
pub(crate) const BASE_CREATED: &str = "2026-04-22T00:00:00Z";

/// What all clusters begin with and share until they change it: RBAC's bootstrap policy, the priority classes, those of flow
/// control, and the APIServices of what is served here, `apis` included.
pub(crate) fn base_objects(apis: &[Arc<dyn Api>]) -> Vec<(Key, Value)> {
    let mut objects = auth::bootstrap_objects();
    let classes = [
        ("system-cluster-critical", 2_000_000_000),
        ("system-node-critical", 2_000_001_000),
    ];
    for (name, value) in classes {
        let key = Key::new("priorityclasses.scheduling.k8s.io", "", name);
        let object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name, "generation": 1},
            "value": value, "preemptionPolicy": "PreemptLowerPriority",
            "description": format!("Used for {} critical pods", name.trim_start_matches("system-").trim_end_matches("-critical")),
        });
        objects.push((key, object));
    }
    objects.extend_from_slice(flow::bootstrap_objects());
    objects.extend(aggregation::base_objects(apis));
    for (key, object) in &mut objects {
        // The same in every cluster, like the objects themselves; a cluster that changes one keeps its uid.
        let name = format!("{}/{}/{}", key.resource, key.namespace, key.name);
        let uid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
        object["metadata"]["uid"] = uid.to_string().into();
        object["metadata"]["creationTimestamp"] = BASE_CREATED.into();
    }
    objects
}
