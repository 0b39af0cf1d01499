//! Who runs the pods of a cluster: the server itself runs none, and hands logs, sessions, forwarded ports and proxied
//! requests on to a [`PodRunner`] that its owner gives it ([`Cluster::run_pods`](crate::Cluster::run_pods)).

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::status::Status;

/// The bytes of a log, as they come.
pub type LogStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Runs the pods of one cluster.
///
/// The server has checked who asks, and that the pod and the container exist and are in a state for what is asked; it ends
/// logs and sessions when the pod or the client goes. Objects are JSON as the API shows them.
#[async_trait]
pub trait PodRunner: Send + Sync + 'static {
    /// The log of a container. With [`LogOptions::follow`] the stream goes on until it is dropped.
    ///
    /// # Errors
    /// When there is no such log.
    async fn log(&self, pod: &Value, options: &LogOptions) -> Result<LogStream, Status>;

    /// Runs a command in a container until it ends or the future is dropped; tells its exit code.
    ///
    /// # Errors
    /// When it cannot be run.
    async fn exec(
        &self,
        pod: &Value,
        options: &SessionOptions,
        session: Session,
    ) -> Result<i32, Status>;

    /// Connects to the main process of a container until it ends or the future is dropped; tells its exit code.
    ///
    /// # Errors
    /// When that is not possible.
    async fn attach(
        &self,
        pod: &Value,
        options: &SessionOptions,
        session: Session,
    ) -> Result<i32, Status>;

    /// Connects `stream` with a port of a pod until either end closes or the future is dropped.
    ///
    /// # Errors
    /// When nothing listens there.
    async fn port_forward(
        &self,
        pod: &Value,
        port: u16,
        stream: DuplexStream,
    ) -> Result<(), Status>;

    /// Answers a request to what a pod, a service or a node serves.
    ///
    /// # Errors
    /// When nothing answers there.
    async fn proxy(&self, request: ProxyRequest) -> Result<http::Response<Bytes>, Status>;
}

/// Which part of a log is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub container: String,
    /// Go on with what comes.
    pub follow: bool,
    /// Of the container that ran before the present one.
    pub previous: bool,
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// So many of the last lines.
    pub tail_lines: Option<u64>,
    /// No more bytes than these.
    pub limit_bytes: Option<u64>,
    pub stream: LogSource,
}

/// What of a container's output is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSource {
    #[default]
    All,
    Stdout,
    Stderr,
}

/// What a session in a container is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    pub container: String,
    /// Program and arguments; empty for an attachment.
    pub command: Vec<String>,
    /// Which streams the client has; see [`Session`].
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// A terminal: standard error goes to standard output.
    pub tty: bool,
}

/// The client's ends of a session.
pub struct Session {
    /// What the client types; closed when it ends its input, and at once if it has none.
    pub stdin: mpsc::Receiver<Bytes>,
    /// What the client reads. Output of a stream that it does not have is dropped.
    pub output: mpsc::Sender<Output>,
    /// Sizes of the client's terminal.
    pub resize: mpsc::Receiver<TerminalSize>,
}

/// Output of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize {
    pub width: u16,
    pub height: u16,
}

/// What a proxied request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyTarget {
    Pod,
    Service,
    Node,
}

/// A request through `…/proxy`.
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    pub target: ProxyTarget,
    /// The pod, service or node.
    pub object: Value,
    /// Whether TLS is spoken there (`https:` before the name).
    pub is_tls: bool,
    /// A number or a port's name; empty for the first.
    pub port: String,
    pub method: Method,
    /// Path and query behind `…/proxy`.
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}
