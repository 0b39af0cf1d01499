//! Values of a template. Maps are references that functions such as `set` change in place, as Go's are; the numeric
//! types that Go keeps apart stay apart (`eq 1 1.0` is an error, values from YAML are all `float64`).

use super::budget::Budget;
use super::error::{Error, Result};
use super::runtime::Function;
use super::text;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value.
#[derive(Clone, Default)]
pub enum Value {
    /// Go's nil interface.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`: number literals, `len`, `until` …
    Int(i64),
    /// `int64`: arithmetic of sprig.
    Int64(i64),
    /// `uint64`
    Uint64(u64),
    /// `float64`: every number that came through YAML or JSON.
    Float(f64),
    /// `string`
    Str(Rc<str>),
    /// `[]byte`
    Bytes(Rc<[u8]>),
    /// A slice.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// A Go struct (or a pointer to one) with fields and methods.
    Object(Rc<dyn Object>),
}

/// What a slice or map holds, as far as templates can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// `interface {}`
    Any,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `[]byte`
    Bytes,
    /// `[]interface {}`
    List,
}

/// The Go type of a list or map. Two are the same type if they are the same static.
pub struct Class {
    /// As `%T` prints it.
    pub name: &'static str,
    /// What it holds.
    pub element: Element,
    /// Its methods; each takes the receiver as its first argument.
    pub methods: &'static [(&'static str, Function)],
}

macro_rules! classes {
    ($($ident:ident = $name:literal of $element:ident;)*) => {
        $(#[doc = concat!("`", $name, "`")]
        pub static $ident: Class = Class { name: $name, element: Element::$element, methods: &[] };)*
    };
}
classes! {
    ANY_LIST = "[]interface {}" of Any;
    STRING_LIST = "[]string" of Str;
    INT_LIST = "[]int" of Int;
    LIST_LIST = "[][]interface {}" of List;
    ANY_MAP = "map[string]interface {}" of Any;
    STRING_MAP = "map[string]string" of Str;
}

impl PartialEq for &'static Class {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(*self, *other)
    }
}

/// A Go struct.
pub trait Object {
    /// As `%T` prints it.
    fn type_name(&self) -> &'static str;
    /// As `kindOf` prints it.
    fn kind(&self) -> &'static str {
        "struct"
    }
    /// A field of this name.
    fn field(&self, name: &str) -> Option<Value>;
    /// A method of this name; it takes the object as its first argument.
    fn method(&self, _name: &str) -> Option<&'static Function> {
        None
    }
    /// As `%v` prints it.
    fn text(&self) -> String;
    /// What it is encoded as in JSON and YAML.
    fn data(&self) -> Value;
    /// For functions that take this very type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// An immutable list.
#[derive(Clone)]
pub struct List(Rc<ListData>);

struct ListData {
    class: &'static Class,
    /// Go's nil slice: empty, but `null` in JSON.
    nil: bool,
    items: Vec<Value>,
}

impl List {
    /// A list of the given class.
    pub fn new(class: &'static Class, items: Vec<Value>) -> Self {
        Self(Rc::new(ListData {
            class,
            nil: false,
            items,
        }))
    }

    /// A nil slice.
    pub fn nil(class: &'static Class) -> Self {
        Self(Rc::new(ListData {
            class,
            nil: true,
            items: Vec::new(),
        }))
    }

    /// Its Go type.
    pub fn class(&self) -> &'static Class {
        self.0.class
    }

    /// True for Go's nil slice.
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// What it holds.
    pub fn items(&self) -> &[Value] {
        &self.0.items
    }
}

/// A map by reference.
#[derive(Clone)]
pub struct Map {
    class: &'static Class,
    data: Rc<MapData>,
}

struct MapData {
    nil: bool,
    entries: RefCell<BTreeMap<Rc<str>, Value>>,
}

impl Map {
    /// A map of the given class.
    pub fn new(class: &'static Class, entries: BTreeMap<Rc<str>, Value>) -> Self {
        Self {
            class,
            data: Rc::new(MapData {
                nil: false,
                entries: RefCell::new(entries),
            }),
        }
    }

    /// Go's nil map: empty, and cannot be written.
    pub fn nil(class: &'static Class) -> Self {
        Self {
            class,
            data: Rc::new(MapData {
                nil: true,
                entries: RefCell::default(),
            }),
        }
    }

    /// An empty `map[string]interface {}`.
    pub fn any() -> Self {
        Self::new(&ANY_MAP, BTreeMap::new())
    }

    /// Its Go type.
    pub fn class(&self) -> &'static Class {
        self.class
    }

    /// The same map under the type `map[string]interface {}`, as Go's functions return it.
    pub fn untyped(&self) -> Self {
        Self {
            class: &ANY_MAP,
            data: self.data.clone(),
        }
    }

    /// The same map under another type of the same elements.
    pub fn with_class(&self, class: &'static Class) -> Self {
        Self {
            class,
            data: self.data.clone(),
        }
    }

    /// True for Go's nil map.
    pub fn is_nil(&self) -> bool {
        self.data.nil
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.data.entries.borrow().get(key).cloned()
    }

    /// True if the key is there, whatever its value.
    pub fn contains(&self, key: &str) -> bool {
        self.data.entries.borrow().contains_key(key)
    }

    /// Writes a key.
    ///
    /// # Errors
    /// On Go's nil map.
    pub fn set(&self, key: impl Into<Rc<str>>, value: Value) -> Result<()> {
        if self.data.nil {
            return Err(Error::new("assignment to entry in nil map"));
        }
        let old = self.data.entries.borrow_mut().insert(key.into(), value);
        drop(old);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&self, key: &str) {
        let old = self.data.entries.borrow_mut().remove(key);
        drop(old);
    }

    /// Removes everything.
    pub fn clear(&self) {
        let old = std::mem::take(&mut *self.data.entries.borrow_mut());
        drop(old);
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.data.entries.borrow().len()
    }

    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values of this moment, sorted by key.
    pub fn entries(&self) -> Vec<(Rc<str>, Value)> {
        self.data
            .entries
            .borrow()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// The keys of this moment, sorted.
    pub fn keys(&self) -> Vec<Rc<str>> {
        self.data.entries.borrow().keys().cloned().collect()
    }

    /// True if both are the same map.
    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.data, &other.data)
    }
}

impl FromIterator<(Rc<str>, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Rc<str>, Value)>>(iter: I) -> Self {
        Self::new(&ANY_MAP, iter.into_iter().collect())
    }
}

/// Frees nested values one after the other: a template can build a chain of a million maps, and freeing that by
/// recursion would overflow the stack.
fn free(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(List(data)) => {
                if let Ok(mut data) = Rc::try_unwrap(data) {
                    pending.append(&mut data.items);
                }
            }
            Value::Map(Map { data, .. }) => {
                if let Ok(data) = Rc::try_unwrap(data) {
                    pending.extend(std::mem::take(&mut *data.entries.borrow_mut()).into_values());
                }
            }
            _ => {}
        }
    }
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}

impl Drop for ListData {
    fn drop(&mut self) {
        if self.items.iter().any(is_container) {
            free(std::mem::take(&mut self.items));
        }
    }
}

impl Drop for MapData {
    fn drop(&mut self) {
        let entries = std::mem::take(self.entries.get_mut());
        if entries.values().any(is_container) {
            free(entries.into_values().collect());
        }
    }
}

impl Value {
    /// A string.
    pub fn str(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into())
    }

    /// A string from bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::str(text::decode(bytes))
    }

    /// `[]interface {}`
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::new(&ANY_LIST, items))
    }

    /// `[]string`
    pub fn strings(items: impl IntoIterator<Item = impl Into<Rc<str>>>) -> Self {
        Self::List(List::new(
            &STRING_LIST,
            items.into_iter().map(|s| Self::Str(s.into())).collect(),
        ))
    }

    /// The zero value of an element type, which Go gives for a key that is missing.
    pub fn zero(element: Element) -> Self {
        match element {
            Element::Any => Self::Nil,
            Element::Str => Self::str(""),
            Element::Int => Self::Int(0),
            Element::Bytes => Self::Bytes(Rc::from([])),
            Element::List => Self::List(List::nil(&ANY_LIST)),
        }
    }

    /// As `%T` prints its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Uint64(_) => "uint64",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Bytes(_) => "[]uint8",
            Self::List(l) => l.class().name,
            Self::Map(m) => m.class().name,
            Self::Object(o) => o.type_name(),
        }
    }

    /// As `kindOf` prints it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bytes(_) | Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Object(o) => o.kind(),
            scalar => scalar.type_name(),
        }
    }

    /// What `if` makes of it.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(i) | Self::Int64(i) => *i != 0,
            Self::Uint64(u) => *u != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::Bytes(b) => !b.is_empty(),
            Self::List(l) => !l.items().is_empty(),
            Self::Map(m) => !m.is_empty(),
            Self::Object(_) => true,
        }
    }

    /// A value from JSON or YAML: numbers become `float64`.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            Json::String(s) => Self::str(s.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::Map(
                map.iter()
                    .map(|(k, v)| (Rc::from(k.as_str()), Self::from_json(v)))
                    .collect(),
            ),
        }
    }

    /// `reflect.DeepEqual`.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn deep_equal(&self, other: &Self, budget: &mut Budget) -> Result<bool> {
        deep_equal(self, other, 0, budget)
    }

    /// A copy that shares no map with the original.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn deep_copy(&self, budget: &mut Budget) -> Result<Self> {
        deep_copy(self, 0, budget)
    }
}

fn deep_equal(a: &Value, b: &Value, depth: u32, budget: &mut Budget) -> Result<bool> {
    budget.nested(depth)?;
    budget.step(1)?;
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Int64(a), Value::Int64(b)) => a == b,
        (Value::Uint64(a), Value::Uint64(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => {
            a.type_name() == b.type_name() && deep_equal(&a.data(), &b.data(), depth + 1, budget)?
        }
        (Value::List(a), Value::List(b)) => {
            if a.class() != b.class()
                || a.is_nil() != b.is_nil()
                || a.items().len() != b.items().len()
            {
                return Ok(false);
            }
            for (x, y) in a.items().iter().zip(b.items()) {
                if !deep_equal(x, y, depth + 1, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.same(b) {
                return Ok(true);
            }
            if a.class() != b.class() || a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            for (key, x) in a.entries() {
                match b.get(&key) {
                    Some(y) if deep_equal(&x, &y, depth + 1, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => false,
    })
}

fn deep_copy(value: &Value, depth: u32, budget: &mut Budget) -> Result<Value> {
    budget.nested(depth)?;
    budget.step(1)?;
    budget.bytes(size_of::<Value>())?;
    Ok(match value {
        Value::List(list) if list.is_nil() => value.clone(),
        Value::List(list) => {
            let items: Result<Vec<_>> = list
                .items()
                .iter()
                .map(|v| deep_copy(v, depth + 1, budget))
                .collect();
            Value::List(List::new(list.class(), items?))
        }
        Value::Map(map) => {
            let entries: Result<BTreeMap<_, _>> = map
                .entries()
                .into_iter()
                .map(|(k, v)| Ok((k, deep_copy(&v, depth + 1, budget)?)))
                .collect();
            Value::Map(Map::new(map.class(), entries?))
        }
        scalar => scalar.clone(),
    })
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::str(s)
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::str(s)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Limits;
    use super::*;

    #[test]
    fn a_chain_of_a_million_maps_is_freed() {
        let mut chain = Value::Nil;
        for _ in 0..1_000_000 {
            chain = Value::Map([(Rc::from("next"), chain)].into_iter().collect());
        }
        let first = Map::any();
        let mut last = first.clone();
        for _ in 0..1_000_000 {
            let next = Map::any();
            last.set("next", Value::Map(next.clone())).unwrap();
            last = next;
        }
        drop(chain);
        drop(first);
    }

    #[test]
    fn a_map_in_itself_ends_at_the_limit() {
        let (a, b) = (Map::any(), Map::any());
        a.set("self", Value::Map(a.clone())).unwrap();
        b.set("self", Value::Map(b.clone())).unwrap();
        let mut budget = Budget::new(Limits::default());
        assert!(Value::Map(a.clone()).deep_copy(&mut budget).is_err());
        assert!(
            Value::Map(a.clone())
                .deep_equal(&Value::Map(b.clone()), &mut budget)
                .is_err()
        );
        a.clear();
        b.clear();
    }
}
