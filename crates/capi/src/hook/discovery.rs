//! What an extension says that it can do.

use std::collections::BTreeSet;

use api::cluster::rules::is_label;
use api::runtime::ExtensionConfig;
use api::runtime::extension_config::{FailurePolicy, GroupVersionHook, Handler, MAX_HANDLERS};
use kube::ResourceExt as _;
use runtime::Cx;
use serde_json::{Value, json};

use super::{API_VERSION, Caller, DEFAULT_TIMEOUT, Hook, MAX_TIMEOUT, NamedHook, answer};

/// Hooks that extensions may have handlers for, and that nobody calls here.
const UNCALLED: &[&str] = &[
    "CanUpdateMachine",
    "CanUpdateMachineSet",
    "GenerateUpgradePlan",
    "UpdateMachine",
];
/// Mistakes that are told.
const MAX_ERRORS: usize = 10;

impl Caller {
    /// Asks an extension for its handlers.
    ///
    /// # Errors
    /// Why they are not known, in words.
    pub async fn discover(
        &self,
        cx: &Cx,
        config: &ExtensionConfig,
    ) -> Result<Vec<Handler>, String> {
        let request = json!({"apiVersion": API_VERSION, "kind": "DiscoveryRequest"});
        let path = ("Discovery", "");
        let answer = self
            .call(cx, config, path, request, DEFAULT_TIMEOUT)
            .await?;
        handlers(&config.name_any(), &answer)
    }
}

/// The handlers in a response, with what was left out. Pure.
pub(super) fn handlers(config: &str, answer: &Value) -> Result<Vec<Handler>, String> {
    answer::check("Discovery", answer)?;
    let none = vec![];
    let listed = match &answer["handlers"] {
        Value::Null => &none,
        Value::Array(listed) => listed,
        _ => return Err("handlers of the answer must be a list".to_owned()),
    };
    if listed.len() > MAX_HANDLERS {
        return Err(format!(
            "the answer has {} handlers; {MAX_HANDLERS} are allowed",
            listed.len()
        ));
    }
    let (mut found, mut errors, mut names) = (vec![], vec![], BTreeSet::new());
    for (index, handler) in listed.iter().enumerate() {
        match read(config, handler) {
            Ok(found) if !names.insert(found.name.clone()) => {
                let name = &handler["name"];
                errors.push(format!("handlers[{index}].name: there is another {name}"));
            }
            Ok(read) => found.push(read),
            Err((field, why)) => errors.push(format!("handlers[{index}].{field}: {why}")),
        }
    }
    if errors.is_empty() {
        found.sort_by(|a, b| a.name.cmp(&b.name));
        return Ok(found);
    }
    let more = errors.len().saturating_sub(MAX_ERRORS);
    errors.truncate(MAX_ERRORS);
    if more > 0 {
        errors.push(format!("{more} more"));
    }
    Err(format!("the answer cannot be used: {}", errors.join("; ")))
}

fn read(config: &str, handler: &Value) -> Result<Handler, (&'static str, String)> {
    let text = |value: &Value| answer::told(value.as_str().unwrap_or_default());
    let name = text(&handler["name"]);
    if !is_label(&name) {
        let why = format!(
            "{name:?} must be a DNS label: up to 63 lower case letters, digits and -, such as before-create"
        );
        return Err(("name", why));
    }
    let hook = &handler["requestHook"];
    let (api_version, hook) = (text(&hook["apiVersion"]), text(&hook["hook"]));
    if api_version != API_VERSION {
        let why = format!("{api_version:?} must be {API_VERSION}");
        return Err(("requestHook.apiVersion", why));
    }
    let is_called = Hook::ALL.iter().any(|known| known.name() == hook)
        || NamedHook::ALL.iter().any(|known| known.name() == hook);
    if !is_called && !UNCALLED.contains(&hook.as_str()) {
        let why = format!("{hook:?} must be a hook such as BeforeClusterCreate");
        return Err(("requestHook.hook", why));
    }
    let seconds = match &handler["timeoutSeconds"] {
        Value::Null => DEFAULT_TIMEOUT,
        seconds => {
            let seconds = seconds.as_i64().and_then(|s| i32::try_from(s).ok());
            let seconds = seconds.filter(|s| (1..=MAX_TIMEOUT).contains(s));
            let why = || format!("must be a whole number from 1 to {MAX_TIMEOUT}");
            seconds.ok_or_else(|| ("timeoutSeconds", why()))?
        }
    };
    let policy = match &handler["failurePolicy"] {
        Value::Null => FailurePolicy::Fail,
        policy if policy == "Fail" => FailurePolicy::Fail,
        policy if policy == "Ignore" => FailurePolicy::Ignore,
        _ => return Err(("failurePolicy", "must be Ignore or Fail".to_owned())),
    };
    Ok(Handler {
        name: format!("{name}.{config}"),
        request_hook: GroupVersionHook { api_version, hook },
        timeout_seconds: Some(seconds),
        failure_policy: Some(policy),
    })
}

/// What is to be said about handlers: which of them nobody calls. Empty if that is none.
#[must_use]
pub fn discovered(handlers: &[Handler]) -> String {
    let uncalled = handlers.iter().map(|h| h.request_hook.hook.as_str());
    let uncalled: BTreeSet<&str> = uncalled.filter(|h| UNCALLED.contains(h)).collect();
    if uncalled.is_empty() {
        return String::new();
    }
    let uncalled: Vec<&str> = uncalled.into_iter().collect();
    format!(
        "Handlers of these hooks are never called: {}",
        uncalled.join(", ")
    )
}
