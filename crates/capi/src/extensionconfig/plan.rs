//! What to do about an ExtensionConfig. Pure.

use std::convert::Infallible;

use api::runtime::extension_config::{CA_KEY, reasons};
use k8s_openapi::ByteString;
use runtime::Plan;
use serde_json::json;

use super::{Discovery, World, secret_of};
use crate::hook::RETRY;
use crate::{object, pause};

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.config.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    match injection(world) {
        Err(why) => plan.wait(reasons::NOT_DISCOVERED, why),
        Ok(Some(bundle)) => {
            let spec = json!({"clientConfig": {"caBundle": bundle}});
            plan.changes.push(object::patch_spec(&world.config, &spec));
            plan.wait(
                reasons::NOT_DISCOVERED,
                "spec.clientConfig.caBundle has just been taken from its Secret",
            );
        }
        Ok(None) => {
            if let Some(Discovery::Failed(why)) = &world.discovery {
                plan.wait(reasons::NOT_DISCOVERED, why);
                plan.again_in = Some(RETRY);
            }
        }
    }
    plan
}

/// The certificates that are to be written, if they are not there yet.
pub(super) fn injection(world: &World) -> Result<Option<&ByteString>, String> {
    let Some(named) = secret_of(&world.config) else {
        return Ok(None);
    };
    let (namespace, name) = named?;
    let Some(secret) = &world.secret else {
        return Err(format!("Secret {namespace}/{name} does not exist"));
    };
    let bundle = secret.data.as_ref().and_then(|data| data.get(CA_KEY));
    let Some(bundle) = bundle.filter(|bundle| !bundle.0.is_empty()) else {
        return Err(format!("Secret {namespace}/{name} has no {CA_KEY}"));
    };
    let has = world.config.spec.client_config.ca_bundle.as_ref();
    Ok((has != Some(bundle)).then_some(bundle))
}
