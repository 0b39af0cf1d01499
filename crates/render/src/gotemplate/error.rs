//! What goes wrong in a template, in Go's words.

use std::fmt;

/// A failure with the chain of failures under it. `text` is the whole message, as Go's `err.Error()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    text: String,
    /// Made by the executor ("template: file:line:col: executing …").
    exec: bool,
    /// A limit of the rendering was reached; functions that swallow errors must pass this one on.
    limit: bool,
    source: Option<Box<Error>>,
}

impl Error {
    /// A plain failure, as Go's `errors.New`.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            exec: false,
            limit: false,
            source: None,
        }
    }

    /// A limit that was reached.
    pub(crate) fn limit(text: impl Into<String>) -> Self {
        Self {
            limit: true,
            ..Self::new(text)
        }
    }

    /// A failure that carries another one, as Go's `fmt.Errorf("…: %w", err)`; `text` includes the source's text.
    pub fn wrap(text: impl Into<String>, source: Self) -> Self {
        Self {
            text: text.into(),
            exec: false,
            limit: source.limit,
            source: Some(Box::new(source)),
        }
    }

    pub(crate) fn exec(text: String, source: Option<Self>) -> Self {
        let limit = source.as_ref().is_some_and(|s| s.limit);
        Self {
            text,
            exec: true,
            limit,
            source: source.map(Box::new),
        }
    }

    /// The whole message.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True for a failure of the executor itself, which knows the place in the template.
    pub fn is_exec(&self) -> bool {
        self.exec
    }

    /// True if a limit of the rendering was reached.
    pub fn is_limit(&self) -> bool {
        self.limit
    }

    /// The failure under this one.
    pub fn cause(&self) -> Option<&Self> {
        self.source.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Shorthand of this crate's template functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `Err(Error::new(format!(…)))`.
macro_rules! fail {
    ($($arg:tt)*) => { return Err($crate::gotemplate::Error::new(format!($($arg)*))) };
}
pub(crate) use fail;
