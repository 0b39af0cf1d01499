//! The selectors of a request as authorizers see them: which objects of a collection it is about.
//!
//! All conditions must hold, so one that is not understood is left out: what is then decided about is more than what
//! is asked for, never less.

use serde_json::Value;

use crate::select::{
    FieldRequirement, LabelSelector, Requirement, label_value_problems, qualified_name_problems,
};
use crate::status::Cause;

/// What a collection is narrowed to. The default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    pub fields: Vec<FieldRequirement>,
    /// Some conditions on fields were not understood.
    pub are_fields_broken: bool,
    pub labels: Vec<Requirement>,
    /// Some conditions on labels were not understood.
    pub are_labels_broken: bool,
}

impl Selectors {
    /// Reads both as query parameters and expressions spell them; empty for none.
    #[must_use]
    pub fn parse(fields: &str, labels: &str) -> Self {
        let parsed_fields = FieldRequirement::parse(fields);
        let parsed_labels = LabelSelector::parse(labels);
        Self {
            are_fields_broken: parsed_fields.is_err(),
            fields: parsed_fields.unwrap_or_default(),
            are_labels_broken: parsed_labels.is_err(),
            labels: parsed_labels
                .map(|labels| labels.requirements().to_vec())
                .unwrap_or_default(),
        }
    }

    /// Reads `fieldSelector` and `labelSelector` of the `resourceAttributes` of a review.
    pub(super) fn of(attributes: &Value) -> Self {
        let (fields, labels) = (&attributes["fieldSelector"], &attributes["labelSelector"]);
        let raw = |selector: &Value| {
            selector["rawSelector"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let mut selectors = Self::parse(&raw(fields), &raw(labels));
        let requirements = |selector: &Value| selector["requirements"].as_array().cloned();
        for requirement in requirements(fields).into_iter().flatten() {
            match field_requirement(&requirement) {
                Some(requirement) => selectors.fields.push(requirement),
                None => selectors.are_fields_broken = true,
            }
        }
        for requirement in requirements(labels).into_iter().flatten() {
            match LabelSelector::of(&serde_json::json!({"matchExpressions": [requirement]})) {
                Ok(read) => selectors.labels.extend_from_slice(read.requirements()),
                Err(_) => selectors.are_labels_broken = true,
            }
        }
        selectors
    }

    /// Whether only objects are asked for whose `field` is `value`.
    pub(super) fn requires(&self, field: &str, value: &str) -> bool {
        self.fields.iter().any(|requirement| {
            *requirement.field == *field && !requirement.is_negated && *requirement.value == *value
        })
    }

    /// What a review tells of conditions that were not understood; empty when all were.
    pub(super) fn evaluation_error(&self) -> String {
        let one = |name: &str, is_broken: bool, is_empty: bool| {
            let partially = if is_empty { "" } else { "partially " };
            is_broken.then(|| {
                format!("spec.resourceAttributes.{name} {partially}ignored due to parse error")
            })
        };
        let errors = [
            one(
                "fieldSelector",
                self.are_fields_broken,
                self.fields.is_empty(),
            ),
            one(
                "labelSelector",
                self.are_labels_broken,
                self.labels.is_empty(),
            ),
        ];
        let errors: Vec<String> = errors.into_iter().flatten().collect();
        errors.join("; ")
    }
}

fn field_requirement(requirement: &Value) -> Option<FieldRequirement> {
    let is_negated = match requirement["operator"].as_str()? {
        "In" => false,
        "NotIn" => true,
        _ => return None,
    };
    let [value] = requirement["values"].as_array()?.as_slice() else {
        return None;
    };
    Some(FieldRequirement {
        field: requirement["key"].as_str().unwrap_or_default().into(),
        is_negated,
        value: value.as_str()?.into(),
    })
}

/// What is wrong with the selectors in the `resourceAttributes` of a review. Operators that nobody knows are not:
/// a newer client may know more of them.
pub(super) fn problems(attributes: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for name in ["fieldSelector", "labelSelector"] {
        let selector = &attributes[name];
        if selector.is_null() {
            continue;
        }
        let path = format!("spec.resourceAttributes.{name}");
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let requirements = selector["requirements"].as_array();
        let requirements = requirements.map_or(&[][..], Vec::as_slice);
        match (raw.is_empty(), requirements.is_empty()) {
            (false, false) => causes.push(Cause::invalid(
                format!("{path}.rawSelector"),
                &raw.into(),
                "may not specified at the same time as requirements",
            )),
            (true, true) => causes.push(Cause::required(
                format!("{path}.requirements"),
                &format!("when {path} is specified, requirements or rawSelector is required"),
            )),
            _ => {}
        }
        for (at, requirement) in requirements.iter().enumerate() {
            let path = format!("{path}.requirements[{at}]");
            requirement_problems(requirement, &path, name == "labelSelector", &mut causes);
        }
    }
    causes
}

fn requirement_problems(
    requirement: &Value,
    path: &str,
    is_on_label: bool,
    causes: &mut Vec<Cause>,
) {
    let key = requirement["key"].as_str().unwrap_or_default();
    let values = requirement["values"].as_array();
    let values = values.map_or(&[][..], Vec::as_slice);
    if !is_on_label && key.is_empty() {
        causes.push(Cause::required(format!("{path}.key"), "must be specified"));
    }
    match requirement["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => causes.push(Cause::required(
            format!("{path}.values"),
            "must be specified when `operator` is 'In' or 'NotIn'",
        )),
        "Exists" | "DoesNotExist" if !values.is_empty() => causes.push(Cause::forbidden(
            format!("{path}.values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        _ => {}
    }
    if !is_on_label {
        return;
    }
    for problem in qualified_name_problems(key) {
        causes.push(Cause::invalid(format!("{path}.key"), &key.into(), &problem));
    }
    for (at, value) in values.iter().enumerate() {
        for problem in label_value_problems(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(
                format!("{path}.values[{at}]"),
                value,
                &problem,
            ));
        }
    }
}
