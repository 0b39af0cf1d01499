//! How `apiary up` shows what happens: one line for every step that is done, and what is waited for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::fleet::{Node, State};
use crate::ui::{Format, Role, Ui, seconds};

/// Columns of kind and name.
const NAME_WIDTH: usize = 22;

/// What was said so far.
pub(super) struct Progress<'a> {
    ui: &'a Ui,
    start: Instant,
    /// By kind and path: the last line about it.
    said: RefCell<BTreeMap<String, String>>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(ui: &'a Ui, start: Instant) -> Self {
        Self {
            ui,
            start,
            said: RefCell::default(),
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
            Format::Json => self.event(json!({
                "kind": "management", "state": "ready", "url": url, "kubeconfig": kubeconfig,
            })),
        }
    }

    /// Says what is new about the fleet; true once all of it is ready.
    pub(super) fn show(&self, nodes: &[Node]) -> bool {
        for node in nodes {
            self.node(node, "");
        }
        let is_ready = nodes.iter().all(Node::is_ready);
        if is_ready {
            let took = seconds(self.start.elapsed());
            match self.ui.format() {
                Format::Text => {
                    self.line("fleet", Role::Good, &format!("ready in {took}"));
                    self.ui.note("Serving. See it with `apiary status`, use it with kubectl, stop it with Ctrl-C or `apiary down`.");
                }
                Format::Json => self.event(json!({"kind": "fleet", "state": "ready"})),
            }
        }
        is_ready
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        match self.ui.format() {
            Format::Text => {
                self.ui.note(&super::explain(error));
                self.ui.note("The management cluster keeps serving. Correct what is wrong and apply it with kubectl, or start again.");
            }
            Format::Json => self.event(
                json!({"kind": "manifests", "state": "failed", "message": format!("{error:#}")}),
            ),
        }
    }

    pub(super) fn stopping(&self, why: &str) {
        match self.ui.format() {
            Format::Text => self.ui.note(&format!(
                "Stopping ({why}); nothing that was acknowledged is lost."
            )),
            Format::Json => {
                self.event(json!({"kind": "management", "state": "stopping", "reason": why}));
            }
        }
    }

    fn node(&self, node: &Node, within: &str) {
        let path = format!("{within}/{} {}", node.kind, node.name);
        let is_detail = matches!(node.kind, "control plane" | "workers");
        if !is_detail || node.state == State::Failed {
            self.say(node, &path);
        }
        let shown = |child: &&Node| child.kind != "machine" || child.state == State::Failed;
        for child in node.children.iter().filter(shown) {
            self.node(child, &path);
        }
    }

    /// One line about a node, unless the last one about it said the same.
    fn say(&self, node: &Node, path: &str) {
        let (role, text) = match node.state {
            State::Ready => (Role::Good, node.summary.clone()),
            State::Waiting => (Role::Waiting, waiting(node)),
            State::Failed => (Role::Bad, waiting(node)),
        };
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
            Format::Text => self.line(&format!("{} {}", node.kind, node.name), role, &text),
            Format::Json => self.event(json!({
                "kind": node.kind, "name": node.name, "state": node.state, "reason": node.reason,
                "message": node.message, "summary": node.summary,
            })),
        }
    }

    fn line(&self, what: &str, role: Role, text: &str) {
        self.ui
            .line(&format!("{what:NAME_WIDTH$} {}", self.ui.paint(role, text)));
    }

    fn event(&self, mut event: serde_json::Value) {
        event["seconds"] = json!(self.start.elapsed().as_secs_f64());
        self.ui.line(&event.to_string());
    }
}

fn waiting(node: &Node) -> String {
    let message = node.message.lines().next().unwrap_or_default();
    if message.is_empty() {
        format!("waiting: {}", node.reason)
    } else {
        format!("waiting: {}: {message}", node.reason)
    }
}
