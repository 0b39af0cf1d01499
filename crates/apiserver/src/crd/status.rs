//! The status of a definition: which names it got, and the conditions.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Compiled;

/// The names of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub list_kind: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
}

impl Names {
    /// The names that a definition's `spec` asks for, with defaults.
    #[must_use]
    pub fn requested(spec: &Value) -> Self {
        let mut names = Self::read(&spec["names"]);
        if names.singular.is_empty() {
            names.singular = names.kind.to_lowercase();
        }
        if names.list_kind.is_empty() {
            names.list_kind = format!("{}List", names.kind);
        }
        names
    }

    /// The names that the status of a definition says it has; `None` before any were accepted.
    #[must_use]
    pub fn accepted(crd: &Value) -> Option<Self> {
        let names = Self::read(&crd["status"]["acceptedNames"]);
        (names != Self::default()).then_some(names)
    }

    fn read(names: &Value) -> Self {
        let text = |name: &str| names[name].as_str().unwrap_or_default().to_owned();
        let list = |name: &str| {
            let items = names[name].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            plural: text("plural"),
            singular: text("singular"),
            kind: text("kind"),
            list_kind: text("listKind"),
            short_names: list("shortNames"),
            categories: list("categories"),
        }
    }

    fn value(&self) -> Value {
        let mut names = Map::new();
        for (name, text) in [
            ("plural", &self.plural),
            ("singular", &self.singular),
            ("kind", &self.kind),
            ("listKind", &self.list_kind),
        ] {
            if !text.is_empty() || matches!(name, "plural" | "kind") {
                names.insert(name.into(), text.as_str().into());
            }
        }
        for (name, list) in [
            ("shortNames", &self.short_names),
            ("categories", &self.categories),
        ] {
            if !list.is_empty() {
                names.insert(name.into(), list.as_slice().into());
            }
        }
        Value::Object(names)
    }
}

/// The status that `crd` should have. `others` are the accepted names of the other definitions of its group; `now` dates
/// conditions that change. Established is given at once: there is one server.
#[must_use]
pub fn status_for(crd: &Value, others: &[Names], now: Timestamp) -> Value {
    let spec = &crd["spec"];
    let mut status = crd["status"].as_object().cloned().unwrap_or_default();
    let requested = Names::requested(spec);
    let current = Names::accepted(crd).unwrap_or_default();
    let (accepted, conflict) = accept(&requested, &current, others);
    let mut conditions = Conditions {
        list: status
            .get("conditions")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default(),
        now: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    };
    match &conflict {
        None => conditions.set("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => conditions.set("NamesAccepted", "False", reason, message),
    }
    if conflict.is_none() || conditions.is_true("Established") {
        let message = "the initial names have been accepted";
        conditions.set("Established", "True", "InitialNamesAccepted", message);
    } else {
        conditions.set(
            "Established",
            "False",
            "NotAccepted",
            "not all names are accepted",
        );
    }
    structure(crd, &mut conditions);
    approval(crd, &mut conditions);
    status.insert("conditions".into(), Value::Array(conditions.list));
    status.insert("acceptedNames".into(), accepted.value());
    status.insert("storedVersions".into(), stored_versions(crd));
    Value::Object(status)
}

/// Each name is taken when it is free; a taken one leaves the name that the definition had.
fn accept(
    requested: &Names,
    current: &Names,
    others: &[Names],
) -> (Names, Option<(&'static str, String)>) {
    let is_resource = |name: &str| {
        others.iter().any(|other| {
            other.plural == name
                || other.singular == name
                || other.short_names.iter().any(|short| short == name)
        })
    };
    let is_kind = |name: &str| {
        others
            .iter()
            .any(|other| other.kind == name || other.list_kind == name)
    };
    // Kubernetes tells the conflict that it finds last.
    let mut conflict = None;
    let mut choose = |reason: &'static str, wanted: &str, had: &str, is_taken: bool| {
        if !is_taken || wanted == had {
            return wanted.to_owned();
        }
        conflict = Some((reason, format!("{wanted:?} is already in use")));
        had.to_owned()
    };
    let (want, had) = (requested, current);
    let plural = choose(
        "PluralConflict",
        &want.plural,
        &had.plural,
        is_resource(&want.plural),
    );
    let singular = choose(
        "SingularConflict",
        &want.singular,
        &had.singular,
        is_resource(&want.singular),
    );
    let mut short_names = want.short_names.clone();
    if short_names != had.short_names {
        let taken = short_names.iter().find(|name| is_resource(name)).cloned();
        if let Some(taken) = taken {
            choose("ShortNamesConflict", &taken, "", true);
            short_names = had.short_names.clone();
        }
    }
    let kind = choose("KindConflict", &want.kind, &had.kind, is_kind(&want.kind));
    let list_kind = choose(
        "ListKindConflict",
        &want.list_kind,
        &had.list_kind,
        is_kind(&want.list_kind),
    );
    let accepted = Names {
        plural,
        singular,
        kind,
        list_kind,
        short_names,
        categories: requested.categories.clone(),
    };
    (accepted, conflict)
}

/// `NonStructuralSchema` stands only while it is true.
fn structure(crd: &Value, conditions: &mut Conditions) {
    let compiled = Compiled::of(crd);
    if compiled.violations.is_empty() {
        conditions.remove("NonStructuralSchema");
        return;
    }
    let mut texts: Vec<String> = compiled
        .violations
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    texts.sort();
    let message = if texts.len() == 1 {
        texts[0].clone()
    } else {
        format!("[{}]", texts.join(", "))
    };
    conditions.set("NonStructuralSchema", "True", "Violations", &message);
}

/// Groups of the Kubernetes project say where their API was approved.
fn approval(crd: &Value, conditions: &mut Conditions) {
    const TYPE: &str = "KubernetesAPIApprovalPolicyConformant";
    if !is_protected(crd["spec"]["group"].as_str().unwrap_or_default()) {
        conditions.remove(TYPE);
        return;
    }
    match approval_of(crd) {
        Approval::Approved(url) => {
            conditions.set(
                TYPE,
                "True",
                "ApprovedAnnotation",
                &format!("approved in {url}"),
            );
        }
        Approval::Bypassed(why) => conditions.set(TYPE, "False", "UnapprovedAnnotation", &why),
        Approval::Missing(why) => conditions.set(TYPE, "False", "MissingAnnotation", &why),
        Approval::Invalid(why) => conditions.set(TYPE, "False", "InvalidAnnotation", &why),
    }
}

/// Annotation that protected groups need.
pub(super) const APPROVED: &str = "api-approved.kubernetes.io";

/// What the approval annotation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    Approved(String),
    Bypassed(String),
    Missing(String),
    Invalid(String),
}

/// Whether a group belongs to the Kubernetes project.
pub(super) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group == *domain
            || group
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    })
}

pub(super) fn approval_of(crd: &Value) -> Approval {
    match crd["metadata"]["annotations"][APPROVED]
        .as_str()
        .unwrap_or_default()
    {
        "" => Approval::Missing(format!(
            "protected groups must have approval annotation {APPROVED:?}, see https://github.com/kubernetes/enhancements/pull/1111"
        )),
        text if text.starts_with("unapproved") => {
            Approval::Bypassed(format!("not approved: {text:?}"))
        }
        text if text.starts_with("http://") || text.starts_with("https://") => {
            Approval::Approved(text.into())
        }
        text => Approval::Invalid(format!(
            "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \
             \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111, got {text:?}"
        )),
    }
}

/// Versions in which objects may be stored: those known before and the present one.
fn stored_versions(crd: &Value) -> Value {
    let mut versions = crd["status"]["storedVersions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let storage = crd["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    versions.extend(storage.filter(|name| !versions.contains(name)));
    Value::Array(versions)
}

struct Conditions {
    list: Vec<Value>,
    now: String,
}

impl Conditions {
    fn set(&mut self, ty: &str, status: &str, reason: &str, message: &str) {
        let mut condition = json!({
            "type": ty, "status": status, "reason": reason, "message": message, "lastTransitionTime": self.now,
        });
        match self
            .list
            .iter_mut()
            .find(|condition| condition["type"] == ty)
        {
            Some(old) => {
                if old["status"] == status {
                    condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
                }
                *old = condition;
            }
            None => self.list.push(condition),
        }
    }

    fn remove(&mut self, ty: &str) {
        self.list.retain(|condition| condition["type"] != ty);
    }

    fn is_true(&self, ty: &str) -> bool {
        self.list
            .iter()
            .any(|condition| condition["type"] == ty && condition["status"] == "True")
    }
}
