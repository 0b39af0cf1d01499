//! The places that read what clients send.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apiserver::InProcess;
use apiserver::auth::ClusterKeys;
use apiserver::jsonpath::JsonPath;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::connect::{PODS, Scripted, pod, running};
use crate::spdy::{self, Frame};
use crate::world::{World, now};

/// The longest answer, in bytes: what was sent and a list of what is wrong with it.
const MAX_ANSWER: usize = 8 << 20;

/// A stream in which nothing happens for so long is left.
const IDLE: Duration = Duration::from_millis(20);

/// How an input was answered, roughly; or what is wrong with that.
type Outcome = Result<u64, String>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) run: for<'a> fn(&'a Fixture, &'a [u8]) -> Running<'a>,
}

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "path",
        run: |f, input| Box::pin(f.get(path(input))),
    },
    Target {
        name: "query",
        run: |f, input| Box::pin(f.get(query("", input))),
    },
    Target {
        name: "label-selector",
        run: |f, input| Box::pin(f.get(query("labelSelector=", input))),
    },
    Target {
        name: "field-selector",
        run: |f, input| Box::pin(f.get(query("fieldSelector=", input))),
    },
    Target {
        name: "continue",
        run: |f, input| Box::pin(f.get(query("limit=1&continue=", input))),
    },
    Target {
        name: "accept",
        run: |f, input| Box::pin(f.accept(input)),
    },
    Target {
        name: "json",
        run: |f, input| Box::pin(f.create("application/json", input)),
    },
    Target {
        name: "yaml",
        run: |f, input| Box::pin(f.create("application/yaml", input)),
    },
    Target {
        name: "protobuf",
        run: |f, input| Box::pin(f.create("application/vnd.kubernetes.protobuf", input)),
    },
    Target {
        name: "json-patch",
        run: |f, input| Box::pin(f.patch("application/json-patch+json", input)),
    },
    Target {
        name: "merge-patch",
        run: |f, input| Box::pin(f.patch("application/merge-patch+json", input)),
    },
    Target {
        name: "strategic-patch",
        run: |f, input| Box::pin(f.patch("application/strategic-merge-patch+json", input)),
    },
    Target {
        name: "apply",
        run: |f, input| Box::pin(f.patch("application/apply-patch+yaml", input)),
    },
    Target {
        name: "schema",
        run: |f, input| Box::pin(f.schema(input)),
    },
    Target {
        name: "cel",
        run: |_, input| Box::pin(std::future::ready(expression(input))),
    },
    Target {
        name: "jsonpath",
        run: |_, input| Box::pin(std::future::ready(jsonpath(input))),
    },
    Target {
        name: "token",
        run: |f, input| Box::pin(f.token(input)),
    },
    Target {
        name: "certificate",
        run: |f, input| Box::pin(f.certificate(input)),
    },
    Target {
        name: "spdy-ports",
        run: |f, input| Box::pin(f.spdy("portforward", input)),
    },
    Target {
        name: "spdy-session",
        run: |f, input| Box::pin(f.spdy("exec?command=cat&stdin=1&stdout=1&stderr=1", input)),
    },
];

/// A cluster with an object to change.
pub(super) struct Fixture {
    world: World,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
                    {"name": "c", "image": "x", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]},
                    {"name": "d", "image": "y"},
                ]},
            }},
        });
        world
            .post("/apis/apps/v1/namespaces/default/deployments", deployment)
            .await
            .ok();
        let maps = "/api/v1/namespaces/default/configmaps";
        for name in ["a", "b", "c"] {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"a": name}}});
            world.post(maps, map).await.ok();
        }
        world.cluster.run_pods(Arc::new(Scripted));
        pod(&world, "p", &["c"], running()).await;
        Self { world }
    }

    async fn send(
        &self,
        service: &InProcess,
        request: http::request::Builder,
        body: &[u8],
    ) -> Outcome {
        let body = Full::new(bytes::Bytes::copy_from_slice(body));
        // What is no HTTP is the HTTP library's.
        let Ok(request) = request.body(body) else {
            return Ok(0);
        };
        let answer = service.clone().oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let mut read = http_body_util::Limited::new(answer.into_body(), MAX_ANSWER);
        let mut bytes = Vec::new();
        // A watch goes on for as long as one listens; everything else is there at once.
        while let Ok(Some(frame)) = tokio::time::timeout(IDLE, read.frame()).await {
            let frame = frame.map_err(|error| format!("the answer is too long: {error}"))?;
            bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&bytes);
        // A failure of the server's own is a bug. An applied object that does not fit its schema is answered like one by
        // every Kubernetes.
        let is_typed = text.contains("failed to create typed patch object");
        if (code == 500 && !is_typed) || code == 502 {
            return Err(format!("was answered {code}: {text:.300}"));
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        let message = body["message"].as_str().unwrap_or_default();
        // The kind of complaint, not what it quotes.
        let shape: String = message
            .split(['"', '\''])
            .step_by(2)
            .take(3)
            .flat_map(|part| part.chars().filter(|c| !c.is_ascii_digit()).take(40))
            .collect();
        (code, body["reason"].as_str(), shape).hash(&mut hasher);
        Ok(hasher.finish())
    }

    async fn get(&self, path: String) -> Outcome {
        self.send(&self.world.service, Request::get(path), b"")
            .await
    }

    async fn accept(&self, input: &[u8]) -> Outcome {
        let request =
            Request::get("/api/v1/namespaces/default/configmaps").header(header::ACCEPT, input);
        self.send(&self.world.service, request, b"").await
    }

    async fn create(&self, ty: &str, input: &[u8]) -> Outcome {
        // Twice, so that reading is tried without and with a note of what is unknown; nothing is kept.
        let path = "/api/v1/namespaces/default/pods?dryRun=All&fieldValidation=Strict";
        let request = Request::post(path).header(header::CONTENT_TYPE, ty);
        self.send(&self.world.service, request, input).await?;
        let path = "/apis/apps/v1/namespaces/default/deployments?dryRun=All";
        let request = Request::post(path).header(header::CONTENT_TYPE, ty);
        self.send(&self.world.service, request, input).await
    }

    async fn patch(&self, ty: &str, input: &[u8]) -> Outcome {
        let manager = if ty.contains("apply") {
            "&fieldManager=m&force=true"
        } else {
            ""
        };
        let path = format!("/apis/apps/v1/namespaces/default/deployments/d?dryRun=All{manager}");
        let request = Request::builder().method(Method::PATCH).uri(path);
        let request = request.header(header::CONTENT_TYPE, ty);
        self.send(&self.world.service, request, input).await
    }

    /// A definition with this schema, and an object of it.
    async fn schema(&self, input: &[u8]) -> Outcome {
        let schema: Value = serde_json::from_slice(input).unwrap_or_default();
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let request = Request::post(definitions).header(header::CONTENT_TYPE, "application/json");
        let made = self
            .send(
                &self.world.service,
                request,
                definition.to_string().as_bytes(),
            )
            .await?;
        let object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
            "spec": {"a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "n": 7, "l": [1, 2, {"x": "y"}]}});
        let path = "/apis/example.com/v1/namespaces/default/widgets?dryRun=All";
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let used = self
            .send(&self.world.service, request, object.to_string().as_bytes())
            .await?;
        let request = Request::delete(format!("{definitions}/widgets.example.com"));
        self.send(&self.world.service, request, b"").await?;
        Ok(made ^ used.rotate_left(1))
    }

    /// A connection on which a client says this, however it is cut, and then nothing more.
    async fn spdy(&self, door: &str, input: &[u8]) -> Outcome {
        let protocols = ["portforward.k8s.io", "v4.channel.k8s.io"];
        let path = format!("{PODS}/p/{door}");
        let upgrade = spdy::upgrade(self.world.service.clone(), "POST", &path, &protocols);
        let (mut client, _) = upgrade.await.map_err(|refused| format!("{refused:?}"))?;
        for piece in input.chunks(1000) {
            if !client.send(piece).await {
                break;
            }
        }
        client.shut().await;
        let said = client.rest().await;
        let Some(Frame::GoAway(reason)) = said.last() else {
            return Err(format!("the connection broke off after {said:?}"));
        };
        let mut hasher = DefaultHasher::new();
        reason.hash(&mut hasher);
        for frame in said.iter().take(20) {
            std::mem::discriminant(frame).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    async fn token(&self, input: &[u8]) -> Outcome {
        let service = self.world.cluster.network_service(None);
        let token = String::from_utf8_lossy(input).replace("$TOKEN", &self.good_token().await);
        let request = Request::get("/api/v1/namespaces/default/configmaps")
            .header(header::AUTHORIZATION, token.as_bytes());
        self.send(&service, request, b"").await
    }

    async fn good_token(&self) -> String {
        let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = self.world.post(path, request).await;
        answer.body["status"]["token"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    async fn certificate(&self, input: &[u8]) -> Outcome {
        // Seeds say where a good one is changed: `offset xor` pairs; other input is taken as it is.
        let mut der = input.to_vec();
        if let Some(changes) = input.strip_prefix(b"good") {
            der = good_certificate(&self.world.cluster.spec().keys);
            for change in changes.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % der.len();
                der[at] ^= change[2];
            }
        }
        let service = self.world.cluster.network_service(Some(der));
        let request = Request::get("/api/v1/namespaces/default/configmaps");
        self.send(&service, request, b"").await
    }
}

fn good_certificate(keys: &ClusterKeys) -> Vec<u8> {
    let authority = keys.authority().unwrap();
    let lifetime = jiff::SignedDuration::from_hours(1);
    let issued = authority
        .issue_client("alice", &["team"], now(), lifetime)
        .unwrap();
    use rustls_pki_types::pem::PemObject;
    let der = rustls_pki_types::CertificateDer::from_pem_slice(issued.cert_pem.as_bytes());
    der.unwrap().to_vec()
}

/// Bytes as a path: what HTTP cannot carry is escaped.
fn path(input: &[u8]) -> String {
    let mut path = String::from("/");
    escape(input, b"/?&=.%:-_~", &mut path);
    path
}

fn query(prefix: &str, input: &[u8]) -> String {
    let mut path = format!("/api/v1/namespaces/default/configmaps?{prefix}");
    let raw: &[u8] = if prefix.is_empty() {
        b"&=%.,;+-_~"
    } else {
        b".-_~"
    };
    escape(input, raw, &mut path);
    path
}

fn escape(input: &[u8], raw: &[u8], to: &mut String) {
    for byte in input {
        if byte.is_ascii_alphanumeric() || raw.contains(byte) {
            to.push(char::from(*byte));
        } else {
            write!(to, "%{byte:02X}").unwrap();
        }
    }
}

/// Compiles an expression, asks what it may cost, and evaluates it with the budget of one rule.
fn expression(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let object = json!({"a": "text", "n": 7, "l": [1, 2, 3], "m": {"k": "v"}, "o": [{"x": "y"}, {"x": null}],
        "t": "2026-04-22T12:00:00Z", "q": "1.5Gi"});
    let env = cel::Env::builder()
        .declare("self", cel::Type::Dyn)
        .declare("oldSelf", cel::Type::Dyn)
        .declare("text", cel::Type::String)
        .declare("list", cel::Type::list(cel::Type::Int))
        .build();
    let mut hasher = DefaultHasher::new();
    match env.compile(&text) {
        Ok(program) => {
            let cost = program.estimated_cost();
            if cost.min > cost.max {
                return Err(format!("may cost {cost:?}"));
            }
            let json = cel::Value::json;
            let activation = cel::Activation::new()
                .with("self", json(&object))
                .with("oldSelf", json(&object))
                .with("text", json(&object["a"]))
                .with("list", json(&object["l"]));
            let mut budget = cel::Budget::default();
            match program.eval(&activation, &mut budget) {
                Ok(value) => {
                    let shown = value.to_json().map(|json| json.to_string());
                    if shown.as_ref().is_ok_and(|shown| shown.len() > MAX_ANSWER) {
                        return Err("made a value that is too long".into());
                    }
                    program.output().to_string().hash(&mut hasher);
                }
                Err(error) => letters(&error.to_string()).hash(&mut hasher),
            }
        }
        Err(error) => letters(&error.to_string()).hash(&mut hasher),
    }
    Ok(hasher.finish())
}

/// What is said, roughly.
fn letters(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_lowercase)
        .take(30)
        .collect()
}

fn jsonpath(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let object =
        json!({"spec": {"a": [1, 2, {"b": "c"}], "d": null}, "status": {"x": {"y": [[], [1]]}}});
    let mut hasher = DefaultHasher::new();
    match JsonPath::parse(&text) {
        Ok(path) => {
            let found = path.find(&object);
            if found.len() > 100_000 {
                return Err(format!("found {} values", found.len()));
            }
            found.len().min(20).hash(&mut hasher);
        }
        Err(why) => letters(&why).hash(&mut hasher),
    }
    Ok(hasher.finish())
}
