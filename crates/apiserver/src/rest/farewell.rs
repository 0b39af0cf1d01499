//! The end of connections that were taken over from HTTP.

use std::time::Duration;

use tokio::time::sleep;

/// How long a client may take to read the last words of what has ended.
pub(super) const FAREWELL: Duration = Duration::from_secs(60);

/// Carries a connection until it is done, or its client has had time enough after `over`: one that reads nothing would keep
/// alive what is long gone.
pub(super) async fn carry(carried: impl Future<Output = ()>, over: impl Future<Output = ()>) {
    let late = async {
        over.await;
        sleep(FAREWELL).await;
    };
    tokio::select! {
        () = carried => {}
        () = late => tracing::debug!("a client did not read the last words of a connection"),
    }
}
