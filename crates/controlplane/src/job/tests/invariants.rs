//! What holds for every Job, whatever its pods do and whichever writes fail: pods are never more than asked for, what was
//! counted stays counted, and every pod that came to its end is counted once.

use std::collections::HashSet;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use runtime::Change;

use super::*;

/// What happens to a Job.
#[derive(Clone, Debug)]
enum Event {
    /// A pass, which fails at this change, and whose status may be lost.
    Pass {
        fails_at: Option<usize>,
        is_written: bool,
    },
    /// One of the running pods comes to an end.
    End {
        pod: usize,
        succeeds: bool,
    },
    /// Somebody deletes a pod.
    Kill {
        pod: usize,
    },
    /// The nodes let deleted pods go.
    Reap,
    Wait {
        seconds: i64,
    },
    Suspend {
        is_suspended: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (prop::option::weighted(0.3, 0_usize..4), prop::bool::weighted(0.8))
            .prop_map(|(fails_at, is_written)| Event::Pass { fails_at, is_written }),
        4 => (0_usize..4, prop::bool::weighted(0.6))
            .prop_map(|(pod, succeeds)| Event::End { pod, succeeds }),
        1 => (0_usize..4).prop_map(|pod| Event::Kill { pod }),
        2 => Just(Event::Reap),
        2 => (1_i64..700).prop_map(|seconds| Event::Wait { seconds }),
        1 => any::<bool>().prop_map(|is_suspended| Event::Suspend { is_suspended }),
    ]
}

/// A Job with a server and nodes that do as it asks.
struct Model {
    world: World,
    now: Timestamp,
    created: usize,
    /// Pods let go while the status had them as succeeded or failed.
    noted: (HashSet<String>, HashSet<String>),
    /// Pods let go at all.
    free: HashSet<String>,
}

impl Model {
    fn new(spec: &str) -> Self {
        Self {
            world: world(&format!("{{spec: {spec}}}")),
            now: now(),
            created: 0,
            noted: Default::default(),
            free: HashSet::new(),
        }
    }

    fn status(&self) -> k8s_openapi::api::batch::v1::JobStatus {
        self.world.job.status.clone().unwrap_or_default()
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let is_meant = |pod: &&mut Arc<Pod>| pod.metadata.name.as_deref() == Some(name);
        if let Some(pod) = self.world.pods.iter_mut().find(is_meant) {
            let mut value = json!(**pod);
            change(&mut value);
            *pod = Arc::new(serde_json::from_value(value).unwrap());
        }
    }

    fn happen(&mut self, event: &Event) {
        let names = |pods: &[Arc<Pod>]| -> Vec<String> {
            let active = pods.iter().filter(|pod| crate::pod::is_active(pod));
            active.filter_map(|pod| pod.metadata.name.clone()).collect()
        };
        let at = runtime::rfc3339(self.now);
        match event {
            Event::Pass {
                fails_at,
                is_written,
            } => self.pass(*fails_at, *is_written),
            Event::End { pod, succeeds } => {
                if let Some(name) = names(&self.world.pods).get(*pod) {
                    let (phase, code) = if *succeeds {
                        ("Succeeded", 0)
                    } else {
                        ("Failed", 1)
                    };
                    self.change(name, |pod| {
                        pod["status"] = json!({"phase": phase, "containerStatuses": [{
                            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                            "state": {"terminated": {"exitCode": code, "finishedAt": at}},
                        }]});
                    });
                }
            }
            Event::Kill { pod } => {
                if let Some(name) = names(&self.world.pods).get(*pod) {
                    self.change(name, |pod| pod["metadata"]["deletionTimestamp"] = at.into());
                }
            }
            Event::Reap => self.reap(),
            Event::Wait { seconds } => self.now += SignedDuration::from_secs(*seconds),
            Event::Suspend { is_suspended } => {
                if let Some(spec) = &mut self.world.job.spec {
                    spec.suspend = Some(*is_suspended);
                }
            }
        }
    }

    fn reap(&mut self) {
        let going: Vec<String> = self
            .world
            .pods
            .iter()
            .filter(|pod| facts::is_terminating(pod))
            .filter_map(|pod| pod.metadata.name.clone())
            .collect();
        for name in going {
            self.change(&name, |pod| pod["status"]["phase"] = "Failed".into());
        }
        self.world
            .pods
            .retain(|pod| pod.metadata.deletion_timestamp.is_none() || facts::is_tracked(pod));
    }

    fn pass(&mut self, fails_at: Option<usize>, is_written: bool) {
        let plan = JobController::plan(&self.world, self.now);
        let done = fails_at.unwrap_or(usize::MAX).min(plan.changes.len());
        let failure = (done < plan.changes.len()).then(|| Wait {
            reason: "TransientError",
            message: String::new(),
        });
        let outcome = Outcome { done, failure };
        let status = JobController::status(&self.world, &plan, &outcome, self.now);
        for change in &plan.changes[..done] {
            self.apply(change);
        }
        let parallelism = self.world.job.spec.as_ref().and_then(|s| s.parallelism);
        let active = self
            .world
            .pods
            .iter()
            .filter(|pod| crate::pod::is_active(pod));
        let active = active.count();
        assert!(
            active <= usize::try_from(parallelism.unwrap()).unwrap(),
            "{active} pods"
        );
        if let Some(status) = status.filter(|_| is_written) {
            let (before, is_whole) = (self.status(), done == plan.changes.len());
            self.world.job.status = serde_json::from_value(status).unwrap();
            self.check_counts(&before, is_whole);
        }
    }

    fn apply(&mut self, change: &Change<Infallible>) {
        match change {
            Change::Create(object) => {
                self.created += 1;
                let mut pod = json!(object);
                pod["metadata"]["uid"] = format!("uid-{}", self.created).into();
                pod["metadata"]["creationTimestamp"] = runtime::rfc3339(self.now).into();
                pod["status"] = json!({"phase": "Running"});
                let pod: Pod = serde_json::from_value(pod).unwrap();
                let slot = facts::index(&pod);
                let is_double = |other: &Arc<Pod>| {
                    slot.is_some() && facts::index(other) == slot && crate::pod::is_active(other)
                };
                assert!(
                    !self.world.pods.iter().any(is_double),
                    "two pods of {slot:?}"
                );
                self.world.pods.push(Arc::new(pod));
            }
            Change::Delete { target, .. } => {
                let at = runtime::rfc3339(self.now);
                self.change(&target.name, |pod| {
                    pod["metadata"]["deletionTimestamp"] = at.into();
                });
            }
            Change::Patch { target, patch, .. } => {
                self.let_go(&target.name);
                let finalizers = patch["metadata"]["finalizers"].clone();
                self.change(&target.name, |pod| {
                    pod["metadata"]["finalizers"] = finalizers;
                });
            }
            Change::Apply(_) | Change::ApplyStatus(_) | Change::Act(_) => {
                unreachable!("the controller does none of these")
            }
        }
    }

    /// The finalizer goes: by now the status must know of the pod, unless it ran.
    fn let_go(&mut self, name: &str) {
        let is_meant = |pod: &&Arc<Pod>| pod.metadata.name.as_deref() == Some(name);
        let pod = self.world.pods.iter().find(is_meant).unwrap();
        let uid = pod.metadata.uid.clone().unwrap();
        assert!(self.free.insert(uid.clone()), "{uid} is let go twice");
        let status = self.status();
        let noted = status.uncounted_terminated_pods.unwrap_or_default();
        let has = |list: &Option<Vec<String>>| list.iter().flatten().any(|known| *known == uid);
        let completed = status.completed_indexes.unwrap_or_default();
        let completed = indexes::Indexes::parse(&completed, u32::MAX);
        match (has(&noted.succeeded), has(&noted.failed)) {
            (true, false) => _ = self.noted.0.insert(uid),
            (false, true) => _ = self.noted.1.insert(uid),
            (true, true) => panic!("{uid} both succeeded and failed"),
            (false, false) => {
                let is_known = facts::index(pod).is_some_and(|slot| completed.has(slot));
                assert!(
                    crate::pod::is_active(pod) || (facts::has_succeeded(pod) && is_known),
                    "{uid} is let go and forgotten"
                );
            }
        }
    }

    fn check_counts(&self, before: &k8s_openapi::api::batch::v1::JobStatus, is_whole: bool) {
        let after = self.status();
        let number = |count: Option<i32>| usize::try_from(count.unwrap_or(0)).unwrap();
        assert!(number(after.succeeded) >= number(before.succeeded));
        assert!(number(after.failed) >= number(before.failed));
        let (succeeded, failed) = (self.noted.0.len(), self.noted.1.len());
        if is_whole {
            assert_eq!(number(after.failed), failed);
        }
        assert!(number(after.failed) <= failed);
        match &after.completed_indexes {
            Some(text) => {
                let completed = indexes::Indexes::parse(text, u32::MAX);
                assert_eq!(
                    u32::try_from(number(after.succeeded)),
                    Ok(completed.count())
                );
            }
            None if is_whole => assert_eq!(number(after.succeeded), succeeded),
            None => assert!(number(after.succeeded) <= succeeded),
        }
    }

    /// From now on all goes well: the Job comes to its end.
    fn settle(&mut self) {
        self.happen(&Event::Suspend {
            is_suspended: false,
        });
        for _ in 0..200 {
            if is_over(&self.world.job) {
                break;
            }
            self.happen(&Event::Wait { seconds: 601 });
            self.happen(&Event::End {
                pod: 0,
                succeeds: true,
            });
            self.happen(&Event::Reap);
            self.pass(None, true);
        }
        let status = self.status();
        assert!(is_over(&self.world.job), "no end: {status:?}");
        assert!(!self.world.pods.iter().any(|pod| facts::is_tracked(pod)));
        let noted = status.uncounted_terminated_pods.unwrap_or_default();
        assert_eq!((noted.succeeded, noted.failed), (None, None));
        if let Some(Time(end)) = status.completion_time {
            assert!(status.start_time.is_some_and(|Time(start)| start <= end));
        }
    }
}

const SPECS: [&str; 6] = [
    "{completions: 3, parallelism: 2}",
    "{parallelism: 3}",
    "{completions: 4, parallelism: 3, backoffLimit: 1}",
    "{completions: 3, parallelism: 2, podReplacementPolicy: Failed}",
    "{completions: 4, parallelism: 3, completionMode: Indexed}",
    "{completions: 4, parallelism: 3, completionMode: Indexed, backoffLimit: 1000, backoffLimitPerIndex: 1}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_pod_counts_once(spec in prop::sample::select(SPECS.as_slice()), events in prop::collection::vec(event(), 0..60)) {
        let mut model = Model::new(spec);
        for event in &events {
            model.happen(event);
        }
        model.settle();
    }
}
