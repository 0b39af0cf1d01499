//! Work on Helm releases: what a chart operator inside a cluster does, done through the cluster's API from outside.
//!
//! `observe` reads what is on a cluster, `deploy` installs and upgrades (namespace, definitions, hooks, objects, what is
//! no longer wanted, history), `uninstall` removes, `record` writes the Chart and the merged values that clients look
//! for. Releases are stored as Helm stores them, so that `helm ls`, `history` and `rollback` work on them, and a release
//! that Helm made is taken over. [`Operations`] runs the slow ones in the background.
//!
//! An operation can be cut off anywhere: the next one starts from what is on the cluster. Objects are applied on the server
//! with the field manager `apiary-chart`; "deployed" means that all were accepted and the hooks succeeded, not that pods
//! are ready. In-cluster Apps of tenants are installed with the rights of their automation account, not with ours.

mod deploy;
mod history;
mod hooks;
mod observe;
mod operations;
mod record;
mod rendering;
mod site;
mod uninstall;

pub use deploy::{Deployment, deploy};
pub use history::{History, is_ours};
pub use observe::{Observed, Wanted, observe};
pub use operations::{Operations, Standing};
pub use record::{forget, record};
pub use site::Site;
pub use uninstall::uninstall;

/// Stands for the removal of a release where operations are told apart.
pub const UNINSTALL: &str = "uninstall";
