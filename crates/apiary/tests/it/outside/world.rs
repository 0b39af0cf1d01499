//! A running `apiary up`, and kubectl for its clusters.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything here takes: an unoptimized server on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest that one kubectl takes, in seconds.
const KUBECTL_LIMIT: &str = "60";
/// The oldest kubectl that the tests are written for, as minor version of 1.
const KUBECTL_MINOR: u32 = 32;

/// The kubectl to use; `None`, with a message, where there is none that is new enough. In CI that is a failure.
pub(super) fn kubectl() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let path =
            std::env::var_os("APIARY_KUBECTL").map_or_else(|| "kubectl".into(), PathBuf::from);
        let output = Command::new(&path)
            .args(["version", "--client", "-o", "json"])
            .output()
            .ok()?;
        let version: Value = serde_json::from_slice(&output.stdout).ok()?;
        let minor = version["clientVersion"]["minor"]
            .as_str()?
            .trim_end_matches('+');
        (minor.parse::<u32>().ok()? >= KUBECTL_MINOR).then_some(path)
    });
    if found.is_none() {
        let message = format!(
            "no kubectl 1.{KUBECTL_MINOR} or newer: `cargo xtask ci test` finds or builds one"
        );
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
    }
    found.as_deref()
}

/// The binary under test.
pub(super) fn apiary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apiary"));
    command
        .env_remove("APIARY_DATA_DIR")
        .env_remove("APIARY_PORT")
        .env_remove("APIARY_LOG")
        .stdin(Stdio::null());
    command
}

/// A port that nobody uses.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A running `apiary up`. It is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    events: Mutex<Receiver<Value>>,
    stderr: PathBuf,
    pub(super) port: u16,
    pub(super) data: PathBuf,
}

impl Server {
    /// Starts a server on `data` with more arguments, on a free port.
    pub(super) fn start(data: &Path, args: &[&str]) -> Self {
        Self::start_on(free_port(), data, args)
    }

    pub(super) fn start_on(port: u16, data: &Path, args: &[&str]) -> Self {
        let flag = ["--port".to_owned(), port.to_string()];
        Self::run(port, &flag, data, args)
    }

    /// Starts a server on `data` that answered on `port` before, and does not say where it shall answer now.
    pub(super) fn start_again(port: u16, data: &Path, args: &[&str]) -> Self {
        Self::run(port, &[], data, args)
    }

    fn run(port: u16, flag: &[String], data: &Path, args: &[&str]) -> Self {
        let stderr = data.with_extension("stderr");
        let mut child = apiary()
            .args(["up", "-o", "json"])
            .args(flag)
            .arg("--data-dir")
            .arg(data)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, events) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            events: Mutex::new(events),
            stderr,
            port,
            data: data.to_owned(),
        }
    }

    /// Starts a server and waits until it serves.
    pub(super) fn ready(data: &Path, args: &[&str]) -> Self {
        let server = Self::start(data, args);
        server.wait_for("management", "ready");
        server
    }

    /// Waits for an event and returns it.
    pub(super) fn wait_for(&self, kind: &str, state: &str) -> Value {
        let deadline = Instant::now() + LIMIT;
        let mut seen = vec![];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left) {
                Ok(event) if event["kind"] == kind && event["state"] == state => return event,
                Ok(event) => seen.push(event.to_string()),
                Err(error) => panic!(
                    "no event {kind} {state}: {error}; seen:\n{}\nstandard error:\n{}",
                    seen.join("\n"),
                    self.stderr()
                ),
            }
        }
    }

    fn receive(&self, limit: Duration) -> Result<Value, RecvTimeoutError> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.recv_timeout(limit)
    }

    /// The next event, whatever it is.
    pub(super) fn next(&self) -> Value {
        let event = self.receive(LIMIT);
        event
            .unwrap_or_else(|error| panic!("no event: {error}; standard error:\n{}", self.stderr()))
    }

    /// What the server wrote to standard error so far.
    pub(super) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as a user does, and says how it ended.
    pub(super) fn down(mut self) -> bool {
        let status = apiary()
            .args(["down", "--data-dir"])
            .arg(&self.data)
            .status()
            .unwrap();
        assert!(status.success(), "apiary down: {status}");
        self.child.wait().unwrap().success()
    }

    /// Waits until the server has ended by itself; its code and standard error.
    pub(super) fn ended(mut self) -> (Option<i32>, String) {
        // Its output ends when it does.
        let deadline = Instant::now() + LIMIT;
        while self
            .receive(deadline.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        assert!(
            Instant::now() < deadline,
            "the server did not end:\n{}",
            self.stderr()
        );
        (self.child.wait().unwrap().code(), self.stderr())
    }

    /// kubectl for the management cluster.
    pub(super) fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.data.join("kubeconfig"))
    }

    /// kubectl for a workload cluster.
    pub(super) fn kubectl_of(&self, cluster: &str) -> Kubectl {
        let output = apiary()
            .args(["kubeconfig", cluster, "--data-dir"])
            .arg(&self.data)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let path = self.data.with_extension(format!("{cluster}.kubeconfig"));
        std::fs::write(&path, output.stdout).unwrap();
        Kubectl::new(path)
    }

    /// What `apiary status` says, and whether all is ready.
    pub(super) fn status(&self) -> (bool, String) {
        let output = apiary()
            .args(["status", "--data-dir"])
            .arg(&self.data)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("standard error of apiary up:\n{}", self.stderr());
        }
    }
}

/// The example fleet, shared by all tests that run at the same time and stopped with the last of them.
pub(super) struct Fleet {
    management: Kubectl,
    hello: Kubectl,
    server: Server,
    _data: TempDir,
}

impl Fleet {
    /// `None` if there is no kubectl.
    pub(super) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Fleet>> = Mutex::new(Weak::new());
        kubectl()?;
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fleet) = shared.upgrade() {
            return Some(fleet);
        }
        let folder = tempfile::tempdir().unwrap();
        let server = Server::ready(&folder.path().join("data"), &[]);
        server.wait_for("fleet", "ready");
        let (management, hello) = (server.kubectl(), server.kubectl_of("hello"));
        let fleet = Arc::new(Self {
            management,
            hello,
            server,
            _data: folder,
        });
        *shared = Arc::downgrade(&fleet);
        Some(fleet)
    }

    /// Runs `apiary` with these arguments against this fleet.
    pub(super) fn apiary(&self, args: &[&str]) -> Output {
        let data = self.server.data.as_os_str();
        finish(apiary().args(args).arg("--data-dir").arg(data), "")
    }

    /// kubectl for both clusters, each in a new namespace of this name.
    pub(super) fn both(&self, namespace: &str) -> [Kubectl; 2] {
        [&self.management, &self.hello].map(|cluster| {
            cluster.ok(&["create", "namespace", namespace]);
            Kubectl {
                namespace: namespace.into(),
                ..cluster.clone()
            }
        })
    }

    /// kubectl for the workload cluster.
    pub(super) fn hello_cluster(&self) -> Kubectl {
        self.hello.clone()
    }

    /// kubectl for the workload cluster, in a new namespace.
    pub(super) fn hello(&self, namespace: &str) -> Kubectl {
        self.hello.ok(&["create", "namespace", namespace]);
        Kubectl {
            namespace: namespace.into(),
            ..self.hello.clone()
        }
    }
}

/// kubectl for one cluster.
#[derive(Clone)]
pub(super) struct Kubectl {
    pub(super) kubeconfig: PathBuf,
    namespace: String,
    /// More of its environment.
    set: Vec<(String, String)>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Kubectl {
    fn new(kubeconfig: PathBuf) -> Self {
        Self {
            kubeconfig,
            namespace: "default".into(),
            set: vec![],
        }
    }

    /// In another namespace.
    pub(super) fn within(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ..self.clone()
        }
    }

    /// With other credentials, or for another cluster.
    pub(super) fn with_kubeconfig(&self, kubeconfig: PathBuf) -> Self {
        Self {
            kubeconfig,
            ..self.clone()
        }
    }

    /// With more of an environment.
    pub(super) fn with_env(&self, set: &[(&str, &str)]) -> Self {
        let set = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Self {
            set: set.collect(),
            ..self.clone()
        }
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=1", KUBECTL_LIMIT])
            .arg(kubectl().unwrap());
        self.prepare(command, args)
    }

    fn prepare(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(["--namespace", &self.namespace])
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            // Where kubectl keeps what it discovered.
            .env("HOME", self.kubeconfig.with_extension("home"))
            .envs(self.set.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    /// Starts one that goes on until it is dropped.
    pub(super) fn start(&self, args: &[&str]) -> Background {
        let kubectl = Command::new(kubectl().unwrap());
        Background::spawn(&mut self.prepare(kubectl, args))
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        finish(&mut self.command(args), "")
    }

    /// Runs with a manifest (or whatever) on standard input.
    pub(super) fn run_with(&self, args: &[&str], input: &str) -> Output {
        finish(self.command(args).stdin(Stdio::piped()), input)
    }

    /// Standard output of what must succeed.
    pub(super) fn ok(&self, args: &[&str]) -> String {
        self.run(args).must_succeed(args)
    }

    /// The same for a line of words without spaces in them.
    pub(super) fn does(&self, line: &str) -> String {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.ok(&args)
    }

    /// The same, with standard input.
    pub(super) fn ok_with(&self, args: &[&str], input: &str) -> String {
        self.run_with(args, input).must_succeed(args)
    }

    /// Standard error of what must fail.
    pub(super) fn refused(&self, args: &[&str]) -> String {
        self.run(args).must_fail(args)
    }

    /// The same, with standard input.
    pub(super) fn refused_with(&self, args: &[&str], input: &str) -> String {
        self.run_with(args, input).must_fail(args)
    }

    /// An object as JSON.
    pub(super) fn object(&self, what: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", what, "-o", "json"])).unwrap()
    }

    /// One field of an object, by JSON pointer.
    pub(super) fn field(&self, what: &str, pointer: &str) -> Value {
        self.object(what)
            .pointer(pointer)
            .cloned()
            .unwrap_or_default()
    }
}

/// A kubectl that goes on. It is killed when this is dropped.
pub(super) struct Background {
    child: Child,
    lines: Receiver<String>,
}

impl Background {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines }
    }

    /// The next line that it prints.
    pub(super) fn line(&self) -> String {
        self.until(|line| !is_hasty(line))
    }

    /// The next line that is as wanted.
    pub(super) fn until(&self, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut seen = vec![];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if is_it(&line) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no such line: {error}; seen:\n{}", seen.join("\n")),
            }
        }
    }

    /// Waits for its end; its code.
    pub(super) fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("kubectl did not end"),
            }
        }
        self.child.wait().unwrap().code()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

/// What is answered to a GET on a connection, as it comes, until the other side closes it.
pub(super) fn fetch(stream: &mut (impl Read + Write), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // Who is refused may hear of it only by the end of the connection.
    let mut answer = vec![];
    if stream.write_all(request.as_bytes()).is_ok() && stream.read_to_end(&mut answer).is_err() {
        answer.clear();
    }
    String::from_utf8(answer).unwrap()
}

impl Output {
    fn must_succeed(self, args: &[&str]) -> String {
        assert!(
            self.code == Some(0),
            "kubectl {}: {:?}\n{}{}",
            args.join(" "),
            self.code,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    fn must_fail(self, args: &[&str]) -> String {
        assert!(
            self.code != Some(0) && self.code != Some(124),
            "kubectl {} did not fail: {:?}\n{}{}",
            args.join(" "),
            self.code,
            self.stdout,
            self.stderr
        );
        self.stderr
    }
}

/// Runs a command to its end.
pub(super) fn finish(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let writer = child.stdin.take().map(|mut stdin| {
        let input = input.to_owned();
        // A command that reads nothing closes its end, which is its own business.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()).is_ok())
    });
    let output = child.wait_with_output().unwrap();
    if let Some(writer) = writer {
        writer.join().unwrap();
    }
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr)
            .split_inclusive('\n')
            .filter(|line| !is_hasty(line))
            .collect(),
    }
}

/// The example fleet in a directory of one's own.
pub(super) fn copy_example(to: &Path) {
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello"),
        to,
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A file of the example fleet.
pub(super) fn example(file: &str) -> String {
    std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples/hello")
            .join(file),
    )
    .unwrap()
}

/// What kubectl says on a busy machine when it reads the empty message that every session begins with before it has made
/// its streams. It loses nothing by that.
fn is_hasty(line: &str) -> bool {
    line.contains("Unknown stream")
}
