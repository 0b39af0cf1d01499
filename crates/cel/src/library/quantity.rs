//! Functions on quantities: `500m`, `1Gi`.

use super::{Function, Outcome, no_such_overload};
use crate::error::EvalError;
use crate::quantity::{Quantity, RULE};
use crate::value::Value;

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "quantity" => |_, args| match args {
            [Value::String(text)] => Quantity::parse(text)
                .map(Value::Quantity)
                .ok_or_else(|| EvalError::other(RULE)),
            _ => no_such_overload(),
        },
        "isQuantity" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_some())),
            _ => no_such_overload(),
        },
        "sign" => |_, args| match args {
            [Value::Quantity(a)] => Ok(Value::Int(a.signum())),
            _ => no_such_overload(),
        },
        "isInteger" => |_, args| match args {
            [Value::Quantity(a)] => Ok(Value::Bool(a.whole().is_some())),
            _ => no_such_overload(),
        },
        "asInteger" => |_, args| match args {
            [Value::Quantity(a)] => a
                .whole()
                .map(Value::Int)
                .ok_or_else(|| EvalError::other("cannot convert value to integer")),
            _ => no_such_overload(),
        },
        "asApproximateFloat" => |_, args| match args {
            [Value::Quantity(a)] => Ok(Value::Double(a.approximate())),
            _ => no_such_overload(),
        },
        "add" => |_, args| combine(args, Quantity::plus),
        "sub" => |_, args| combine(args, Quantity::minus),
        _ => return None,
    })
}

fn combine<'a>(args: &[Value<'a>], of: fn(Quantity, Quantity) -> Quantity) -> Outcome<'a> {
    Ok(Value::Quantity(match args {
        [Value::Quantity(a), Value::Quantity(b)] => of(*a, *b),
        [Value::Quantity(a), Value::Int(b)] => of(*a, Quantity::from(*b)),
        _ => return no_such_overload(),
    }))
}
