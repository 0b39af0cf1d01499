//! Gives every part of an expression its type, or says what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Expr, Fold, Id, Kind};
use crate::env::Env;
use crate::error::Issue;
use crate::library::{self, Overload};
use crate::types::Type;
use crate::unify::{Bindings, instantiate, most_general};
use crate::value::Value;

/// What is known of an expression once it is checked, by the ids of its nodes.
pub(crate) struct Checked {
    pub(crate) types: Vec<Type>,
    /// Signatures that a call may have; none for other nodes.
    pub(crate) overloads: Vec<Vec<&'static Overload>>,
    /// Nodes that name a type, such as `int`.
    pub(crate) type_names: BTreeMap<Id, Type>,
    /// Variables of the environment that are used.
    pub(crate) used: Vec<String>,
}

/// Elements of a literal must have one type, except those that `format` shows.
fn homogeneous(types: &[Type], expr: &mut Expr, issues: &mut Vec<Issue>) {
    let of = |expr: &Expr, is_optional: bool| {
        let of = types.get(expr.id).cloned().unwrap_or(Type::Error);
        if is_optional {
            of.without_optional().0
        } else {
            of
        }
    };
    let mut mismatch = |first: Option<&Type>, next: &Type, offset: usize| {
        let differs = first.is_some_and(|first| !first.is(next));
        if differs && let Some(first) = first {
            issues.push(Issue {
                offset,
                message: format!("expected type '{first}' but found '{next}'"),
            });
        }
        differs
    };
    match &expr.kind {
        Kind::List(list) => {
            let first = list.first().map(|(e, is_optional)| of(e, *is_optional));
            for (element, is_optional) in list {
                if mismatch(first.as_ref(), &of(element, *is_optional), element.offset) {
                    break;
                }
            }
        }
        Kind::Map(entries) => {
            let first_key = entries.first().map(|entry| of(&entry.key, false));
            let first = entries
                .first()
                .map(|entry| of(&entry.value, entry.optional));
            for entry in entries {
                mismatch(first_key.as_ref(), &of(&entry.key, false), entry.key.offset);
                let value = of(&entry.value, entry.optional);
                mismatch(first.as_ref(), &value, entry.value.offset);
            }
        }
        Kind::Call { function, .. } if function == "format" => return,
        _ => {}
    }
    for child in expr.children_mut() {
        homogeneous(types, child, issues);
    }
}

/// Checks an expression; rewrites names such as `sets.contains` from a call on `sets` to a function.
pub(crate) fn check(env: &Env, expr: &mut Expr, ids: Id) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker {
        env,
        types: vec![Type::Dyn; ids],
        overloads: vec![vec![]; ids],
        type_names: BTreeMap::new(),
        used: vec![],
        scopes: vec![],
        bindings: Bindings::default(),
        issues: vec![],
    };
    checker.check(expr);
    if checker.bindings.is_exhausted() {
        checker.issues = vec![Issue {
            offset: 0,
            message: "the expression's types are too complex".into(),
        }];
    }
    if !checker.issues.is_empty() {
        return Err(checker.issues);
    }
    let types = std::mem::take(&mut checker.types);
    let types: Vec<Type> = types
        .iter()
        .map(|of| checker.bindings.resolve(of, true))
        .collect();
    let mut issues = vec![];
    homogeneous(&types, expr, &mut issues);
    if !issues.is_empty() {
        return Err(issues);
    }
    Ok(Checked {
        types,
        overloads: checker.overloads,
        type_names: checker.type_names,
        used: checker.used,
    })
}

struct Checker<'e> {
    env: &'e Env,
    types: Vec<Type>,
    overloads: Vec<Vec<&'static Overload>>,
    type_names: BTreeMap<Id, Type>,
    used: Vec<String>,
    /// Variables of the loops around.
    scopes: Vec<(String, Type)>,
    bindings: Bindings,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    fn report(&mut self, offset: usize, message: String) {
        self.issues.push(Issue { offset, message });
    }

    fn undeclared(&mut self, offset: usize, name: &str) {
        self.report(
            offset,
            format!("undeclared reference to '{name}' (in container '')"),
        );
    }

    fn type_of(&self, expr: &Expr) -> Type {
        self.types.get(expr.id).cloned().unwrap_or(Type::Error)
    }

    fn set(&mut self, id: Id, of: Type) {
        if let Some(slot) = self.types.get_mut(id) {
            *slot = of;
        }
    }

    fn check(&mut self, expr: &mut Expr) {
        let id = expr.id;
        if self.bindings.is_exhausted() {
            return;
        }
        let of = match &mut expr.kind {
            Kind::Literal(value) => literal(value),
            Kind::Ident(name) => {
                let name = name.clone();
                self.ident(expr, &name).unwrap_or_else(|| {
                    self.undeclared(expr.offset, &name);
                    Type::Error
                })
            }
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List(list) => {
                let mut element = None;
                for (item, is_optional) in list {
                    let of = self.element(item, *is_optional);
                    element = Some(self.join(element, of));
                }
                Type::list(element.unwrap_or_else(|| self.bindings.fresh()))
            }
            Kind::Map(entries) => {
                let (mut key, mut value) = (None, None);
                for entry in entries {
                    self.check(&mut entry.key);
                    let of = self.type_of(&entry.key);
                    key = Some(self.join(key, of));
                    let of = self.element(&mut entry.value, entry.optional);
                    value = Some(self.join(value, of));
                }
                let key = key.unwrap_or_else(|| self.bindings.fresh());
                Type::map(key, value.unwrap_or_else(|| self.bindings.fresh()))
            }
            Kind::Struct { .. } => self.structure(expr),
            Kind::Fold(fold) => self.fold(fold),
        };
        self.set(id, of);
    }

    /// The type of a name, if it is one.
    fn ident(&mut self, expr: &Expr, name: &str) -> Option<Type> {
        let plain = name.strip_prefix('.');
        if plain.is_none()
            && let Some((_, of)) = self.scopes.iter().rev().find(|(known, _)| known == name)
        {
            return Some(of.clone());
        }
        let name = plain.unwrap_or(name);
        if let Some(of) = self.env.variable(name) {
            if !self.used.iter().any(|used| used == name) {
                self.used.push(name.to_owned());
            }
            return Some(of.clone());
        }
        let of = self.env.type_named(name)?;
        self.type_names.insert(expr.id, of.clone());
        Some(Type::Type(Some(Arc::new(of))))
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        let qualified = expr.qualified_name();
        let (id, offset) = (expr.id, expr.offset);
        // Names with dots: types of libraries, or variables that are called so.
        if let Some(name) = &qualified
            && let Some(of) = self.ident_with_dots(expr, name)
        {
            expr.kind = Kind::Ident(name.clone());
            return of;
        }
        let Kind::Select {
            operand,
            field,
            test,
        } = &mut expr.kind
        else {
            return Type::Error;
        };
        self.check(operand);
        let operand_type = self.type_of(operand);
        let of = self.field_type(offset, &operand_type, field, false);
        let is_test = *test;
        self.set(id, of.clone());
        if is_test {
            return Type::Bool;
        }
        self.bindings.resolve(&of, false)
    }

    fn ident_with_dots(&mut self, expr: &Expr, name: &str) -> Option<Type> {
        let root = name.split('.').next().unwrap_or_default();
        if self.scopes.iter().any(|(known, _)| known == root) {
            return None;
        }
        self.ident(expr, name)
    }

    fn field_type(&mut self, offset: usize, operand: &Type, field: &str, optional: bool) -> Type {
        let operand = self.bindings.resolve(operand, false);
        let (target, is_optional) = operand.without_optional();
        let of = match &target {
            Type::Map(map) => map.1.clone(),
            Type::Object(object) => object.field(field).unwrap_or_else(|| {
                self.report(offset, format!("undefined field '{field}'"));
                Type::Error
            }),
            Type::Param(_) => {
                self.bindings.fits(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Opaque(_) => {
                self.report(offset, format!("undefined field '{field}'"));
                Type::Error
            }
            other if other.is_dyn_or_error() => Type::Dyn,
            other => {
                self.report(
                    offset,
                    format!("type '{other}' does not support field selection"),
                );
                Type::Dyn
            }
        };
        if is_optional || optional {
            Type::optional(of)
        } else {
            of
        }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let (id, offset) = (expr.id, expr.offset);
        let Kind::Call {
            function,
            target,
            args,
        } = &mut expr.kind
        else {
            return Type::Error;
        };
        if function == "_?._" {
            return self.optional_select(id, offset, args);
        }
        for arg in args.iter_mut() {
            self.check(arg);
        }
        if let Some(prefix) = target.as_deref().and_then(Expr::qualified_name) {
            let qualified = format!("{prefix}.{function}");
            if library::overloads(&qualified, self.env.is_mutation()).is_some() {
                *function = qualified;
                *target = None;
            }
        }
        let plain = function.strip_prefix('.').map(str::to_owned);
        if let Some(plain) = plain {
            *function = plain;
        }
        if let Some(target) = target.as_deref_mut() {
            self.check(target);
        }
        let Some(overloads) = library::overloads(function, self.env.is_mutation()) else {
            let function = function.clone();
            self.undeclared(offset, &function);
            return Type::Error;
        };
        let mut types: Vec<Type> = target.iter().map(|target| self.type_of(target)).collect();
        types.extend(args.iter().map(|arg| self.type_of(arg)));
        let is_member = target.is_some();
        if matches!(function.as_str(), "_&&_" | "_||_") {
            return self.logic(id, args, overloads);
        }
        let function = function.clone();
        self.resolve_overload(id, offset, &function, overloads, &types, is_member)
    }

    /// `&&`, `||`: each side is checked for itself.
    fn logic(&mut self, id: Id, args: &[Expr], overloads: &'static [Overload]) -> Type {
        for arg in args {
            let of = self.type_of(arg);
            if !self.bindings.fits(&of, &Type::Bool) {
                let of = self.bindings.resolve(&of, false);
                self.report(arg.offset, format!("expected type 'bool' but found '{of}'"));
            }
        }
        if let Some(slot) = self.overloads.get_mut(id) {
            slot.extend(overloads.iter().take(1));
        }
        Type::Bool
    }

    fn resolve_overload(
        &mut self,
        id: Id,
        offset: usize,
        function: &str,
        overloads: &'static [Overload],
        types: &[Type],
        is_member: bool,
    ) -> Type {
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|o| o.is_member == is_member) {
            let base = self.bindings.reserve(overload.params);
            let wanted: Vec<Type> = overload
                .args
                .iter()
                .map(|arg| instantiate(arg, base))
                .collect();
            if !self.bindings.fits_all(types, &wanted) {
                continue;
            }
            if let Some(slot) = self.overloads.get_mut(id) {
                slot.push(overload);
            }
            let of = self
                .bindings
                .resolve(&instantiate(&overload.result, base), false);
            result = Some(match result {
                None => of,
                Some(Type::Dyn) => Type::Dyn,
                Some(known) if known.is(&of) => known,
                Some(_) => Type::Dyn,
            });
        }
        result.unwrap_or_else(|| {
            let mut names: Vec<String> = types
                .iter()
                .map(|of| self.bindings.resolve(of, true).to_string())
                .collect();
            let target = if is_member && !names.is_empty() {
                format!("{}.", names.remove(0))
            } else {
                String::new()
            };
            self.report(
                offset,
                format!(
                    "found no matching overload for '{function}' applied to '{target}({})'",
                    names.join(", ")
                ),
            );
            Type::Error
        })
    }

    fn optional_select(&mut self, id: Id, offset: usize, args: &mut [Expr]) -> Type {
        let [operand, field] = args else {
            return Type::Error;
        };
        self.check(operand);
        let Kind::Literal(Value::String(name)) = &field.kind else {
            return Type::Error;
        };
        let name = name.to_string();
        let operand = self.type_of(operand);
        self.set(field.id, Type::String);
        let of = self.field_type(offset, &operand, &name, true);
        self.set(id, of.clone());
        self.bindings.resolve(&of, false)
    }

    /// An element of a list or map; one that is written `?element` is unwrapped.
    fn element(&mut self, item: &mut Expr, is_optional: bool) -> Type {
        self.check(item);
        let of = self.type_of(item);
        if !is_optional {
            return of;
        }
        let of = self.bindings.resolve(&of, false);
        let (inner, was_optional) = of.without_optional();
        if !was_optional && !inner.is_dyn_or_error() {
            self.report(
                item.offset,
                format!("expected type 'optional_type({inner})' but found '{inner}'"),
            );
        }
        inner
    }

    /// The type of elements so far and of one more. Whether elements may differ is decided later.
    fn join(&mut self, so_far: Option<Type>, next: Type) -> Type {
        match so_far {
            None => next,
            Some(so_far) if self.bindings.fits(&so_far, &next) => {
                most_general(&so_far, &next).clone()
            }
            Some(_) => Type::Dyn,
        }
    }

    fn structure(&mut self, expr: &mut Expr) -> Type {
        let offset = expr.offset;
        let Kind::Struct { name, fields } = &mut expr.kind else {
            return Type::Error;
        };
        let plain = name.strip_prefix('.').unwrap_or(name).to_owned();
        let of = match self.env.type_named(&plain) {
            Some(Type::Object(of)) => Some(of),
            Some(other) => {
                let other = other.name().to_owned();
                self.report(offset, format!("'{other}' is not a message type"));
                None
            }
            None => {
                self.undeclared(offset, &plain);
                None
            }
        };
        for field in fields {
            let value = self.element(&mut field.value, field.optional);
            let Some(of) = &of else {
                continue;
            };
            let Some(declared) = of.field(&field.name) else {
                self.report(field.offset, format!("undefined field '{}'", field.name));
                continue;
            };
            if !self.bindings.fits(&declared, &value) {
                let value = self.bindings.resolve(&value, false);
                self.report(
                    field.offset,
                    format!(
                        "expected type of field '{}' is '{declared}' but provided type is '{value}'",
                        field.name
                    ),
                );
            }
        }
        of.map_or(Type::Error, Type::Object)
    }

    fn fold(&mut self, fold: &mut Fold) -> Type {
        self.check(&mut fold.range);
        self.check(&mut fold.init);
        let range = self.type_of(&fold.range);
        let range = self.bindings.resolve(&range, false);
        let accu = self.type_of(&fold.init);
        let depth = self.scopes.len();
        self.scopes.push((fold.accu.clone(), accu.clone()));
        let (first, second) = match &range {
            Type::List(list) if fold.var2.is_some() => (Type::Int, list.element.clone()),
            Type::List(list) => (list.element.clone(), Type::Dyn),
            Type::Map(map) => (map.0.clone(), map.1.clone()),
            Type::Param(_) | Type::Dyn | Type::Error => {
                self.bindings.fits(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                self.report(
                    fold.range.offset,
                    format!(
                        "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    ),
                );
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((fold.var.clone(), first));
        if let Some(var2) = &fold.var2 {
            self.scopes.push((var2.clone(), second));
        }
        self.check(&mut fold.condition);
        self.expect(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.expect(&fold.step, &accu);
        self.scopes.truncate(depth + 1);
        self.check(&mut fold.result);
        self.scopes.truncate(depth);
        let of = self.type_of(&fold.result);
        self.bindings.resolve(&of, false)
    }

    fn expect(&mut self, expr: &Expr, wanted: &Type) {
        let of = self.type_of(expr);
        if !self.bindings.fits(wanted, &of) {
            let of = self.bindings.resolve(&of, false);
            let wanted = self.bindings.resolve(wanted, false);
            self.report(
                expr.offset,
                format!("expected type '{wanted}' but found '{of}'"),
            );
        }
    }
}

fn literal(value: &Value<'_>) -> Type {
    value.type_of()
}
