//! What answers on the TCP ports that simulated containers declare: HTTP that says that it is simulated, or the text of the
//! setting `http`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use apiserver::status::Status;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::DuplexStream;

/// A port of a simulated container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) number: u16,
    name: String,
    container: String,
    image: String,
    pod: String,
    said: Option<String>,
}

impl Port {
    /// The ports of the pod's containers, in their order, with what is scripted for them by container.
    fn all(pod: &Value, answers: &BTreeMap<String, String>) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut ports = vec![];
        for container in items(&pod["spec"]["containers"]) {
            for port in items(&container["ports"]) {
                let number = port["containerPort"].as_u64();
                let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else {
                    continue;
                };
                if matches!(port["protocol"].as_str(), None | Some("TCP")) {
                    ports.push(Self {
                        number,
                        name: text(&port["name"]),
                        container: text(&container["name"]),
                        image: text(&container["image"]),
                        pod: text(&pod["metadata"]["name"]),
                        said: answers.get(&text(&container["name"])).cloned(),
                    });
                }
            }
        }
        ports
    }

    /// The port that is asked for: by number or name, or the first if nothing is said.
    ///
    /// # Errors
    /// 503 when nothing listens there.
    pub(super) fn of(
        pod: &Value,
        wanted: &str,
        answers: &BTreeMap<String, String>,
    ) -> Result<Self, Status> {
        let all = Self::all(pod, answers);
        let is_it = |port: &&Self| {
            wanted.is_empty() || port.name == wanted || port.number.to_string() == wanted
        };
        if let Some(port) = all.iter().find(is_it) {
            return Ok(port.clone());
        }
        let declared: Vec<String> = all.iter().map(|port| port.number.to_string()).collect();
        let declared = match declared.as_slice() {
            [] => "no port".to_owned(),
            numbers => format!("only {}", numbers.join(", ")),
        };
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let wanted = if wanted.is_empty() { "any" } else { wanted };
        Err(super::unreachable(&format!(
            "connection refused: nothing listens on port {wanted} of pod {name:?}: its containers are simulated and declare {declared}"
        )))
    }

    /// What is answered to a request.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Response<Bytes> {
        let Self {
            number,
            container,
            image,
            pod,
            ..
        } = self;
        let text = self.said.clone().unwrap_or_else(|| {
            format!("simulated container {container:?} of image {image:?} in pod {pod:?}, port {number}: {method} {path}\n")
        });
        let mut response = Response::new(Bytes::from(text));
        let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }

    /// Answers what comes on a connection until either side closes it.
    pub(super) async fn serve(&self, stream: DuplexStream) -> Result<(), Status> {
        let service = service_fn(async |request: Request<Incoming>| {
            let path = request.uri().path_and_query();
            let path = path.map_or("/", |path| path.as_str());
            let response = self.answer(request.method(), path);
            Ok::<_, Infallible>(response.map(Full::new))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // What is no HTTP has its answer; the connection is closed, as by any server.
        if let Err(error) = connection.await {
            tracing::debug!(%error, pod = self.pod, port = self.number, "a simulated port");
        }
        Ok(())
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
