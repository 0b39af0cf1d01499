//! Failures of templates as Helm shows them: the place first, then what was being evaluated, then the cause.

use crate::gotemplate::Error;
use crate::sprig::WARNING;

/// A template that doesn't parse.
pub(super) fn parse(file: &str, error: &Error) -> String {
    let parts: Vec<&str> = error.text().split(": ").collect();
    match parts.as_slice() {
        [_, location, .., message] => format!("parse error at ({location}): {message}"),
        _ => format!("parse error in ({file}): {error}"),
    }
}

/// One step of the way to a failure.
#[derive(PartialEq, Eq)]
struct Step {
    location: String,
    executed: String,
    message: String,
}

impl Step {
    fn of(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("template: ")?;
        let cut = |message: &str| {
            message
                .split(" template:")
                .next()
                .unwrap_or_default()
                .to_string()
        };
        let step = |location: &str, executed: String, message: String| {
            Some(Self {
                location: location.to_string(),
                executed,
                message,
            })
        };
        if rest.starts_with("no template ") {
            return step("", String::new(), text.to_string());
        }
        if let Some((location, after)) = rest.split_once(": executing ") {
            let executing = after.strip_prefix('"').and_then(|a| a.split_once('"'));
            if let Some((name, place)) = executing
                && let Some((expression, message)) = place
                    .strip_prefix(" at <")
                    .and_then(|p| p.split_once(">: "))
            {
                return step(
                    location,
                    format!("executing \"{name}\" at <{expression}>:"),
                    cut(message),
                );
            }
        }
        let (location, message) = rest.rsplit_once(": ")?;
        step(location, String::new(), cut(message))
    }

    fn shown(&self) -> String {
        let mut out = String::new();
        for (part, end) in [
            (&self.location, "\n  "),
            (&self.executed, "\n    "),
            (&self.message, "\n"),
        ] {
            if !part.is_empty() {
                out.push_str(part);
                out.push_str(end);
            }
        }
        out
    }
}

/// A template that fails when it is executed.
pub(super) fn execution(file: &str, error: &Error) -> String {
    let text = error.text();
    if !error.is_exec() {
        return text.to_string();
    }
    let mut parts = text.splitn(3, ": ");
    let (Some(_), Some(location), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return format!("execution error in ({file}): {text}");
    };
    // The longest stretch between the marks, as a greedy pattern finds it.
    if let (Some(start), Some(end)) = (rest.find(WARNING.0), rest.rfind(WARNING.1)) {
        let from = start + WARNING.0.len();
        if from <= end {
            return format!("execution error at ({location}): {}", &rest[from..end]);
        }
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current {
        match Step::of(error.text()) {
            Some(step) if steps.last() == Some(&step) => {}
            Some(step) => steps.push(step),
            None => return text.to_string(),
        }
        current = error.cause();
    }
    steps
        .iter()
        .map(Step::shown)
        .collect::<String>()
        .trim()
        .to_string()
}
