//! What goes wrong between controllers and API servers: refusals, lost answers, delays, watches that lag or end, and the end of the
//! process.

use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiary::management::Through;
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::sync::Notify;

/// The longest that a request, or an event of a watch, is held back.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// How names of Secrets of bootstrap tokens begin; the token's id follows.
const TOKEN: &str = "bootstrap-token-";
const TOKEN_ID_LEN: usize = 6;

/// Decides what goes wrong, one request after the other.
#[derive(Clone)]
pub(super) struct Faults(Arc<Inner>);

struct Inner {
    /// When the story began.
    began: tokio::time::Instant,
    state: Mutex<State>,
    /// Notified when the process ends.
    crashed: Notify,
}

struct State {
    rng: StdRng,
    /// Faults that are still to come; after them all goes well.
    left: u32,
    /// Of a hundred requests, so many go wrong.
    percent: u32,
    /// Writes until the process ends.
    crash_in: Option<u32>,
    has_crashed: bool,
    /// Which process it is: those before it are dead, whatever is left of them.
    process: u32,
    /// What went wrong so far.
    counts: [u32; 8],
    record: Record,
}

/// What was asked for, so that one telling of a story can be compared with another.
#[derive(Default)]
struct Record {
    requests: u64,
    hash: std::hash::DefaultHasher,
    /// Where every request is written to, if somebody wants to read them.
    file: Option<std::fs::File>,
}

impl Record {
    /// `since` is virtual time from the beginning of the story.
    fn add(&mut self, since: Duration, request: &Request<Body>, fate: Fate) {
        let uri = request.uri().to_string();
        // Tokens are drawn at random, and their Secrets are called after them.
        let uri = match uri.split_once(TOKEN) {
            Some((before, token)) => format!("{before}{TOKEN}…{}", &token[TOKEN_ID_LEN..]),
            None => uri,
        };
        let line = format!("{since:?} {} {uri} {fate:?}", request.method());
        self.requests += 1;
        line.hash(&mut self.hash);
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").unwrap();
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer = UnsyncBoxBody<Bytes, Error>;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Well,
    /// It is refused: somebody else was faster.
    Conflict,
    /// It is refused: the server is in trouble.
    Unavailable,
    /// It is refused: there are too many of them.
    TooMany,
    /// It is done, and nobody hears of it.
    Lost,
    Late(Duration),
    /// The process ends before it is sent: nothing is heard of it, nor of any other.
    Dead,
}

/// What happens to what a watch tells.
#[derive(Clone, Copy, Debug)]
enum EventsFate {
    Well,
    Late(Duration),
    /// It is told twice.
    Twice,
    /// The watch ends instead.
    End,
}

/// Places of counts.
const LAGS: usize = 5;
const REPEATS: usize = 6;
const CRASHES: usize = 7;

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        let file = std::env::var_os("APIARY_TRACE");
        let file = file.map(|path| std::fs::File::create(path).unwrap());
        Self(Arc::new(Inner {
            began: tokio::time::Instant::now(),
            state: Mutex::new(State {
                rng: StdRng::seed_from_u64(seed),
                left: 0,
                percent: 0,
                crash_in: None,
                has_crashed: false,
                process: 0,
                counts: [0; 8],
                record: Record {
                    file,
                    ..Record::default()
                },
            }),
            crashed: Notify::new(),
        }))
    }

    /// From now on `count` requests go wrong, `percent` of a hundred, and the process ends after so many writes.
    pub(super) fn arm(&self, count: u32, percent: u32, crash_in: Option<u32>) {
        let mut state = self.0.state.lock().unwrap();
        state.left = count;
        state.percent = percent;
        state.crash_in = crash_in;
    }

    /// Waits for the end of the process.
    pub(super) async fn crashed(&self) {
        if !self.0.state.lock().unwrap().has_crashed {
            self.0.crashed.notified().await;
        }
    }

    /// Another process begins.
    pub(super) fn revive(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.has_crashed = false;
        state.process += 1;
    }

    /// What went wrong so far, in words.
    pub(super) fn summary(&self) -> String {
        let state = self.0.state.lock().unwrap();
        let [conflicts, errors, many, lost, late, cut, repeats, crashes] = state.counts;
        let requests = state.record.requests;
        let hash = state.record.hash.finish();
        format!(
            "{conflicts} conflicts, {errors} errors, {many} refusals for want of room, {lost} lost answers, {late} delays, \
             {cut} lagging or ended watches, {repeats} repeated events, {crashes} crashes; \
             {requests} requests, which hash to {hash:016x}"
        )
    }

    /// What happens to a request, which is recorded.
    fn fate_of(&self, process: u32, request: &Request<Body>) -> Fate {
        if self.0.state.lock().unwrap().process != process {
            return Fate::Dead;
        }
        let fate = self.fate(*request.method() != Method::GET);
        let mut state = self.0.state.lock().unwrap();
        if fate != Fate::Dead {
            state.record.add(self.0.began.elapsed(), request, fate);
        }
        fate
    }

    fn fate(&self, is_write: bool) -> Fate {
        let mut state = self.0.state.lock().unwrap();
        if state.has_crashed {
            return Fate::Dead;
        }
        if is_write && let Some(left) = state.crash_in {
            state.crash_in = left.checked_sub(1);
            if left == 0 {
                state.has_crashed = true;
                state.counts[CRASHES] += 1;
                self.0.crashed.notify_one();
                return Fate::Dead;
            }
        }
        if state.left == 0 || state.rng.random_range(0..100) >= state.percent {
            return Fate::Well;
        }
        state.left -= 1;
        let choice = if is_write {
            state.rng.random_range(0..5)
        } else {
            state.rng.random_range(1..5)
        };
        state.counts[choice] += 1;
        match choice {
            0 => Fate::Conflict,
            1 => Fate::Unavailable,
            2 => Fate::TooMany,
            3 => Fate::Lost,
            _ => Fate::Late(DELAY_MAX.mul_f64(state.rng.random())),
        }
    }

    fn fate_of_events(&self) -> EventsFate {
        let mut state = self.0.state.lock().unwrap();
        if state.left == 0 || state.rng.random_range(0..100) >= state.percent {
            return EventsFate::Well;
        }
        state.left -= 1;
        match state.rng.random_range(0..10) {
            0..6 => {
                state.counts[LAGS] += 1;
                EventsFate::Late(DELAY_MAX.mul_f64(state.rng.random()))
            }
            6..8 => {
                state.counts[REPEATS] += 1;
                EventsFate::Twice
            }
            _ => {
                state.counts[LAGS] += 1;
                EventsFate::End
            }
        }
    }

    /// Puts these faults between the clients of a process that starts now and their servers.
    pub(super) fn through(&self) -> Through {
        let faults = self.clone();
        let process = self.0.state.lock().unwrap().process;
        Arc::new(move |client: Client| {
            let faults = faults.clone();
            let service = tower::service_fn(move |request| {
                let (faults, client) = (faults.clone(), client.clone());
                async move { faults.send(process, &client, request).await }
            });
            Client::new(service, "default")
        })
    }

    async fn send(
        self,
        process: u32,
        client: &Client,
        request: Request<Body>,
    ) -> Result<Response<Answer>, kube::Error> {
        let is_write = *request.method() != Method::GET;
        let is_watch = request
            .uri()
            .query()
            .is_some_and(|q| q.contains("watch=true"));
        match self.fate_of(process, &request) {
            Fate::Dead => std::future::pending().await,
            Fate::Conflict => return Ok(refusal(409, "Conflict", "somebody else was faster")),
            Fate::Unavailable => return Ok(refusal(503, "ServiceUnavailable", "out of order")),
            Fate::TooMany => return Ok(refusal(429, "TooManyRequests", "come back later")),
            Fate::Lost if is_write => {
                drop(client.send(request).await?);
                return Ok(refusal(500, "InternalError", "the answer was lost"));
            }
            Fate::Lost => return Ok(refusal(500, "InternalError", "the question was lost")),
            Fate::Late(delay) => tokio::time::sleep(delay).await,
            Fate::Well => {}
        }
        let response = client.send(request).await?;
        if !is_watch || !response.status().is_success() {
            return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
        }
        let (head, body) = response.into_parts();
        let frames = body
            .into_data_stream()
            .map(|frame| frame.map(http_body::Frame::data));
        let frames = futures::stream::unfold(
            (frames.boxed(), self, None),
            |(mut frames, faults, again): (_, Self, Option<Bytes>)| async {
                if let Some(data) = again {
                    return Some((Ok(http_body::Frame::data(data)), (frames, faults, None)));
                }
                let frame: Result<http_body::Frame<Bytes>, _> = frames.next().await?;
                let mut again = None;
                match faults.fate_of_events() {
                    EventsFate::Well => {}
                    EventsFate::Late(delay) => tokio::time::sleep(delay).await,
                    EventsFate::Twice => {
                        let data = frame.as_ref().ok().and_then(|frame| frame.data_ref());
                        again = data.cloned();
                    }
                    EventsFate::End => return None,
                }
                Some((frame, (frames, faults, again)))
            },
        );
        Ok(Response::from_parts(
            head,
            StreamBody::new(frames).map_err(Into::into).boxed_unsync(),
        ))
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(
            Full::from(status.to_string())
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
        .unwrap()
}
