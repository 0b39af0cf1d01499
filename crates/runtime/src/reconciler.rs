//! The one trait that controllers implement.

use std::fmt::Debug;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{APPLY_REJECTED, ConditionStyle, Note, Outcome, Plan};

/// Why gathering could not finish; a missing object is not an error but a `None` in the world.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The API could not be read.
    #[error("reading {what}")]
    Read {
        what: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// A kind can't be read: it could not be listed (yet).
    #[error("{what} can't be read: {why}")]
    Unavailable { what: String, why: String },
    /// An object is there but does not parse as its kind.
    #[error("{what} is not readable: {why}")]
    Malformed { what: String, why: String },
}

/// One controller: what it does with one object of its kind. See the driver for what happens around it.
pub trait Reconciler: Send + Sync + 'static {
    /// Also the name of the field manager (`apiary-<NAME>`), of the finalizer owner and of the metrics' label.
    const NAME: &'static str;
    /// The field manager, if it has to be another one: that of another controller whose place this one takes, so that fields which that one
    /// applied belong to this one from the beginning.
    const MANAGER: Option<&'static str> = None;
    /// Who its events say they come from.
    const REPORTER: &'static str = Self::NAME;
    /// Finalizer that the driver keeps on objects while they live, or `None` if deletion needs no work.
    const FINALIZER: Option<&'static str> = None;

    /// How the kind shows its conditions, and so what the driver adds to the status.
    const CONDITIONS: ConditionStyle = ConditionStyle::Ready;

    /// The kind this controller reconciles.
    type Object: kube::Resource<DynamicType = ()>
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static;
    /// All that planning needs, read in one pass.
    type World: Send + Sync;
    /// What the controller does beyond objects of its own cluster; `std::convert::Infallible` if nothing.
    type Act: Debug + Send + Sync;

    /// Reads only. Whatever is read here through `cx` wakes this object when it changes, also if it was missing.
    fn gather(
        &self,
        cx: &crate::Cx,
        object: &Self::Object,
    ) -> impl Future<Output = Result<Self::World, GatherError>> + Send;

    /// Decides. Pure and total: no client, no clock, no randomness, no error.
    fn plan(world: &Self::World, now: Timestamp) -> Plan<Self::Act>;

    /// Carries out one [`crate::Change::Act`].
    ///
    /// # Errors
    /// The reason and message to show; the driver retries with back-off.
    fn act(
        &self,
        cx: &crate::Cx,
        world: &Self::World,
        act: &Self::Act,
    ) -> impl Future<Output = Result<(), crate::Wait>> + Send {
        let _ = (cx, world, act);
        std::future::ready(Ok(()))
    }

    /// The status to show, as JSON: pure. The driver keeps `lastTransitionTime` of conditions that did not change,
    /// fills their `observedGeneration`, and writes only if something differs. `None` for kinds without a status.
    fn status(
        world: &Self::World,
        plan: &Plan<Self::Act>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value>;

    /// The event about the change that the server refused: `plan.changes[outcome.done]`, with the server's words in
    /// `outcome.failure`. Pure.
    fn refusal(world: &Self::World, plan: &Plan<Self::Act>, outcome: &Outcome) -> Note {
        let _ = (world, plan);
        let failure = outcome.failure.as_ref();
        Note {
            about: None,
            warning: true,
            reason: APPLY_REJECTED,
            message: failure.map(|f| f.message.clone()).unwrap_or_default(),
            after: None,
        }
    }
}
