//! Lists. Every function makes a new list.

use super::args::{any, boolean, empty, int, items};
use super::math::to_int;
use crate::gotemplate::{
    ANY_LIST, Budget, Function, LIST_LIST, List, Result, Runtime, Type, Value, fail,
};

use Type::{Any, Bool, Int};

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    ("list", Function::variadic(&[Any], list)),
    ("tuple", Function::variadic(&[Any], list)),
    ("concat", Function::variadic(&[Any], concat)),
    (
        "default",
        Function::variadic(&[Any, Any], |_, a| {
            Ok(any(a, usize::from(a.get(1).is_some_and(|v| !empty(v)))))
        }),
    ),
    (
        "empty",
        Function::new(&[Any], |_, a| Ok(empty(&a[0]).into())),
    ),
    (
        "coalesce",
        Function::variadic(&[Any], |_, a| {
            Ok(a.iter().find(|v| !empty(v)).cloned().unwrap_or_default())
        }),
    ),
    (
        "all",
        Function::variadic(&[Any], |_, a| Ok((!a.iter().any(empty)).into())),
    ),
    (
        "any",
        Function::variadic(&[Any], |_, a| Ok((!a.iter().all(empty)).into())),
    ),
    (
        "ternary",
        Function::new(&[Any, Any, Bool], |_, a| {
            Ok(any(a, usize::from(!boolean(a, 2))))
        }),
    ),
];

/// Functions and their other names.
pub(super) static NAMED_TWICE: &[(&str, &str, Function)] = &[
    ("append", "mustAppend", Function::new(&[Any, Any], push)),
    ("push", "mustPush", Function::new(&[Any, Any], push)),
    (
        "prepend",
        "mustPrepend",
        Function::new(&[Any, Any], prepend),
    ),
    (
        "first",
        "mustFirst",
        Function::new(&[Any], |_, a| {
            Ok(items(&a[0], "Cannot find first on type")?
                .first()
                .cloned()
                .unwrap_or_default())
        }),
    ),
    (
        "last",
        "mustLast",
        Function::new(&[Any], |_, a| {
            Ok(items(&a[0], "Cannot find last on type")?
                .last()
                .cloned()
                .unwrap_or_default())
        }),
    ),
    (
        "rest",
        "mustRest",
        Function::new(&[Any], |rt, a| {
            part(rt, &a[0], "Cannot find rest on type", |l| &l[1..])
        }),
    ),
    (
        "initial",
        "mustInitial",
        Function::new(&[Any], |rt, a| {
            part(rt, &a[0], "Cannot find initial on type", |l| {
                &l[..l.len() - 1]
            })
        }),
    ),
    (
        "reverse",
        "mustReverse",
        Function::new(&[Any], |rt, a| {
            let mut list = items(&a[0], "Cannot find reverse on type")?;
            list.reverse();
            made(&mut rt.budget, list)
        }),
    ),
    ("uniq", "mustUniq", Function::new(&[Any], uniq)),
    (
        "without",
        "mustWithout",
        Function::variadic(&[Any, Any], without),
    ),
    (
        "has",
        "mustHas",
        Function::new(&[Any, Any], |rt, a| {
            if matches!(a[1], Value::Nil) {
                return Ok(Value::Bool(false));
            }
            let list = items(&a[1], "Cannot find has on type")?;
            Ok(Value::Bool(contains(&mut rt.budget, &list, &a[0])?))
        }),
    ),
    (
        "compact",
        "mustCompact",
        Function::new(&[Any], |rt, a| {
            let list = items(&a[0], "Cannot compact on type")?;
            made(
                &mut rt.budget,
                list.into_iter().filter(|v| !empty(v)).collect(),
            )
        }),
    ),
    ("slice", "mustSlice", Function::variadic(&[Any, Any], slice)),
    ("chunk", "mustChunk", Function::new(&[Int, Any], chunk)),
];

fn made(budget: &mut Budget, list: Vec<Value>) -> Result<Value> {
    budget.bytes(list.len() * size_of::<Value>())?;
    Ok(Value::list(list))
}

fn list(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    made(&mut rt.budget, a.to_vec())
}

fn push(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let mut list = items(&a[0], "Cannot push on type")?;
    list.push(any(a, 1));
    made(&mut rt.budget, list)
}

fn prepend(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let mut list = items(&a[0], "Cannot prepend on type")?;
    list.insert(0, any(a, 1));
    made(&mut rt.budget, list)
}

fn part(
    rt: &mut Runtime<'_>,
    value: &Value,
    doing: &str,
    cut: fn(&[Value]) -> &[Value],
) -> Result<Value> {
    let list = items(value, doing)?;
    if list.is_empty() {
        return Ok(Value::List(List::nil(&ANY_LIST)));
    }
    made(&mut rt.budget, cut(&list).to_vec())
}

fn contains(budget: &mut Budget, list: &[Value], value: &Value) -> Result<bool> {
    for item in list {
        if item.deep_equal(value, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let mut out: Vec<Value> = Vec::new();
    for item in items(&a[0], "Cannot find uniq on type")? {
        if !contains(&mut rt.budget, &out, &item)? {
            out.push(item);
        }
    }
    made(&mut rt.budget, out)
}

fn without(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let mut out: Vec<Value> = Vec::new();
    for item in items(&a[0], "Cannot find without on type")? {
        if !contains(&mut rt.budget, &a[1..], &item)? {
            out.push(item);
        }
    }
    made(&mut rt.budget, out)
}

fn slice(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let list = items(&a[0], "list should be type of slice or array but")?;
    if list.is_empty() {
        return Ok(Value::Nil);
    }
    let cap = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let from = a.get(1).map_or(0, to_int);
    let to = a.get(2).map_or(cap, to_int);
    match (usize::try_from(from), usize::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to && to <= list.len() => {
            rt.budget.bytes((to - from) * size_of::<Value>())?;
            let class = if let Value::List(l) = &a[0] {
                l.class()
            } else {
                &ANY_LIST
            };
            Ok(Value::List(List::new(class, list[from..to].to_vec())))
        }
        _ => fail!("reflect.Value.Slice: slice index out of bounds"),
    }
}

fn chunk(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let list = items(&a[1], "Cannot chunk type")?;
    let Some(size) = usize::try_from(int(a, 0)).ok().filter(|n| *n > 0) else {
        fail!("runtime error: makeslice: len out of range");
    };
    rt.budget.bytes(list.len() * size_of::<Value>() * 2)?;
    let chunks = list.chunks(size).map(|c| Value::list(c.to_vec())).collect();
    Ok(Value::List(List::new(&LIST_LIST, chunks)))
}

fn concat(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let mut out = Vec::new();
    for list in a {
        match items(list, "Cannot concat type") {
            Ok(mut list) => {
                rt.budget.bytes(list.len() * size_of::<Value>())?;
                out.append(&mut list);
            }
            Err(_) if !matches!(list, Value::Nil) => {
                fail!("Cannot concat type {} as list", list.kind())
            }
            Err(error) => return Err(error),
        }
    }
    if out.is_empty() {
        return Ok(Value::List(List::nil(&ANY_LIST)));
    }
    Ok(Value::list(out))
}
