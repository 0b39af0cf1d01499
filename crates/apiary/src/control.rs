//! What a running server does for whoever owns its data directory: stop, and hand out a backup.
//!
//! It listens on a socket in the data directory, which only its owner can enter. A client sends one line, the name of what
//! it wants.
//!
//! - `down`: the connection ends when the server has stopped.
//! - `backup`: the answer is the line `ok` and a backup of everything, or a line with the reason why there is none.

use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::Server;
use apiserver::store::backup;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

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
const OK: &str = "ok";

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
    match asked.as_str() {
        DOWN => return Ok(Some(stream)),
        BACKUP => back_up(stream, server).await?,
        other => {
            let refusal = format!("this server knows {DOWN} and {BACKUP}, not {other:?}\n");
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

async fn ask(socket: &Path, what: &str) -> Result<Option<UnixStream>> {
    let Ok(mut stream) = UnixStream::connect(socket).await else {
        return Ok(None);
    };
    let line = format!("{what}\n");
    stream
        .write_all(line.as_bytes())
        .await
        .with_context(|| format!("asking the server at {}", socket.display()))?;
    Ok(Some(stream))
}
