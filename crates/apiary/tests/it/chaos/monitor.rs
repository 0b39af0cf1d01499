//! Follows every change of a fleet, one after the other, and says what must never have been.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use apiserver::store::{ClusterStore, Cursor, EventKind};
use serde_json::Value;

/// Resources of the management cluster that are followed.
const FOLLOWED: [&str; 4] = [
    "machines.cluster.x-k8s.io",
    "machinesets.cluster.x-k8s.io",
    "localmachines.infrastructure.cluster.x-k8s.io",
    "kubeadmconfigs.bootstrap.cluster.x-k8s.io",
];
const MACHINES: &str = FOLLOWED[0];
const SETS: &str = FOLLOWED[1];
const LOCAL_MACHINES: &str = FOLLOWED[2];
const CONFIG_MAPS: &str = "configmaps";
/// What changes by itself while all is well: signs of life, and what is forgotten after its time.
const OF_LIFE: [&str; 5] = [
    "nodes",
    "leases.coordination.k8s.io",
    "events",
    "events.events.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
];
/// Where the local provider keeps etcd's members.
const MEMBERS: &str = "simulated-etcd-members";

/// What is allowed in a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Machines of the control plane at once.
    pub control_plane_max: usize,
    /// Machines of the control plane that are being deleted at once.
    pub control_plane_leaving_max: usize,
    /// Workers that the MachineSets want together.
    pub workers_max: u64,
    /// Workers that are available.
    pub workers_min: usize,
}

/// What is known of the fleet.
#[derive(Default)]
struct Fleet {
    objects: HashMap<&'static str, BTreeMap<String, Value>>,
    /// Names of etcd's voting members.
    voters: Vec<String>,
    bounds: Bounds,
    /// Uids of Machines that were made since the step began.
    made: BTreeSet<String>,
    violations: Vec<String>,
    /// Changes of what does not change by itself, since the step began.
    changes: BTreeMap<String, u32>,
}

/// The follower.
#[derive(Clone, Default)]
pub(super) struct Monitor(Arc<Mutex<Fleet>>);

impl Monitor {
    /// A step begins.
    pub(super) fn begin(&self, bounds: Bounds) {
        let mut fleet = self.0.lock().unwrap();
        fleet.bounds = bounds;
        fleet.made.clear();
        fleet.changes.clear();
    }

    /// How many Machines were made since the step began.
    pub(super) fn made(&self) -> usize {
        self.0.lock().unwrap().made.len()
    }

    /// What must not have been.
    pub(super) fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }

    /// What has changed, by resource, since this was asked for the last time.
    pub(super) fn changes(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut self.0.lock().unwrap().changes)
    }

    /// Follows a store until it closes.
    pub(super) async fn follow(self, store: ClusterStore, is_management: bool) {
        let mut changes = store.subscribe();
        let begin = self.catch_up(&store, is_management);
        let mut cursors: HashMap<Arc<str>, Cursor> = HashMap::new();
        while let Some(changed) = changes.next().await {
            for (resource, _) in changed {
                let is_life = OF_LIFE.contains(&&*resource);
                if !is_life {
                    let mut fleet = self.0.lock().unwrap();
                    *fleet.changes.entry(resource.to_string()).or_default() += 1;
                }
                let followed = FOLLOWED.iter().find(|f| is_management && **f == &*resource);
                let is_record = !is_management && &*resource == CONFIG_MAPS;
                if followed.is_none() && !is_record {
                    continue;
                }
                let cursor = cursors
                    .entry(Arc::clone(&resource))
                    .or_insert_with(|| store.watch(&resource, None, begin).unwrap());
                while let Some(event) = cursor.try_next() {
                    let event = event.unwrap();
                    let object: Value = serde_json::from_slice(&event.object.json).unwrap();
                    let is_gone = matches!(event.kind, EventKind::Deleted);
                    let mut fleet = self.0.lock().unwrap();
                    match followed {
                        Some(followed) => fleet.change(followed, object, is_gone),
                        None => fleet.change_members(&object),
                    }
                }
            }
        }
    }

    /// Takes over what is in a store that was not followed until now. Returns its revision.
    fn catch_up(&self, store: &ClusterStore, is_management: bool) -> u64 {
        let read = |resource: &str| -> Vec<Value> {
            let objects = store.list(resource, None).objects;
            let objects = objects
                .iter()
                .map(|o| serde_json::from_slice(&o.json).unwrap());
            objects.collect()
        };
        let mut fleet = self.0.lock().unwrap();
        if !is_management {
            for object in read(CONFIG_MAPS) {
                fleet.change_members(&object);
            }
            return store.revision();
        }
        for resource in FOLLOWED {
            let mut gone = fleet.objects.get(resource).cloned().unwrap_or_default();
            for object in read(resource) {
                gone.remove(object["metadata"]["name"].as_str().unwrap());
                fleet.change(resource, object, false);
            }
            for object in gone.into_values() {
                fleet.change(resource, object, true);
            }
        }
        store.revision()
    }

    /// Machines and what belongs to them, by resource: their names.
    pub(super) fn names(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        let fleet = self.0.lock().unwrap();
        let names = |resource| {
            let objects: &BTreeMap<String, Value> = match fleet.objects.get(resource) {
                Some(objects) => objects,
                None => return BTreeSet::new(),
            };
            objects.keys().cloned().collect()
        };
        FOLLOWED.into_iter().map(|r| (r, names(r))).collect()
    }

    /// Names of etcd's voting members.
    pub(super) fn voters(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().voters.iter().cloned().collect()
    }

    /// Names of the machines of the control plane.
    pub(super) fn control_plane(&self) -> BTreeSet<String> {
        let fleet = self.0.lock().unwrap();
        fleet.machines(true).map(|(name, _)| name.clone()).collect()
    }
}

impl Fleet {
    fn machines(&self, is_control_plane: bool) -> impl Iterator<Item = (&String, &Value)> {
        let all = self.objects.get(MACHINES).into_iter().flatten();
        all.filter(move |(_, machine)| self::is_control_plane(machine) == is_control_plane)
    }

    fn change(&mut self, resource: &'static str, object: Value, is_gone: bool) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        let objects = self.objects.entry(resource).or_default();
        let was = objects.remove(&name);
        if !is_gone {
            objects.insert(name.clone(), object);
        }
        if resource == MACHINES && was.is_none() && !is_gone {
            self.made.insert(uid);
        }
        self.check(&format!("{resource} {name}"));
    }

    fn change_members(&mut self, object: &Value) {
        if object["metadata"]["name"] != MEMBERS {
            return;
        }
        let members = object["data"].as_object().into_iter().flatten();
        let is_voter = |member: &Value| {
            let member: Value = serde_json::from_str(member.as_str().unwrap()).unwrap();
            member["isLearner"] != true
        };
        let voters = members.filter(|(_, member)| is_voter(member));
        self.voters = voters.map(|(name, _)| name.clone()).collect();
        self.check("etcd's members");
    }

    /// Checks what always holds, after a change of something.
    fn check(&mut self, what: &str) {
        let bounds = self.bounds;
        let mut found = vec![];
        let local = self.objects.get(LOCAL_MACHINES);
        let is_well = |name: &String| {
            let machine = local.and_then(|l| l.get(name));
            machine.is_some_and(|m| m["spec"]["faults"]["kubeletStopped"] != true)
        };
        let healthy = self.voters.iter().filter(|v| is_well(v)).count();
        let is_dissolved = bounds.control_plane_max == 0;
        if healthy < capi::etcd::quorum(self.voters.len())
            && !self.voters.is_empty()
            && !is_dissolved
        {
            found.push(format!(
                "etcd has lost its majority: {healthy} of {:?} are well",
                self.voters
            ));
        }
        let control_plane: Vec<_> = self.machines(true).collect();
        let leaving = control_plane.iter().filter(|(_, m)| is_leaving(m)).count();
        if control_plane.len() > bounds.control_plane_max && !is_dissolved {
            found.push(format!(
                "{} machines of the control plane, {} allowed",
                control_plane.len(),
                bounds.control_plane_max
            ));
        }
        if leaving > bounds.control_plane_leaving_max && !is_dissolved {
            found.push(format!(
                "{leaving} machines of the control plane leave at once"
            ));
        }
        let wanted = self.objects.get(SETS).into_iter().flatten();
        let wanted: u64 = wanted
            .map(|(_, set)| set["spec"]["replicas"].as_u64().unwrap_or(0))
            .sum();
        if wanted > bounds.workers_max && !is_dissolved {
            found.push(format!(
                "{wanted} workers are wanted, {} allowed",
                bounds.workers_max
            ));
        }
        let workers: Vec<_> = self.machines(false).collect();
        let staying = workers.iter().filter(|(_, m)| !is_leaving(m));
        if staying.clone().count() > usize::try_from(bounds.workers_max).unwrap_or(0)
            && !is_dissolved
        {
            found.push(format!(
                "{} workers, {} allowed",
                staying.count(),
                bounds.workers_max
            ));
        }
        let available = workers.iter().filter(|(_, m)| is_available(m)).count();
        if available < bounds.workers_min && !is_dissolved {
            let why = workers.iter().filter(|(_, m)| !is_available(m));
            let why: Vec<_> = why
                .map(|(name, m)| format!("{name}: {}", ready_message(m)))
                .collect();
            found.push(format!(
                "{available} workers are available, {} must be: {}",
                bounds.workers_min,
                why.join("; ")
            ));
        }
        for violation in found {
            let violation = format!("after a change of {what}: {violation}");
            if self.violations.len() < 10 {
                self.violations.push(violation);
            }
        }
    }
}

/// Why a machine is not ready.
fn ready_message(machine: &Value) -> String {
    if is_leaving(machine) {
        return "it leaves".to_owned();
    }
    let conditions = machine["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|c| c["type"] == "Ready");
    ready
        .map_or("-", |c| c["message"].as_str().unwrap_or_default())
        .replace('\n', " ")
}

fn is_control_plane(machine: &Value) -> bool {
    machine["metadata"]["labels"]["cluster.x-k8s.io/control-plane"].is_string()
}

fn is_leaving(machine: &Value) -> bool {
    machine["metadata"]["deletionTimestamp"].is_string()
}

fn is_available(machine: &Value) -> bool {
    let conditions = machine["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let mut conditions = conditions.filter(|c| c["type"] == "Available");
    !is_leaving(machine) && conditions.any(|c| c["status"] == "True")
}
