//! `x-kubernetes-validations` of custom resources: rules in CEL, evaluated beside the rest of the schema.
//!
//! `crd` compiles them; here they meet objects, in Kubernetes' order and words.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{Activation, Budget, ErrorKind, EvalError, Program, Value as Cel};
use serde_json::Value;

use super::ListType;
use super::validate::correlated;
use crate::status::Cause;

/// Longest message that a `messageExpression` may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;
/// Causes that are told.
const MAX_CAUSES: usize = 128;
/// What Kubernetes calls the root in causes.
const ROOT: &str = "<nil>";

/// The rules of a node and of those below it.
#[derive(Debug)]
pub(crate) struct RuleNode {
    pub(crate) rules: Vec<Rule>,
    /// What `self` is.
    pub(crate) of: cel::Type,
    /// `object`, `string`, …: what causes show instead of the value.
    pub(crate) type_name: &'static str,
    pub(crate) list_type: ListType,
    pub(crate) fields: BTreeMap<Box<str>, Self>,
    pub(crate) items: Option<Box<Self>>,
    pub(crate) additional: Option<Box<Self>>,
    /// Rules that `allOf` adds to the node.
    pub(crate) all_of: Vec<Self>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) program: Arc<Program>,
    pub(crate) text: String,
    pub(crate) message: String,
    pub(crate) message_expression: Option<Arc<Program>>,
    pub(crate) reason: Reason,
    /// Below the node, as causes name it; empty for the node itself.
    pub(crate) field_path: String,
    pub(crate) is_old_optional: bool,
}

/// What kind of cause a broken rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    #[default]
    Invalid,
    Forbidden,
    Required,
    Duplicate,
}

impl RuleNode {
    /// Whether there is no rule here or below.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.fields.is_empty()
            && self.items.is_none()
            && self.additional.is_none()
            && self.all_of.is_empty()
    }
}

impl Rule {
    /// What is said of the rule in errors.
    fn shown(&self) -> &str {
        if self.message.is_empty() {
            self.text.trim()
        } else {
            self.message.trim()
        }
    }

    fn uses_old(&self) -> bool {
        self.program.uses("oldSelf")
    }
}

/// Rules look only at objects that the rest of the schema holds for sound: of these causes, any stops them.
pub(crate) fn are_blocked_by(causes: &[Cause]) -> bool {
    causes.iter().any(|cause| {
        matches!(
            cause.reason,
            "FieldValueNotSupported"
                | "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    })
}

/// The cause that says that rules were not evaluated.
pub(crate) fn blocked() -> Cause {
    Cause::invalid(
        ROOT,
        &Value::Null,
        "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
    )
}

/// What rules an object breaks, on create (`old` absent) or update.
pub(crate) fn validate(node: &RuleNode, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut check = Check {
        causes: vec![],
        path: String::new(),
        budget: Budget::default(),
        is_over: false,
    };
    let before = Before {
        old,
        correlated: old,
        parent: None,
    };
    check.node(node, value, before);
    check.causes
}

/// What a value was before.
#[derive(Clone, Copy)]
struct Before<'o> {
    /// What `oldSelf` is.
    old: Option<&'o Value>,
    /// The same, for deciding whether the value is unchanged.
    correlated: Option<&'o Value>,
    /// The nearest value around this one that can be compared, and what it was.
    parent: Option<(&'o Value, &'o Value)>,
}

impl<'o> Before<'o> {
    /// What a part of `value` was before.
    fn below(self, value: &'o Value, old: Option<&'o Value>) -> Self {
        Self {
            old,
            correlated: old,
            parent: self
                .correlated
                .map(|before| (value, before))
                .or(self.parent),
        }
    }

    /// Whether a value, or what it is part of, is as it was: then it may go on breaking rules.
    fn is_unchanged(&self, value: &Value) -> bool {
        match self.correlated {
            Some(before) => before == value,
            None => self.parent.is_some_and(|(now, before)| now == before),
        }
    }
}

struct Check {
    causes: Vec<Cause>,
    path: String,
    budget: Budget,
    /// The budget is spent: no rule is evaluated any more.
    is_over: bool,
}

/// What becomes of the message of a broken rule.
enum Message {
    Is(String),
    /// The rule's own message is used.
    Fallback,
    /// Nothing more is evaluated; this is why.
    Over(String),
}

impl Check {
    fn add(&mut self, cause: Cause) {
        if self.causes.len() < MAX_CAUSES {
            self.causes.push(cause);
        }
    }

    fn field(&self) -> String {
        if self.path.is_empty() {
            ROOT.to_owned()
        } else {
            self.path.clone()
        }
    }

    fn inside(&mut self, step: &str, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        then(self);
        self.path.truncate(length);
    }

    fn node(&mut self, node: &RuleNode, value: &Value, before: Before<'_>) {
        if value.is_null() || self.is_over {
            return;
        }
        self.rules(node, value, before);
        for branch in &node.all_of {
            let before = Before {
                correlated: None,
                ..before
            };
            self.node(branch, value, before);
        }
        if self.is_over {
            return;
        }
        match value {
            Value::Array(items) => self.items(node, value, items, before),
            Value::Object(members) => {
                for (name, member) in members {
                    let old = before.old.and_then(|old| old.get(name));
                    let below = before.below(value, old);
                    if let Some(inner) = node.fields.get(&**name) {
                        self.inside(name, |check| check.node(inner, member, below));
                    } else if let Some(inner) = &node.additional {
                        let step = format!("[{name}]");
                        self.inside(&step, |check| check.node(inner, member, below));
                    }
                }
            }
            _ => {}
        }
    }

    fn items(&mut self, node: &RuleNode, value: &Value, items: &[Value], before: Before<'_>) {
        let Some(inner) = &node.items else {
            return;
        };
        for (index, item) in items.iter().enumerate() {
            let old = correlated(item, index, &node.list_type, before.old);
            let below = before.below(value, old);
            self.inside(&format!("[{index}]"), |check| {
                check.node(inner, item, below);
            });
        }
    }

    fn rules(&mut self, node: &RuleNode, value: &Value, before: Before<'_>) {
        if node.rules.is_empty() {
            return;
        }
        let wrong = |check: &mut Self, detail: &str| {
            let cause = Cause::invalid(check.field(), &node.type_name.into(), detail);
            check.add(cause);
        };
        let (current, old) = match (
            Cel::typed(value, &node.of),
            before.old.map(|old| Cel::typed(old, &node.of)).transpose(),
        ) {
            (Ok(current), Ok(old)) => (current, old),
            (Err(error), _) | (_, Err(error)) => {
                let shown = node.rules[0].shown();
                return wrong(self, &format!("{error} evaluating rule: {shown}"));
            }
        };
        for rule in &node.rules {
            // A rule on a change, and nothing that changed. Optional ones see that there was nothing.
            if rule.uses_old() && old.is_none() && !rule.is_old_optional {
                continue;
            }
            if self.budget.remaining == 0 {
                self.is_over = true;
                return wrong(
                    self,
                    "validation failed due to running out of cost budget, no further validation rules will be run",
                );
            }
            let mut activation = Activation::new().with("self", current.clone());
            if rule.is_old_optional {
                let old = old.clone().map(Arc::new);
                activation.set("oldSelf", Cel::Optional(old));
            } else if let Some(old) = &old {
                activation.set("oldSelf", old.clone());
            }
            match rule.program.eval(&activation, &mut self.budget) {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => self.broken(node, rule, value, before, &activation),
                Err(error) => {
                    self.is_over = error.is_fatal();
                    wrong(self, &failure(&error, rule));
                    if self.is_over {
                        return;
                    }
                }
            }
        }
    }

    /// A rule is false.
    fn broken(
        &mut self,
        node: &RuleNode,
        rule: &Rule,
        value: &Value,
        before: Before<'_>,
        activation: &Activation<'_>,
    ) {
        let is_ratcheted = !rule.uses_old() && before.is_unchanged(value);
        let mut field = self.field();
        if !rule.field_path.is_empty() {
            field = match self.path.is_empty() {
                true => rule.field_path.clone(),
                false => format!("{}.{}", self.path, rule.field_path),
            };
        }
        let detail = match self.message(rule, activation) {
            Message::Is(text) => text,
            Message::Fallback if rule.message.is_empty() => {
                format!("failed rule: {}", rule.shown())
            }
            Message::Fallback => rule.message.trim().to_owned(),
            Message::Over(why) => {
                self.is_over = true;
                if !is_ratcheted {
                    self.add(Cause::invalid(field, &node.type_name.into(), &why));
                }
                return;
            }
        };
        if is_ratcheted {
            return;
        }
        // Objects and lists are too large to be shown.
        let shown = (!value.is_object() && !value.is_array()).then_some(value);
        self.add(match (rule.reason, shown) {
            (Reason::Invalid, Some(value)) => Cause::invalid(field, value, &detail),
            (Reason::Invalid, None) => Cause::invalid_unshown(field, &detail),
            (Reason::Forbidden, _) => Cause::forbidden(field, &detail),
            (Reason::Required, _) => Cause::required(field, &detail),
            (Reason::Duplicate, Some(value)) => Cause::duplicate(field, value),
            (Reason::Duplicate, None) => Cause::duplicate_unshown(field),
        });
    }

    fn message(&mut self, rule: &Rule, activation: &Activation<'_>) -> Message {
        let Some(program) = &rule.message_expression else {
            return Message::Fallback;
        };
        match program.eval(activation, &mut self.budget) {
            Ok(value) => {
                let text = value.as_str().unwrap_or_default().trim();
                let is_usable = !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
                if is_usable {
                    Message::Is(text.to_owned())
                } else {
                    Message::Fallback
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::CallLimit => Message::Over(
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression".into(),
                ),
                ErrorKind::BudgetSpent => Message::Over(
                    "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run".into(),
                ),
                _ => Message::Fallback,
            },
        }
    }
}

/// What is said of a rule that could not be evaluated.
fn failure(error: &EvalError, rule: &Rule) -> String {
    let shown = rule.shown();
    match error.kind() {
        ErrorKind::NoSuchOverload => format!(
            "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
        ),
        ErrorKind::CallLimit => format!(
            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
        ),
        ErrorKind::BudgetSpent => {
            "validation failed due to running out of cost budget, no further validation rules will be run".into()
        }
        ErrorKind::Other => format!("{error} evaluating rule: {shown}"),
    }
}
