//! ExtensionConfigs: asks extensions what they can do.
//!
//! Reads the ExtensionConfig and, if its annotation names one, the Secret with the certificates of those who may have signed the
//! extension's. Asks the extension for its handlers. Writes `spec.clientConfig.caBundle` from that Secret, and the status: the handlers and
//! the condition `Discovered`. Those who ask extensions about clusters read it there; see [`hook`](crate::hook).

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::runtime::ExtensionConfig;
use api::runtime::extension_config::{Handler, INJECT_CA_FROM_SECRET};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

use crate::hook::Caller;
use crate::{object, pause};

/// The controller.
#[derive(Debug)]
pub struct ExtensionConfigController {
    pub caller: Arc<Caller>,
}

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub config: ExtensionConfig,
    /// The Secret that the annotation names, if it is there.
    #[cfg_attr(test, serde(default))]
    pub secret: Option<Arc<Secret>>,
    /// What the extension said; `None` if it was not asked.
    #[cfg_attr(test, serde(default))]
    pub discovery: Option<Discovery>,
}

/// What an extension said.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Discovery {
    Found(Vec<Handler>),
    /// Why there is no answer, or none that can be used.
    Failed(String),
}

impl World {
    fn is_paused(&self) -> bool {
        pause::is_paused(None, &self.config.metadata)
    }
}

/// The namespace and name of the Secret that an annotation names; nothing if there is no annotation, an error if it names none.
fn secret_of(config: &ExtensionConfig) -> Option<Result<(&str, &str), String>> {
    let text = object::annotation(&config.metadata, INJECT_CA_FROM_SECRET)?;
    let found = text.split_once('/');
    let found = found.filter(|(namespace, name)| {
        !namespace.is_empty() && !name.is_empty() && !name.contains('/')
    });
    Some(found.ok_or_else(|| {
        format!("annotation {INJECT_CA_FROM_SECRET}: {text:?} must be the namespace of a Secret, / and its name")
    }))
}

impl Reconciler for ExtensionConfigController {
    const NAME: &'static str = "extensionconfig";
    // The kind has no place for the generation that was observed but its conditions.
    const CONDITIONS: ConditionStyle = ConditionStyle::Plain;
    type Object = ExtensionConfig;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, config: &ExtensionConfig) -> Result<World, GatherError> {
        let mut world = World {
            config: config.clone(),
            secret: None,
            discovery: None,
        };
        if world.is_paused() || config.metadata.deletion_timestamp.is_some() {
            return Ok(world);
        }
        if let Some(Ok((namespace, name))) = secret_of(config) {
            world.secret = cx.get(namespace, name).await?;
        }
        // With certificates that are about to change, the answer would be worth nothing.
        if plan::injection(&world) == Ok(None) {
            let found = self.caller.discover(cx, config).await;
            world.discovery = Some(found.map_or_else(Discovery::Failed, Discovery::Found));
        }
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome))
    }
}
