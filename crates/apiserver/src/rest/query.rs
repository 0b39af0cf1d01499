//! Query parameters, read into what the registry understands.

use serde_json::{Value, json};
use url::form_urlencoded;

use crate::go;
use crate::registry::{DeleteOptions, ListOptions};
use crate::resource::Resource;
use crate::schema::FieldValidation;
use crate::select::{FieldSelector, LabelSelector};
use crate::status::{Cause, Status};

/// Longest `fieldManager`, in bytes.
const MAX_MANAGER: usize = 128;

/// The parameters of a request, decoded, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(
            pairs
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of `name`, in order.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        let pairs = self.0.iter().filter(move |(key, _)| key == name);
        pairs.map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// True for `true`, `1` and a parameter without a value.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| !matches!(v, "false" | "0" | "False" | "FALSE" | "f" | "F"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        go::parse_int(text).map(Some).map_err(Status::bad_request)
    }

    /// Seconds after which a watch ends; 0 and less say nothing.
    pub(crate) fn timeout_seconds(&self) -> Result<Option<u64>, Status> {
        let seconds = self.number("timeoutSeconds")?;
        Ok(seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0))
    }

    /// Refuses what is no longer supported of a GET.
    pub(crate) fn check_export(&self) -> Result<(), Status> {
        if self.is_set("export") {
            return Err(Status::bad_request(
                "the export parameter, deprecated since v1.14, is no longer supported",
            ));
        }
        Ok(())
    }

    /// Whether nothing may be stored.
    pub(crate) fn dry_run(&self, kind: &'static str) -> Result<bool, Status> {
        match self.get("dryRun") {
            None | Some("") => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(options_invalid(
                kind,
                // It is a list.
                Cause::not_supported("dryRun", &json!([other]), &["All"]),
            )),
        }
    }

    pub(crate) fn field_validation(&self, kind: &'static str) -> Result<FieldValidation, Status> {
        match self.get("fieldValidation") {
            None | Some("" | "Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => {
                let allowed = ["", "Ignore", "Strict", "Warn"];
                Err(options_invalid(
                    kind,
                    Cause::not_supported("fieldValidation", &json!(other), &allowed),
                ))
            }
        }
    }

    /// The manager of the written fields: `?fieldManager`, or what the user agent begins with.
    pub(crate) fn manager(&self, kind: &'static str, user_agent: &str) -> Result<String, Status> {
        let named = self.text("fieldManager");
        if named.len() > MAX_MANAGER {
            return Err(options_invalid(
                kind,
                Cause::too_long("fieldManager", MAX_MANAGER),
            ));
        }
        if named.chars().any(char::is_control) {
            let detail = "should only contain printable characters";
            return Err(options_invalid(
                kind,
                Cause::invalid("fieldManager", &json!(named), detail),
            ));
        }
        if !named.is_empty() {
            return Ok(named);
        }
        let agent = user_agent.split('/').next().unwrap_or_default();
        Ok(agent
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_MANAGER)
            .collect())
    }

    /// The parameters of a write as the object that admission sees.
    pub(crate) fn options(&self, kind: &str) -> Value {
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        for name in ["fieldManager", "fieldValidation"] {
            if let Some(text) = self.get(name).filter(|text| !text.is_empty()) {
                options[name] = text.into();
            }
        }
        if let Some(dry_run) = self.get("dryRun").filter(|text| !text.is_empty()) {
            options["dryRun"] = json!([dry_run]);
        }
        if kind == "PatchOptions" && self.get("force").is_some() {
            options["force"] = self.is_set("force").into();
        }
        options
    }

    /// The parameters of a connection as the object of kind `kind` (`PodExecOptions`) that admission sees.
    pub(crate) fn connect_options(&self, kind: &str) -> Value {
        let mut options = json!({"kind": kind, "apiVersion": "v1"});
        let given = |name: &str| self.get(name).filter(|text| !text.is_empty());
        for name in ["container", "path"] {
            if let Some(text) = given(name) {
                options[name] = text.into();
            }
        }
        for name in ["stdin", "stdout", "stderr", "tty"] {
            if self.get(name).is_some() && self.is_set(name) {
                options[name] = true.into();
            }
        }
        let all = |name: &str| -> Vec<&str> {
            let same = self.0.iter().filter(|(key, _)| key == name);
            same.map(|(_, value)| value.as_str()).collect()
        };
        if kind == "PodExecOptions" {
            options["command"] = json!(all("command"));
        }
        let ports: Vec<u16> = all("ports").iter().filter_map(|p| p.parse().ok()).collect();
        if kind == "PodPortForwardOptions" && !ports.is_empty() {
            options["ports"] = json!(ports);
        }
        options
    }

    pub(crate) fn list_options(&self, resource: &Resource) -> Result<ListOptions, Status> {
        // A limit below zero is none.
        let limit = self.number("limit")?.unwrap_or(0).max(0);
        Ok(ListOptions {
            labels: LabelSelector::parse(self.get("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(self.get("fieldSelector").unwrap_or_default(), resource)?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            continue_token: self.text("continue"),
            resource_version: self.text("resourceVersion"),
            resource_version_match: self.text("resourceVersionMatch"),
            send_initial_events: self
                .get("sendInitialEvents")
                .map(|_| self.is_set("sendInitialEvents")),
        })
    }

    /// Delete options of a request without a body.
    pub(crate) fn delete_options(&self) -> Result<DeleteOptions, Status> {
        let options = DeleteOptions {
            grace_period_seconds: self.number("gracePeriodSeconds")?,
            propagation: self.get("propagationPolicy").map(str::to_owned),
            orphan_dependents: self
                .get("orphanDependents")
                .map(|_| self.is_set("orphanDependents")),
            dry_run: self.dry_run("DeleteOptions")?,
            ..DeleteOptions::default()
        };
        options.check()?;
        Ok(options)
    }
}

fn options_invalid(kind: &'static str, cause: Cause) -> Status {
    Status::invalid("meta.k8s.io", kind, "", vec![cause])
}
