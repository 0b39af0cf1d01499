//! What an App's decision needs, from this cluster, the repositories and the App's own cluster.

use std::sync::Arc;

use api::application::app::reasons;
use api::application::{App, CATALOG_NAMESPACES, Catalog, ObjectKey};
use api::cluster::Cluster;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use runtime::{Cx, GatherError, Remote, Wait};

use super::values::{self, Kind, Layer};
use super::{AppController, Lifetime, Target, World, plan};
use crate::chart::{self, Site};
use crate::repository::{FetchError, Fetched};

/// Keys under which a Secret may have a kubeconfig.
const KUBECONFIG_KEYS: [&str; 2] = ["kubeConfig", "value"];

pub(super) async fn gather(
    controller: &AppController,
    cx: &Cx,
    app: &App,
) -> Result<World, GatherError> {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let is_deleting = app.metadata.deletion_timestamp.is_some();
    let catalog = if is_deleting {
        None
    } else {
        catalog(cx, app).await?
    };
    let layers = if is_deleting {
        vec![]
    } else {
        layers(cx, catalog.as_deref(), app).await?
    };
    let lifetime = lifetime(cx, app).await?;
    // First the operation, then what it did: its end in between wakes.
    let standing = controller.operations.look(cx, uid);
    let target = target(cx, app, lifetime).await?;
    let mut world = World {
        app: app.clone(),
        catalog,
        layers,
        lifetime,
        target,
        index: None,
        chart: None,
        standing,
    };
    if plan::needs_chart(&world) {
        fetch(controller, cx, &mut world);
    }
    Ok(world)
}

async fn catalog(cx: &Cx, app: &App) -> Result<Option<Arc<Catalog>>, GatherError> {
    let named = app
        .spec
        .catalog_namespace
        .as_deref()
        .filter(|namespace| !namespace.is_empty());
    let namespaces = named.map_or(CATALOG_NAMESPACES.to_vec(), |namespace| vec![namespace]);
    for namespace in namespaces {
        let found = cx.get::<Catalog>(namespace, &app.spec.catalog).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn layers(cx: &Cx, catalog: Option<&Catalog>, app: &App) -> Result<Vec<Layer>, GatherError> {
    let mut layers = vec![];
    for (kind, key) in values::layers(catalog.and_then(|c| c.spec.config.as_ref()), &app.spec) {
        let data = match kind {
            Kind::ConfigMap => {
                cx.get::<ConfigMap>(&key.namespace, &key.name)
                    .await?
                    .map(|object| {
                        let data = object.data.iter().flatten();
                        data.map(|(k, v)| (k.clone(), v.clone().into_bytes()))
                            .collect()
                    })
            }
            Kind::Secret => cx
                .get::<Secret>(&key.namespace, &key.name)
                .await?
                .map(|object| {
                    let data = object.data.iter().flatten();
                    data.map(|(k, v)| (k.clone(), v.0.clone())).collect()
                }),
        };
        layers.push(Layer { kind, key, data });
    }
    Ok(layers)
}

async fn lifetime(cx: &Cx, app: &App) -> Result<Lifetime, GatherError> {
    let Some(ObjectKey { namespace, .. }) = app.kubeconfig() else {
        return Ok(Lifetime::Lives);
    };
    Ok(
        match cx.get::<Cluster>(&namespace, app.cluster_name()).await? {
            None => Lifetime::Unknown,
            Some(cluster) if cluster.metadata.deletion_timestamp.is_some() => Lifetime::Deleting,
            Some(_) => Lifetime::Lives,
        },
    )
}

async fn target(cx: &Cx, app: &App, lifetime: Lifetime) -> Result<Target, GatherError> {
    let away = |reason, message| Ok(Target::Away(Wait { reason, message }));
    let cluster = app.cluster_name();
    let target = match app.kubeconfig() {
        None => cx.clone(),
        Some(_) if lifetime == Lifetime::Deleting => {
            return away(
                reasons::CLUSTER_DELETING,
                format!("cluster `{cluster}` is being deleted"),
            );
        }
        Some(ObjectKey { name, namespace }) => {
            let secret = format!("kubeconfig secret `{name}` in namespace `{namespace}`");
            match cx
                .clusters()
                .through(&namespace, &name, &KUBECONFIG_KEYS)
                .await?
            {
                Remote::Connected { cx, .. } => cx,
                Remote::NoKubeconfig => {
                    return away(reasons::KUBECONFIG_NOT_FOUND, format!("{secret} not found"));
                }
                Remote::BadKubeconfig(why) => {
                    return away(reasons::KUBECONFIG_INVALID, format!("{secret}: {why}"));
                }
                Remote::Connecting => {
                    return away(
                        reasons::CLUSTER_UNREACHABLE,
                        format!("connecting to cluster `{cluster}`"),
                    );
                }
                remote @ Remote::Unreachable { .. } => {
                    return away(
                        reasons::CLUSTER_UNREACHABLE,
                        format!("cluster `{cluster}`: {remote}"),
                    );
                }
            }
        }
    };
    let site = Site::of(&target, app);
    match chart::observe(&site, app).await {
        Ok(observed) => Ok(Target::Here {
            observed: Box::new(observed),
            site: Some(site),
        }),
        Err(source) => Err(GatherError::Read {
            what: format!("what is on cluster `{cluster}`"),
            source: Box::new(source),
        }),
    }
}

/// The version in the Catalog's index, and its chart.
fn fetch(controller: &AppController, cx: &Cx, world: &mut World) {
    let Some(catalog) = &world.catalog else {
        return;
    };
    let index = match crate::catalog::repositories(catalog) {
        Ok(repositories) => controller.repositories.index(cx, &repositories),
        Err(why) => Fetched::Failed(FetchError::Invalid(why)),
    };
    let version = index.value().and_then(|index| {
        index
            .find(&world.app.spec.name, &world.app.spec.version)
            .ok()
    });
    world.chart = version.map(|v| {
        controller
            .repositories
            .chart(cx, &v.url, v.digest.as_deref())
    });
    world.index = Some(index);
}
