//! Logs of simulated containers: pure.

use apiserver::runner::{LogOptions, LogSource};
use jiff::Timestamp;
use serde_json::Value;

/// The asked part of what a container has said; `said` is what it is scripted to say each time it starts.
pub(super) fn text(pod: &Value, said: Option<&str>, options: &LogOptions) -> String {
    let Some((container, started)) = run(pod, options) else {
        return String::new();
    };
    // Everything goes to standard output, at the start.
    let is_too_old = options.since.is_some_and(|since| started < since);
    if is_too_old || options.stream == LogSource::Stderr {
        return String::new();
    }
    let said = match said {
        Some(said) => said.to_owned(),
        None => format!(
            "simulated container {:?} of image {:?} started",
            container["name"].as_str().unwrap_or_default(),
            container["image"].as_str().unwrap_or_default()
        ),
    };
    let lines: Vec<&str> = said.lines().collect();
    let tail = options.tail_lines.map_or(lines.len(), |tail| {
        usize::try_from(tail).unwrap_or(usize::MAX)
    });
    let mut text = String::new();
    for line in lines.iter().skip(lines.len().saturating_sub(tail)) {
        if options.timestamps {
            text.push_str(&started.strftime("%Y-%m-%dT%H:%M:%S%.9fZ ").to_string());
        }
        text.push_str(line);
        text.push('\n');
    }
    if let Some(limit) = options.limit_bytes {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(text.len());
        let cut = (0..=limit).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or_default());
    }
    text
}

/// The status of the container, and when the run that is asked for began.
fn run<'p>(pod: &'p Value, options: &LogOptions) -> Option<(&'p Value, Timestamp)> {
    let lists = [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ];
    let status = lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .find(|status| status["name"] == *options.container)?;
    let (state, last) = (&status["state"], &status["lastState"]["terminated"]);
    let runs = if options.previous {
        [last, &Value::Null, &Value::Null]
    } else {
        [&state["running"], &state["terminated"], last]
    };
    let run = runs.into_iter().find(|run| run.is_object())?;
    Some((status, run["startedAt"].as_str()?.parse().ok()?))
}
