//! Lists and sets.

use std::cmp::Ordering;

use super::{Function, Outcome, no_such_overload, operators};
use crate::budget::{Budget, Meter};
use crate::compare::{contains, equal, order};
use crate::error::EvalError;
use crate::types::Type;
use crate::value::{List, Value};

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "isSorted" => is_sorted,
        "sum" => sum,
        "min" => |meter, args| extreme(meter, args, "min", Ordering::Greater),
        "max" => |meter, args| extreme(meter, args, "max", Ordering::Less),
        "slice" => slice,
        "flatten" => flatten,
        "lists.range" => range,
        "reverse" => |meter, args| match args {
            [Value::List(list)] => {
                let mut values = elements(meter, list)?;
                values.reverse();
                Ok(Value::list(values))
            }
            _ => no_such_overload(),
        },
        "distinct" => distinct,
        "sort" => |meter, args| match args {
            [Value::List(list)] => sort(meter, list, list),
            _ => no_such_overload(),
        },
        "@sortByAssociatedKeys" => |meter, args| match args {
            [Value::List(list), Value::List(keys)] => sort(meter, list, keys),
            _ => no_such_overload(),
        },
        "sets.contains" => |meter, args| match args {
            [Value::List(a), Value::List(b)] => Ok(Value::Bool(contains_all(meter, a, b)?)),
            _ => no_such_overload(),
        },
        "sets.equivalent" => |meter, args| match args {
            [Value::List(a), Value::List(b)] => Ok(Value::Bool(
                contains_all(meter, a, b)? && contains_all(meter, b, a)?,
            )),
            _ => no_such_overload(),
        },
        "sets.intersects" => |meter, args| match args {
            [Value::List(a), Value::List(b)] => {
                for element in a.iter() {
                    if contains(meter, b, &element?)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            _ => no_such_overload(),
        },
        _ => return None,
    })
}

fn elements<'a>(meter: &mut Meter, list: &List<'a>) -> Result<Vec<Value<'a>>, EvalError> {
    meter.make(list.len() as u64)?;
    list.iter().collect()
}

fn contains_all(meter: &mut Meter, list: &List<'_>, all: &List<'_>) -> Result<bool, EvalError> {
    for element in all.iter() {
        if !contains(meter, list, &element?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_sorted<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return no_such_overload();
    };
    let mut last: Option<Value<'a>> = None;
    for element in list.iter() {
        let element = element?;
        if let Some(last) = &last
            && order(meter, last, &element)?.is_gt()
        {
            return Ok(Value::Bool(false));
        }
        last = Some(element);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return no_such_overload();
    };
    let mut total: Option<Value<'a>> = None;
    for element in list.iter() {
        let element = element?;
        total = Some(match total {
            None => element,
            Some(total) => operators::add(meter, &total, &element)?,
        });
    }
    let zero = match list {
        List::Json(_, Type::Double, _) => Value::Double(0.0),
        List::Json(_, Type::Duration, _) => Value::Duration(0),
        _ => Value::Int(0),
    };
    Ok(total.unwrap_or(zero))
}

fn extreme<'a>(
    meter: &mut Meter,
    args: &[Value<'a>],
    name: &str,
    replaced_when: Ordering,
) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return no_such_overload();
    };
    let mut best: Option<Value<'a>> = None;
    for element in list.iter() {
        let element = element?;
        best = Some(match best {
            Some(best) if order(meter, &best, &element)? != replaced_when => best,
            _ => element,
        });
    }
    best.ok_or_else(|| EvalError::other(format!("{name} called on empty list")))
}

fn slice<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return no_such_overload();
    };
    let wrong = |why: String| {
        Err(EvalError::other(format!(
            "cannot slice({start}, {end}), {why}"
        )))
    };
    let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return wrong("negative indexes not supported".into());
    };
    if from > to {
        return wrong("start index must be less than or equal to end index".into());
    }
    if list.len() < to {
        return wrong(format!("list is length {}", list.len()));
    }
    meter.make((to - from) as u64)?;
    let values = (from..to).filter_map(|index| list.get(index).transpose());
    Ok(Value::list(values.collect::<Result<_, _>>()?))
}

fn flatten<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return no_such_overload(),
    };
    if depth < 0 {
        return Err(EvalError::other("level must be non-negative"));
    }
    let mut out = vec![];
    flatten_into(meter, list, depth, &mut out)?;
    Ok(Value::list(out))
}

fn flatten_into<'a>(
    meter: &mut Meter,
    list: &List<'a>,
    depth: i64,
    out: &mut Vec<Value<'a>>,
) -> Result<(), EvalError> {
    meter.make(list.len() as u64)?;
    for element in list.iter() {
        match element? {
            Value::List(inner) if depth > 0 => flatten_into(meter, &inner, depth - 1, out)?,
            other => out.push(other),
        }
    }
    Ok(())
}

fn range<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Int(count)] = args else {
        return no_such_overload();
    };
    meter.make(u64::try_from(*count).unwrap_or(0))?;
    Ok(Value::list((0..*count).map(Value::Int).collect()))
}

fn distinct<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else {
        return no_such_overload();
    };
    let mut kept: Vec<Value<'a>> = vec![];
    for element in list.iter() {
        let element = element?;
        let mut is_new = true;
        for other in &kept {
            if equal(meter, other, &element)? {
                is_new = false;
                break;
            }
        }
        if is_new {
            kept.push(element);
        }
    }
    Ok(Value::list(kept))
}

/// The list in the order of its keys.
fn sort<'a>(meter: &mut Meter, list: &List<'a>, keys: &List<'a>) -> Outcome<'a> {
    let values = elements(meter, list)?;
    let keys = elements(meter, keys)?;
    if values.len() != keys.len() {
        return Err(EvalError::other(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements respectively",
            values.len(),
            keys.len()
        )));
    }
    let first = keys.first().map(Value::type_of);
    if let Some(first) = &first
        && keys.iter().any(|key| !key.type_of().is(first))
    {
        return Err(EvalError::other("list elements must have the same type"));
    }
    // Whatever cannot be compared shows here: while it sorts, the order must hold.
    if let Some(first) = keys.first() {
        for key in &keys {
            order(meter, first, key).map_err(|error| {
                if error.is_fatal() {
                    error
                } else {
                    EvalError::other("list elements must be comparable")
                }
            })?;
        }
    }
    let mut free = Meter::new(&Budget::new(u64::MAX).with_per_call(u64::MAX));
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(values).collect();
    pairs.sort_by(|(a, _), (b, _)| order(&mut free, a, b).unwrap_or(Ordering::Equal));
    let sorted = pairs.into_iter().map(|(_, value)| value);
    Ok(Value::list(sorted.collect()))
}
