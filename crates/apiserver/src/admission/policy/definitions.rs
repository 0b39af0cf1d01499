//! Policies with their bindings, compiled.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use cel::Program;
use serde_json::Value;

use super::evaluate::Conditions;
use super::expressions::{Compiler, Scope, Wanted};
use crate::admission::matching::{Matcher, texts};
use crate::auth::Objects;
use crate::select::LabelSelector;

/// A policy.
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) matcher: Matcher,
    /// `failurePolicy: Ignore`.
    pub(super) ignores_failures: bool,
    /// API version and kind of parameters.
    pub(super) param_kind: Option<(String, String)>,
    pub(super) conditions: Conditions,
    pub(super) variables: Vec<(String, Arc<Program>)>,
    pub(super) validations: Vec<Validation>,
    /// Keys and values.
    pub(super) audit: Vec<(String, Expression)>,
    pub(super) mutations: Vec<Mutation>,
    /// `reinvocationPolicy: IfNeeded`.
    pub(super) wants_again: bool,
    /// By name.
    pub(super) bindings: Vec<Binding>,
    /// What does not compile; validation lets nothing such in.
    pub(super) fault: Option<String>,
}

/// An expression as it is written and as it is run.
pub(super) struct Expression {
    pub(super) source: String,
    pub(super) program: Arc<Program>,
}

pub(super) struct Validation {
    pub(super) expression: Expression,
    pub(super) message: String,
    pub(super) message_expression: Option<Expression>,
    pub(super) reason: String,
}

pub(super) enum Mutation {
    Configuration(Expression),
    Patch(Expression),
}

/// What puts a policy to use.
pub(super) struct Binding {
    pub(super) name: String,
    policy: String,
    pub(super) matcher: Option<Matcher>,
    pub(super) param_ref: Option<ParamRef>,
    /// `Deny`, `Warn`, `Audit`.
    pub(super) actions: Vec<Box<str>>,
}

/// Which parameters a binding uses.
pub(super) struct ParamRef {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) selector: Option<LabelSelector>,
    /// `parameterNotFoundAction: Deny`.
    pub(super) denies_absent: bool,
}

/// All policies of one kind.
pub(super) struct Policies {
    policies: &'static str,
    bindings: &'static str,
    known: ArcSwapOption<((u64, u64), Vec<Policy>)>,
}

impl Policies {
    /// From the storage names of the two kinds.
    pub(super) fn new(policies: &'static str, bindings: &'static str) -> Self {
        Self {
            policies,
            bindings,
            known: ArcSwapOption::empty(),
        }
    }

    /// The policies as they are now, by name.
    pub(super) fn get(&self, objects: &dyn Objects) -> Arc<((u64, u64), Vec<Policy>)> {
        // Read before the lists: what changes in between is read again by the next request.
        let revision = (
            objects.revision_of(self.policies),
            objects.revision_of(self.bindings),
        );
        if let Some(known) = self.known.load_full().filter(|known| known.0 == revision) {
            return known;
        }
        let values = |resource: &str| {
            let mut all: Vec<Value> = (objects.list(resource, None).iter())
                .map(|object| object.value())
                .collect();
            all.sort_by(|a, b| name(a).cmp(name(b)));
            all
        };
        let mut policies: Vec<Policy> = values(self.policies).iter().map(compile).collect();
        for binding in values(self.bindings).iter().map(bind) {
            if let Some(policy) = policies.iter_mut().find(|p| p.name == binding.policy) {
                policy.bindings.push(binding);
            }
        }
        let made = Arc::new((revision, policies));
        self.known.store(Some(made.clone()));
        made
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn bind(binding: &Value) -> Binding {
    let spec = &binding["spec"];
    let reference = &spec["paramRef"];
    Binding {
        name: name(binding).into(),
        policy: text(spec, "policyName").into(),
        matcher: (spec["matchResources"].is_object())
            .then(|| Matcher::of(&spec["matchResources"], "resourceRules")),
        param_ref: reference.is_object().then(|| ParamRef {
            name: text(reference, "name").into(),
            namespace: text(reference, "namespace").into(),
            selector: (reference["selector"].is_object())
                .then(|| LabelSelector::of(&reference["selector"]).unwrap_or_default()),
            denies_absent: reference["parameterNotFoundAction"] == "Deny",
        }),
        actions: texts(&spec["validationActions"]),
    }
}

fn compile(policy: &Value) -> Policy {
    let spec = &policy["spec"];
    let kind = &spec["paramKind"];
    let is_mutation = spec["mutations"].is_array();
    let scope = Scope {
        has_params: kind.is_object(),
        has_authorizer: true,
        is_mutation,
    };
    let mut made = Policy {
        name: name(policy).into(),
        matcher: Matcher::of(&spec["matchConstraints"], "resourceRules"),
        ignores_failures: spec["failurePolicy"] == "Ignore",
        param_kind: kind
            .is_object()
            .then(|| (text(kind, "apiVersion").into(), text(kind, "kind").into())),
        conditions: Conditions::of(&spec["matchConditions"], kind.is_object()),
        variables: vec![],
        validations: vec![],
        audit: vec![],
        mutations: vec![],
        wants_again: spec["reinvocationPolicy"] == "IfNeeded",
        bindings: vec![],
        fault: None,
    };
    if let Err(fault) = expressions(spec, scope, &mut made) {
        made.fault = Some(fault);
    }
    made
}

fn expressions(spec: &Value, scope: Scope, made: &mut Policy) -> Result<(), String> {
    let mut compiler = Compiler::new(scope);
    for variable in list(spec, "variables") {
        let name = text(variable, "name");
        let program = compiler.variable(name, text(variable, "expression"))?;
        made.variables.push((name.into(), program));
    }
    let expression = |source: &str, wanted| -> Result<Expression, String> {
        Ok(Expression {
            program: compiler.compile(source, wanted)?,
            source: source.trim().into(),
        })
    };
    for validation in list(spec, "validations") {
        let message_expression = match text(validation, "messageExpression").trim() {
            "" => None,
            source => Some(expression(source, Wanted::Text)?),
        };
        made.validations.push(Validation {
            expression: expression(text(validation, "expression"), Wanted::Bool)?,
            message: text(validation, "message").trim().into(),
            message_expression,
            reason: validation["reason"].as_str().unwrap_or("Invalid").into(),
        });
    }
    for annotation in list(spec, "auditAnnotations") {
        let value = text(annotation, "valueExpression");
        let value = expression(value, Wanted::TextOrNull)?;
        made.audit.push((text(annotation, "key").into(), value));
    }
    for mutation in list(spec, "mutations") {
        let source = |member: &str| text(&mutation[member], "expression");
        made.mutations
            .push(if mutation["patchType"] == "JSONPatch" {
                Mutation::Patch(expression(source("jsonPatch"), Wanted::Patch)?)
            } else {
                let source = source("applyConfiguration");
                Mutation::Configuration(expression(source, Wanted::Configuration)?)
            });
    }
    Ok(())
}
