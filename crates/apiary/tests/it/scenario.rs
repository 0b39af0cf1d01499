//! Scenarios: stories of a fleet as text, run in the simulated world; the transcript beside each is what must come out.
//!
//! A script is lines `> command`; see [`Story::run`] for the commands. Adding a scenario is adding a file.
//! `UPDATE_EXPECT=1` rewrites the transcripts, `APIARY_SCENARIO=name` tells one story alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use apiary::charts;
use apiary::fleet::{self, Node};
use apiary::inspect::read::{Reader, Scope};
use apiary::inspect::{CLUSTER_GROUP, why};
use apiary::management::Management;
use apiary::manifests;
use apiary::object;
use apiary::ui::{Format, Ui};
use expect_test::expect_file;
use serde_json::{Value, json};

const LOCAL_MACHINES: &str =
    "/apis/infrastructure.cluster.x-k8s.io/v1beta2/namespaces/org-acme/localmachines";

const MACHINES: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/org-acme/machines";

/// Where clusters of scenarios are.
const ORGANIZATION: &str = "org-acme";

/// The most virtual time that one step may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A world that a script is told to.
struct Story {
    management: Management,
    transcript: String,
    directory: PathBuf,
    /// Uids of machines that were shown.
    seen: BTreeSet<String>,
}

#[test]
fn every_scenario_goes_as_its_transcript_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    scripts.sort();
    assert!(
        !scripts.is_empty(),
        "no scenarios in {}",
        directory.display()
    );
    if let Ok(only) = std::env::var("APIARY_SCENARIO") {
        scripts.retain(|script| script.file_stem().is_some_and(|stem| stem == only.as_str()));
    }
    assert!(!scripts.is_empty(), "no such scenario");
    // Each world has a thread of its own; there are as many at once as the machine has cores.
    let next = AtomicUsize::new(0);
    let play = || {
        let mut played = vec![];
        while let Some(script) = scripts.get(next.fetch_add(1, Relaxed)) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            played.push((script, runtime.block_on(tell(script))));
        }
        played
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let transcripts: Vec<(&PathBuf, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(play)).collect();
        let played = threads.into_iter().map(|thread| thread.join().unwrap());
        played.flatten().collect()
    });
    for (script, transcript) in transcripts {
        expect_file![script.with_extension("golden")].assert_eq(&transcript);
    }
}

async fn tell(script: &Path) -> String {
    let text = std::fs::read_to_string(script).unwrap();
    let management = Management::start(sim::Memory::new(), sim::clock(), 6443)
        .await
        .unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut story = Story {
        management,
        transcript: String::new(),
        directory,
        seen: BTreeSet::new(),
    };
    for line in text.lines() {
        match line.strip_prefix("> ") {
            Some(command) => {
                writeln!(story.transcript, "> {command}").unwrap();
                if let Err(error) = story.run(command).await {
                    // A refusal speaks for itself; the rest of a Status is for programs.
                    let refused = error.chain().find_map(|part| match part.downcast_ref() {
                        Some(kube::Error::Api(status)) => Some(status.message.clone()),
                        _ => None,
                    });
                    let message = match refused {
                        Some(refused) if error.is::<kube::Error>() => refused,
                        Some(refused) => format!("{error}: {refused}"),
                        None => error.to_string(),
                    };
                    writeln!(story.transcript, "error: {message}").unwrap();
                }
            }
            None => writeln!(story.transcript, "{line}").unwrap(),
        }
    }
    story.management.shut_down().await;
    story.transcript
}

impl Story {
    /// | command | meaning |
    /// | --- | --- |
    /// | `apply PATH` | apply manifests of the repository |
    /// | `chart NAME VALUES` | apply what the chart of hardened clusters comes to, with values as YAML on the line |
    /// | `patch PATH JSON` | JSON merge patch of an object |
    /// | `delete PATH` | delete an object |
    /// | `ready` | wait until the whole fleet is ready, then show it |
    /// | `until TEXT` | wait until the fleet shows this text, then show the line |
    /// | `gone PATH` | wait until the object is gone |
    /// | `show` | show the fleet |
    /// | `get PATH POINTER` | show a value of an object |
    /// | `unchanged PATH` | show what of manifests is not as they say, at their versions |
    /// | `count PATH` | show how many objects a collection has |
    /// | `workload CLUSTER PATH POINTER VALUE` | wait until a value in a workload cluster is this |
    /// | `each CLUSTER PATH POINTER` | show the values that the objects of a collection have, and how many each; the cluster may be `management` |
    /// | `each CLUSTER PATH condition:TYPE` | the same for a condition |
    /// | `mend` | nothing goes wrong on purpose any more |
    /// | `hang COUNT LABEL=VALUE` | so many machines with this label hang |
    /// | `unhang COUNT` | so many of them go on |
    /// | `hung` | show how many machines hang |
    /// | `replaced` | wait until none does |
    /// | `asked` | show of how many machines it is said that their owner has to replace them |
    /// | `leaving` | show of each machine that is being deleted what it waits for |
    /// | `condition PATH TYPE` | show a condition of an object |
    /// | `why KIND NAME` | say why an object of Cluster API is as it is |
    /// | `pass DURATION` | let time go by |
    /// | `machines` | show how many machines there are for each part of a topology, and how many are new since it was shown |
    /// | `order` | wait until a topology is as it should be, and show in which order its parts got their versions |
    /// | `clusters` | show the logical clusters of the server |
    /// | `rest` | an hour passes: nothing may be written but signs of life |
    async fn run(&mut self, command: &str) -> anyhow::Result<()> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "apply" => {
                let manifests = manifests::read(&self.directory.join(rest))?;
                manifests::apply_all(self.management.client(), &manifests).await?;
            }
            "chart" => {
                let (name, values) = rest.split_once(' ').unwrap_or((rest, "{}"));
                let values = render::yaml::from_str(values).map_err(anyhow::Error::msg)?;
                let place = (ORGANIZATION, name);
                let text = charts::manifests(&charts::cluster_local()?, place, &values)?;
                let manifests = manifests::parse("the chart", &text)?;
                manifests::apply_all(self.management.client(), &manifests).await?;
            }
            "patch" => {
                let (path, patch) = rest.split_once(' ').unwrap_or((rest, "{}"));
                self.request(http::Method::PATCH, path, serde_json::from_str(patch)?)
                    .await?;
            }
            "delete" => drop(
                self.request(http::Method::DELETE, rest, Value::Null)
                    .await?,
            ),
            "ready" => {
                let nodes = self
                    .wait(|nodes| nodes.iter().all(Node::is_ready).then(|| nodes.to_vec()))
                    .await?;
                self.show(&nodes);
            }
            "until" => {
                let line = self
                    .wait(|nodes| {
                        shown(nodes)
                            .lines()
                            .find(|l| l.contains(rest))
                            .map(str::to_owned)
                    })
                    .await?;
                let line = line.trim_start_matches([' ', '│', '├', '└', '─']);
                writeln!(self.transcript, "{}", without_hashes(line))?;
            }
            "gone" => {
                let client = self.management.client().clone();
                let look = async || match get(&client, rest).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => Some(()),
                    _ => None,
                };
                sim::until(&self.management.plane, PATIENCE, look).await?;
            }
            "hang" | "unhang" | "hung" | "asked" | "replaced" | "mend" => {
                self.faults(verb, rest).await?;
            }
            "pass" => {
                let duration: jiff::SignedDuration = rest.parse()?;
                tokio::time::sleep(duration.unsigned_abs()).await;
            }
            "workload" => self.workload(rest).await?,
            "rest" => self.rest().await?,
            _ => self.look(verb, rest).await?,
        }
        Ok(())
    }

    /// The commands that only show something.
    async fn look(&mut self, verb: &str, rest: &str) -> anyhow::Result<()> {
        match verb {
            "show" => {
                let nodes = self.fleet().await?;
                self.show(&nodes);
            }
            "get" => {
                let (path, pointer) = rest.split_once(' ').unwrap_or((rest, ""));
                let value = get(self.management.client(), path).await?;
                writeln!(
                    self.transcript,
                    "{}",
                    value.pointer(pointer).unwrap_or(&Value::Null)
                )?;
            }
            "unchanged" => self.unchanged(rest).await?,
            "leaving" => self.leaving().await?,
            "condition" => self.condition(rest).await?,
            "why" => self.why(rest).await?,
            "count" => self.count(rest).await?,
            "each" => self.each(rest).await?,
            "machines" => self.machines().await?,
            "order" => self.order().await?,
            "clusters" => self.clusters()?,
            _ => anyhow::bail!("no command is called {verb:?}"),
        }
        Ok(())
    }

    /// Reads the objects of manifests and looks for everything that is written there.
    async fn unchanged(&mut self, file: &str) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.directory.join(file))?;
        let wanted = render::yaml::from_str_multi(&text)?;
        for wanted in &wanted {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, meta) = (text(&wanted["kind"]), &wanted["metadata"]);
            let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
            let version = text(&wanted["apiVersion"]);
            let mut plural = kind.to_lowercase();
            plural.push_str(if plural.ends_with('s') { "es" } else { "s" });
            let path = format!("/apis/{version}/namespaces/{namespace}/{plural}/{name}");
            let found = get(self.management.client(), &path).await?;
            let mut differences = vec![];
            missing(wanted, &found, "", &mut differences);
            if found["metadata"]["annotations"]["cluster.x-k8s.io/conversion-data"].is_string() {
                differences.push("something is kept for v1beta2".into());
            }
            let said = if differences.is_empty() {
                "as written".to_owned()
            } else {
                differences.join(", ")
            };
            writeln!(self.transcript, "{version} {kind} {name}: {said}")?;
        }
        Ok(())
    }

    async fn faults(&mut self, verb: &str, rest: &str) -> anyhow::Result<()> {
        match verb {
            "hang" => {
                let (count, label) = rest.split_once(' ').unwrap_or((rest, ""));
                let label = label.replace('/', "%2F").replace('=', "%3D");
                let query = format!("?labelSelector={label}");
                self.set_hanging(&query, count.parse()?, true).await?;
            }
            "mend" => {
                for machine in self.local_machines("").await? {
                    let name = machine["metadata"]["name"].as_str().unwrap_or_default();
                    let path = format!("{LOCAL_MACHINES}/{name}");
                    let patch = json!({"spec": {"faults": null}});
                    self.request(http::Method::PATCH, &path, patch).await?;
                }
            }
            "unhang" => self.set_hanging("", rest.parse()?, false).await?,
            "hung" => {
                let hung = self.hung().await?;
                writeln!(self.transcript, "{}", hung.len())?;
            }
            "asked" => {
                let list = get(self.management.client(), MACHINES).await?;
                let is_asked = |machine: &&Value| {
                    let conditions = machine["status"]["conditions"].as_array();
                    let mut conditions = conditions.into_iter().flatten();
                    conditions.any(|c| c["type"] == "OwnerRemediated")
                };
                let machines = list["items"].as_array().into_iter().flatten();
                writeln!(self.transcript, "{}", machines.filter(is_asked).count())?;
            }
            _ => {
                let look = async || self.hung().await.ok()?.is_empty().then_some(());
                sim::until(&self.management.plane, PATIENCE, look).await?;
            }
        }
        Ok(())
    }

    async fn local_machines(&self, query: &str) -> Result<Vec<Value>, kube::Error> {
        let list = get(
            self.management.client(),
            &format!("{LOCAL_MACHINES}{query}"),
        )
        .await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The machines that hang.
    async fn hung(&self) -> Result<Vec<Value>, kube::Error> {
        let mut machines = self.local_machines("").await?;
        machines.retain(|m| m["spec"]["faults"]["kubeletStopped"] == true);
        Ok(machines)
    }

    async fn set_hanging(&self, query: &str, count: usize, hangs: bool) -> anyhow::Result<()> {
        let mut machines = self.local_machines(query).await?;
        machines.retain(|m| (m["spec"]["faults"]["kubeletStopped"] == true) != hangs);
        anyhow::ensure!(machines.len() >= count, "there are only {}", machines.len());
        let faults = if hangs {
            json!({"kubeletStopped": true})
        } else {
            Value::Null
        };
        for machine in &machines[..count] {
            let name = machine["metadata"]["name"].as_str().unwrap_or_default();
            let patch = json!({"spec": {"faults": faults}});
            let path = format!("{LOCAL_MACHINES}/{name}");
            self.request(http::Method::PATCH, &path, patch).await?;
        }
        Ok(())
    }

    async fn leaving(&mut self) -> anyhow::Result<()> {
        let list = get(self.management.client(), MACHINES).await?;
        let machines = list["items"].as_array().into_iter().flatten();
        for machine in machines.filter(|m| !m["metadata"]["deletionTimestamp"].is_null()) {
            let conditions = machine["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            let found = conditions.find(|c| c["type"] == "Deleting");
            let text = |key: &str| found.and_then(|c| c[key].as_str()).unwrap_or("-");
            // Which of the pods is on the machine is random, and to the second when it was told to leave.
            let message = without_suffixes(text("message"));
            let message = message.replace("web-0", "web-…").replace("web-1", "web-…");
            let message = match (message.find("started at "), message.find("):")) {
                (Some(from), Some(to)) if from < to => {
                    format!("{}started at …{}", &message[..from], &message[to..])
                }
                _ => message,
            };
            writeln!(self.transcript, "{} {message}", text("reason"))?;
        }
        Ok(())
    }

    async fn condition(&mut self, arguments: &str) -> anyhow::Result<()> {
        let (path, type_) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let object = get(self.management.client(), path).await?;
        let conditions = object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let found = conditions.find(|condition| condition["type"] == type_);
        let text = |key: &str| found.and_then(|c| c[key].as_str()).unwrap_or("-");
        // Names are random, and so is their order.
        let message = without_suffixes(text("message"));
        let mut lines: Vec<&str> = message.lines().collect();
        lines.sort_unstable();
        let message = lines.join("\n");
        writeln!(
            self.transcript,
            "{} {}\n{message}",
            text("status"),
            text("reason")
        )?;
        Ok(())
    }

    async fn why(&mut self, arguments: &str) -> anyhow::Result<()> {
        let (kind, wanted) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let mut reader = Reader::new(self.management.client().clone());
        let group = match kind {
            "KubeadmControlPlane" => format!("controlplane.{CLUSTER_GROUP}"),
            _ => CLUSTER_GROUP.to_owned(),
        };
        let all = reader.list_kind(&group, kind, &Scope::All).await?;
        let found = all.iter().find(|object| object::name(object) == wanted);
        let subject = found.ok_or_else(|| anyhow::anyhow!("no {kind} is called {wanted}"))?;
        let world = reader.around(subject).await?;
        let answer = why::why(&world, subject);
        // How long it has been so depends on the machine that runs this: at the beginning of time, nothing has lasted.
        let text = why::text(
            &answer,
            &[],
            jiff::Timestamp::MIN,
            &Ui::new(Format::Text, true),
        );
        let text = without_hashes(&without_random_parts(&text)).replace(" (for 0s)", "");
        writeln!(self.transcript, "{text}")?;
        Ok(())
    }

    async fn workload(&mut self, arguments: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = arguments.splitn(4, ' ').collect();
        let [cluster, path, pointer, wanted] = words.as_slice() else {
            anyhow::bail!("workload CLUSTER PATH POINTER VALUE");
        };
        let wanted: Value = serde_json::from_str(wanted)?;
        let id = format!("org-acme/{cluster}");
        let plane = self
            .management
            .planes
            .running(&id)
            .ok_or_else(|| anyhow::anyhow!("no cluster {id}"))?;
        let look = async || {
            let value = get(&plane.client, path).await.ok()?;
            (value.pointer(pointer) == Some(&wanted)).then_some(())
        };
        if sim::until(&plane, PATIENCE, look).await.is_err() {
            let value = get(&plane.client, path).await?;
            anyhow::bail!("it is {}", value.pointer(pointer).unwrap_or(&Value::Null));
        }
        Ok(())
    }

    async fn count(&mut self, path: &str) -> anyhow::Result<()> {
        let list = get(self.management.client(), path).await?;
        writeln!(
            self.transcript,
            "{}",
            list["items"].as_array().map_or(0, Vec::len)
        )?;
        Ok(())
    }

    async fn each(&mut self, arguments: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = arguments.splitn(3, ' ').collect();
        let [cluster, path, pointer] = words.as_slice() else {
            anyhow::bail!("each CLUSTER PATH POINTER");
        };
        let list = get(&self.client_of(cluster)?, path).await?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for object in list["items"].as_array().into_iter().flatten() {
            let shown = match pointer.strip_prefix("condition:") {
                Some(type_) => condition_of(object, type_),
                None => object.pointer(pointer).unwrap_or(&Value::Null).to_string(),
            };
            *counts.entry(shown).or_default() += 1;
        }
        for (value, count) in counts {
            writeln!(self.transcript, "{count} {value}")?;
        }
        Ok(())
    }

    async fn machines(&mut self) -> anyhow::Result<()> {
        let list = get(self.management.client(), MACHINES).await?;
        let mut parts = BTreeMap::<String, (usize, usize)>::new();
        let mut seen = BTreeSet::new();
        for machine in list["items"].as_array().into_iter().flatten() {
            let uid = machine["metadata"]["uid"].as_str().unwrap_or_default();
            let (all, new) = parts.entry(part_of(machine)).or_default();
            *all += 1;
            *new += usize::from(!self.seen.contains(uid));
            seen.insert(uid.to_owned());
        }
        self.seen = seen;
        for (part, (all, new)) in parts {
            writeln!(self.transcript, "{part}: {all}, {new} new")?;
        }
        Ok(())
    }

    fn client_of(&self, cluster: &str) -> anyhow::Result<kube::Client> {
        if cluster == "management" {
            return Ok(self.management.client().clone());
        }
        let id = format!("{ORGANIZATION}/{cluster}");
        let plane = self.management.planes.running(&id);
        let plane = plane.ok_or_else(|| anyhow::anyhow!("no cluster {id}"))?;
        Ok(plane.client.clone())
    }

    async fn order(&mut self) -> anyhow::Result<()> {
        let client = self.management.client().clone();
        let told = RefCell::new(vec![]);
        let known = RefCell::new(BTreeMap::<String, String>::new());
        let look = async || {
            let list = get(&client, MACHINES).await.ok()?;
            let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
            for machine in list["items"].as_array().into_iter().flatten() {
                let version = machine["spec"]["version"].as_str().unwrap_or_default();
                let part = versions.entry(part_of(machine)).or_default();
                part.insert(version.to_owned());
            }
            for (part, versions) in versions {
                let version = match versions.first() {
                    Some(only) if versions.len() == 1 => only.clone(),
                    _ => continue,
                };
                let before = known.borrow().get(&part).cloned();
                if before.as_ref() != Some(&version) {
                    if before.is_some() {
                        told.borrow_mut().push(format!("{part}: {version}"));
                    }
                    known.borrow_mut().insert(part, version);
                }
            }
            let clusters = get(&client, &MACHINES.replace("machines", "clusters"))
                .await
                .ok()?;
            let cluster = &clusters["items"][0];
            let conditions = cluster["status"]["conditions"].as_array()?;
            let found = conditions
                .iter()
                .find(|c| c["type"] == "TopologyReconciled")?;
            let is_new = found["observedGeneration"] == cluster["metadata"]["generation"];
            (is_new && found["status"] == "True").then_some(())
        };
        sim::until(&self.management.plane, PATIENCE, look).await?;
        for line in told.into_inner() {
            writeln!(self.transcript, "{line}")?;
        }
        Ok(())
    }

    fn clusters(&mut self) -> anyhow::Result<()> {
        for cluster in self.management.planes.server().clusters() {
            writeln!(
                self.transcript,
                "{} {}",
                cluster.spec().id,
                cluster.version()
            )?;
        }
        Ok(())
    }

    async fn fleet(&self) -> anyhow::Result<Vec<Node>> {
        Ok(fleet::tree(&fleet::read(self.management.client()).await?))
    }

    async fn wait<T>(&self, find: impl Fn(&[Node]) -> Option<T>) -> anyhow::Result<T> {
        let look = async || find(&self.fleet().await.ok()?);
        match sim::until(&self.management.plane, PATIENCE, look).await {
            Ok(found) => Ok(found),
            Err(error) => anyhow::bail!("{error}:\n{}", shown(&self.fleet().await?)),
        }
    }

    fn show(&mut self, nodes: &[Node]) {
        writeln!(self.transcript, "{}", shown(nodes)).unwrap();
    }

    /// An hour in which nothing happens.
    async fn rest(&mut self) -> anyhow::Result<()> {
        // Events are forgotten an hour after they were written, which is a write too.
        tokio::time::sleep(Duration::from_secs(3660)).await;
        let clusters = self.management.planes.server().clusters();
        let hours = futures::future::join_all(clusters.iter().map(|cluster| an_hour_of(cluster)));
        for (cluster, (revisions, changes)) in clusters.iter().zip(hours.await) {
            let id = &cluster.spec().id;
            let leases = cluster
                .registry()
                .store()
                .list("leases.coordination.k8s.io", None)
                .objects
                .len();
            // A kubelet renews its lease every ten seconds, and says how its node is every five minutes: 373 writes.
            let allowed = u64::try_from(leases)? * 400;
            let is_life =
                |resource: &str| resource == "nodes" || resource == "leases.coordination.k8s.io";
            let is_quiet = revisions <= allowed && changes.keys().all(|resource| is_life(resource));
            let verdict = if is_quiet { "quiet" } else { "restless" };
            writeln!(self.transcript, "{id}: {verdict}")?;
            anyhow::ensure!(
                is_quiet,
                "{revisions} writes in an hour with {leases} leases, {allowed} allowed: {changes:?}"
            );
        }
        Ok(())
    }

    async fn request(
        &self,
        method: http::Method,
        path: &str,
        body: Value,
    ) -> Result<Value, kube::Error> {
        let body = if body.is_null() {
            vec![]
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/merge-patch+json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.management.client().request(request).await
    }
}

/// How many revisions an hour of virtual time makes, and how often something of each resource changed in it.
async fn an_hour_of(cluster: &apiserver::Cluster) -> (u64, BTreeMap<Arc<str>, u64>) {
    let store = cluster.registry().store();
    let before = store.revision();
    let mut changes = store.subscribe();
    let mut counts = BTreeMap::new();
    let counting = async {
        while let Some(changed) = changes.next().await {
            for (resource, _) in changed {
                *counts.entry(resource).or_default() += 1;
            }
        }
    };
    _ = tokio::time::timeout(Duration::from_secs(3600), counting).await;
    (store.revision() - before, counts)
}

/// A condition of an object in one line: status, reason, and how its message begins.
fn condition_of(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let Some(found) = conditions.find(|condition| condition["type"] == type_) else {
        return "-".to_owned();
    };
    let text = |key: &str| found[key].as_str().unwrap_or("-");
    let message = text("message").lines().next().unwrap_or_default();
    let line = format!("{} {} {message}", text("status"), text("reason"));
    without_suffixes(line.trim_end())
}

/// The part of a topology that a machine belongs to.
fn part_of(machine: &Value) -> String {
    let label = |name: &str| {
        machine["metadata"]["labels"][format!("topology.cluster.x-k8s.io/{name}")].as_str()
    };
    match label("deployment-name").or_else(|| label("pool-name")) {
        Some(pool) => format!("pool {pool}"),
        None => "control plane".to_owned(),
    }
}

/// The places of `found` that are not as `wanted` says. What `wanted` doesn't mention may be anything.
fn missing(wanted: &Value, found: &Value, at: &str, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(members), Value::Object(_)) => {
            for (name, wanted) in members {
                missing(
                    wanted,
                    &found[name.as_str()],
                    &format!("{at}.{name}"),
                    differences,
                );
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (index, (wanted, found)) in items.iter().zip(others).enumerate() {
                missing(wanted, found, &format!("{at}[{index}]"), differences);
            }
        }
        _ if wanted == found => {}
        _ => differences.push(format!("{at} is {found}, not {wanted}")),
    }
}

/// The text with hashes left out: keys are made anew in each world.
fn without_hashes(line: &str) -> String {
    let words = line
        .split(' ')
        .map(|word| match word.split_once("sha256:") {
            Some((before, hash)) => {
                let after = hash.trim_start_matches(|c: char| c.is_ascii_hexdigit());
                format!("{before}sha256:…{after}")
            }
            None => word.to_owned(),
        });
    words.collect::<Vec<_>>().join(" ")
}

/// The text with what is random in names of machines left out.
fn without_suffixes(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let name = word.trim_end_matches([':', ',']);
        match name.rsplit_once('-') {
            Some((stem, suffix)) if stem.starts_with("hello") && suffix.len() == 5 => {
                word.replace(suffix, "…")
            }
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The text with the random parts of names left out, whatever the names, and addresses, which follow from them.
fn without_random_parts(text: &str) -> String {
    let is_random = |part: &str| {
        part.len() == 5
            && part
                .chars()
                .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
    };
    let words = text.split(' ').map(|word| {
        let line_end = word.find('\n').unwrap_or(word.len());
        if word[..line_end].parse::<std::net::Ipv4Addr>().is_ok() {
            return format!("…{}", &word[line_end..]);
        }
        let parts = word.split('-').enumerate().map(|(at, part)| {
            let bare = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match at > 0 && is_random(bare) {
                true => part.replace(bare, "…"),
                false => part.to_owned(),
            }
        });
        parts.collect::<Vec<_>>().join("-")
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn get(client: &kube::Client, path: &str) -> Result<Value, kube::Error> {
    client
        .request(
            http::Request::get(path)
                .body(vec![])
                .map_err(kube::Error::HttpError)?,
        )
        .await
}

fn shown(nodes: &[Node]) -> String {
    if nodes.is_empty() {
        return "(the fleet is empty)".into();
    }
    fleet::text(nodes, &Ui::new(Format::Text, true), false)
}

#[test]
fn the_tree_names_the_reason_of_what_is_not_ready() {
    let mut world = fleet::World {
        organizations: vec![
            json!({"metadata": {"name": "acme"}, "status": {"namespace": "org-acme"}}),
            json!({
                "metadata": {"name": "leaving", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "status": {"namespace": "org-leaving", "conditions": [
                    {"type": "Ready", "status": "False", "reason": "NamespaceInUse", "message": "delete first what is in it"},
                ]},
            }),
        ],
        apps: vec![json!({
            "metadata": {"name": "web", "namespace": "org-acme"}, "spec": {"version": "1.0.0"},
            "status": {"release": {"status": "not-installed", "reason": "catalog \"gone\" does not exist"}},
        })],
        ..fleet::World::default()
    };
    let mut going = world.apps[0].clone();
    going["metadata"]["name"] = "going".into();
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    going["status"] = json!({
        "version": "1.0.0", "release": {"status": "deployed"},
        "conditions": [{"type": "Ready", "status": "False", "reason": "ClusterUnreachable", "message": "it does not answer"}],
    });
    world.apps.push(going);
    expect_test::expect![[r#"
        ✓ organization acme  namespace org-acme
        ├─ ✗ app web  not-installed 1.0.0 on the management cluster
        │     not-installed: catalog "gone" does not exist
        └─ … app going  deployed 1.0.0 on the management cluster
              ClusterUnreachable: it does not answer
        … organization leaving  namespace org-leaving
           NamespaceInUse: delete first what is in it"#]]
    .assert_eq(&shown(&fleet::tree(&world)));
}
