//! HorizontalPodAutoscalers: as many replicas as what their pods use asks for.
//!
//! Reads the target's scale, its pods, and metrics from `metrics.k8s.io`, `custom.metrics.k8s.io` and
//! `external.metrics.k8s.io`, whoever serves them; writes the target's scale and the autoscaler's status. An autoscaler looks
//! every 15 seconds, as Kubernetes' do: metrics tell nobody that they have changed. What was recommended and done lately is
//! kept in memory; after a restart the present size counts as recommended.

mod ask;
mod calculate;
mod decide;
mod history;
mod status;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Change, Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

use ask::{Reading, Scale};
use history::History;

/// How often metrics are looked at.
const PERIOD: Duration = Duration::from_secs(15);

/// Scales targets.
#[derive(Debug, Default)]
pub struct AutoscalerController {
    /// By the autoscaler's uid.
    histories: Mutex<HashMap<String, History>>,
}

/// One autoscaler, its target and what is measured of it.
#[derive(Debug)]
pub struct World {
    pub(crate) autoscaler: HorizontalPodAutoscaler,
    /// Or why there is none, in words.
    pub(crate) scale: Result<Scale, String>,
    /// The pods that the target selects.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// For each metric of the spec, or why it could not be read.
    pub(crate) readings: Vec<Result<Reading, String>>,
    pub(crate) history: History,
}

/// What is done beyond objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Remembers what the metrics asked for.
    Remember(i32),
    /// Gives the target a size.
    Scale { from: i32, to: i32 },
}

impl Reconciler for AutoscalerController {
    const NAME: &'static str = "horizontalpodautoscaler";
    const REPORTER: &'static str = "horizontal-pod-autoscaler";
    type Object = HorizontalPodAutoscaler;
    type World = World;
    type Act = Act;

    async fn gather(
        &self,
        cx: &Cx,
        autoscaler: &HorizontalPodAutoscaler,
    ) -> Result<World, GatherError> {
        let scale = ask::scale(cx, autoscaler).await?;
        let mut world = World {
            autoscaler: autoscaler.clone(),
            scale,
            pods: vec![],
            readings: vec![],
            history: self.history(autoscaler),
        };
        let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
        if let Ok(scale) = &world.scale
            && scale.wanted > 0
            && !scale.selector.is_empty()
        {
            // Once for every look: to be woken by each of its pods would be too often.
            world.pods = ask::pods(cx, namespace, &scale.selector).await?;
            for metric in decide::metrics(autoscaler).iter() {
                world
                    .readings
                    .push(ask::read(cx, namespace, scale, metric).await?);
            }
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        let decision = decide::decide(world, now);
        let mut plan = Plan::default();
        for (reason, message) in &decision.warnings {
            plan.warn(reason, message.clone());
        }
        if let Some(recommended) = decision.recommended {
            plan.changes.push(Change::Act(Act::Remember(recommended)));
        }
        if decision.desired != decision.current {
            let (from, to) = (decision.current, decision.desired);
            let message = format!("New size: {to}; reason: {}", decision.reason);
            plan.change(
                Change::Act(Act::Scale { from, to }),
                "SuccessfulRescale",
                message,
            );
        }
        plan.again_in = Some(PERIOD);
        plan
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let uid = world.autoscaler.metadata.uid.clone().unwrap_or_default();
        let now = cx.now();
        if let Act::Scale { to, .. } = *act {
            let scale = world.scale.as_ref().map_err(|why| Wait {
                reason: "FailedGetScale",
                message: why.clone(),
            })?;
            ask::set_scale(cx, scale, to)
                .await
                .map_err(|message| Wait {
                    reason: "FailedRescale",
                    message,
                })?;
        }
        let mut histories = self.lock();
        let history = histories.entry(uid).or_default();
        match *act {
            Act::Remember(recommended) => history.recommend(recommended, now),
            Act::Scale { from, to } => history.scaled(from, to, now),
        }
        // Those of autoscalers that are gone.
        histories.retain(|_, history| history.is_recent(now));
        Ok(())
    }

    fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }
}

impl AutoscalerController {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, History>> {
        self.histories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self, autoscaler: &HorizontalPodAutoscaler) -> History {
        let uid = autoscaler.metadata.uid.as_deref().unwrap_or_default();
        self.lock().get(uid).cloned().unwrap_or_default()
    }
}
