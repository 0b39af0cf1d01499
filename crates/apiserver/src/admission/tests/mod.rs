//! Checks of the built-in plugins on a tiny cluster in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::Expect;
use serde_json::{Value, json};

use super::{Admission as _, Chain, Kinds, Operation, Reinvocation, Request};
use crate::auth::tests::World;
use crate::auth::{Authorizer, User};
use crate::resource::{Generation, NameRule, Resource, Strategy};
use crate::schema::Schema;
use crate::status::Status;

mod certificates;
mod limits;
mod nodes;
mod pod_security;
mod pods;
mod rbac;
mod scope;

/// `deployments.apps` as a resource; only names matter to the plugins.
fn resource(text: &str, kind: &str) -> Resource {
    let (plural, group) = text.split_once('.').unwrap_or((text, ""));
    Resource {
        group: group.into(),
        version: "v1".into(),
        plural: plural.into(),
        singular: plural.trim_end_matches('s').into(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        verbs: Vec::new(),
        subresources: Vec::new(),
        storage: text.into(),
        schema: Arc::new(Schema::default()),
        strategy: Strategy {
            generation: Generation::Never,
            has_status: false,
            create_on_update: false,
            unconditional_update: false,
            graceful_delete: false,
            delete_returns_object: false,
            orphan_by_default: false,
            names: NameRule::Subdomain,
        },
        columns: Vec::new(),
        custom: None,
    }
}

/// A cluster in which every kind has one version.
pub(super) struct OneVersion;

#[async_trait::async_trait]
impl Kinds for OneVersion {
    fn equivalents(&self, resource: &Resource) -> Vec<Arc<Resource>> {
        vec![Arc::new(resource.clone())]
    }

    fn of_kind(&self, _: &str, _: &str) -> Option<Arc<Resource>> {
        None
    }

    async fn convert(&self, object: Value, _: &Resource, _: &Resource) -> Result<Value, Status> {
        Ok(object)
    }
}

/// A write to the cluster, in words: `pods ns/name`, `pods/status ns/name`, `nodes /name`.
struct Write<'a> {
    what: &'a str,
    user: User,
    operation: Operation,
    old: Option<Value>,
    object: Value,
}

impl<'a> Write<'a> {
    fn create(what: &'a str, object: Value) -> Self {
        Self {
            what,
            user: User::authenticated("root", ["system:masters".to_owned()]),
            operation: Operation::Create,
            old: None,
            object,
        }
    }

    fn update(what: &'a str, old: Value, object: Value) -> Self {
        Self {
            operation: Operation::Update,
            old: Some(old),
            ..Self::create(what, object)
        }
    }

    fn delete(what: &'a str, old: Value) -> Self {
        Self {
            operation: Operation::Delete,
            old: Some(old),
            ..Self::create(what, Value::Null)
        }
    }

    fn by(self, name: &str, groups: &[&str]) -> Self {
        Self {
            user: User::authenticated(name, groups.iter().map(|g| (*g).to_owned())),
            ..self
        }
    }

    fn by_node(self, node: &str) -> Self {
        self.by(&format!("system:node:{node}"), &["system:nodes"])
    }

    /// The object after all plugins, or the refusal.
    async fn run(&self, world: &World) -> Result<Value, Status> {
        let chain = Chain::builtin(&Arc::new(Authorizer::new()));
        self.run_in(&chain, world).await
    }

    async fn run_in(&self, chain: &Chain, world: &World) -> Result<Value, Status> {
        self.run_warned(chain, world).await.0
    }

    /// As [`Self::run_in`], with the warnings and the annotations in the audit log.
    async fn run_warned(
        &self,
        chain: &Chain,
        world: &World,
    ) -> (Result<Value, Status>, Vec<String>, BTreeMap<String, String>) {
        let (what, place) = self.what.split_once(' ').unwrap();
        let (plural, group) = what.split_once('.').unwrap_or((what, ""));
        let (plural, subresource) = plural.split_once('/').unwrap_or((plural, ""));
        let (namespace, name) = place.split_once('/').unwrap();
        let storage = if group.is_empty() {
            plural.into()
        } else {
            format!("{plural}.{group}")
        };
        let kind = self.object["kind"].as_str().unwrap_or("Kind");
        let resource = resource(&storage, kind);
        let (mut warnings, mut audit) = (Vec::new(), BTreeMap::new());
        let mut request = Request {
            operation: self.operation,
            user: &self.user,
            resource: &resource,
            subresource,
            namespace,
            name,
            old: self.old.as_ref(),
            dry_run: false,
            options: &Value::Null,
            objects: world,
            kinds: &OneVersion,
            warnings: &mut warnings,
            audit: &mut audit,
            reinvocation: Reinvocation::default(),
        };
        let mut object = self.object.clone();
        let mut result = chain.admit(&mut request, &mut object).await;
        if result.is_ok() {
            result = chain.validate(&mut request, &object).await;
        }
        (result.map(|()| object), warnings, audit)
    }

    /// The verdict, the warnings and the annotations in the audit log, one a line.
    async fn check_warned(&self, world: &World, want: Expect) {
        let chain = Chain::builtin(&Arc::new(Authorizer::new()));
        let (result, warnings, audit) = self.run_warned(&chain, world).await;
        let mut lines = match result {
            Ok(_) => vec!["allowed".to_owned()],
            Err(status) => vec![format!("{} {}", status.code, status.message)],
        };
        lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.extend(
            audit
                .iter()
                .map(|(key, text)| format!("audit: {key}: {text}")),
        );
        want.assert_eq(&lines.join("\n"));
    }

    /// `allowed`, or the code and text of the refusal.
    async fn verdict(&self, world: &World) -> String {
        match self.run(world).await {
            Ok(_) => "allowed".into(),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    async fn check(&self, world: &World, want: Expect) {
        want.assert_eq(&self.verdict(world).await);
    }
}

/// A cluster with the namespaces `default` and `dev`, and their default accounts.
fn world() -> World {
    let mut world = World::bootstrapped();
    for name in ["default", "dev", "kube-node-lease"] {
        world.put(
            "namespaces",
            json!({"metadata": {"name": name, "uid": name}}),
        );
        world.account(name, "default");
    }
    world
}

fn pod(spec: Value) -> Value {
    let mut pod = json!({
        "kind": "Pod", "metadata": {"name": "web", "namespace": "dev"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}
