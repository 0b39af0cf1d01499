//! Query parameters of connections, and whether the pod is in a state for them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::rest::query::Query;
use crate::runner::{LogOptions, LogSource, SessionOptions};
use crate::status::{Cause, Status};

/// Reads the parameters of a log.
pub(super) fn log(query: &Query, pod: &Value, now: Timestamp) -> Result<LogOptions, Status> {
    let number = |name: &str| -> Result<Option<i64>, Status> {
        let Some(text) = query.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "invalid value {text:?} of query parameter {name}: it must be a whole number"
            ))
        })
    };
    let mut causes = vec![];
    let tail_lines = number("tailLines")?;
    let limit_bytes = number("limitBytes")?;
    let since_seconds = number("sinceSeconds")?;
    if let Some(lines) = tail_lines.filter(|lines| *lines < 0) {
        let rule = "must be greater than or equal to 0";
        causes.push(Cause::invalid("tailLines", &json!(lines), rule));
    }
    if let Some(bytes) = limit_bytes.filter(|bytes| *bytes < 1) {
        let rule = "must be greater than 0";
        causes.push(Cause::invalid("limitBytes", &json!(bytes), rule));
    }
    let since_time = match query.get("sinceTime").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| {
            Status::bad_request(format!(
                "invalid value {text:?} of query parameter sinceTime: it must be a time like 2026-01-02T03:04:05Z"
            ))
        })?),
    };
    if since_seconds.is_some() && since_time.is_some() {
        let rule = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        causes.push(Cause::forbidden("", rule));
    } else if let Some(seconds) = since_seconds.filter(|seconds| *seconds < 1) {
        let rule = "must be greater than 0";
        causes.push(Cause::invalid("sinceSeconds", &json!(seconds), rule));
    }
    let stream = match query.get("stream").unwrap_or_default() {
        "" | "All" => LogSource::All,
        "Stdout" => LogSource::Stdout,
        "Stderr" => LogSource::Stderr,
        other => {
            let known = ["All", "Stderr", "Stdout"];
            causes.push(Cause::not_supported("stream", &json!(other), &known));
            LogSource::All
        }
    };
    if stream != LogSource::All && tail_lines.is_some() {
        let rule = "`tailLines` and specific `stream` are mutually exclusive for now";
        causes.push(Cause::forbidden("", rule));
    }
    if !causes.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", name_of(pod), causes));
    }
    let ago = |seconds: i64| now.checked_sub(SignedDuration::from_secs(seconds)).ok();
    Ok(LogOptions {
        container: container(query, pod)?,
        follow: query.is_set("follow"),
        previous: query.is_set("previous"),
        since: since_time.or_else(|| since_seconds.and_then(ago)),
        timestamps: query.is_set("timestamps"),
        tail_lines: tail_lines.map(i64::unsigned_abs),
        limit_bytes: limit_bytes.map(i64::unsigned_abs),
        stream,
    })
}

/// Reads the parameters of a session; `is_exec` says that a command is needed.
pub(super) fn session(query: &Query, pod: &Value, is_exec: bool) -> Result<SessionOptions, Status> {
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    if is_exec && command.is_empty() {
        return Err(Status::bad_request(
            "you must specify at least 1 command for the pod",
        ));
    }
    // Attaching without a word about streams means the container's output.
    let has = |name: &str| match query.get(name) {
        None => !is_exec && name != "stdin",
        Some(_) => query.is_set(name),
    };
    let tty = query.is_set("tty");
    let options = SessionOptions {
        container: container(query, pod)?,
        command,
        stdin: has("stdin"),
        stdout: has("stdout"),
        // A terminal has one output.
        stderr: has("stderr") && !tty,
        tty,
    };
    if !(options.stdin || options.stdout || options.stderr) {
        return Err(Status::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    Ok(options)
}

fn name_of(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

fn names<'p>(pod: &'p Value, list: &str) -> Vec<&'p str> {
    let containers = pod["spec"][list].as_array();
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    containers
        .iter()
        .filter_map(|c| c["name"].as_str())
        .collect()
}

/// The container that is meant: the one that is named, or the only one.
fn container(query: &Query, pod: &Value) -> Result<String, Status> {
    let (main, init, ephemeral) = (
        names(pod, "containers"),
        names(pod, "initContainers"),
        names(pod, "ephemeralContainers"),
    );
    let name = name_of(pod);
    match query.get("container").unwrap_or_default() {
        "" => match main.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}"
            ))),
            all => {
                let mut text = format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    all.join(" ")
                );
                for (what, names) in [("init", &init), ("ephemeral", &ephemeral)] {
                    if !names.is_empty() {
                        let names = names.join(" ");
                        text.push_str(&format!(" or one of the {what} containers: [{names}]"));
                    }
                }
                Err(Status::bad_request(text))
            }
        },
        named
            if [main, init, ephemeral]
                .iter()
                .any(|all| all.contains(&named)) =>
        {
            Ok(named.to_owned())
        }
        named => Err(Status::bad_request(format!(
            "container {named} is not valid for pod {name}"
        ))),
    }
}

fn status<'p>(pod: &'p Value, container: &str) -> Option<&'p Value> {
    let lists = [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ];
    lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .find(|status| status["name"] == container)
}

/// Whether the container has ended for good or for now; of a pod, if `container` is empty.
pub(super) fn has_ended(pod: &Value, container: &str) -> bool {
    if container.is_empty() {
        return matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
    }
    status(pod, container).is_some_and(|status| status["state"]["terminated"].is_object())
}

/// Checks that the container has a log.
pub(super) fn check_log(pod: &Value, options: &LogOptions) -> Result<(), Status> {
    let (name, container) = (name_of(pod), &options.container);
    let refused = |what: &str| {
        Err(Status::bad_request(format!(
            "container {container:?} in pod {name:?} {what}"
        )))
    };
    let Some(status) = status(pod, container) else {
        return refused("is not available");
    };
    let has_previous = status["lastState"]["terminated"].is_object();
    if options.previous {
        if has_previous {
            return Ok(());
        }
        return Err(Status::bad_request(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        )));
    }
    let state = &status["state"];
    if state["running"].is_object() || state["terminated"].is_object() {
        return Ok(());
    }
    match state["waiting"]["reason"].as_str() {
        // Between two runs there is the log of the one before.
        Some(_) if has_previous => Ok(()),
        Some("ImagePullBackOff") => {
            refused("is waiting to start: trying and failing to pull image")
        }
        Some("ErrImagePull") => refused("is waiting to start: image can't be pulled"),
        Some(reason) => refused(&format!("is waiting to start: {reason}")),
        None => refused("is waiting to start - no logs yet"),
    }
}

/// Checks that something can be run in the container.
pub(super) fn check_running(pod: &Value, container: &str) -> Result<(), Status> {
    let name = name_of(pod);
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(Status::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    }
    let is_running = match container {
        "" => pod["status"]["phase"] == "Running",
        named => status(pod, named).is_some_and(|status| status["state"]["running"].is_object()),
    };
    if is_running {
        return Ok(());
    }
    let what = match container {
        "" => "it".to_owned(),
        named => format!("container {named:?}"),
    };
    Err(Status::bad_request(format!(
        "pod {name} cannot be connected to: {what} is not running"
    )))
}
