//! The values of variables.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::env::Program;
use crate::error::EvalError;
use crate::value::Value;

/// What variables are while programs are evaluated.
#[derive(Default)]
pub struct Activation<'a> {
    bindings: Vec<(String, Binding<'a>)>,
}

pub(crate) enum Binding<'a> {
    Value(Value<'a>),
    Lazy(Vec<Lazy<'a>>),
}

/// A variable that is computed when it is first needed.
pub(crate) struct Lazy<'a> {
    pub(crate) name: String,
    pub(crate) program: Arc<Program>,
    pub(crate) value: OnceCell<Result<Value<'a>, EvalError>>,
}

impl<'a> Activation<'a> {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more variable. One of that name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Value<'a>) -> Self {
        self.set(name, value);
        self
    }

    /// Gives a variable a value.
    pub fn set(&mut self, name: impl Into<String>, value: Value<'a>) {
        self.bind(name.into(), Binding::Value(value));
    }

    /// The same with `root.name` for each of the programs: it is evaluated with the variables of this activation
    /// when it is first used, and its value or error is kept. Programs may use those before them.
    #[must_use]
    pub fn with_lazy(
        mut self,
        root: impl Into<String>,
        variables: impl IntoIterator<Item = (String, Arc<Program>)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, program)| Lazy {
            name,
            program,
            value: OnceCell::new(),
        });
        self.bind(root.into(), Binding::Lazy(variables.collect()));
        self
    }

    fn bind(&mut self, name: String, binding: Binding<'a>) {
        self.bindings.retain(|(known, _)| *known != name);
        self.bindings.push((name, binding));
    }

    pub(crate) fn binding(&self, name: &str) -> Option<&Binding<'a>> {
        let found = self.bindings.iter().find(|(known, _)| known == name);
        found.map(|(_, binding)| binding)
    }
}
