//! Which types fit which: type parameters are bound as needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::{ListType, Type};

/// Steps that checking one expression may take: types can be written that double with every line.
const MAX_STEPS: usize = 2_000_000;

/// What type parameters turned out to be.
#[derive(Default)]
pub(crate) struct Bindings {
    bound: BTreeMap<u32, Type>,
    /// What was bound, and what it was before; undone when a candidate does not fit.
    trail: Vec<(u32, Option<Type>)>,
    next: u32,
    steps: usize,
}

impl Bindings {
    /// A type parameter that is nothing yet.
    pub(crate) fn fresh(&mut self) -> Type {
        self.next += 1;
        Type::Param(self.next - 1)
    }

    /// Fresh parameters in place of those of a signature: numbers `0..count` become the ones from the returned on.
    pub(crate) fn reserve(&mut self, count: u32) -> u32 {
        let base = self.next;
        self.next += count;
        base
    }

    /// Whether so much was done that the expression must be refused.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps > MAX_STEPS
    }

    fn step(&mut self) -> bool {
        self.steps += 1;
        !self.is_exhausted()
    }

    fn bind(&mut self, param: u32, of: Type) {
        let old = self.bound.insert(param, of);
        self.trail.push((param, old));
    }

    /// Whether each of `from` may stand where the other is wanted; binds nothing when not.
    pub(crate) fn fits_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        self.attempt(|this| {
            from.len() == to.len() && from.iter().zip(to).all(|(a, b)| this.assignable(a, b))
        })
    }

    /// Whether `from` and `to` are compatible; binds nothing when not.
    pub(crate) fn fits(&mut self, from: &Type, to: &Type) -> bool {
        self.attempt(|this| this.assignable(from, to))
    }

    fn attempt(&mut self, check: impl FnOnce(&mut Self) -> bool) -> bool {
        self.trail.clear();
        if check(self) {
            return true;
        }
        for (param, old) in std::mem::take(&mut self.trail).into_iter().rev() {
            match old {
                Some(old) => self.bound.insert(param, old),
                None => self.bound.remove(&param),
            };
        }
        false
    }

    fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        if !self.step() {
            return false;
        }
        if let Type::Param(param) = b {
            let (valid, is_bound) = self.substitution(a, *param);
            if valid || is_bound {
                return valid;
            }
        }
        if let Type::Param(param) = a {
            return self.substitution(b, *param).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => other.is_nullable(),
            (Type::List(a), Type::List(b)) => self.assignable(&a.element, &b.element),
            (Type::Map(a), Type::Map(b)) => {
                self.assignable(&a.0, &b.0) && self.assignable(&a.1, &b.1)
            }
            (Type::Optional(a), Type::Optional(b)) => self.assignable(a, b),
            (Type::Type(_), Type::Type(_)) => true,
            (a, b) => a.is(b),
        }
    }

    /// Whether `of` can be what `param` is, and whether `param` is something already.
    fn substitution(&mut self, of: &Type, param: u32) -> (bool, bool) {
        if matches!(of, Type::Param(other) if *other == param) {
            return (true, true);
        }
        if let Some(bound) = self.bound.get(&param).cloned() {
            if self.assignable(of, &bound) {
                let general = most_general(of, &bound);
                if !self.occurs(param, general) {
                    let general = general.clone();
                    self.bind(param, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.occurs(param, of) {
            return (false, false);
        }
        self.bind(param, of.clone());
        (true, false)
    }

    fn occurs(&mut self, param: u32, within: &Type) -> bool {
        if !self.step() {
            return true;
        }
        match within {
            Type::Param(other) => {
                *other == param
                    || self
                        .bound
                        .get(other)
                        .cloned()
                        .is_some_and(|bound| self.occurs(param, &bound))
            }
            Type::List(list) => self.occurs(param, &list.element),
            Type::Map(map) => self.occurs(param, &map.0) || self.occurs(param, &map.1),
            Type::Optional(inner) => self.occurs(param, inner),
            Type::Type(Some(inner)) => self.occurs(param, inner),
            _ => false,
        }
    }

    /// The type with what is known of its parameters. With `finally`, those that are nothing are `dyn`.
    pub(crate) fn resolve(&mut self, of: &Type, finally: bool) -> Type {
        if !self.step() {
            return Type::Dyn;
        }
        match of {
            Type::Param(param) => match self.bound.get(param).cloned() {
                Some(bound) => self.resolve(&bound, finally),
                None if finally => Type::Dyn,
                None => of.clone(),
            },
            Type::List(list) => {
                let element = self.resolve(&list.element, finally);
                Type::List(Arc::new(ListType {
                    element,
                    kind: list.kind.clone(),
                }))
            }
            Type::Map(map) => {
                let key = self.resolve(&map.0, finally);
                Type::map(key, self.resolve(&map.1, finally))
            }
            Type::Optional(inner) => Type::optional(self.resolve(inner, finally)),
            Type::Type(Some(inner)) => Type::Type(Some(Arc::new(self.resolve(inner, finally)))),
            other => other.clone(),
        }
    }
}

/// A signature's type with its parameters numbered from `base` on.
pub(crate) fn instantiate(of: &Type, base: u32) -> Type {
    match of {
        Type::Param(param) => Type::Param(base + param),
        Type::List(list) => Type::list(instantiate(&list.element, base)),
        Type::Map(map) => Type::map(instantiate(&map.0, base), instantiate(&map.1, base)),
        Type::Optional(inner) => Type::optional(instantiate(inner, base)),
        Type::Type(Some(inner)) => Type::Type(Some(Arc::new(instantiate(inner, base)))),
        other => other.clone(),
    }
}

/// The more general of two types that fit each other.
pub(crate) fn most_general<'t>(a: &'t Type, b: &'t Type) -> &'t Type {
    if is_equal_or_more_general(a, b) { a } else { b }
}

fn is_equal_or_more_general(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) => is_equal_or_more_general(&a.element, &b.element),
        (Type::Map(a), Type::Map(b)) => {
            is_equal_or_more_general(&a.0, &b.0) && is_equal_or_more_general(&a.1, &b.1)
        }
        (Type::Optional(a), Type::Optional(b)) => is_equal_or_more_general(a, b),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a.is(b),
    }
}
