//! What expressions may use, and what they are compiled to.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use crate::activation::Activation;
use crate::budget::{Budget, Meter};
use crate::error::{CompileError, ErrorKind, EvalError};
use crate::estimate::{NoSizes, Range, Sizes, estimate};
use crate::plan::{Node, plan};
use crate::types::{ObjectType, Type};
use crate::value::Value;

/// Variables and object types that expressions may use. Functions are always all of Kubernetes'.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: BTreeMap<String, Type>,
    objects: BTreeMap<String, Arc<ObjectType>>,
    is_mutation: bool,
}

/// Builds an [`Env`].
#[derive(Clone, Debug, Default)]
pub struct EnvBuilder(Env);

/// The type of `JSONPatch{op: …, path: …, from: …, value: …}`.
const JSON_PATCH: &str = "JSONPatch";
/// The root of the types `Object`, `Object.spec`, `Object.spec.template`, …
const OBJECT: &str = "Object";

impl EnvBuilder {
    /// A variable and its type.
    #[must_use]
    pub fn declare(mut self, name: impl Into<String>, of: Type) -> Self {
        self.0.variables.insert(name.into(), of);
        self
    }

    /// An object type that expressions may make: `Name{field: value}`.
    #[must_use]
    pub fn object(mut self, of: Arc<ObjectType>) -> Self {
        self.0.objects.insert(of.name.clone(), of);
        self
    }

    /// What mutating policies have: `Object{…}`, `Object.any.path{…}` with any fields, `JSONPatch{…}`, and
    /// `jsonpatch.escapeKey`.
    #[must_use]
    pub fn mutation(mut self) -> Self {
        self.0.is_mutation = true;
        let text = |name: &str| (name.to_owned(), Type::String);
        self.object(Arc::new(ObjectType {
            name: JSON_PATCH.into(),
            fields: [
                text("op"),
                text("path"),
                text("from"),
                ("value".to_owned(), Type::Dyn),
            ]
            .into(),
            is_open: false,
        }))
    }

    /// The environment.
    #[must_use]
    pub fn build(self) -> Env {
        self.0
    }
}

impl Env {
    /// An environment without variables.
    #[must_use]
    pub fn builder() -> EnvBuilder {
        EnvBuilder::default()
    }

    /// A builder that has what this environment has.
    #[must_use]
    pub fn extend(&self) -> EnvBuilder {
        EnvBuilder(self.clone())
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    pub(crate) fn is_mutation(&self) -> bool {
        self.is_mutation
    }

    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        let standard = match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "int" => Type::Int,
            "list" => Type::dyn_list(),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "null_type" => Type::Null,
            "string" => Type::String,
            "type" => Type::Type(None),
            "uint" => Type::Uint,
            "optional_type" => Type::optional(Type::Dyn),
            "net.IP" => Type::Opaque("net.IP"),
            "net.CIDR" => Type::Opaque("net.CIDR"),
            _ => return self.object_named(name).map(Type::Object),
        };
        Some(standard)
    }

    fn object_named(&self, name: &str) -> Option<Arc<ObjectType>> {
        if let Some(of) = self.objects.get(name) {
            return Some(of.clone());
        }
        let is_object = name == OBJECT || name.strip_prefix(OBJECT)?.starts_with('.');
        (self.is_mutation && is_object).then(|| {
            Arc::new(ObjectType {
                name: name.to_owned(),
                fields: BTreeMap::new(),
                is_open: true,
            })
        })
    }

    /// Compiles an expression: parses it, checks its types, and plans its evaluation.
    ///
    /// # Errors
    /// Everything that is wrong, with the places.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        self.compile_with_sizes(source, &NoSizes)
    }

    /// As [`Self::compile`], with an estimate of the cost that knows how large variables can be.
    ///
    /// # Errors
    /// Everything that is wrong, with the places.
    pub fn compile_with_sizes(
        &self,
        source: &str,
        sizes: &dyn Sizes,
    ) -> Result<Program, CompileError> {
        let (mut expr, ids) =
            crate::parse::parse(source).map_err(|issue| CompileError::new(source, vec![issue]))?;
        let failed = |issues| CompileError::new(source, issues);
        let checked = crate::check::check(self, &mut expr, ids).map_err(failed)?;
        let estimated_cost = estimate(&checked, &expr, sizes);
        let output = checked.types.get(expr.id).cloned().unwrap_or(Type::Dyn);
        let planned = plan(&checked, &expr).map_err(failed)?;
        Ok(Program {
            node: planned.node,
            globals: planned.globals,
            regexes: Arc::new(planned.regexes),
            output,
            estimated_cost,
        })
    }
}

/// A compiled expression. Share it with an `Arc`; evaluations do not change it.
#[derive(Debug)]
pub struct Program {
    pub(crate) node: Node,
    pub(crate) globals: Vec<String>,
    pub(crate) regexes: Arc<BTreeMap<String, Regex>>,
    output: Type,
    estimated_cost: Range,
}

impl Program {
    /// The type of its values.
    #[must_use]
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// What an evaluation costs at least and at most.
    #[must_use]
    pub fn estimated_cost(&self) -> Range {
        self.estimated_cost
    }

    /// Whether it uses a variable of the environment.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        self.globals.iter().any(|name| name == variable)
    }

    /// Evaluates with these variables, and takes the cost from the budget whatever comes out.
    ///
    /// # Errors
    /// What CEL calls an error: no such key, division by zero, … [`EvalError::kind`] tells those that mean that the
    /// cost was too high.
    pub fn eval<'a>(
        &self,
        activation: &Activation<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        let mut meter = Meter::new(budget);
        let result = crate::eval::run(self, activation, &mut meter, 0);
        meter.settle(budget);
        result
    }

    /// Evaluates to a truth.
    ///
    /// # Errors
    /// As [`Self::eval`], and when the value is no `bool`.
    pub fn eval_bool(
        &self,
        activation: &Activation<'_>,
        budget: &mut Budget,
    ) -> Result<bool, EvalError> {
        match self.eval(activation, budget)? {
            Value::Bool(value) => Ok(value),
            _ => Err(EvalError::other("the expression is no bool")),
        }
    }
}

impl EvalError {
    /// Whether the evaluation was stopped because of what it cost.
    #[must_use]
    pub fn is_cost(&self) -> bool {
        matches!(self.kind(), ErrorKind::CallLimit | ErrorKind::BudgetSpent)
    }
}
