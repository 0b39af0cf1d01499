//! Waiting for what a world does: after every change one look, and an end to it.

use std::time::Duration;

use controlplane::ControlPlane;

/// What was waited for did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it did not come within {limit:?} of virtual time")]
pub struct Impatient {
    pub limit: Duration,
}

/// Looks after every change of the cluster until `look` finds something.
///
/// # Errors
/// When it found nothing within `limit`.
pub async fn until<T, F: Future<Output = Option<T>>>(
    plane: &ControlPlane,
    limit: Duration,
    look: impl Fn() -> F,
) -> Result<T, Impatient> {
    let mut changes = plane.cluster.registry().store().subscribe();
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return Some(found);
            }
            changes.next().await?;
        }
    };
    match tokio::time::timeout(limit, wait).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) | Err(_) => Err(Impatient { limit }),
    }
}
