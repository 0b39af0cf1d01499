//! How `apiary up` and `apiary cluster … --wait` show what happens. On a terminal each thing has one line, which changes until the thing is ready;
//! elsewhere there is a line for every step.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde_json::json;

use crate::fleet::{Node, State};
use crate::object::first_reason;
use crate::ui::{Format, Role, Ui, seconds};

/// Columns of kind and name.
const NAME_WIDTH: usize = 22;

/// What was said so far.
pub(super) struct Progress<'a> {
    ui: &'a Ui,
    start: Instant,
    /// By kind and path: the last line about it.
    said: RefCell<BTreeMap<String, String>>,
    live: Option<Live>,
}

/// The lines of a terminal that are not ready yet.
struct Live {
    lines: MultiProgress,
    /// By kind and path.
    waiting: RefCell<BTreeMap<String, ProgressBar>>,
}

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(250);

impl Live {
    fn new(target: ProgressDrawTarget) -> Self {
        Self {
            lines: MultiProgress::with_draw_target(target),
            waiting: RefCell::default(),
        }
    }

    /// The line at `path` waits and says this.
    fn wait(&self, path: &str, what: &str, text: &str) {
        let mut waiting = self.waiting.borrow_mut();
        let line = waiting.entry(path.to_owned()).or_insert_with(|| {
            let line = self.lines.add(
                ProgressBar::new_spinner()
                    .with_style(style(&format!(
                        "{{prefix:{NAME_WIDTH}}} {{spinner}} {{wide_msg}}"
                    )))
                    .with_prefix(what.to_owned())
                    .with_finish(ProgressFinish::Abandon),
            );
            line.enable_steady_tick(TICK);
            line
        });
        line.set_message(text.to_owned());
    }

    /// The line at `path` is what it will stay.
    fn done(&self, path: &str, what: &str, text: &str) {
        let line = self.waiting.borrow_mut().remove(path).unwrap_or_else(|| {
            self.lines
                .add(ProgressBar::new_spinner().with_prefix(what.to_owned()))
        });
        line.set_style(style(&format!("{{prefix:{NAME_WIDTH}}} {{msg}}")));
        line.finish_with_message(text.to_owned());
    }

    /// Clears the lines that wait and are not among these: of what went, or is only told of while it has failed.
    fn keep(&self, paths: &BTreeSet<String>) {
        self.waiting.borrow_mut().retain(|path, line| {
            let is_kept = paths.contains(path);
            if !is_kept {
                line.finish_and_clear();
                self.lines.remove(line);
            }
            is_kept
        });
    }

    /// Leaves the lines as they are, so that others can be written below.
    fn end(&self) {
        for line in std::mem::take(&mut *self.waiting.borrow_mut()).into_values() {
            line.abandon();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl<'a> Progress<'a> {
    pub(super) fn new(ui: &'a Ui, start: Instant) -> Self {
        Self {
            ui,
            start,
            said: RefCell::default(),
            live: ui
                .is_live()
                .then(|| Live::new(ProgressDrawTarget::stdout())),
        }
    }

    pub(super) fn management(&self, url: &str, kubeconfig: &Path) {
        let took = seconds(self.start.elapsed());
        match self.ui.format() {
            Format::Text => {
                let kubeconfig = kubeconfig.display();
                self.line(
                    "management cluster",
                    Role::Good,
                    &format!("ready in {took}   {url}"),
                );
                self.line(
                    "kubeconfig",
                    Role::Faint,
                    &format!("{kubeconfig}   (export KUBECONFIG={kubeconfig})"),
                );
            }
            Format::Json | Format::Yaml => self.event(json!({
                "kind": "management", "state": "ready", "url": url, "kubeconfig": kubeconfig,
            })),
        }
    }

    /// Says what is new about the fleet; true once all of it is ready.
    pub(super) fn show(&self, nodes: &[Node]) -> bool {
        self.tell(nodes);
        let is_ready = nodes.iter().all(Node::is_ready);
        if is_ready {
            let took = seconds(self.start.elapsed());
            match self.ui.format() {
                Format::Text => {
                    self.line("fleet", Role::Good, &format!("ready in {took}"));
                    self.ui.note("Serving. See it with `apiary status`, use it with kubectl, stop it with Ctrl-C or `apiary down`.");
                }
                Format::Json | Format::Yaml => {
                    self.event(json!({"kind": "fleet", "state": "ready"}));
                }
            }
        }
        is_ready
    }

    /// Says what is new about these.
    pub(super) fn tell(&self, nodes: &[Node]) {
        let mut told = BTreeSet::new();
        for node in nodes {
            self.node(node, "", &mut told);
        }
        self.live.iter().for_each(|live| live.keep(&told));
    }

    /// Says that something is not there any more.
    pub(super) fn gone(&self, kind: &str, name: &str) {
        self.end();
        let took = seconds(self.start.elapsed());
        match self.ui.format() {
            Format::Text => {
                let what = format!("{kind} {name}");
                self.line(&what, Role::Good, &format!("gone after {took}"));
            }
            Format::Json | Format::Yaml => {
                self.event(json!({"kind": kind, "name": name, "state": "gone"}));
            }
        }
    }

    /// Leaves what was shown as it is.
    pub(super) fn end(&self) {
        self.live.iter().for_each(Live::end);
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        self.end();
        match self.ui.format() {
            Format::Text => {
                self.ui.note(&super::explain(error));
                self.ui.note("The management cluster keeps serving. Correct what is wrong and apply it with kubectl, or start again.");
            }
            Format::Json | Format::Yaml => self.event(
                json!({"kind": "manifests", "state": "failed", "message": format!("{error:#}")}),
            ),
        }
    }

    pub(super) fn stopping(&self, why: &str) {
        self.end();
        match self.ui.format() {
            Format::Text => self.ui.note(&format!(
                "Stopping ({why}); nothing that was acknowledged is lost."
            )),
            Format::Json | Format::Yaml => {
                self.event(json!({"kind": "management", "state": "stopping", "reason": why}));
            }
        }
    }

    /// Tells of a node and what is within it; adds the paths that it told of.
    fn node(&self, node: &Node, within: &str, told: &mut BTreeSet<String>) {
        let path = format!("{within}/{} {}", node.kind, node.name);
        let is_detail = matches!(node.kind, "control plane" | "workers");
        if !is_detail || node.state == State::Failed {
            self.say(node, &path);
            told.insert(path.clone());
        }
        let shown = |child: &&Node| child.kind != "machine" || child.state == State::Failed;
        for child in node.children.iter().filter(shown) {
            self.node(child, &path, told);
        }
    }

    /// One line about a node, unless the last one about it said the same.
    fn say(&self, node: &Node, path: &str) {
        let (role, text) = match node.state {
            State::Ready => (Role::Good, node.summary.clone()),
            State::Waiting => (Role::Waiting, waiting(node)),
            State::Failed => (Role::Bad, waiting(node)),
        };
        let what = format!("{} {}", node.kind, node.name);
        if let Some(live) = &self.live {
            let text = self.ui.paint(role, &text);
            if node.state == State::Ready {
                self.settle(live, path, &what, &text);
            } else {
                self.said.borrow_mut().remove(path);
                live.wait(path, &what, &text);
            }
            return;
        }
        // A new message alone is no news: counts in it change all the time.
        let key = match node.state {
            State::Ready => "ready".to_owned(),
            State::Waiting => format!("waiting {}", node.reason),
            State::Failed => format!("failed {text}"),
        };
        if self.said.borrow().get(path) == Some(&key) {
            return;
        }
        self.said.borrow_mut().insert(path.to_owned(), key);
        match self.ui.format() {
            Format::Text => self.line(&what, role, &text),
            Format::Json | Format::Yaml => self.event(json!({
                "kind": node.kind, "name": node.name, "state": node.state, "reason": node.reason,
                "message": node.message, "summary": node.summary,
            })),
        }
    }

    /// What is ready is said once, on a line of its own.
    fn settle(&self, live: &Live, path: &str, what: &str, text: &str) {
        let mut said = self.said.borrow_mut();
        if said.get(path).is_none_or(|said| said != text) {
            said.insert(path.to_owned(), text.to_owned());
            live.done(path, what, text);
        }
    }

    fn line(&self, what: &str, role: Role, text: &str) {
        if let Some(live) = &self.live {
            live.done(what, what, &self.ui.paint(role, text));
            return;
        }
        self.ui
            .line(&format!("{what:NAME_WIDTH$} {}", self.ui.paint(role, text)));
    }

    fn event(&self, mut event: serde_json::Value) {
        event["seconds"] = json!(self.start.elapsed().as_secs_f64());
        self.ui.event(&event);
    }
}

fn waiting(node: &Node) -> String {
    let message = first_reason(&node.message);
    if message.is_empty() {
        format!("waiting: {}", node.reason)
    } else {
        format!("waiting: {}: {message}", node.reason)
    }
}

#[test]
fn what_failed_and_recovered_leaves_no_line() {
    let ui = Ui::new(Format::Text, true);
    let progress = Progress {
        live: Some(Live::new(ProgressDrawTarget::hidden())),
        ..Progress::new(&ui, Instant::now())
    };
    let node = |kind, state, children| Node {
        kind,
        name: "a".to_owned(),
        state,
        summary: String::new(),
        reason: "BootFailed".to_owned(),
        message: String::new(),
        children,
    };
    let waiting = || -> Vec<String> {
        let live = progress.live.as_ref().unwrap();
        live.waiting.borrow().keys().cloned().collect()
    };
    let machine = |state| node("machine", state, vec![]);
    let cluster = |state, machine| [node("cluster", state, vec![machine])];
    progress.show(&cluster(State::Waiting, machine(State::Failed)));
    assert_eq!(waiting(), ["/cluster a", "/cluster a/machine a"]);
    progress.show(&cluster(State::Waiting, machine(State::Waiting)));
    assert_eq!(waiting(), ["/cluster a"]);
    assert!(progress.show(&cluster(State::Ready, machine(State::Ready))));
    assert!(waiting().is_empty());
}
