//! What extensions say, and what the answers of several come to. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{API_VERSION, Hook, again};

/// Characters of what an extension says that are told.
const MAX_TOLD: usize = 512;

/// What all handlers of a hook say together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Answer {
    /// Nobody has anything against it.
    Go,
    /// Somebody asks to wait.
    Wait {
        /// Who and why, by handler.
        lines: Vec<String>,
        /// When they are asked again: the earliest time that somebody named.
        until: Timestamp,
    },
    /// Somebody could not be asked, or said that they failed.
    Failed {
        /// Who and why, by handler.
        lines: Vec<String>,
        /// When they are asked again.
        until: Timestamp,
    },
}

/// What one handler says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// 0: nothing against it.
    retry_after_seconds: i64,
    message: String,
}

impl Answer {
    /// One answer from those of all handlers.
    pub(super) fn of(
        hook: Hook,
        said: Vec<(String, Result<Said, String>)>,
        now: Timestamp,
    ) -> Self {
        let (mut failures, mut waits, mut least) = (vec![], vec![], i64::MAX);
        for (handler, said) in said {
            match said {
                Err(why) => failures.push(format!("{handler}: {why}")),
                Ok(said) if hook.holds_back() && said.retry_after_seconds > 0 => {
                    least = least.min(said.retry_after_seconds);
                    let message = if said.message.is_empty() {
                        "it gives no reason"
                    } else {
                        &said.message
                    };
                    waits.push(format!("{handler}: {message}"));
                }
                Ok(_) => {}
            }
        }
        if !failures.is_empty() {
            let until = again(now);
            let lines = failures;
            return Self::Failed { lines, until };
        }
        if waits.is_empty() {
            return Self::Go;
        }
        let until = now.checked_add(SignedDuration::from_secs(least));
        Self::Wait {
            lines: waits,
            until: until.unwrap_or(Timestamp::MAX),
        }
    }

    /// Who and why, and when they are asked again; nothing if there is nothing against it.
    #[must_use]
    pub fn obstacle(&self) -> Option<(&[String], Timestamp)> {
        match self {
            Self::Go => None,
            Self::Wait { lines, until } | Self::Failed { lines, until } => Some((lines, *until)),
        }
    }
}

impl Said {
    /// Reads a response. Its errors name the field.
    pub(super) fn read(hook: Hook, answer: &Value) -> Result<Self, String> {
        check(hook.name(), answer)?;
        let seconds = &answer["retryAfterSeconds"];
        let retry_after_seconds = match seconds.as_i64() {
            _ if seconds.is_null() => 0,
            Some(seconds) if (0..=i64::from(i32::MAX)).contains(&seconds) => seconds,
            _ => {
                return Err(format!(
                    "retryAfterSeconds of the answer must be a whole number from 0 to {}",
                    i32::MAX
                ));
            }
        };
        Ok(Self {
            retry_after_seconds,
            message: told(answer["message"].as_str().unwrap_or_default()),
        })
    }
}

/// Whether it is a response to this hook, and a good one.
pub(super) fn check(hook: &str, answer: &Value) -> Result<(), String> {
    if !answer.is_object() {
        return Err("the answer must be a JSON object".to_owned());
    }
    for (field, wanted) in [
        ("apiVersion", API_VERSION),
        ("kind", &format!("{hook}Response")),
    ] {
        // Programs that answer with what they know of may leave them out.
        if !answer[field].is_null() && answer[field] != *wanted {
            return Err(format!("{field} of the answer must be {wanted}"));
        }
    }
    match answer["status"].as_str() {
        Some("Success") => Ok(()),
        Some("Failure") => {
            let message = told(answer["message"].as_str().unwrap_or_default());
            let why = if message.is_empty() {
                "it gives no reason"
            } else {
                &message
            };
            Err(format!("the extension failed: {why}"))
        }
        _ => Err("status of the answer must be Success or Failure".to_owned()),
    }
}

/// What of an extension's words is told: on one line, and not too long.
pub(super) fn told(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text = text.trim();
    let mut told: String = text.chars().take(MAX_TOLD).map(plain).collect();
    if text.chars().nth(MAX_TOLD).is_some() {
        told.push('…');
    }
    told
}
