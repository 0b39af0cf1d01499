//! What an expression may cost, before anything is evaluated.

mod calls;

pub(crate) use calls::{compares_sizes, selector};

use std::collections::BTreeMap;

use crate::ast::{Expr, Fold, Id, Kind};
use crate::check::Checked;
use crate::types::Type;

const STRING: f64 = 0.1;
const REGEX: f64 = 0.25;
const LIST: u64 = 10;
const MAP: u64 = 30;
const STRUCT: u64 = 40;

/// A smallest and a largest number: of cost units, or of characters, bytes or elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// At least this.
    pub min: u64,
    /// At most this; `u64::MAX` when nothing bounds it.
    pub max: u64,
}

impl Range {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        min: 0,
        max: u64::MAX,
    };

    /// Exactly this.
    #[must_use]
    pub const fn of(value: u64) -> Self {
        Self {
            min: value,
            max: value,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(crate) fn factor(self, factor: f64) -> Self {
        Self {
            min: scale(self.min, factor),
            max: scale(self.max, factor),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Rounded up; saturates.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "costs are rounded so, and casts saturate"
)]
pub(crate) fn scale(value: u64, factor: f64) -> u64 {
    (value as f64 * factor).ceil() as u64
}

/// Sizes of what variables hold, as far as a schema bounds them.
pub trait Sizes {
    /// Largest number of characters, bytes or elements at a path: the variable, then names of fields as expressions
    /// write them, `@items`, `@indices`, `@keys` or `@values`. `None` when nothing is known.
    ///
    /// What a loop makes has a path without variable, such as `@items`. Kubernetes takes its first step for a variable,
    /// too; who wants its numbers does the same.
    fn max_size(&self, path: &[String]) -> Option<u64>;
}

/// Nothing is known of any variable.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSizes;

impl Sizes for NoSizes {
    fn max_size(&self, _: &[String]) -> Option<u64> {
        None
    }
}

/// Sizes of keys and values of a list or map.
#[derive(Clone, Copy)]
struct Entry {
    is_list: bool,
    key: Range,
    value: Range,
}

#[derive(Clone, Default)]
struct Local {
    path: Vec<String>,
    size: Option<Range>,
    entry: Option<Entry>,
}

pub(crate) struct Estimator<'e> {
    checked: &'e Checked,
    sizes: &'e dyn Sizes,
    paths: BTreeMap<Id, Vec<String>>,
    known: BTreeMap<Id, Range>,
    entries: BTreeMap<Id, Entry>,
    locals: Vec<(String, Local)>,
}

/// The cost of one call, without its arguments, and the size of what it gives.
struct CallEstimate {
    cost: Range,
    size: Option<Range>,
}

impl CallEstimate {
    fn cost(cost: Range) -> Option<Self> {
        Some(Self { cost, size: None })
    }

    fn sized(cost: Range, size: Range) -> Option<Self> {
        Some(Self {
            cost,
            size: Some(size),
        })
    }
}

/// The cost of a checked expression.
pub(crate) fn estimate(checked: &Checked, expr: &Expr, sizes: &dyn Sizes) -> Range {
    let mut estimator = Estimator {
        checked,
        sizes,
        paths: BTreeMap::new(),
        known: BTreeMap::new(),
        entries: BTreeMap::new(),
        locals: vec![],
    };
    estimator.cost(expr)
}

impl Estimator<'_> {
    fn type_of(&self, expr: &Expr) -> &Type {
        self.checked.types.get(expr.id).unwrap_or(&Type::Error)
    }

    fn local(&self, name: &str) -> Option<&Local> {
        let found = self.locals.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, local)| local)
    }

    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) => Range::of(0),
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => vec![name.clone()],
                };
                self.paths.insert(expr.id, path);
                Range::of(1)
            }
            Kind::Select {
                operand,
                field,
                test,
            } => {
                let sum = self.cost(operand);
                if *test {
                    return sum;
                }
                let is_object = matches!(
                    self.type_of(operand),
                    Type::Map(_) | Type::Object(_) | Type::Opaque(_) | Type::Param(_)
                );
                let mut path = self.path(operand);
                path.push(field.clone());
                self.paths.insert(expr.id, path);
                sum.plus(Range::of(u64::from(is_object)))
            }
            Kind::Call { .. } => self.call(expr),
            Kind::List(list) => {
                let mut sum = Range::of(LIST);
                let mut size = None;
                for (element, _) in list {
                    sum = sum.plus(self.cost(element));
                    size = join(size, self.size(element));
                }
                let entry = Entry {
                    is_list: true,
                    key: Range::of(1),
                    value: size.unwrap_or(Range::of(0)),
                };
                self.entries.insert(expr.id, entry);
                sum
            }
            Kind::Map(entries) => {
                let mut sum = Range::of(MAP);
                let (mut key, mut value) = (None, None);
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key));
                    sum = sum.plus(self.cost(&entry.value));
                    key = join(key, self.size(&entry.key));
                    value = join(value, self.size(&entry.value));
                }
                let entry = Entry {
                    is_list: false,
                    key: key.unwrap_or(Range::of(0)),
                    value: value.unwrap_or(Range::of(0)),
                };
                self.entries.insert(expr.id, entry);
                sum
            }
            Kind::Struct { fields, .. } => fields.iter().fold(Range::of(STRUCT), |sum, field| {
                sum.plus(self.cost(&field.value))
            }),
            Kind::Fold(fold) if fold.is_bind() => self.bind(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn bind(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let mut sum = self.cost(&fold.range);
        sum = sum.plus(self.cost(&fold.init));
        self.push_accu(fold);
        sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        self.copy_sizes(expr, &fold.result);
        sum
    }

    fn push_accu(&mut self, fold: &Fold) {
        let local = Local {
            path: self.path(&fold.init),
            size: self.known_size(&fold.init),
            entry: self.entry(&fold.init),
        };
        self.locals.push((fold.accu.clone(), local));
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.known_size(from) {
            self.known.insert(to.id, size);
        }
        if let Some(entry) = self.entry(from) {
            self.entries.insert(to.id, entry);
        }
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let mut sum = self.cost(&fold.range);
        sum = sum.plus(self.cost(&fold.init));
        self.push_accu(fold);
        let depth = self.locals.len();
        let entry = self.entry(&fold.range);
        let is_list = entry.map_or_else(
            || matches!(self.type_of(&fold.range), Type::List(_)),
            |entry| entry.is_list,
        );
        let path = self.path(&fold.range);
        let local = |step: &str, size: Option<Range>| {
            let mut path = path.clone();
            path.push(step.to_owned());
            Local {
                path,
                size,
                entry: None,
            }
        };
        let key = entry.map(|entry| entry.key);
        let value = entry.map(|entry| entry.value);
        let (keys, values) = if is_list {
            (local("@indices", key), local("@items", value))
        } else {
            (local("@keys", key), local("@values", value))
        };
        match &fold.var2 {
            Some(var2) => {
                self.locals.push((fold.var.clone(), keys));
                self.locals.push((var2.clone(), values));
            }
            None => {
                let single = if is_list { values } else { keys };
                self.locals.push((fold.var.clone(), single));
            }
        }
        let round = self.cost(&fold.condition);
        let round = round.plus(self.cost(&fold.step));
        self.locals.truncate(depth);
        sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        let count = self.size(&fold.range);
        sum = sum.plus(count.times(round));
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.known_size(&fold.init) {
                    self.known.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.known.insert(expr.id, count);
                if let Some(entry) = self.entry(&fold.step) {
                    self.entries.insert(expr.id, entry);
                }
            }
            _ => {}
        }
        sum
    }

    fn path(&self, expr: &Expr) -> Vec<String> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn entry(&self, expr: &Expr) -> Option<Entry> {
        if let Some(entry) = self.entries.get(&expr.id) {
            return Some(*entry);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.entry),
            _ => None,
        }
    }

    fn size(&mut self, expr: &Expr) -> Range {
        self.known_size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn known_size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.known.get(&expr.id) {
            return Some(*size);
        }
        match &expr.kind {
            Kind::Literal(value) => return Some(Range::of(value.size())),
            Kind::List(list) => return Some(Range::of(list.len() as u64)),
            Kind::Map(map) => return Some(Range::of(map.len() as u64)),
            _ => {}
        }
        let path = self.path(expr);
        if let Some(size) = self.size_at(&path) {
            self.known.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.type_of(expr)) {
            return Some(Range::of(1));
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn size_at(&self, path: &[String]) -> Option<Range> {
        if path.is_empty() {
            return None;
        }
        let max = self.sizes.max_size(path)?;
        Some(Range { min: 0, max })
    }

    fn call(&mut self, expr: &Expr) -> Range {
        let Kind::Call {
            function,
            target,
            args,
        } = &expr.kind
        else {
            return Range::of(0);
        };
        if function == "dyn"
            && let [arg] = args.as_slice()
        {
            let cost = self.cost(arg).plus(Range::of(1));
            self.copy_sizes(expr, arg);
            return cost;
        }
        let costs: Vec<Range> = args.iter().map(|arg| self.cost(arg)).collect();
        let overloads = self.checked.overloads.get(expr.id);
        let overloads: Vec<&'static str> =
            overloads.map_or(vec![], |list| list.iter().map(|o| o.id).collect());
        if overloads.is_empty() {
            // Selecting an optional field costs nothing by itself.
            return Range::of(0);
        }
        let sum = match target.as_deref() {
            Some(target) => self.cost(target),
            None => Range::of(0),
        };
        let arg_sum = costs.iter().fold(Range::of(0), |sum, cost| sum.plus(*cost));
        let mut cost: Option<Range> = None;
        let mut size: Option<Range> = None;
        for overload in overloads {
            let (call, given) = match overload {
                "logical_and" | "logical_or" => {
                    let both = costs[0].plus(costs[1]);
                    let range = Range {
                        min: costs[0].min,
                        max: both.max,
                    };
                    (range, None)
                }
                "conditional" => self.conditional(expr, args, &costs),
                _ => {
                    let call = self.function(expr, function, overload, target.as_deref(), args);
                    (call.cost.plus(arg_sum), call.size)
                }
            };
            cost = join(cost, call);
            if let Some(given) = given {
                size = join(size, given);
            }
            if let "index_list" | "index_map" = overload
                && let Some(list) = args.first()
            {
                size = self.entry(list).map(|entry| entry.value);
                let mut path = self.path(list);
                path.push(
                    if overload == "index_list" {
                        "@items"
                    } else {
                        "@values"
                    }
                    .into(),
                );
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.known_size(expr);
            }
        }
        if let Some(size) = size {
            self.known.insert(expr.id, size);
        }
        sum.plus(cost.unwrap_or(Range::of(0)))
    }

    fn conditional(
        &mut self,
        expr: &Expr,
        args: &[Expr],
        costs: &[Range],
    ) -> (Range, Option<Range>) {
        let size = self.size(&args[1]).or(self.size(&args[2]));
        let entry = match (self.entry(&args[1]), self.entry(&args[2])) {
            (Some(a), Some(b)) => Some(Entry {
                is_list: a.is_list,
                key: a.key.or(b.key),
                value: a.value.or(b.value),
            }),
            _ => None,
        };
        if let Some(entry) = entry {
            self.entries.insert(expr.id, entry);
        }
        (costs[0].plus(costs[1].or(costs[2])), Some(size))
    }
}

fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => {
            true
        }
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}

fn join(so_far: Option<Range>, next: Range) -> Option<Range> {
    Some(so_far.map_or(next, |so_far| so_far.or(next)))
}
