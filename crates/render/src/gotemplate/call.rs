//! Function calls: arguments against parameters, with Go's texts where they don't fit.

use super::ast::{Node, NodeKind};
use super::error::{Error, Result};
use super::exec::{State, Val};
use super::quote;
use super::runtime::{Function, Type};
use super::value::{ANY_LIST, ANY_MAP, Element, List, Map, Value};
use std::rc::Rc;

/// True if a value of this kind is assignable to the parameter.
fn assignable(value: &Value, to: Type) -> bool {
    match (to, value) {
        (Type::Any | Type::Reflect, _)
        | (Type::Str, Value::Str(_))
        | (Type::Int, Value::Int(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Float, Value::Float(_)) => true,
        (Type::Map, Value::Map(map)) => map.class().element == Element::Any,
        (Type::List, Value::List(list)) => list.class().element == Element::Any,
        (Type::Object(name), Value::Object(object)) => object.type_name() == name,
        _ => false,
    }
}

fn zero(ty: Type) -> Value {
    match ty {
        Type::Map => Value::Map(Map::nil(&ANY_MAP)),
        Type::List => Value::List(List::nil(&ANY_LIST)),
        _ => Value::Nil,
    }
}

impl<'t> State<'_, '_, 't> {
    pub(super) fn function(
        &mut self,
        dot: &Val,
        name: &Rc<str>,
        command: &'t Node,
        args: &'t [Node],
        last: Option<Val>,
    ) -> Result<Val> {
        let functions = self.rt.functions;
        let Some(function) = functions.get(&**name) else {
            return self.error(format!("{} is not a defined function", quote::quote(name)));
        };
        if matches!(&**name, "and" | "or") {
            return self.short_circuit(dot, name, args, last);
        }
        self.call(dot, function, None, command, name, args, last)
    }

    fn short_circuit(
        &mut self,
        dot: &Val,
        name: &str,
        args: &'t [Node],
        last: Option<Val>,
    ) -> Result<Val> {
        let args = args.get(1..).unwrap_or_default();
        if args.is_empty() && last.is_none() {
            return self.error(format!(
                "wrong number of args for {name}: want at least 1 got 0"
            ));
        }
        let mut value = Val::none();
        for arg in args {
            value = self.arg(dot, Some(Type::Reflect), arg)?;
            if value.v.truth() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a call is exactly these parts, as in Go's evalCall"
    )]
    pub(super) fn call(
        &mut self,
        dot: &Val,
        function: &'static Function,
        receiver: Option<Value>,
        node: &'t Node,
        name: &str,
        args: &'t [Node],
        last: Option<Val>,
    ) -> Result<Val> {
        let args = args.get(1..).unwrap_or_default();
        let params = function.params;
        let given = args.len() + usize::from(last.is_some());
        let fixed = if function.variadic {
            params.len() - 1
        } else {
            params.len()
        };
        if function.variadic && given < fixed {
            return self.error(format!(
                "wrong number of args for {name}: want at least {fixed} got {}",
                args.len()
            ));
        }
        if !function.variadic && given != fixed {
            return self.error(format!(
                "wrong number of args for {name}: want {fixed} got {given}"
            ));
        }
        let spent = self.rt.budget.step(1 + given as u64);
        self.limited(spent)?;
        let param = |i: usize| params[i.min(params.len() - 1)];
        let mut values: Vec<Value> = receiver.into_iter().collect();
        for (i, arg) in args.iter().enumerate() {
            values.push(self.arg(dot, Some(param(i)), arg)?.v);
        }
        if let Some(last) = last {
            values.push(self.fit(last, Some(param(args.len())))?.v);
        }
        if name == "call" {
            self.at(node);
            let what = values.first().map_or("<nil>", Value::type_name);
            let cause = match values.first() {
                None | Some(Value::Nil) => "call of nil".to_string(),
                Some(_) => format!(
                    "non-function {} of type {what}",
                    args.first().map_or(String::new(), Node::to_string)
                ),
            };
            let cause = Error::new(cause);
            return Err(self.located(&format!("error calling call: {cause}"), Some(cause)));
        }
        match self.deeper(|s| (function.body)(s.rt, &values)) {
            Ok(value) => Ok(Val {
                iface: true,
                v: value,
            }),
            Err(cause) => {
                self.at(node);
                Err(self.located(&format!("error calling {name}: {cause}"), Some(cause)))
            }
        }
    }

    /// Checks that a value is of the type, and makes the typed nil of it where that is allowed.
    fn fit(&mut self, value: Val, to: Option<Type>) -> Result<Val> {
        let Some(ty) = to else {
            return Ok(Val {
                iface: false,
                ..value
            });
        };
        if value.is_none() {
            if ty.can_be_nil() {
                return Ok(Val {
                    v: zero(ty),
                    iface: true,
                });
            }
            return self.error(format!("invalid value; expected {}", ty.name()));
        }
        if assignable(&value.v, ty)
            && !(matches!(value.v, Value::Nil) && ty != Type::Any && ty != Type::Reflect)
        {
            return Ok(value);
        }
        let got = if matches!(value.v, Value::Nil) {
            "interface {}"
        } else {
            value.v.type_name()
        };
        self.error(format!(
            "wrong type for value; expected {}; got {got}",
            ty.name()
        ))
    }

    /// Evaluates one argument for a parameter of the type (`None`: as the start of a chain).
    pub(super) fn arg(&mut self, dot: &Val, to: Option<Type>, node: &'t Node) -> Result<Val> {
        self.at(node);
        let value = match &node.kind {
            NodeKind::Dot => dot.clone(),
            NodeKind::Nil => {
                let Some(ty) = to else {
                    return self.error("nil is not a command");
                };
                if ty.can_be_nil() {
                    return Ok(Val {
                        v: zero(ty),
                        iface: true,
                    });
                }
                return self.error(format!("cannot assign nil to {}", ty.name()));
            }
            NodeKind::Field(fields) => self.field_chain(
                dot,
                dot.clone(),
                node,
                fields,
                std::slice::from_ref(node),
                None,
            )?,
            NodeKind::Variable(fields) => self.variable(dot, node, fields, &[], None)?,
            NodeKind::Pipe(_) => self.pipeline(dot, node)?,
            NodeKind::Identifier(name) => self.function(dot, name, node, &[], None)?,
            NodeKind::Chain(..) => self.chain(dot, node, &[], None)?,
            _ => return self.literal(to, node),
        };
        self.fit(value, to)
    }

    fn literal(&mut self, to: Option<Type>, node: &'t Node) -> Result<Val> {
        let wrong = |what: &str| format!("expected {what}; found {node}");
        let value = match (to, &node.kind) {
            (None | Some(Type::Any | Type::Reflect), NodeKind::Bool(b)) => Value::Bool(*b),
            (None | Some(Type::Any | Type::Reflect), NodeKind::Number(n)) => {
                return self.constant(node, n);
            }
            (None | Some(Type::Any | Type::Reflect), NodeKind::Str { text, .. }) => {
                Value::Str(text.clone())
            }
            (Some(Type::Str), NodeKind::Str { text, .. }) => Value::Str(text.clone()),
            (Some(Type::Str), _) => return self.error(wrong("string")),
            (Some(Type::Bool), NodeKind::Bool(b)) => Value::Bool(*b),
            (Some(Type::Bool), _) => return self.error(wrong("bool")),
            (Some(Type::Int), NodeKind::Number(n)) => match n.int {
                Some(int) => Value::Int(int),
                None => return self.error(wrong("integer")),
            },
            (Some(Type::Int), _) => return self.error(wrong("integer")),
            (Some(Type::Uint32), NodeKind::Number(n)) => match n.uint {
                Some(uint) => Value::Uint64(uint),
                None => return self.error(wrong("unsigned integer")),
            },
            (Some(Type::Uint32), _) => return self.error(wrong("unsigned integer")),
            (Some(Type::Float), NodeKind::Number(n)) => match n.float {
                Some(float) => Value::Float(float),
                None => return self.error(wrong("float")),
            },
            (Some(Type::Float), _) => return self.error(wrong("float")),
            (Some(ty), _) => {
                return self.error(format!("can't handle {node} for arg of type {}", ty.name()));
            }
            (None, _) => return self.error(format!("can't handle {node}")),
        };
        Ok(Val::plain(value))
    }
}
