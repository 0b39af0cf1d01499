//! `kill -9` at random moments: nothing that was acknowledged is lost, nothing that was not is half there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;

use super::world::Server;

const ROUNDS: u64 = 8;
const WRITERS: usize = 6;
/// A server is killed after this many acknowledged writes at most.
const WRITES: usize = 150;

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Absent,
    /// The value of its one key, its uid and revision.
    Present(String, String, u64),
}

/// What a writer knows when its server dies: the last state that was acknowledged, and the one that it asked for since.
#[derive(Clone, Debug)]
struct Known {
    acknowledged: State,
    asked: Option<Asked>,
}

#[derive(Clone, Debug)]
enum Asked {
    Value(String),
    Deletion,
}

async fn client(data: &Path) -> Api<ConfigMap> {
    let config = Kubeconfig::read_from(data.join("kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap();
    Api::namespaced(Client::try_from(config).unwrap(), "default")
}

fn state(object: &ConfigMap) -> State {
    let value = object
        .data
        .iter()
        .flatten()
        .map(|(_, value)| value.clone())
        .next()
        .unwrap_or_default();
    let revision = object.resource_version().unwrap_or_default();
    State::Present(
        value,
        object.uid().unwrap_or_default(),
        revision.parse().unwrap_or(0),
    )
}

fn config_map(name: &str, value: &str, uid_and_revision: Option<(&str, u64)>) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.into());
    if let Some((uid, revision)) = uid_and_revision {
        object.metadata.uid = Some(uid.into());
        object.metadata.resource_version = Some(revision.to_string());
    }
    object.data = Some(BTreeMap::from([("key".into(), value.into())]));
    object
}

/// Counts acknowledged writes, and says when there are enough.
struct Counter {
    acknowledged: AtomicUsize,
    enough: Notify,
    limit: usize,
}

/// Creates, updates and deletes one object until the server dies.
async fn write(
    api: Api<ConfigMap>,
    name: String,
    mut known: Known,
    mut rng: StdRng,
    counter: Arc<Counter>,
) -> Known {
    for step in 0_u32.. {
        let value = format!("{name} {step} {}", rng.random::<u32>());
        let is_deletion =
            matches!(known.acknowledged, State::Present(..)) && rng.random_ratio(1, 4);
        known.asked = Some(if is_deletion {
            Asked::Deletion
        } else {
            Asked::Value(value.clone())
        });
        let answer = match &known.acknowledged {
            State::Absent => api
                .create(&PostParams::default(), &config_map(&name, &value, None))
                .await
                .map(|o| state(&o)),
            State::Present(..) if is_deletion => api
                .delete(&name, &DeleteParams::default())
                .await
                .map(|_| State::Absent),
            State::Present(_, uid, revision) => {
                let object = config_map(&name, &value, Some((uid, *revision)));
                api.replace(&name, &PostParams::default(), &object)
                    .await
                    .map(|o| state(&o))
            }
        };
        match answer {
            Ok(state) => {
                known = Known {
                    acknowledged: state,
                    asked: None,
                }
            }
            Err(kube::Error::Api(status)) => panic!("{name}: the server refused: {status:?}"),
            // The connection broke: the server is dead.
            Err(_) => return known,
        }
        if counter.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == counter.limit {
            counter.enough.notify_one();
        }
    }
    known
}

/// What is there after the restart is what was acknowledged, or what was asked for at the very end.
fn check(known: &Known, found: &State) {
    if *found == known.acknowledged {
        return;
    }
    let is_asked = match (&known.asked, found) {
        (Some(Asked::Deletion), State::Absent) => true,
        (Some(Asked::Value(asked)), State::Present(value, uid, revision)) => {
            asked == value
                && match &known.acknowledged {
                    State::Absent => true,
                    State::Present(_, same, older) => same == uid && older < revision,
                }
        }
        _ => false,
    };
    assert!(is_asked, "known {known:?}, found {found:?}");
}

/// Compares what the server has with what is known, and goes on from there. The newest revision of its list.
async fn compare(api: &Api<ConfigMap>, known: &mut [Known]) -> u64 {
    let list = api.list(&ListParams::default()).await.unwrap();
    for (at, known) in known.iter_mut().enumerate() {
        let found = list
            .iter()
            .find(|object| object.name_any() == format!("object-{at}"));
        let found = found.map_or(State::Absent, state);
        check(known, &found);
        *known = Known {
            acknowledged: found,
            asked: None,
        };
    }
    list.metadata
        .resource_version
        .unwrap_or_default()
        .parse()
        .unwrap()
}

/// Writes until `limit` writes were acknowledged, kills the server in the midst of more, and returns what is known then.
async fn write_and_kill(
    api: &Api<ConfigMap>,
    known: &[Known],
    rng: &mut StdRng,
    limit: usize,
    mut server: Server,
) -> Vec<Known> {
    let counter = Arc::new(Counter {
        acknowledged: AtomicUsize::new(0),
        enough: Notify::new(),
        limit,
    });
    let writers: Vec<_> = known
        .iter()
        .enumerate()
        .map(|(at, known)| {
            let rng = StdRng::seed_from_u64(rng.random());
            tokio::spawn(write(
                api.clone(),
                format!("object-{at}"),
                known.clone(),
                rng,
                counter.clone(),
            ))
        })
        .collect();
    within(counter.enough.notified(), "writes go on").await;
    server.kill();
    let mut known = vec![];
    for writer in writers {
        known.push(
            within(writer, "a dead server ends its clients")
                .await
                .unwrap(),
        );
    }
    known
}

async fn within<T>(what: impl Future<Output = T>, why: &str) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .unwrap_or_else(|_| panic!("{why}: not within 60 s"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let seed = std::env::var("APIARY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("APIARY_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut known: Vec<Known> = vec![
        Known {
            acknowledged: State::Absent,
            asked: None
        };
        WRITERS
    ];
    let mut newest = 0;
    for round in 0..=ROUNDS {
        let server = Server::ready(&data, &["--empty"]);
        let api = client(&data).await;
        let revision = compare(&api, &mut known).await;
        assert!(
            revision >= newest,
            "round {round}: revision {revision} after {newest}"
        );
        if round == ROUNDS {
            assert!(server.down());
            return;
        }
        let limit = rng.random_range(1..WRITES);
        known = write_and_kill(&api, &known, &mut rng, limit, server).await;
        for known in &known {
            if let State::Present(_, _, revision) = known.acknowledged {
                newest = newest.max(revision);
            }
        }
    }
}
