//! Runs programs, and counts what they cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::activation::{Activation, Binding};
use crate::budget::Meter;
use crate::compare;
use crate::env::Program;
use crate::error::EvalError;
use crate::library::{Outcome, no_such_overload};
use crate::plan::{Append, Attribute, Base, By, Call, FoldNode, Node};
use crate::types::{ListKind, ObjectType};
use crate::value::{Key, List, Map, Struct, Value};

/// Programs within programs: a variable that needs a variable that needs …
const MAX_NESTED: usize = 16;
const LIST: u64 = 10;
const MAP: u64 = 30;
const STRUCT: u64 = 40;

/// A variable of a loop.
enum Slot<'a, 'p> {
    Value(Value<'a>),
    /// An accumulator may hold an error that a later element makes irrelevant.
    Error(EvalError),
    /// An accumulator that nobody asked for yet.
    Lazy(&'p Node),
}

/// One program that runs.
pub(crate) struct Run<'a, 'r> {
    activation: &'r Activation<'a>,
    names: &'r [String],
    globals: Vec<Option<&'r Binding<'a>>>,
    locals: Vec<Slot<'a, 'r>>,
    meter: &'r mut Meter,
    nested: usize,
}

/// Evaluates a program with the variables of an activation.
pub(crate) fn run<'a>(
    program: &Program,
    activation: &Activation<'a>,
    meter: &mut Meter,
    nested: usize,
) -> Outcome<'a> {
    if nested > MAX_NESTED {
        return Err(EvalError::other(
            "variables are nested too deeply within each other",
        ));
    }
    meter.know(&program.regexes);
    let globals = program.globals.iter();
    let mut run = Run {
        activation,
        names: &program.globals,
        globals: globals.map(|name| activation.binding(name)).collect(),
        locals: vec![],
        meter,
        nested,
    };
    run.eval(&program.node)
}

impl<'a, 'r> Run<'a, 'r> {
    fn eval(&mut self, node: &'r Node) -> Outcome<'a> {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Attribute(attribute) => self.attribute(attribute, true),
            Node::And(pair) => self.logic(&pair.0, &pair.1, false),
            Node::Or(pair) => self.logic(&pair.0, &pair.1, true),
            Node::NotStrictlyFalse(node) => {
                let value = self.eval(node);
                self.meter.charge(1)?;
                match value {
                    Ok(Value::Bool(value)) => Ok(Value::Bool(value)),
                    Err(error) if error.is_fatal() => Err(error),
                    _ => Ok(Value::Bool(true)),
                }
            }
            Node::Call(call) => self.call(call),
            Node::OptionalOr(pair) => match self.eval(&pair.0)? {
                Value::Optional(None) => self.eval(&pair.1),
                value @ Value::Optional(_) => Ok(value),
                _ => no_such_overload(),
            },
            Node::OptionalOrValue(pair) => match self.eval(&pair.0)? {
                Value::Optional(None) => self.eval(&pair.1),
                Value::Optional(Some(value)) => Ok((*value).clone()),
                _ => no_such_overload(),
            },
            Node::InConst(node, keys) => self.in_const(node, keys),
            Node::List(list) => self.list(list),
            Node::Map(entries) => self.map(entries),
            Node::Struct(of, fields) => self.structure(of, fields),
            Node::Fold(fold) => self.fold(fold),
            Node::Append(append) => self.append(append),
            Node::Insert(insert) => self.insert(insert.0, &insert.1, &insert.2),
        }
    }

    /// `&&`, `||`: the side that decides hides an error of the other.
    fn logic(&mut self, left: &'r Node, right: &'r Node, decides: bool) -> Outcome<'a> {
        let left = self.eval(left);
        match &left {
            Ok(Value::Bool(value)) if *value == decides => return left,
            Err(error) if error.is_fatal() => return left,
            _ => {}
        }
        let right = self.eval(right);
        match (left, right) {
            (_, Ok(Value::Bool(value))) if value == decides => Ok(Value::Bool(decides)),
            (_, Err(error)) if error.is_fatal() => Err(error),
            (Err(error), _) | (Ok(Value::Bool(_)), Err(error)) => Err(error),
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!decides)),
            _ => no_such_overload(),
        }
    }

    fn call(&mut self, call: &'r Call) -> Outcome<'a> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.eval(arg)?);
        }
        call.cost.charge(self.meter, &args)?;
        let result = (call.function)(self.meter, &args)?;
        call.cost.charge_result(self.meter, &result)?;
        Ok(result)
    }

    fn in_const(
        &mut self,
        node: &'r Node,
        keys: &std::collections::BTreeSet<Key<'static>>,
    ) -> Outcome<'a> {
        let value = self.eval(node)?;
        let whole = match value {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "only whole numbers are cast"
            )]
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => {
                Value::Int(value as i64)
            }
            other => other,
        };
        Ok(Value::Bool(
            Key::of(&whole).is_some_and(|key| has_key(keys, &key)),
        ))
    }

    fn list(&mut self, list: &'r [(Node, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(list.len());
        for (node, optional) in list {
            let value = self.eval(node)?;
            if *optional {
                values.extend(present(value)?);
            } else {
                values.push(value);
            }
        }
        self.meter.charge(LIST)?;
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'r [(Node, Node, bool)]) -> Outcome<'a> {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            let value = if *optional {
                present(value)?
            } else {
                Some(value)
            };
            let Some(value) = value else {
                continue;
            };
            let Some(key) = Key::of(&key) else {
                return Err(EvalError::other("unsupported key type"));
            };
            if map.insert(key.clone(), value).is_some() {
                return Err(EvalError::other(format!(
                    "Failed with repeated key [{}]",
                    crate::library::convert::display(&key.value())
                )));
            }
        }
        self.meter.charge(MAP)?;
        Ok(Value::Map(Map::Values(Arc::new(map))))
    }

    fn structure(
        &mut self,
        of: &Arc<ObjectType>,
        fields: &'r [(String, Node, bool)],
    ) -> Outcome<'a> {
        let mut made = BTreeMap::new();
        for (name, node, optional) in fields {
            let value = self.eval(node)?;
            let value = if *optional {
                present(value)?
            } else {
                Some(value)
            };
            if let Some(value) = value {
                let name = crate::escape::unescape(name).unwrap_or_else(|| name.clone());
                made.insert(name, value);
            }
        }
        self.meter.charge(STRUCT)?;
        Ok(Value::Map(Map::Struct(Arc::new(Struct {
            of: of.clone(),
            fields: made,
        }))))
    }

    /// A variable or a value and what is taken from it. `is_read` is false for branches of a conditional, whose
    /// variable costs nothing.
    fn attribute(&mut self, attribute: &'r Attribute, is_read: bool) -> Outcome<'a> {
        let (mut value, cost) = match &attribute.base {
            Base::Global(slot) => return self.global(*slot, attribute, is_read),
            Base::Local(slot) => (self.local(*slot), 1),
            Base::Value(node) => (Ok(self.eval(node)?), 1),
            Base::Conditional(condition, then, otherwise) => {
                let branch = match self.eval(condition)? {
                    Value::Bool(true) => then,
                    Value::Bool(false) => otherwise,
                    _ => return no_such_overload(),
                };
                let value = match branch {
                    Node::Attribute(branch) => self.attribute(branch, false),
                    other => self.eval(other),
                };
                (value, 0)
            }
        };
        if is_read && !attribute.is_test {
            self.meter.charge(cost)?;
        }
        if !attribute.steps.is_empty() {
            value = self.steps(value?, attribute, 0);
        }
        value
    }

    fn global(&mut self, slot: usize, attribute: &'r Attribute, is_read: bool) -> Outcome<'a> {
        if is_read && !attribute.is_test {
            self.meter.charge(1)?;
        }
        match self.globals.get(slot).copied().flatten() {
            Some(Binding::Value(value)) => self.steps(value.clone(), attribute, 0),
            Some(Binding::Lazy(variables)) => {
                let step = attribute.steps.first();
                let Some(By::Const(Value::String(name))) = step.map(|step| &step.by) else {
                    return Err(EvalError::other("variables can only be selected by name"));
                };
                self.meter.charge(1)?;
                let Some(variable) = variables.iter().find(|v| v.name == **name) else {
                    return Err(EvalError::other(format!("no such key: {}", &**name)));
                };
                if attribute.is_test && attribute.steps.len() == 1 {
                    return Ok(Value::Bool(true));
                }
                let value = match variable.value.get() {
                    Some(value) => value.clone(),
                    None => {
                        let value = run(
                            &variable.program,
                            self.activation,
                            self.meter,
                            self.nested + 1,
                        );
                        variable.value.get_or_init(|| value).clone()
                    }
                };
                let value = value?;
                let is_optional = step.is_some_and(|step| step.is_optional);
                let value = if is_optional {
                    Value::some(value)
                } else {
                    value
                };
                self.steps(value, attribute, 1)
            }
            None => Err(EvalError::other(format!(
                "no such attribute(s): {}",
                self.names.get(slot).map_or("", String::as_str)
            ))),
        }
    }

    fn local(&mut self, slot: usize) -> Outcome<'a> {
        match self.locals.get(slot) {
            Some(Slot::Value(value)) => Ok(value.clone()),
            Some(Slot::Error(error)) => Err(error.clone()),
            Some(Slot::Lazy(node)) => {
                let node: &'r Node = node;
                // It knows only the variables around it, and uses the slots after them.
                let inner = self.locals.split_off(slot);
                let value = self.eval(node);
                self.locals.truncate(slot);
                self.locals.extend(inner);
                if let Some(place) = self.locals.get_mut(slot) {
                    *place = match &value {
                        Ok(value) => Slot::Value(value.clone()),
                        Err(error) => Slot::Error(error.clone()),
                    };
                }
                value
            }
            None => Err(EvalError::other("no such attribute(s)")),
        }
    }

    /// Takes the steps from a value, one after the other.
    fn steps(&mut self, value: Value<'a>, attribute: &'r Attribute, first: usize) -> Outcome<'a> {
        let steps = attribute.steps.get(first..).unwrap_or_default();
        let (mut value, mut is_optional) = match value {
            Value::Optional(None) if !steps.is_empty() => {
                return Ok(if attribute.is_test {
                    Value::Bool(false)
                } else {
                    Value::Optional(None)
                });
            }
            Value::Optional(Some(inner)) if !steps.is_empty() => ((*inner).clone(), true),
            value => (value, false),
        };
        for (index, step) in steps.iter().enumerate() {
            let is_test = attribute.is_test && index + 1 == steps.len();
            let key = match &step.by {
                By::Const(value) => value.clone(),
                By::Node(Node::Attribute(attribute)) => self.attribute(attribute, false)?,
                By::Node(node) => self.eval(node)?,
            };
            is_optional |= step.is_optional;
            if !is_optional || is_test {
                self.meter.charge(1)?;
            }
            let found = self.take(&value, &key)?;
            if is_test {
                return Ok(Value::Bool(found.is_some()));
            }
            value = match found {
                Some(found) => {
                    if is_optional {
                        self.meter.charge(1)?;
                    }
                    found
                }
                None if is_optional => return Ok(Value::Optional(None)),
                None => return Err(missing(&value, &key)),
            };
        }
        Ok(if is_optional {
            Value::some(value)
        } else {
            value
        })
    }

    /// The field or element at a key.
    fn take(&mut self, value: &Value<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, EvalError> {
        match value {
            Value::Map(map) => match Key::of(&whole(key)) {
                Some(key) => map.get(&key),
                None => Err(EvalError::no_such_overload()),
            },
            Value::List(list) => match whole(key) {
                Value::Int(index) => match usize::try_from(index) {
                    Ok(index) => list.get(index),
                    Err(_) => Ok(None),
                },
                Value::Uint(index) => match usize::try_from(index) {
                    Ok(index) => list.get(index),
                    Err(_) => Ok(None),
                },
                other => Err(EvalError::other(format!(
                    "unsupported index type '{}' in list",
                    other.type_of().name()
                ))),
            },
            Value::Optional(_) => Err(EvalError::no_such_overload()),
            _ => Ok(None),
        }
    }

    fn fold(&mut self, fold: &'r FoldNode) -> Outcome<'a> {
        if fold.is_bind {
            return self.bind(fold);
        }
        let range = self.eval(&fold.range)?;
        let depth = self.locals.len();
        self.locals.truncate(fold.slot);
        self.locals.push(Slot::Lazy(&fold.init));
        let looped = match range {
            Value::List(list) => self.fold_list(fold, &list),
            Value::Map(map) => self.fold_map(fold, &map),
            other => Err(EvalError::other(format!(
                "got '{}', expected iterable type",
                other.type_of().name()
            ))),
        };
        self.locals.truncate(fold.slot + 1);
        let result = looped.and_then(|()| self.eval(&fold.result));
        self.locals.truncate(fold.slot.min(depth));
        result
    }

    fn bind(&mut self, fold: &'r FoldNode) -> Outcome<'a> {
        self.locals.truncate(fold.slot);
        self.locals.push(Slot::Lazy(&fold.init));
        let result = self.eval(&fold.result);
        self.locals.truncate(fold.slot);
        result
    }

    fn fold_list(&mut self, fold: &'r FoldNode, list: &List<'a>) -> Result<(), EvalError> {
        for index in 0..list.len() {
            let Some(element) = list.get(index)? else {
                break;
            };
            let first = fold
                .has_two
                .then(|| Value::Int(i64::try_from(index).unwrap_or(i64::MAX)));
            if !self.round(fold, first, element)? {
                break;
            }
        }
        Ok(())
    }

    fn fold_map(&mut self, fold: &'r FoldNode, map: &Map<'a>) -> Result<(), EvalError> {
        self.meter.work(map.len())?;
        for key in map.keys() {
            let more = if fold.has_two {
                let value = map.get(&key)?.unwrap_or(Value::Null);
                self.round(fold, Some(key.value()), value)?
            } else {
                self.round(fold, None, key.value())?
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// One element; says whether to go on.
    fn round(
        &mut self,
        fold: &'r FoldNode,
        first: Option<Value<'a>>,
        last: Value<'a>,
    ) -> Result<bool, EvalError> {
        self.meter.work(1)?;
        self.locals.truncate(fold.slot + 1);
        self.locals.extend(first.map(Slot::Value));
        self.locals.push(Slot::Value(last));
        if let Some(condition) = &fold.condition {
            match self.eval(condition) {
                Ok(Value::Bool(false)) => return Ok(false),
                Err(error) if error.is_fatal() => return Err(error),
                _ => {}
            }
        }
        let next = match self.eval(&fold.step) {
            Ok(value) => Slot::Value(value),
            Err(error) if error.is_fatal() || fold.condition.is_none() => return Err(error),
            Err(error) => Slot::Error(error),
        };
        if let Some(place) = self.locals.get_mut(fold.slot) {
            *place = next;
        }
        Ok(true)
    }

    /// `@result + [element]`: the accumulator is taken out of its slot, so that it is not copied.
    fn append(&mut self, append: &'r Append) -> Outcome<'a> {
        let element = self.eval(&append.element)?;
        self.meter.charge(append.cost)?;
        let Value::List(List::Values(mut values, kind)) = self.take_accu(append.slot)? else {
            return no_such_overload();
        };
        Arc::make_mut(&mut values).push(element);
        Ok(Value::List(List::Values(values, kind)))
    }

    fn insert(&mut self, slot: usize, key: &'r Node, value: &'r Node) -> Outcome<'a> {
        let key = self.eval(key)?;
        let value = self.eval(value)?;
        self.meter.charge(2)?;
        let Value::Map(Map::Values(mut map)) = self.take_accu(slot)? else {
            return no_such_overload();
        };
        let Some(key) = Key::of(&key) else {
            return Err(EvalError::other("unsupported key type"));
        };
        if map.contains_key(&key) {
            return Err(EvalError::other(format!(
                "insert failed: key {} already exists",
                crate::library::convert::display(&key.value())
            )));
        }
        Arc::make_mut(&mut map).insert(key, value);
        Ok(Value::Map(Map::Values(map)))
    }

    fn take_accu(&mut self, slot: usize) -> Outcome<'a> {
        if let Some(Slot::Lazy(_)) = self.locals.get(slot) {
            self.local(slot)?;
        }
        match self.locals.get_mut(slot) {
            Some(place) => match std::mem::replace(place, Slot::Value(Value::Null)) {
                Slot::Value(value) => Ok(value),
                Slot::Error(error) => Err(error),
                Slot::Lazy(_) => no_such_overload(),
            },
            None => no_such_overload(),
        }
    }
}

/// Whether a set of constants has a key of any lifetime.
fn has_key(keys: &std::collections::BTreeSet<Key<'static>>, key: &Key<'_>) -> bool {
    fn shorter<'s, 'k>(
        keys: &'s std::collections::BTreeSet<Key<'static>>,
    ) -> &'s std::collections::BTreeSet<Key<'k>> {
        keys
    }
    shorter(keys).contains(key)
}

/// A double that is whole as an int: keys and indexes may be written so.
#[allow(
    clippy::cast_possible_truncation,
    reason = "only whole numbers are cast"
)]
fn whole<'a>(key: &Value<'a>) -> Value<'a> {
    match key {
        Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => {
            Value::Int(*value as i64)
        }
        other => other.clone(),
    }
}

fn missing(value: &Value<'_>, key: &Value<'_>) -> EvalError {
    let key = crate::library::convert::display(key);
    EvalError::other(match value {
        Value::List(_) => format!("index out of bounds: {key}"),
        _ => format!("no such key: {key}"),
    })
}

/// What an optional holds.
fn present(value: Value<'_>) -> Result<Option<Value<'_>>, EvalError> {
    match value {
        Value::Optional(inner) => Ok(inner.map(|inner| (*inner).clone())),
        other => Err(EvalError::other(format!(
            "cannot initialize optional entry from non-optional value {}",
            crate::library::convert::display(&other)
        ))),
    }
}

/// `a + b` of lists, by what such lists mean.
pub(crate) fn add_lists<'a>(meter: &mut Meter, a: &List<'a>, b: &List<'a>) -> Outcome<'a> {
    meter.make((a.len() + b.len()) as u64)?;
    let mut values = a.iter().collect::<Result<Vec<_>, _>>()?;
    let kind = a.kind().clone();
    for element in b.iter() {
        let element = element?;
        match &kind {
            ListKind::Atomic => values.push(element),
            ListKind::Set => {
                if !compare::contains(meter, a, &element)? {
                    values.push(element);
                }
            }
            ListKind::Map(keys) => match compare::position_by_keys(meter, a, &element, keys)? {
                Some((index, _)) => {
                    if let Some(place) = values.get_mut(index) {
                        *place = element;
                    }
                }
                None => values.push(element),
            },
        }
    }
    Ok(Value::List(List::Values(Arc::new(values), kind)))
}
