//! Sessions: a process in a container, and a client at the other end of its streams.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::channels::{self, Channels};
use super::{Connection, Over, carry, options, streams};
use crate::rest::respond::Body;
use crate::rest::{spdy, websocket};
use crate::runner::{Output, PodRunner, Session, SessionOptions, TerminalSize};
use crate::status::Status;

/// Exit code of a process that ends with its container. An attachment just ends.
const KILLED: i32 = 137;
/// Messages that wait between the client and the container.
const QUEUE: usize = 16;

/// What is to be run or attached to.
pub(super) struct Process {
    runner: Arc<dyn PodRunner>,
    pod: Value,
    pub(super) options: SessionOptions,
    is_exec: bool,
    /// What ends it from outside.
    over: Over,
}

/// A process on its way.
pub(super) struct Running(JoinSet<Result<i32, Status>>);

/// The server's ends of a session.
pub(super) struct Ends {
    /// Closed at once if the client has no input.
    pub(super) stdin: Option<mpsc::Sender<Bytes>>,
    pub(super) output: mpsc::Receiver<Output>,
    pub(super) resize: mpsc::Sender<TerminalSize>,
}

/// Which of the client's streams a piece of output goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Stdout,
    Stderr,
}

impl Connection<'_> {
    /// Runs or attaches to a process.
    pub(super) async fn session(&self) -> Result<Response<Body>, Status> {
        let pod = self.object().await?;
        let is_exec = self.target.subresource == "exec";
        let options = options::session(&self.request.query, &pod, is_exec)?;
        self.check_upgrade()?;
        let runner = self.runner()?;
        options::check_running(&pod, &options.container)?;
        let place = self.cluster.places().session()?;
        let over = self.end(&pod, &options.container);
        let process = Process {
            runner,
            pod,
            options,
            is_exec,
            over: over.clone(),
        };
        let headers = &self.request.headers;
        let upgrade = self.request.take_upgrade();
        if spdy::is_upgrade(headers) {
            let version = streams::Version::chosen(headers)?;
            let (response, connection) = spdy::accept(upgrade, version.name())?;
            carry(place, over, async move {
                if let Some(connection) = connection.await {
                    let serve = |opened| streams::session(opened, process, version);
                    connection.serve(serve).await;
                }
            });
            return Ok(response);
        }
        let channels = Channels::of_session(headers)?;
        let (response, socket) = websocket::accept(headers, upgrade, channels.protocol())?;
        carry(place, over, async move {
            if let Some(socket) = socket.await {
                channels::session(socket, channels, process).await;
            }
        });
        Ok(response)
    }
}

impl Process {
    /// Starts it. It ends with what is returned.
    pub(super) fn start(self) -> (Ends, Running) {
        let (stdin, stdin_end) = mpsc::channel(QUEUE);
        let (output_end, output) = mpsc::channel(QUEUE);
        let (resize, resize_end) = mpsc::channel(QUEUE);
        let ends = Ends {
            stdin: self.options.stdin.then_some(stdin),
            output,
            resize,
        };
        let session = Session {
            stdin: stdin_end,
            output: output_end,
            resize: resize_end,
        };
        // In a task of its own, because it may wait for what the one that carries the session does.
        let mut running = JoinSet::new();
        running.spawn(async move {
            let Self {
                runner,
                pod,
                options,
                is_exec,
                over,
            } = self;
            let running = async {
                if is_exec {
                    runner.exec(&pod, &options, session).await
                } else {
                    runner.attach(&pod, &options, session).await
                }
            };
            tokio::select! {
                result = running => result,
                () = over => Ok(if is_exec { KILLED } else { 0 }),
            }
        });
        (ends, Running(running))
    }
}

impl Running {
    /// How it ended.
    pub(super) async fn result(&mut self) -> Result<i32, Status> {
        match self.0.join_next().await {
            Some(Ok(result)) => result,
            _ => Err(Status::internal("the session broke off")),
        }
    }
}

/// Where output goes, if anywhere.
pub(super) fn way(said: Output, options: &SessionOptions) -> Option<(Way, Bytes)> {
    match said {
        Output::Stderr(bytes) if options.stderr => Some((Way::Stderr, bytes)),
        Output::Stdout(bytes) if options.stdout => Some((Way::Stdout, bytes)),
        Output::Stderr(bytes) if options.tty && options.stdout => Some((Way::Stdout, bytes)),
        Output::Stdout(_) | Output::Stderr(_) => None,
    }
}

/// A terminal's size as clients write it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Size {
    width: u16,
    height: u16,
}

impl Size {
    /// The client's terminal has another size.
    pub(super) fn tell(self, resize: &mpsc::Sender<TerminalSize>) {
        let Self { width, height } = self;
        // Whoever does not look has no use for it.
        _ = resize.try_send(TerminalSize { width, height });
    }
}

/// How the process ended, as a Status.
pub(super) fn verdict(result: &Result<i32, Status>) -> Value {
    match result {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(status) => status.body(),
    }
}

/// The same for protocols that only tell what went wrong, as text.
pub(super) fn complaint(result: &Result<i32, Status>) -> String {
    match result {
        Ok(0) => String::new(),
        other => verdict(other)["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}
