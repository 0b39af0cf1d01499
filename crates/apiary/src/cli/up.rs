//! `apiary up`

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use apiserver::store::Redb;
use clap::Args;
use runtime::Clock;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::config::{DEFAULT_PORT, DataDir, default_data_dir};
use crate::control;
use crate::files::{open_data_dir, write_private};
use crate::fleet;
use crate::management::{Management, Variation};
use crate::manifests::{self, Manifests};
use crate::ui::Ui;

use super::guard::Guard;
use super::progress::Progress;

/// Start the management cluster on this machine and bring the fleet to life
///
/// Applies the manifests that it is given (without any, those of examples/hello), shows what becomes of them until
/// everything is ready, and keeps serving until it is stopped (Ctrl-C, or `apiary down`). All state is in the data
/// directory: the next `apiary up` on it goes on where this one stopped.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// File or directory of manifests to apply, in YAML
    #[arg(short = 'f', long = "filename", value_name = "DIR|FILE")]
    filename: Option<PathBuf>,
    /// Where state is kept [default: ~/.local/share/apiary]
    #[arg(long, value_name = "DIR", env = "APIARY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Port of the API on 127.0.0.1 [default: that of the last start, at first 6443]
    #[arg(short, long, env = "APIARY_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Apply nothing
    #[arg(long, conflicts_with = "filename")]
    empty: bool,
    #[command(flatten)]
    guard: Guard,
}

impl Up {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let start = Instant::now();
        // What cannot be read is known before anything is made or started.
        let given = self.filename.as_deref().map(manifests::read).transpose()?;
        let (security, reloading) = self.guard.security()?;
        let data = open_data_dir(self.data_dir.clone().map_or_else(default_data_dir, Ok)?)?;
        let port = match self.port {
            Some(port) => port,
            None => last_port(&data)?.unwrap_or(DEFAULT_PORT),
        };
        let listener = listen(port).await?;
        let storage = Redb::open(&data.store())?;
        let control = listen_for_control(&data)?;
        let clock = Clock::system();
        let variation = Variation {
            security,
            ..Variation::default()
        };
        let management = Management::start_varied(storage, clock, port, variation).await?;
        write_private(&data.port(), &port.to_string())?;
        write_private(&data.kubeconfig(), &management.kubeconfig()?)?;
        let server = management.planes.server().clone();
        let mut control = tokio::spawn(control::serve(control, server.clone()));
        let serving = tokio::spawn(async move { server.serve(listener).await });
        let reloading = reloading.map(|reloading| tokio::spawn(reloading.run()));
        let progress = Progress::new(ui, start);
        progress.management(&format!("https://127.0.0.1:{port}"), &data.kubeconfig());
        let fleet = async {
            let manifests = match given {
                Some(given) => given,
                None if self.empty => Manifests::default(),
                None => example(&data)?,
            };
            manifests::apply_all(management.client(), &manifests).await?;
            follow(&management, &progress).await
        };
        let fleet = async {
            // The manifests are at fault, not the cluster: it goes on serving so that they can be looked into.
            if let Err(error) = fleet.await {
                progress.failed(&error);
            }
            std::future::pending::<Infallible>().await
        };
        let end = tokio::select! {
            never = fleet => match never {},
            end = stop_requested(&mut control) => end,
            served = serving => bail!("the API stopped serving: {served:?}"),
        };
        progress.stopping(end.why);
        if let Some(reloading) = reloading {
            reloading.abort();
        }
        management.shut_down().await;
        std::fs::remove_file(data.control_socket()).unwrap_or_default();
        Ok(ExitCode::SUCCESS)
    }
}

/// What is applied when nothing else is asked for: the example of this build.
fn example(data: &DataDir) -> Result<Manifests> {
    let examples = data.0.join("examples");
    manifests::unpack_hello(&examples).context("unpacking the example")?;
    manifests::read(&examples.join("hello"))
}

/// Shows the fleet after every change until all of it is ready.
async fn follow(management: &Management, progress: &Progress<'_>) -> Result<()> {
    let mut changes = management.plane.cluster.registry().store().subscribe();
    loop {
        let world = fleet::read(management.client()).await?;
        if progress.show(&fleet::tree(&world)) {
            return Ok(());
        }
        if changes.next().await.is_none() {
            return Ok(());
        }
    }
}

/// The port of the last start on this data directory, if there was one.
fn last_port(data: &DataDir) -> Result<Option<u16>> {
    let path = data.port();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    let port =
        port.ok_or_else(|| anyhow!("{} holds no port: say which with --port", path.display()))?;
    Ok(Some(port))
}

async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!(
            "port {port} on 127.0.0.1 is in use: choose another with --port, or stop what uses it (`apiary down`, if that is Apiary)"
        ),
        _ => anyhow!(error).context(format!("listening on 127.0.0.1:{port}")),
    })
}

/// The store's lock says that no other process uses this directory, so a socket that is there is a dead one's.
fn listen_for_control(data: &DataDir) -> Result<UnixListener> {
    let path = data.control_socket();
    if path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    control::listen(&path)
}

/// Why the server stops.
struct End {
    why: &'static str,
    /// Who asked for it, and waits until it is done.
    _asked_by: Option<UnixStream>,
}

/// Waits for a signal, or for `apiary down`.
async fn stop_requested(control: &mut JoinHandle<UnixStream>) -> End {
    let because = |why| End {
        why,
        _asked_by: None,
    };
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return because("signals cannot be received");
    };
    tokio::select! {
        _ = interrupt.recv() => because("interrupted"),
        _ = terminate.recv() => because("terminated"),
        asked = control => End { why: "apiary down", _asked_by: asked.ok() },
    }
}
