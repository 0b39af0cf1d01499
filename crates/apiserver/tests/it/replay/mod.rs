//! Recorded requests, answered by this server as they were answered when they were recorded.
//!
//! `tests/replay/*.http` are the requests, `*.answers` what was answered; `cargo xtask replay` sends the same to any server.
//! What is answered differently is in `accepted.txt`, each with a reason; `UPDATE_EXPECT=1` writes the differences there
//! anew and keeps the reasons.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, header};
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;

use self::engine::{Answer, Request, Session, USER_AGENT};
use crate::world::World;

mod engine;

const UNEXPLAINED: &str = "reason: to be explained or fixed";
/// The longest that one answer takes.
const LIMIT: Duration = Duration::from_secs(60);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_default()
}

async fn send(world: &World, request: &Request) -> Answer {
    let method = match request.method.as_str() {
        "WATCH" => Method::GET,
        other => other.parse().unwrap(),
    };
    let mut sent = http::Request::builder()
        .method(method)
        .uri(&request.path)
        .header(header::USER_AGENT, USER_AGENT);
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let body = Full::new(bytes::Bytes::from(request.body.clone()));
    let answered = world.service.clone().oneshot(sent.body(body).unwrap());
    let answer = answered.await.unwrap();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = answer.headers();
    Answer {
        code: answer.status().as_u16(),
        content_type: headers
            .get(header::CONTENT_TYPE)
            .map(text)
            .unwrap_or_default(),
        warnings: headers.get_all(header::WARNING).iter().map(text).collect(),
        body: answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    }
}

/// The differences to what was recorded, by request.
async fn replay(file: &str) -> BTreeMap<String, String> {
    let world = World::new().await;
    let mut session = Session::new(&format!("replay-{file}"));
    for request in session.prelude() {
        let answer = send(&world, &request).await;
        assert!(matches!(answer.code, 201 | 409), "{answer:?}");
    }
    let recorded: BTreeMap<_, _> = engine::sections(&read(&format!("{file}.answers")))
        .into_iter()
        .collect();
    let mut differences = BTreeMap::new();
    let requests = engine::parse(&read(&format!("{file}.http"))).unwrap();
    assert!(!requests.is_empty() && requests.len() == recorded.len());
    for request in requests {
        let filled = session.fill(&request).unwrap();
        let answer = tokio::time::timeout(LIMIT, send(&world, &filled)).await;
        let answer = answer.unwrap_or_else(|_| unreachable!("{}: no answer", request.name));
        let found = session.note(&request, &answer);
        let difference = engine::difference(&recorded[&request.name], &found);
        if !difference.is_empty() {
            differences.insert(format!("{file}: {}", request.name), difference);
        }
    }
    differences
}

#[tokio::test]
async fn recorded_requests_are_answered_as_they_were_or_the_difference_is_accepted() {
    let mut found = BTreeMap::new();
    for file in ["access", "custom", "kinds", "lists", "objects", "patches"] {
        found.append(&mut replay(file).await);
    }
    let text = read("accepted.txt");
    let accepted: BTreeMap<_, _> = engine::sections(&text)
        .into_iter()
        .map(|(name, section)| {
            let (reason, difference) = section.split_once('\n').unwrap();
            (name, (reason.to_owned(), difference.trim().to_owned()))
        })
        .collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let head = text.split("### ").next().unwrap_or_default().trim();
        let mut new = format!("{head}\n");
        for (name, difference) in &found {
            let reason = accepted.get(name).map_or(UNEXPLAINED, |(reason, _)| reason);
            new.push_str(&format!("\n### {name}\n{reason}\n{difference}"));
        }
        std::fs::write(folder().join("accepted.txt"), new).unwrap();
        return;
    }
    let mut wrong = String::new();
    for (name, difference) in &found {
        let known = accepted
            .get(name)
            .map(|(_, difference)| difference.as_str());
        if known != Some(difference.trim()) {
            wrong.push_str(&format!("### {name}\n{difference}\n"));
        }
    }
    for (name, (reason, _)) in &accepted {
        assert_ne!(reason, UNEXPLAINED, "{name}");
        if !found.contains_key(name) {
            wrong.push_str(&format!(
                "### {name}\nno longer differs: take it out of accepted.txt\n"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "other differences than accepted.txt has:\n{wrong}"
    );
}
