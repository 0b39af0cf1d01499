//! Expressions as they are parsed, with macros already expanded.

use crate::value::Value;

/// Number of a node; indexes what the checker knows about it.
pub(crate) type Id = usize;

/// A node, where it is in the text, and how high the tree below it is.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) id: Id,
    pub(crate) offset: usize,
    pub(crate) height: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Value<'static>),
    Ident(String),
    /// `operand.field`; `test` is `has(operand.field)`.
    Select {
        operand: Box<Expr>,
        field: String,
        test: bool,
    },
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// Elements, and whether each was written `?element`.
    List(Vec<(Expr, bool)>),
    Map(Vec<MapEntry>),
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

#[derive(Clone, Debug)]
pub(crate) struct MapEntry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) offset: usize,
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A loop: what macros such as `all`, `map` and `optMap` expand to.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) range: Expr,
    pub(crate) var: String,
    pub(crate) var2: Option<String>,
    pub(crate) accu: String,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

impl Fold {
    /// Whether this only gives a value a name: `optMap`, `sortBy`.
    pub(crate) fn is_bind(&self) -> bool {
        matches!(&self.range.kind, Kind::List(list) if list.is_empty())
            && matches!(&self.condition.kind, Kind::Literal(Value::Bool(false)))
    }
}

impl Expr {
    /// `a.b.c`, when the expression is only names.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select {
                operand,
                field,
                test: false,
            } => Some(format!("{}.{field}", operand.qualified_name()?)),
            _ => None,
        }
    }

    /// Every expression directly below this one.
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            Kind::Literal(_) | Kind::Ident(_) => vec![],
            Kind::Select { operand, .. } => vec![operand],
            Kind::Call { target, args, .. } => {
                target.as_deref_mut().into_iter().chain(args).collect()
            }
            Kind::List(list) => list.iter_mut().map(|(element, _)| element).collect(),
            Kind::Map(entries) => entries
                .iter_mut()
                .flat_map(|entry| [&mut entry.key, &mut entry.value])
                .collect(),
            Kind::Struct { fields, .. } => {
                fields.iter_mut().map(|field| &mut field.value).collect()
            }
            Kind::Fold(fold) => vec![
                &mut fold.range,
                &mut fold.init,
                &mut fold.condition,
                &mut fold.step,
                &mut fold.result,
            ],
        }
    }
}
