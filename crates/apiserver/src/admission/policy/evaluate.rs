//! Evaluations: conditions, validations and what they say.

use std::time::Duration;

use cel::{Activation, Budget, EvalError};
use serde_json::Value;
use tokio::time::Instant;

use super::definitions::{Expression, Policy, Validation};
use super::expressions::{Compiler, Scope, Wanted};
use super::inputs::Inputs;
use crate::admission::Operation;
use crate::admission::numbers::{Matching, Numbers};

/// The longest message that an expression may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;
/// The longest annotation that is kept, in bytes.
const MAX_ANNOTATION: usize = 10 * 1024;

/// `matchConditions`: all must hold.
pub(in crate::admission) struct Conditions {
    all: Vec<Expression>,
    fault: Option<String>,
}

impl Conditions {
    /// Reads a decoded list.
    pub(in crate::admission) fn of(conditions: &Value, has_params: bool) -> Self {
        let compiler = Compiler::new(Scope {
            has_params,
            has_authorizer: true,
            is_mutation: false,
        });
        let mut made = Self {
            all: vec![],
            fault: None,
        };
        for condition in conditions.as_array().into_iter().flatten() {
            let source = condition["expression"].as_str().unwrap_or_default().trim();
            match compiler.compile(source, Wanted::Bool) {
                Ok(program) => made.all.push(Expression {
                    source: source.into(),
                    program,
                }),
                Err(fault) => made.fault = Some(fault),
            }
        }
        made
    }

    pub(in crate::admission) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.fault.is_none()
    }

    /// Whether all of them hold: one that does not is enough for no, even if others cannot be evaluated.
    ///
    /// # Errors
    /// When it cannot be known.
    pub(in crate::admission) fn hold(
        &self,
        inputs: &Inputs<'_>,
        params: &Value,
    ) -> Result<bool, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let activation = inputs.activation(params, &[]);
        let mut budget = Budget::new(Budget::MATCH_CONDITIONS);
        let mut errors = vec![];
        for condition in &self.all {
            match condition.program.eval_bool(&activation, &mut budget) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => errors.push(failed(condition, &error)),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [only] => Err(only.clone()),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }
}

/// `expression 'x' resulted in error: why`.
pub(super) fn failed(expression: &Expression, error: &EvalError) -> String {
    format!(
        "expression '{}' resulted in error: {error}",
        expression.source
    )
}

/// Why a policy says no.
pub(super) struct Refusal {
    /// Which validation.
    pub(super) index: usize,
    pub(super) message: String,
    pub(super) reason: String,
    /// How long its evaluation took.
    pub(super) took: Duration,
}

/// What a policy says about a request with one set of parameters.
#[derive(Default)]
pub(super) struct Judgement {
    pub(super) refusals: Vec<Refusal>,
    /// Keys and values.
    pub(super) audit: Vec<(String, String)>,
    /// Annotations that could not be computed, which a policy that may not fail does not let pass.
    pub(super) audit_failures: Vec<(String, Duration)>,
    /// What could not be evaluated of a policy that may fail.
    pub(super) forgiven: Vec<(String, Duration)>,
}

/// How the numbers call what `message` says.
pub(super) fn error_type(message: &str) -> &'static str {
    if message.starts_with("compilation") {
        "compile_error"
    } else if message.starts_with("validation failed due to running out of cost budget") {
        "out_of_budget"
    } else {
        "invalid_error"
    }
}

impl Judgement {
    /// Something could not be evaluated; `fails` if the policy does not forgive that.
    fn fail(&mut self, index: usize, message: String, took: Duration, fails: bool) {
        if !fails {
            self.forgiven.push((message, took));
            return;
        }
        self.refusals.push(Refusal {
            index,
            message,
            reason: "Invalid".into(),
            took,
        });
    }
}

/// Whether a policy that matches is about the request, by its match conditions.
///
/// # Errors
/// When it cannot be known, or nothing can be evaluated of the policy.
pub(super) fn applies(
    policy: &Policy,
    inputs: &Inputs<'_>,
    params: &Value,
    (numbers, operation): (&Numbers, Operation),
) -> Result<bool, String> {
    if let Some(fault) = &policy.fault {
        return Err(fault.clone());
    }
    if policy.conditions.is_empty() {
        return Ok(true);
    }
    let begun = Instant::now();
    let holds = policy.conditions.hold(inputs, params);
    let known = holds.as_ref().ok().copied();
    let took = begun.elapsed();
    numbers.matched(&policy.name, Matching::Policy, operation, took, known);
    holds
}

/// Lets a policy judge.
pub(super) fn judge(
    policy: &Policy,
    inputs: &Inputs<'_>,
    params: &Value,
    counting: (&Numbers, Operation),
) -> Judgement {
    let mut judgement = Judgement::default();
    let fails = !policy.ignores_failures;
    let begun = Instant::now();
    match applies(policy, inputs, params, counting) {
        Ok(true) => {}
        Ok(false) => return judgement,
        Err(why) => {
            judgement.fail(0, why, begun.elapsed(), fails);
            return judgement;
        }
    }
    let activation = inputs.activation(params, &policy.variables);
    let mut budget = Budget::default();
    for (index, validation) in policy.validations.iter().enumerate() {
        let expression = &validation.expression;
        let begun = Instant::now();
        match expression.program.eval_bool(&activation, &mut budget) {
            Ok(true) => {}
            Ok(false) => judgement.refusals.push(Refusal {
                index,
                message: message(validation, &activation, &mut budget),
                reason: validation.reason.clone(),
                took: begun.elapsed(),
            }),
            Err(error) => {
                let why = failed(expression, &error);
                judgement.fail(index, why, begun.elapsed(), fails);
            }
        }
    }
    let mut budget = Budget::default();
    for (key, value) in &policy.audit {
        let begun = Instant::now();
        match value.program.eval(&activation, &mut budget) {
            Ok(made) => {
                let text = made.as_str().unwrap_or_default().trim();
                if !text.is_empty() {
                    let text = cut(text, MAX_ANNOTATION);
                    judgement.audit.push((key.clone(), text.into()));
                }
            }
            Err(error) if fails => {
                let failure = (failed(value, &error), begun.elapsed());
                judgement.audit_failures.push(failure);
            }
            Err(_) => {}
        }
    }
    judgement
}

/// What a validation says: what its expression makes, else its message, else the expression.
fn message(validation: &Validation, activation: &Activation<'_>, budget: &mut Budget) -> String {
    let made = validation
        .message_expression
        .as_ref()
        .and_then(|expression| {
            let made = expression.program.eval(activation, budget).ok()?;
            let text = made.as_str()?.trim().to_owned();
            let is_fit = !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
            is_fit.then_some(text)
        });
    match made {
        Some(text) => text,
        None if !validation.message.is_empty() => validation.message.clone(),
        None => format!("failed expression: {}", validation.expression.source),
    }
}

fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
