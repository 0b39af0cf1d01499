//! What is done on the App's cluster.

use std::sync::Arc;

use runtime::{Cx, Wait};

use super::{Act, AppController, Target, World, plan};
use crate::chart::{self, Deployment, UNINSTALL};

pub(super) async fn act(
    controller: &AppController,
    cx: &Cx,
    world: &World,
    act: &Act,
) -> Result<(), Wait> {
    let Target::Here {
        observed,
        site: Some(site),
    } = &world.target
    else {
        return Ok(());
    };
    let (app, site) = (world.app.clone(), site.clone());
    let uid = app.metadata.uid.clone().unwrap_or_default();
    let clock = cx.cluster().clock().clone();
    match act {
        Act::Deploy => {
            let (wanted, version, chart) = plan::chosen(world)?;
            let deployment = Deployment {
                site,
                app,
                url: version.url.clone(),
                chart: Arc::new(chart.clone()),
                history: observed.history.clone(),
                wanted,
            };
            let fingerprint = deployment.wanted.fingerprint(&version.url);
            let operation = async move { chart::deploy(&deployment).await };
            controller
                .operations
                .start(uid, fingerprint, clock, operation);
            Ok(())
        }
        Act::Uninstall => {
            let history = observed.history.clone();
            let operation = async move { chart::uninstall(&site, &app, &history).await };
            controller
                .operations
                .start(uid, UNINSTALL.to_owned(), clock, operation);
            Ok(())
        }
        Act::Record => {
            let url = observed.tarball_url().unwrap_or_default();
            chart::record(
                &site,
                &app,
                &plan::wanted(world)?,
                &url,
                observed.history.latest.as_ref(),
            )
            .await
        }
        Act::Forget => chart::forget(&site, &app).await,
    }
}
