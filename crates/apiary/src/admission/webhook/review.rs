//! AdmissionReviews of `admission.k8s.io/v1`: what is asked, and the answer. Pure.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use apiserver::admission::Operation;
use apiserver::status::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::admission::{Objects, Refusal, Review};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What an API server asks about.
#[derive(Debug)]
pub(super) struct Asked {
    uid: String,
    pub(super) operation: Operation,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    /// As in paths.
    pub(super) plural: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Null on deletion.
    pub(super) object: Value,
    pub(super) old: Option<Value>,
}

/// What is said of something that may be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Operations of a JSON patch.
    pub(super) patch: Vec<Value>,
    pub(super) warnings: Vec<String>,
}

/// Kinds by group and plural: a Scale does not say whose it is.
fn kind_of(group: &str, plural: &str) -> Option<&'static str> {
    static KINDS: LazyLock<BTreeMap<(String, String), String>> = LazyLock::new(|| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let crds = api::crds();
        let kinds = crds.iter().map(|crd| {
            let (spec, names) = (&crd["spec"], &crd["spec"]["names"]);
            (
                (text(&spec["group"]), text(&names["plural"])),
                text(&names["kind"]),
            )
        });
        kinds.collect()
    });
    let key = (group.to_owned(), plural.to_owned());
    KINDS.get(&key).map(String::as_str)
}

impl Asked {
    /// Reads a review.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub(super) fn parse(mut review: Value) -> Result<Self, String> {
        if review["apiVersion"] != API_VERSION || review["kind"] != KIND {
            return Err(format!("an {KIND} of {API_VERSION} was expected"));
        }
        let mut request = review["request"].take();
        let text = |path: &str| {
            let found = request.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let operation = match text("/operation").as_str() {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            other => {
                return Err(format!(
                    "request.operation is {other:?} and must be CREATE, UPDATE or DELETE"
                ));
            }
        };
        let (group, plural) = (text("/resource/group"), text("/resource/resource"));
        let subresource = text("/subResource");
        let kind = if subresource.is_empty() {
            text("/kind/kind")
        } else {
            let known = kind_of(&group, &plural);
            known.map_or_else(|| text("/kind/kind"), str::to_owned)
        };
        let required = [("uid", text("/uid")), ("resource.resource", plural.clone())];
        for (field, value) in &required {
            if value.is_empty() {
                return Err(format!("request.{field} must not be empty"));
            }
        }
        let [(_, uid), _] = required;
        let asked = Self {
            uid,
            operation,
            version: text("/resource/version"),
            group,
            kind,
            plural,
            subresource,
            namespace: text("/namespace"),
            name: text("/name"),
            object: Value::Null,
            old: None,
        };
        let (object, old) = (request["object"].take(), request["oldObject"].take());
        // Where many objects are deleted at once, the request names none of them, and on creation it may not either.
        let known = |said: &str, field: &str| {
            let states = [&object, &old].into_iter();
            let mut states = states.filter_map(|state| state["metadata"][field].as_str());
            let said = Some(said).filter(|said| !said.is_empty());
            said.or_else(|| states.next())
                .unwrap_or_default()
                .to_owned()
        };
        Ok(Self {
            name: known(&asked.name, "name"),
            namespace: known(&asked.namespace, "namespace"),
            object,
            old: Some(old).filter(|old| !old.is_null()),
            ..asked
        })
    }

    /// Whether the object goes, or says something else than before.
    pub(super) fn is_gone_or_changed(&self) -> bool {
        let old = self.old.as_ref().map(|old| &old["spec"]);
        old.is_some_and(|old| *old != self.object["spec"])
    }

    /// For the rules.
    pub(super) fn review<'a>(&'a self, objects: &'a dyn Objects) -> Review<'a> {
        Review {
            operation: self.operation,
            group: &self.group,
            version: &self.version,
            kind: &self.kind,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            old: self.old.as_ref(),
            objects,
        }
    }

    /// A refusal as the API server says it.
    pub(super) fn refused(&self, why: Refusal) -> Status {
        why.status(&self.group, &self.kind, &self.name)
    }

    /// The review that goes back.
    pub(super) fn answer(&self, answer: Result<Answer, Status>) -> Value {
        let mut response = json!({"uid": self.uid});
        match answer {
            Ok(answer) => {
                response["allowed"] = json!(true);
                if !answer.patch.is_empty() {
                    let patch = Value::Array(answer.patch).to_string();
                    response["patchType"] = json!("JSONPatch");
                    response["patch"] = json!(STANDARD.encode(patch));
                }
                if !answer.warnings.is_empty() {
                    response["warnings"] = json!(answer.warnings);
                }
            }
            Err(status) => {
                response["allowed"] = json!(false);
                response["status"] = status.body();
            }
        }
        json!({"apiVersion": API_VERSION, "kind": KIND, "response": response})
    }
}

/// What makes `after` of `before`: members as a whole, and of the metadata labels and annotations.
pub(super) fn patch(before: &Value, after: &Value) -> Vec<Value> {
    let mut operations = vec![];
    let mut add = |path: String, before: &Value, after: &Value| {
        if before != after {
            operations.push(match after.is_null() {
                true => json!({"op": "remove", "path": path}),
                false => json!({"op": "add", "path": path, "value": after}),
            });
        }
    };
    for part in ["labels", "annotations"] {
        let (before, after) = (&before["metadata"][part], &after["metadata"][part]);
        add(format!("/metadata/{part}"), before, after);
    }
    let members = |object: &Value| -> Vec<String> {
        let members = object.as_object().into_iter().flatten();
        members.map(|(name, _)| name.clone()).collect()
    };
    let mut names = members(before);
    names.extend(members(after));
    names.sort();
    names.dedup();
    names.retain(|name| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
    for name in names {
        add(format!("/{name}"), &before[&name], &after[&name]);
    }
    operations
}
