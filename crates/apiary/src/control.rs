//! What a running server does for whoever owns its data directory: stop, hand out a backup, and take new keys.
//!
//! It listens on a socket in the data directory that only its owner can connect to. A client sends one line, the name of what
//! it wants.
//!
//! - `down`: the connection ends when the server has stopped.
//! - `backup`: the answer is the line `ok` and a backup of everything, or a line with the reason why there is none.
//! - `token-key` and a [`TokenKeyChange`] as JSON: the answer is the line `ok` and the cluster's id, the line `refused` and the
//!   reason why nothing was changed, or the line `failed` and what went wrong when something may have been.

use std::fs::Permissions;
use std::io::ErrorKind::{ConnectionRefused, NotFound};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::organization::organization::NAMESPACE_PREFIX;
use apiserver::store::{StoreError, backup};
use apiserver::{Server, ServerError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::task::JoinSet;

use crate::management::MANAGEMENT;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 4096;
/// A client that does not say what it wants, or does not take it, is given up after this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients that are answered at a time; others wait.
const MAX_CLIENTS: usize = 8;
/// After the system could not accept a client, the next is accepted this much later.
const PAUSE: Duration = Duration::from_millis(100);

const DOWN: &str = "down";
const BACKUP: &str = "backup";
const TOKEN_KEY: &str = "token-key";
const OK: &str = "ok";
const REFUSED: &str = "refused";
const FAILED: &str = "failed";

/// Clients that wait to be accepted.
const BACKLOG: u32 = 128;

/// Listens at `path` for the owner of this process, and nobody else but root.
///
/// # Errors
/// When there is something at `path` already, or the socket cannot be made there.
pub fn listen(path: &Path) -> Result<UnixListener> {
    let listening = || {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        // Nobody can connect before it listens, so nobody comes before this holds.
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)
    };
    listening().with_context(|| format!("listening on {}", path.display()))
}

/// Answers clients until one asks the server to stop. Its connection is the result: close it when the server has stopped.
pub async fn serve(listener: UnixListener, server: Server) -> UnixStream {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                Ok((stream, _)) => {
                    let server = server.clone();
                    clients.spawn(async move { answer(stream, &server).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket accepts nobody");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(answered) = clients.join_next() => match answered {
                Ok(Ok(Some(stream))) => {
                    // The store says to the others that it is closed.
                    clients.detach_all();
                    return stream;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(error = %format!("{error:#}"), "a client of the control socket"),
                Err(error) => tracing::error!(%error, "a client of the control socket"),
            },
        }
    }
}

/// Does what the client asks for; one that wants the server to stop is given back.
async fn answer(stream: UnixStream, server: &Server) -> Result<Option<UnixStream>> {
    let mut stream = BufReader::new(stream);
    let asked = tokio::time::timeout(PATIENCE, line(&mut stream)).await??;
    let mut stream = stream.into_inner();
    let (what, rest) = asked.split_once(' ').unwrap_or((&asked, ""));
    match what {
        DOWN => return Ok(Some(stream)),
        BACKUP => back_up(stream, server).await?,
        TOKEN_KEY => {
            let answer = match serde_json::from_str(rest) {
                Ok(change) => replace_token_keys(&change, server).await,
                Err(error) => Err(error.into()),
            };
            stream.write_all(told(answer).as_bytes()).await?;
        }
        other => {
            let refusal =
                format!("this server knows {DOWN}, {BACKUP} and {TOKEN_KEY}, not {other:?}\n");
            stream.write_all(refusal.as_bytes()).await?;
        }
    }
    Ok(None)
}

async fn back_up(mut stream: UnixStream, server: &Server) -> Result<()> {
    let mut snapshot = match server.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let refusal = format!("{}\n", runtime::chain(&error).replace('\n', " "));
            stream.write_all(refusal.as_bytes()).await?;
            return Ok(());
        }
    };
    stream.write_all(format!("{OK}\n").as_bytes()).await?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    // Whoever reads no further must not hold the snapshot for ever.
    stream.set_write_timeout(Some(PATIENCE))?;
    let written = tokio::task::spawn_blocking(move || {
        backup::write(&mut *snapshot, BufWriter::with_capacity(1 << 16, stream))
    });
    written.await?.context("a backup broke off")?;
    Ok(())
}

/// What is to be done to the keys of a cluster's service-account tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenKeyChange {
    /// Name of the workload cluster; none, of the management cluster.
    pub cluster: Option<String>,
    /// Its organization, where the name is not enough.
    pub organization: Option<String>,
    /// Tokens of all keys but the one that signs are not good any more; otherwise a new one signs.
    pub forget_old: bool,
}

/// The line that tells how a change of keys went.
fn told(answer: Result<String>) -> String {
    let error = match answer {
        Ok(cluster) => return format!("{OK} {cluster}\n"),
        Err(error) => error,
    };
    // What is no error of the server's comes before it was asked.
    let is_unchanged = error.downcast_ref::<ServerError>().is_none_or(|error| {
        matches!(
            error,
            ServerError::Spec { .. }
                | ServerError::Keys { .. }
                | ServerError::Store(StoreError::NotFound(_))
        )
    });
    let how = if is_unchanged { REFUSED } else { FAILED };
    let why = runtime::chain(error.as_ref()).replace('\n', " ");
    format!("{how} {why}\n")
}

/// Changes the keys, and tells the id of the cluster.
async fn replace_token_keys(change: &TokenKeyChange, server: &Server) -> Result<String> {
    let id = match &change.cluster {
        None => MANAGEMENT.to_owned(),
        Some(name) => {
            let ids = server.clusters();
            let ids = ids.iter().map(|cluster| cluster.spec().id.as_str());
            find(ids, name, change.organization.as_deref())?.to_owned()
        }
    };
    if change.forget_old {
        server.forget_old_token_keys(&id).await?;
    } else {
        server.rotate_token_key(&id).await?;
    }
    Ok(id)
}

/// The workload cluster of a name, whose id is its namespace and its name.
fn find<'i>(
    ids: impl Iterator<Item = &'i str>,
    name: &str,
    organization: Option<&str>,
) -> Result<&'i str> {
    let mut all: Vec<&str> = vec![];
    let mut found: Vec<&str> = vec![];
    for id in ids {
        let Some((namespace, cluster)) = id.split_once('/') else {
            continue;
        };
        all.push(id);
        let is_there =
            organization.is_none_or(|o| namespace.strip_prefix(NAMESPACE_PREFIX) == Some(o));
        if is_there && cluster == name {
            found.push(id);
        }
    }
    match found.as_slice() {
        [id] => Ok(id),
        [] if all.is_empty() => bail!("no cluster is called {name:?}; there are none"),
        [] => bail!(
            "no cluster is called {name:?}; there are: {}",
            all.join(", ")
        ),
        several => bail!(
            "several clusters are called {name:?} ({}): choose one with --organization",
            several.join(", ")
        ),
    }
}

async fn line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(MAX_LINE).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

/// Asks the server at `socket` to stop, and waits until it has. `false` when none is there.
///
/// # Errors
/// When it is there and cannot be asked.
pub async fn stop(socket: &Path) -> Result<bool> {
    let Some(mut stream) = ask(socket, DOWN).await? else {
        return Ok(false);
    };
    let mut rest = vec![];
    stream.read_to_end(&mut rest).await.unwrap_or_default();
    Ok(true)
}

/// A stream of a backup from the server at `socket`, for blocking reads. `None` when no server is there.
///
/// # Errors
/// When the server is there and refuses.
pub async fn backup(socket: &Path) -> Result<Option<impl io::Read + Send + 'static>> {
    let Some(stream) = ask(socket, BACKUP).await? else {
        return Ok(None);
    };
    let mut stream = BufReader::new(stream);
    let answer = line(&mut stream).await?;
    if answer != OK {
        bail!("the server makes no backup: {answer}");
    }
    // What came with the line.
    let begun = io::Cursor::new(stream.buffer().to_vec());
    let stream = stream.into_inner().into_std()?;
    stream.set_nonblocking(false)?;
    Ok(Some(io::Read::chain(begun, stream)))
}

/// Changes the keys of a cluster's tokens by the server at `socket`; the id of the cluster. `None` when no server is there.
///
/// # Errors
/// When the server is there and refuses, or when it cannot be known whether it changed anything.
pub async fn change_token_keys(socket: &Path, change: &TokenKeyChange) -> Result<Option<String>> {
    let what = format!("{TOKEN_KEY} {}", serde_json::to_string(change)?);
    let Some(stream) = ask(socket, &what).await? else {
        return Ok(None);
    };
    let answer = line(&mut BufReader::new(stream)).await;
    outcome(answer).map(Some)
}

/// The cluster whose keys were changed, by the server's answer.
fn outcome(answer: io::Result<String>) -> Result<String> {
    let why = match answer {
        Ok(answer) => match answer.split_once(' ') {
            Some((OK, cluster)) => return Ok(cluster.to_owned()),
            Some((REFUSED, why)) => bail!("no key was changed: {why}"),
            Some((FAILED, why)) => why.to_owned(),
            None if answer.is_empty() => "the server ended the connection".to_owned(),
            _ => format!("the server answered {answer:?}"),
        },
        Err(error) => runtime::chain(&error),
    };
    bail!(
        "it is not known whether a key was changed: {why}; `kubectl get --raw /openid/v1/jwks` shows the keys that are good, the one that signs first"
    )
}

async fn ask(socket: &Path, what: &str) -> Result<Option<UnixStream>> {
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        // A server that was killed leaves its socket.
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => return Ok(None),
        Err(error) => {
            let why = format!("asking the server at {}", socket.display());
            return Err(error).context(why);
        }
    };
    let line = format!("{what}\n");
    stream
        .write_all(line.as_bytes())
        .await
        .with_context(|| format!("asking the server at {}", socket.display()))?;
    Ok(Some(stream))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anyhow::anyhow;
    use apiserver::store::StorageError;

    use super::*;

    #[tokio::test]
    async fn only_the_owner_can_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let _listener = listen(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(UnixStream::connect(&path).await.is_ok());
        let taken = format!("{:#}", listen(&path).unwrap_err());
        assert!(taken.starts_with("listening on "), "{taken}");
    }

    #[test]
    fn what_became_of_a_change_is_told_as_far_as_it_is_known() {
        let id = || "management".to_owned();
        let broken = Arc::new(StorageError::Failed {
            doing: "committing".into(),
            source: "disk\nfull".into(),
        });
        let unknown = |why: &str| {
            format!(
                "it is not known whether a key was changed: {why}; `kubectl get --raw /openid/v1/jwks` shows the keys that are good, the one that signs first"
            )
        };
        let shown =
            |line: io::Result<String>| outcome(line).unwrap_or_else(|error| format!("{error:#}"));
        for (answer, expected) in [
            (Ok(id()), id()),
            (
                Err(anyhow!("no cluster is called \"a\"; there are none")),
                "no key was changed: no cluster is called \"a\"; there are none".to_owned(),
            ),
            (
                Err(ServerError::Spec {
                    id: id(),
                    why: "there is no such cluster".into(),
                }
                .into()),
                "no key was changed: cluster management: there is no such cluster".to_owned(),
            ),
            (
                Err(ServerError::Store(StoreError::Storage(broken)).into()),
                unknown(
                    "the store of the API server failed: the store's log of record failed: committing failed: disk full",
                ),
            ),
        ] {
            let line = told(answer);
            assert!(
                line.ends_with('\n') && line.lines().count() == 1,
                "{line:?}"
            );
            assert_eq!(shown(Ok(line.trim_end().to_owned())), expected);
        }
        assert_eq!(
            shown(Ok(String::new())),
            unknown("the server ended the connection")
        );
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(shown(Err(reset)), unknown("connection reset"));
    }

    #[test]
    fn a_cluster_is_found_by_its_name_and_organization() {
        let found = |name: &str, organization: Option<&str>| {
            let ids = ["management", "org-a/one", "org-a/two", "org-b/one"];
            let found = find(ids.into_iter(), name, organization);
            found.map_or_else(|error| error.to_string(), str::to_owned)
        };
        assert_eq!(found("two", None), "org-a/two");
        assert_eq!(found("one", Some("b")), "org-b/one");
        assert_eq!(
            found("one", None),
            "several clusters are called \"one\" (org-a/one, org-b/one): choose one with --organization"
        );
        let none = "no cluster is called \"two\"; there are: org-a/one, org-a/two, org-b/one";
        assert_eq!(found("two", Some("b")), none);
    }
}
