//! What validation finds.

use std::fmt;

/// How a value is wrong; the names are those of causes in a Kubernetes `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// A value that isn't allowed.
    Invalid,
    /// A value is missing.
    Required,
    /// The field may not be set, or not be changed.
    Forbidden,
}

impl FieldErrorKind {
    /// The reason of the cause in a Kubernetes `Status`.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::Forbidden => "FieldValueForbidden",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where, e.g. `spec.rollout.strategy.rollingUpdate.maxSurge`.
    pub path: String,
    /// How it is wrong.
    pub kind: FieldErrorKind,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl FieldError {
    /// The value at `path` isn't allowed.
    pub fn invalid(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: FieldErrorKind::Invalid,
            detail: detail.into(),
        }
    }

    /// The value at `path` is missing.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: FieldErrorKind::Required,
            detail: detail.into(),
        }
    }

    /// The value at `path` may not be set or changed.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: FieldErrorKind::Forbidden,
            detail: detail.into(),
        }
    }
}

impl FieldError {
    /// How and why the value is wrong, as a cause in a Kubernetes `Status` says it.
    #[must_use]
    pub fn message(&self) -> String {
        let kind = match self.kind {
            FieldErrorKind::Invalid => "Invalid value",
            FieldErrorKind::Required => "Required value",
            FieldErrorKind::Forbidden => "Forbidden",
        };
        format!("{kind}: {}", self.detail)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}
