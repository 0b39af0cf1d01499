//! What one rendering carries along: the templates, the limits, the clock, the seed and the way to look things up.

use super::ast::{Template, is_empty};
use super::budget::Budget;
use super::error::{Error, Result};
use super::value::{Map, Value};
use super::{exec, parse};
use jiff::Timestamp;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::rc::Rc;

/// The Go type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`
    Any,
    /// `reflect.Value`: like `interface {}`, for the built-in functions.
    Reflect,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `uint32`
    Uint32,
    /// `bool`
    Bool,
    /// `float64`
    Float,
    /// `map[string]interface {}`
    Map,
    /// `[]interface {}`
    List,
    /// A Go struct type by name.
    Object(&'static str),
}

impl Type {
    /// As Go prints the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Reflect => "reflect.Value",
            Self::Str => "string",
            Self::Int => "int",
            Self::Uint32 => "uint32",
            Self::Bool => "bool",
            Self::Float => "float64",
            Self::Map => "map[string]interface {}",
            Self::List => "[]interface {}",
            Self::Object(name) => name,
        }
    }

    /// True if nil is a value of it.
    pub fn can_be_nil(self) -> bool {
        matches!(self, Self::Any | Self::Reflect | Self::Map | Self::List)
    }
}

/// The body of a function. Arguments have been checked against the parameters; those of a method begin with its receiver.
pub type Body = fn(&mut Runtime<'_>, &[Value]) -> Result<Value>;

/// A function that templates may call.
#[derive(Clone, Copy)]
pub struct Function {
    /// Parameter types; of a variadic function the last repeats.
    pub params: &'static [Type],
    /// The last parameter takes any number of arguments.
    pub variadic: bool,
    /// What it does.
    pub body: Body,
}

impl Function {
    /// A function with fixed parameters.
    pub const fn new(params: &'static [Type], body: Body) -> Self {
        Self {
            params,
            variadic: false,
            body,
        }
    }

    /// A function whose last parameter repeats.
    pub const fn variadic(params: &'static [Type], body: Body) -> Self {
        Self {
            params,
            variadic: true,
            body,
        }
    }
}

/// The functions by name.
pub type Functions = HashMap<&'static str, Function>;

/// Finds objects for the `lookup` function.
pub trait Lookup: Sync {
    /// The object of that name, or the list of all if the name is empty. An empty namespace means all namespaces or a
    /// cluster-wide kind. What isn't there is `Ok(None)`.
    ///
    /// # Errors
    /// With the reason, which stops the rendering.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> std::result::Result<Option<serde_json::Value>, String>;
}

/// No cluster: whatever is looked up isn't there.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCluster;

impl Lookup for NoCluster {
    fn lookup(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &str,
    ) -> std::result::Result<Option<serde_json::Value>, String> {
        Ok(None)
    }
}

/// A set of templates that call each other by name.
#[derive(Clone, Default)]
pub(crate) struct Set {
    templates: HashMap<Rc<str>, Rc<Template>>,
}

impl Set {
    /// Parses a file into the set. A later definition replaces an earlier one, unless it is empty.
    pub(crate) fn parse(&mut self, name: &str, text: &str, functions: &Functions) -> Result<()> {
        for template in parse::parse(name, text, &|f| functions.contains_key(f))? {
            let kept = self
                .templates
                .get(&template.name)
                .is_some_and(|old| !is_empty(&old.root));
            if !(kept && is_empty(&template.root)) {
                self.templates
                    .insert(template.name.clone(), Rc::new(template));
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Rc<Template>> {
        self.templates.get(name).cloned()
    }
}

/// The name of the set's root, which text given to `tpl` goes by.
pub(crate) const ROOT: &str = "gotpl";

/// Nested includes of one name that Helm allows.
const MAX_SAME_INCLUDES: u32 = 1_000;

/// One rendering.
pub struct Runtime<'a> {
    /// What it may still use.
    pub budget: Budget,
    /// The time of day.
    pub now: Timestamp,
    /// Source of everything random.
    pub rng: StdRng,
    /// For the `lookup` function.
    pub lookup: &'a dyn Lookup,
    pub(crate) functions: &'static Functions,
    pub(crate) set: Rc<Set>,
    pub(crate) depth: u32,
    includes: HashMap<Rc<str>, u32>,
    /// Maps that functions wrote other maps into. They may contain themselves, and are emptied at the end so that no
    /// memory is lost.
    written: Vec<Map>,
}

impl<'a> Runtime<'a> {
    pub(crate) fn new(
        functions: &'static Functions,
        budget: Budget,
        now: Timestamp,
        rng: StdRng,
        lookup: &'a dyn Lookup,
    ) -> Self {
        Self {
            budget,
            now,
            rng,
            lookup,
            functions,
            set: Rc::default(),
            depth: 0,
            includes: HashMap::new(),
            written: Vec::new(),
        }
    }

    /// Writes a key of a map that templates can see.
    ///
    /// # Errors
    /// On a nil map and at the limits.
    pub fn write(&mut self, map: &Map, key: &str, value: Value) -> Result<()> {
        self.budget.bytes(key.len() + size_of::<Value>() * 2)?;
        if matches!(value, Value::Map(_) | Value::List(_) | Value::Object(_)) {
            self.written.push(map.clone());
        }
        map.set(key, value)
    }

    /// Executes the template of that name.
    pub(crate) fn execute(&mut self, name: &str, data: Value) -> Result<String> {
        let Some(template) = self.set.get(name) else {
            let (name, root) = (super::quote::quote(name), super::quote::quote(ROOT));
            return Err(Error::new(format!(
                "template: no template {name} associated with template {root}"
            )));
        };
        exec::execute(self, &template, data)
    }

    /// Helm's `include`.
    pub(crate) fn include(&mut self, name: &Rc<str>, data: Value) -> Result<Value> {
        let count = self.includes.entry(name.clone()).or_default();
        if *count > MAX_SAME_INCLUDES {
            let cause = Error::new("unable to execute template");
            let text = format!("rendering template has a nested reference name: {name}: {cause}");
            return Err(Error::wrap(text, cause));
        }
        *count += 1;
        let result = self.execute(name, data);
        if let Some(count) = self.includes.get_mut(name) {
            *count -= 1;
        }
        let text = result?;
        self.budget.bytes(text.len())?;
        Ok(Value::str(text))
    }

    /// Helm's `tpl`: a template given as text, which sees the templates around it and whose own definitions end with it.
    pub(crate) fn tpl(&mut self, text: &Rc<str>, data: Value) -> Result<Value> {
        self.budget.bytes(text.len())?;
        let outer = self.set.clone();
        let mut set = (*outer).clone();
        if let Err(cause) = set.parse(ROOT, text, self.functions) {
            let shown = super::quote::quote(text);
            return Err(Error::wrap(
                format!("cannot parse template {shown}: {cause}"),
                cause,
            ));
        }
        let template = set.get(ROOT);
        self.set = Rc::new(set);
        let result = match template {
            Some(template) => exec::execute(self, &template, data),
            None => Ok(String::new()),
        };
        self.set = outer;
        match result {
            Ok(out) => {
                self.budget.bytes(out.len())?;
                Ok(Value::str(out.replace("<no value>", "")))
            }
            Err(cause) => {
                let shown = super::quote::quote(text);
                Err(Error::wrap(
                    format!("error during tpl function execution for {shown}: {cause}"),
                    cause,
                ))
            }
        }
    }
}

impl Drop for Runtime<'_> {
    fn drop(&mut self) {
        for map in &self.written {
            map.clear();
        }
    }
}
