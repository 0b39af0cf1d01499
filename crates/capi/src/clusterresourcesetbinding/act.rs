//! Applies objects in the workload cluster, and writes down what came of it.

use api::addons::ClusterResourceSetBinding;
use api::addons::cluster_resource_set::{ResourceKind, Strategy, reasons};
use api::addons::cluster_resource_set_binding::ResourceBinding;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Client, ResourceExt};
use runtime::{Change, Cx, Wait};

use super::{Work, World, plan};
use crate::machine::remote_client;

/// Who applies, in managedFields.
const MANAGER: &str = "apiary-clusterresourceset";

/// Applies everything that is due; what fails keeps nothing else from being applied.
pub(super) async fn apply(cx: &Cx, world: &World, work: &[Work]) -> Result<(), Wait> {
    let namespace = world.cluster.namespace().unwrap_or_default();
    let client = remote_client(cx, &namespace, &world.cluster.name_any()).await?;
    is_ready(&client).await?;
    let (mut done, mut failures) = (vec![], vec![]);
    for work in work {
        let failed = apply_one(&client, work).await;
        let mut result = ResourceBinding {
            kind: work.resource.kind,
            name: work.resource.name.clone(),
            applied: failed.is_none(),
            hash: Some(work.hash.clone()),
            last_applied_time: Some(Time(cx.now())),
        };
        // To fail once more is no news, and would wake this very pass without end.
        let known = world
            .binding
            .as_ref()
            .and_then(|b| b.find(&work.set, &work.resource));
        if let Some(known) =
            known.filter(|k| !k.applied && !result.applied && k.hash == result.hash)
        {
            result.clone_from(known);
        }
        done.push((work.set.clone(), result));
        failures.extend(failed.map(|why| (work.set.clone(), why)));
    }
    let lines: Vec<_> = failures
        .iter()
        .map(|(set, why)| format!("* {set}: {why}"))
        .collect();
    write(cx, &namespace, plan::next(world, done, failures)).await?;
    if lines.is_empty() {
        return Ok(());
    }
    Err(wait(lines.join("\n")))
}

fn wait(message: String) -> Wait {
    Wait {
        reason: reasons::NOT_APPLIED,
        message,
    }
}

/// Whether the cluster has what every cluster begins with; objects that come earlier may be refused for want of it.
async fn is_ready(client: &Client) -> Result<(), Wait> {
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    match services.get_opt("kubernetes").await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(wait(
            "Service default/kubernetes does not exist yet".to_owned(),
        )),
        Err(error) => Err(wait(format!(
            "reading Service default/kubernetes: {}",
            runtime::chain(&error)
        ))),
    }
}

/// Applies the objects of one ConfigMap or Secret. Returns what is wrong.
async fn apply_one(client: &Client, work: &Work) -> Option<String> {
    let objects = match &work.objects {
        Ok(objects) => objects,
        Err(why) => return Some(why.clone()),
    };
    let mut failed = vec![];
    for object in objects {
        if let Err(error) = apply_object(client, work.strategy, object).await {
            let kind = object.types.as_ref().map_or("", |t| t.kind.as_str());
            let why = explain(&error, work.resource.kind == ResourceKind::Secret);
            failed.push(format!("{kind} {}: {why}", object.name_any()));
        }
    }
    (!failed.is_empty()).then(|| format!("{}: {}", work.resource, failed.join(", ")))
}

/// What a server says, without the values that it quotes where they may be secret.
fn explain(error: &kube::Error, is_secret: bool) -> String {
    match error {
        kube::Error::Api(status) if is_secret => {
            let causes = status.details.iter().flat_map(|d| &d.causes);
            let fields: Vec<_> = causes
                .map(|c| c.field.as_str())
                .filter(|f| !f.is_empty())
                .collect();
            match fields.as_slice() {
                [] => status.reason.clone(),
                fields => format!("{}: {}", status.reason, fields.join(", ")),
            }
        }
        kube::Error::Api(status) => status.message.clone(),
        error => runtime::chain(error),
    }
}

async fn apply_object(
    client: &Client,
    strategy: Strategy,
    object: &DynamicObject,
) -> Result<(), kube::Error> {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types
        .api_version
        .split_once('/')
        .unwrap_or(("", &types.api_version));
    let kind = GroupVersionKind::gvk(group, version, &types.kind);
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, namespace) => {
            let namespace = namespace.unwrap_or_else(|| "default".to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let answer = match strategy {
        Strategy::ApplyOnce => {
            let params = PostParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PostParams::default()
            };
            api.create(&params, object).await
        }
        Strategy::Reconcile => {
            let params = PatchParams::apply(MANAGER).force();
            let name = object.name_any();
            api.patch(&name, &params, &Patch::Apply(object)).await
        }
    };
    match answer {
        Ok(_) => Ok(()),
        // It is there: that is all that making it once asks for.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes the binding in the management cluster.
async fn write(cx: &Cx, namespace: &str, change: Option<Change<super::Act>>) -> Result<(), Wait> {
    let Some(Change::Apply(binding)) = change else {
        return Ok(());
    };
    let api: Api<ClusterResourceSetBinding> = Api::namespaced(cx.client(), namespace);
    let params = PatchParams::apply("apiary-clusterresourcesetbinding").force();
    let name = binding.name_any();
    let written = api.patch(&name, &params, &Patch::Apply(&*binding)).await;
    written.map(drop).map_err(|error| {
        wait(format!(
            "writing ClusterResourceSetBinding {name}: {}",
            runtime::chain(&error)
        ))
    })
}
