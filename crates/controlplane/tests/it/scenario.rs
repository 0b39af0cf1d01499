//! Failure stories of one cluster as text, told to a control plane in the simulated world as its user would tell them with
//! kubectl; the transcript beside each is what must come out.
//!
//! A script is lines `> command`; see [`Story::run`] for the commands. Lines that are indented after `> apply` are the YAML
//! that is applied; all others are remarks. Adding a scenario is adding a file. `UPDATE_EXPECT=1` rewrites the transcripts.
//! Nothing is left to chance; names that the server makes up are shown as a count.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::auth::ClusterKeys;
use apiserver::store::{Cursor, EventKind};
use expect_test::expect_file;
use jiff::{SignedDuration, Timestamp};
use runtime::Clock;
use serde_json::{Value, json};

use crate::world::World;

/// When a story begins that does not say so.
const BEGIN: &str = "2026-04-22T12:00:00Z";

#[test]
fn every_scenario_goes_as_its_transcript_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios");
    let files = std::fs::read_dir(&directory).unwrap();
    let mut scripts: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    scripts.sort();
    assert!(
        !scripts.is_empty(),
        "no scenarios in {}",
        directory.display()
    );
    for script in scripts {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let transcript = runtime.block_on(tell(&script));
        expect_file![script.with_extension("golden")].assert_eq(&transcript);
    }
}

async fn tell(script: &Path) -> String {
    let text = std::fs::read_to_string(script).unwrap();
    let begin = text.lines().find_map(|line| line.strip_prefix("> begin "));
    let clock = Clock::simulated(begin.unwrap_or(BEGIN).parse().unwrap());
    let keys = ClusterKeys::generate("test", clock.now()).unwrap();
    let world = World::seeded_at(clock, keys, 1, 0).await;
    let store = world.plane.cluster.registry().store();
    let pods = store.watch("pods", None, store.revision()).unwrap();
    let mut story = Story {
        world,
        transcript: String::new(),
        names: Arc::default(),
    };
    tokio::spawn(learn(Arc::clone(&story.names), pods));
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(story.transcript, "{line}").unwrap();
        let Some(command) = line.strip_prefix("> ") else {
            continue;
        };
        let mut yaml = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
            writeln!(story.transcript, "{more}").unwrap();
            writeln!(yaml, "{more}").unwrap();
        }
        let said = Box::pin(story.run(command, &yaml)).await;
        // Time passes when everybody has heard of everything.
        tokio::time::sleep(Duration::from_millis(1)).await;
        match said {
            Ok(rows) => story.transcript.push_str(&story.aligned(rows)),
            Err(kube::Error::Api(status)) => {
                let message = story.names.lock().unwrap().tidy(&status.message);
                writeln!(story.transcript, "error: {message}").unwrap();
            }
            Err(error) => panic!("{}: {command}: {error}", script.display()),
        }
    }
    story.transcript
}

/// A world that a script is told to.
struct Story {
    world: World,
    transcript: String,
    names: Arc<Mutex<Names>>,
}

/// What the server made up is shown as a count, in the order in which it came: who changes something elsewhere shall not
/// have other names in all transcripts.
#[derive(Default)]
struct Names {
    /// Name or uid, and what is shown for it.
    shown: BTreeMap<String, String>,
    /// With what generated names begin, and how many there were.
    generated: BTreeMap<String, usize>,
}

/// Learns the names of all pods that come.
async fn learn(names: Arc<Mutex<Names>>, mut pods: Cursor) {
    while let Ok(event) = pods.next().await {
        if event.kind == EventKind::Added {
            names
                .lock()
                .unwrap()
                .learn(&event.object.value()["metadata"]);
        }
    }
}

impl Names {
    fn learn(&mut self, meta: &Value) {
        let name = text(&meta["name"]);
        let shown = match meta["generateName"].as_str() {
            Some(prefix) => {
                let count = self.generated.entry(prefix.to_owned()).or_default();
                *count += 1;
                format!("{prefix}{count}")
            }
            None => name.clone(),
        };
        let uid = format!("uid of {shown}");
        self.shown.insert(text(&meta["uid"]), uid);
        self.shown.insert(name, shown);
    }

    fn tidy(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, shown) in &self.shown {
            text = text.replace(name.as_str(), shown);
        }
        // What came to nothing has no number.
        for prefix in self.generated.keys() {
            let mut from = 0;
            while let Some(at) = text[from..].find(prefix.as_str()) {
                from += at + prefix.len();
                let end = from + 5;
                let is_suffix = |suffix: &str| suffix.chars().all(|c| c.is_ascii_alphanumeric());
                if text.get(from..end).is_some_and(is_suffix) {
                    text.replace_range(from..end, "…");
                }
            }
        }
        text
    }
}

/// Group and version of the kinds that stories speak of, by their plural.
const KINDS: &[(&str, &str)] = &[
    ("configmaps", "v1"),
    ("cronjobs", "batch/v1"),
    ("deployments", "apps/v1"),
    ("events", "v1"),
    ("jobs", "batch/v1"),
    ("namespaces", "v1"),
    ("nodes", "v1"),
    ("poddisruptionbudgets", "policy/v1"),
    ("pods", "v1"),
    ("replicasets", "apps/v1"),
    ("resourcequotas", "v1"),
];

/// Where a kind is, or the object of `kind/name`; in another namespace than `default` with `namespace:` before it.
fn path(what: &str) -> String {
    let (namespace, what) = what.split_once(':').unwrap_or(("default", what));
    let (plural, name) = what.split_once('/').unwrap_or((what, ""));
    let known = KINDS.iter().find(|(known, _)| *known == plural);
    let (_, version) = known.unwrap_or_else(|| panic!("no kind is called {plural:?}"));
    let root = if version.contains('/') {
        "/apis"
    } else {
        "/api"
    };
    let namespace = match plural {
        "namespaces" | "nodes" => String::new(),
        _ => format!("/namespaces/{namespace}"),
    };
    let name = if name.is_empty() {
        String::new()
    } else {
        format!("/{name}")
    };
    format!("{root}/{version}{namespace}/{plural}{name}")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Story {
    /// | command | meaning |
    /// | --- | --- |
    /// | `begin TIME` | when the story begins; of the whole script |
    /// | `nodes COUNT` | start `node-1` and so on |
    /// | `stop NODE` | pull the plug of a node |
    /// | `apply` | make the objects whose YAML follows, or change them |
    /// | `patch KIND/NAME JSON` | merge into an object |
    /// | `delete KIND/NAME` | delete an object |
    /// | `drain NODE` | keep new pods from a node, and ask each of its pods to go, once |
    /// | `wait KIND/NAME POINTER VALUE` | wait until a value of an object is this |
    /// | `told KIND REASON` | wait until an event with this reason tells of one of this kind |
    /// | `pass DURATION` | let time go by |
    /// | `get KIND [COLUMN…]` | show what `kubectl get` shows, or these columns of it, wide ones as well |
    /// | `conditions KIND/NAME` | show the conditions of an object |
    /// | `events KIND` | show what happened to those of this kind, in order |
    async fn run(&mut self, command: &str, yaml: &str) -> Result<Rows, kube::Error> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        let world = &self.world;
        match verb {
            "begin" => {}
            "nodes" => (1..=rest.parse().unwrap()).for_each(|at| world.start_node(at)),
            "stop" => world.planes.stop_kubelet("test", rest),
            "apply" => self.apply(yaml).await?,
            "patch" => {
                let (what, patch) = rest.split_once(' ').unwrap();
                let patch = serde_json::from_str(patch).unwrap();
                drop(
                    world
                        .request(http::Method::PATCH, &path(what), patch)
                        .await?,
                );
            }
            "delete" => {
                let delete = http::Method::DELETE;
                drop(world.request(delete, &path(rest), Value::Null).await?);
            }
            "drain" => return self.drain(rest).await,
            "wait" => {
                let [what, pointer, ..] = words.as_slice() else {
                    panic!("wait KIND/NAME POINTER VALUE");
                };
                let wanted = rest.splitn(3, ' ').nth(2).unwrap_or_default();
                let is_so =
                    |value: &Value| text(value.pointer(pointer).unwrap_or(&Value::Null)) == wanted;
                world.until(&path(what), command, is_so).await;
            }
            "told" => {
                let is_told = |events: &Value| {
                    let mut events = events["items"].as_array().into_iter().flatten();
                    events.any(|event| {
                        event["involvedObject"]["kind"] == words[0] && event["reason"] == words[1]
                    })
                };
                world.until(&path("events"), command, is_told).await;
            }
            "pass" => {
                let duration: SignedDuration = rest.parse().unwrap();
                tokio::time::sleep(duration.unsigned_abs()).await;
            }
            "get" => return self.table(words[0], &words[1..]).await,
            "conditions" => return Ok(self.conditions(rest).await),
            "events" => return Ok(self.events(rest).await),
            _ => panic!("no command is called {verb:?}"),
        }
        Ok(vec![])
    }

    async fn drain(&self, node: &str) -> Result<Rows, kube::Error> {
        let cordon = json!({"spec": {"unschedulable": true}});
        let nodes = path(&format!("nodes/{node}"));
        drop(
            self.world
                .request(http::Method::PATCH, &nodes, cordon)
                .await?,
        );
        let here = format!("{}?fieldSelector=spec.nodeName={node}", path("pods"));
        let pods = self.world.get(&here).await;
        let mut said = vec![];
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = text(&pod["metadata"]["name"]);
            let eviction =
                json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
            let at = format!("{}/eviction", path(&format!("pods/{name}")));
            let answer = match self.world.request(http::Method::POST, &at, eviction).await {
                Err(kube::Error::Api(status)) => format!("error: {}", status.message),
                answer => answer.map(|_| "evicted".to_owned())?,
            };
            said.push(vec![format!("pod {name}: {answer}")]);
        }
        Ok(said)
    }

    async fn apply(&self, yaml: &str) -> Result<(), kube::Error> {
        for document in yaml.split("    ---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            let kind = object["kind"].as_str().unwrap().to_lowercase();
            let name = object["metadata"]["name"].as_str().unwrap();
            let namespace = object["metadata"]["namespace"]
                .as_str()
                .unwrap_or("default");
            let collection = path(&format!("{namespace}:{kind}s"));
            let one = format!("{collection}/{name}");
            match self
                .world
                .request(http::Method::POST, &collection, object.clone())
                .await
            {
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    drop(
                        self.world
                            .request(http::Method::PATCH, &one, object)
                            .await?,
                    );
                }
                made => drop(made?),
            }
        }
        Ok(())
    }

    /// The table that the server makes for `kubectl get`.
    async fn table(&self, what: &str, columns: &[&str]) -> Result<Rows, kube::Error> {
        let request = http::Request::get(path(what))
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(vec![])
            .unwrap();
        let table: Value = self.world.plane.client.request(request).await?;
        let definitions = table["columnDefinitions"].as_array().unwrap();
        let title = |at: usize| {
            text(&definitions[at]["name"])
                .to_uppercase()
                .replace(' ', "-")
        };
        let is_shown = |at: &usize| match columns {
            [] => definitions[*at]["priority"] == 0,
            columns => columns.contains(&title(*at).as_str()),
        };
        let shown: Vec<usize> = (0..definitions.len()).filter(is_shown).collect();
        let mut rows: Vec<Vec<String>> = vec![shown.iter().map(|at| title(*at)).collect()];
        for row in table["rows"].as_array().into_iter().flatten() {
            rows.push(shown.iter().map(|at| text(&row["cells"][*at])).collect());
        }
        Ok(rows)
    }

    async fn conditions(&self, what: &str) -> Rows {
        let object = self.world.get(&path(what)).await;
        let mut rows = vec![];
        for condition in object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let cells = ["type", "status", "reason", "message"];
            rows.push(cells.map(|cell| text(&condition[cell])).to_vec());
        }
        rows
    }

    /// The events of a kind, oldest first; those that happened several times say how often.
    async fn events(&self, kind: &str) -> Rows {
        let list = self.world.get(&path("events")).await;
        let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
        events.retain(|event| event["involvedObject"]["kind"] == kind);
        let time = |event: &Value| {
            let times = ["eventTime", "firstTimestamp"];
            let time = times
                .iter()
                .find_map(|time| event[time].as_str()?.parse::<Timestamp>().ok());
            (
                time,
                event["metadata"]["resourceVersion"].as_str().map(str::len),
            )
        };
        events.sort_by_key(|event| (time(event), text(&event["metadata"]["resourceVersion"])));
        let mut rows = vec![];
        for event in events {
            let count = event["count"].as_i64().filter(|count| *count > 1);
            let count = count.map_or(String::new(), |count| format!("×{count}"));
            let name = text(&event["involvedObject"]["name"]);
            let cells = ["type", "reason", "message"].map(|cell| text(&event[cell]));
            let [ty, reason, message] = cells;
            rows.push(vec![ty, reason, count, name, message]);
        }
        rows
    }

    /// Rows with their columns below one another.
    fn aligned(&self, mut rows: Rows) -> String {
        let cells = rows.iter_mut().flatten();
        let names = self.names.lock().unwrap();
        cells.for_each(|cell| *cell = names.tidy(cell));
        // Tables are in the order of names, which are others now.
        if rows.first().is_some_and(|row| row[0] == "NAME") {
            rows[1..].sort();
        }
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..count).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(text, "{}", line.join("  ").trim_end()).unwrap();
        }
        text
    }
}

type Rows = Vec<Vec<String>>;
