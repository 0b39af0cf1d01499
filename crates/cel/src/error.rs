//! What can be wrong with an expression: when it is compiled, and when it is evaluated.

use std::borrow::Cow;

/// Errors of one expression that are reported; the rest is counted.
const MAX_ISSUES: usize = 100;
/// Longest line that is repeated below an error, in bytes.
const MAX_SNIPPET: usize = 16_384;

/// One thing wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Byte offset in the expression.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// An expression that cannot be compiled. Displays as Kubernetes does:
///
/// ```text
/// ERROR: <input>:1:1: undeclared reference to 'x' (in container '')
///  | x == 1
///  | ^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Everything that is wrong, in the order of the text. Never empty.
    pub issues: Vec<Issue>,
    text: String,
}

impl CompileError {
    pub(crate) fn new(source: &str, mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| issue.offset);
        let shown = issues.iter().take(MAX_ISSUES);
        let mut lines: Vec<String> = shown.map(|issue| display(source, issue)).collect();
        if issues.len() > MAX_ISSUES {
            lines.push(format!(
                "{} more errors were truncated",
                issues.len() - MAX_ISSUES
            ));
        }
        Self {
            issues,
            text: lines.join("\n"),
        }
    }
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CompileError {}

/// The issue with the line it is in and a mark below its place.
fn display(source: &str, issue: &Issue) -> String {
    let offset = issue.offset.min(source.len());
    let before = source.get(..offset).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = source.get(start..offset).unwrap_or_default();
    let mut out = format!(
        "ERROR: <input>:{line}:{}: {}",
        column.chars().count() + 1,
        issue.message
    );
    let rest = source.get(start..).unwrap_or_default();
    let snippet = rest.split('\n').next().unwrap_or_default();
    if snippet.len() > MAX_SNIPPET {
        return out;
    }
    out.push_str("\n | ");
    out.push_str(&snippet.replace('\t', " "));
    out.push_str("\n | ");
    for c in column.chars() {
        out.push(if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' });
    }
    let at = source.get(offset..).unwrap_or_default().chars().next();
    let is_wide = at.is_some_and(|c| c.len_utf8() > 1);
    out.push(if is_wide { '\u{ff3e}' } else { '^' });
    out
}

/// Why an evaluation has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A function got values of types it is not defined for.
    NoSuchOverload,
    /// One call cost more than [`Budget::per_call`](crate::Budget::per_call) allows, or touched too much data.
    CallLimit,
    /// What was left of the budget is spent.
    BudgetSpent,
    /// Anything else: no such key, division by zero, overflow, …
    Other,
}

/// An evaluation that ended with an error. Displays as Kubernetes' message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(Box<(ErrorKind, Cow<'static, str>)>);

impl EvalError {
    /// An error of the kind [`ErrorKind::Other`].
    #[must_use]
    pub fn other(message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new((ErrorKind::Other, message.into())))
    }

    pub(crate) fn no_such_overload() -> Self {
        Self(Box::new((
            ErrorKind::NoSuchOverload,
            Cow::Borrowed("no such overload"),
        )))
    }

    pub(crate) fn call_limit() -> Self {
        Self(Box::new((
            ErrorKind::CallLimit,
            Cow::Borrowed("operation cancelled: actual cost limit exceeded"),
        )))
    }

    pub(crate) fn budget_spent() -> Self {
        Self(Box::new((
            ErrorKind::BudgetSpent,
            Cow::Borrowed("operation cancelled: cost budget exhausted"),
        )))
    }

    /// What kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.0
    }

    /// Whether no `||` or `&&` may hide this error: the evaluation was stopped.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.kind(), ErrorKind::CallLimit | ErrorKind::BudgetSpent)
    }
}

impl std::fmt::Display for EvalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.1)
    }
}

impl std::error::Error for EvalError {}
