//! Maps. `set`, `unset` and the merges change the map that they are given.

use super::args::{any, empty, map, string, strval};
use crate::gotemplate::{Function, Map, Result, Runtime, Type, Value, fail};
use std::rc::Rc;

use Type::{Any, Str};

const M: Type = Type::Map;
const MS: &[Type] = &[M, M];

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    ("dict", Function::variadic(&[Any], dict)),
    (
        "get",
        Function::new(&[M, Str], |_, a| {
            Ok(map(a, 0).get(&string(a, 1)).unwrap_or_else(|| "".into()))
        }),
    ),
    (
        "set",
        Function::new(&[M, Str, Any], |rt, a| {
            let map = map(a, 0);
            rt.write(&map, &string(a, 1), any(a, 2))?;
            Ok(Value::Map(map.untyped()))
        }),
    ),
    (
        "unset",
        Function::new(&[M, Str], |_, a| {
            let map = map(a, 0);
            map.remove(&string(a, 1));
            Ok(Value::Map(map.untyped()))
        }),
    ),
    (
        "hasKey",
        Function::new(&[M, Str], |_, a| {
            Ok(map(a, 0).contains(&string(a, 1)).into())
        }),
    ),
    (
        "pluck",
        Function::variadic(&[Str, M], |rt, a| {
            rt.budget.bytes(size_of_val(a))?;
            let key = string(a, 0);
            Ok(Value::list(
                (1..a.len()).filter_map(|i| map(a, i).get(&key)).collect(),
            ))
        }),
    ),
    (
        "keys",
        Function::variadic(&[M], |rt, a| {
            let keys: Vec<Rc<str>> = (0..a.len()).flat_map(|i| map(a, i).keys()).collect();
            rt.budget.bytes(keys.len() * size_of::<Value>())?;
            Ok(Value::strings(keys))
        }),
    ),
    (
        "values",
        Function::new(&[M], |rt, a| {
            let map = map(a, 0);
            rt.budget.bytes(map.len() * size_of::<Value>())?;
            Ok(Value::list(
                map.entries().into_iter().map(|(_, v)| v).collect(),
            ))
        }),
    ),
    (
        "pick",
        Function::variadic(&[M, Str], |rt, a| {
            let from = map(a, 0);
            rt.budget.bytes(size_of_val(a) * 2)?;
            let keys = (1..a.len()).map(|i| string(a, i));
            Ok(Value::Map(
                keys.filter_map(|k| from.get(&k).map(|v| (k, v))).collect(),
            ))
        }),
    ),
    (
        "omit",
        Function::variadic(&[M, Str], |rt, a| {
            let from = map(a, 0);
            rt.budget.bytes(from.len() * size_of::<Value>() * 2)?;
            let omitted: Vec<Rc<str>> = (1..a.len()).map(|i| string(a, i)).collect();
            Ok(Value::Map(
                from.entries()
                    .into_iter()
                    .filter(|(k, _)| !omitted.contains(k))
                    .collect(),
            ))
        }),
    ),
    (
        "merge",
        Function::variadic(MS, |rt, a| merges(rt, a, false)),
    ),
    (
        "mustMerge",
        Function::variadic(MS, |rt, a| merges(rt, a, false)),
    ),
    (
        "mergeOverwrite",
        Function::variadic(MS, |rt, a| merges(rt, a, true)),
    ),
    (
        "mustMergeOverwrite",
        Function::variadic(MS, |rt, a| merges(rt, a, true)),
    ),
    ("dig", Function::variadic(&[Any], dig)),
    (
        "deepCopy",
        Function::new(&[Any], |rt, a| a[0].deep_copy(&mut rt.budget)),
    ),
    (
        "mustDeepCopy",
        Function::new(&[Any], |rt, a| a[0].deep_copy(&mut rt.budget)),
    ),
    (
        "deepEqual",
        Function::new(&[Any, Any], |rt, a| {
            Ok(a[0].deep_equal(&a[1], &mut rt.budget)?.into())
        }),
    ),
];

fn dict(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let map = Map::any();
    rt.budget.bytes(size_of_val(a))?;
    for pair in a.chunks(2) {
        let key = strval(&mut rt.budget, &pair[0])?;
        // The map is new, so it cannot be inside its own values.
        map.set(key, pair.get(1).cloned().unwrap_or_else(|| "".into()))?;
    }
    Ok(Value::Map(map))
}

fn merges(rt: &mut Runtime<'_>, a: &[Value], overwrite: bool) -> Result<Value> {
    let target = map(a, 0);
    for i in 1..a.len() {
        merge(rt, &target, &map(a, i), overwrite, 0)?;
    }
    Ok(Value::Map(target.untyped()))
}

/// Merges a map into another, in place and deeply. Without `overwrite` the target's values win unless they are empty; with
/// it the source's win, even empty ones. Nested maps that only the source has are shared with it afterwards.
fn merge(
    rt: &mut Runtime<'_>,
    target: &Map,
    source: &Map,
    overwrite: bool,
    depth: u32,
) -> Result<()> {
    rt.budget.nested(depth)?;
    if target.same(source) {
        return Ok(());
    }
    for (key, theirs) in source.entries() {
        rt.budget.step(1)?;
        let ours = target.get(&key);
        if matches!(theirs, Value::Nil) {
            if overwrite {
                rt.write(target, &key, Value::Nil)?;
            }
            continue;
        }
        match (&ours, &theirs) {
            (Some(Value::Map(ours)), Value::Map(theirs))
                if !(ours.is_empty() && theirs.is_empty()) =>
            {
                merge(rt, ours, theirs, overwrite, depth + 1)?;
            }
            (Some(ours), _) if !empty(ours) && !overwrite => {}
            _ => rt.write(target, &key, theirs)?,
        }
    }
    Ok(())
}

fn dig(_: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let [path @ .., default, last] = a else {
        fail!("dig needs at least three arguments")
    };
    if path.is_empty() {
        fail!("dig needs at least three arguments");
    }
    let wrong = |v: &Value, want: &str| {
        let got = if matches!(v, Value::Nil) {
            "nil"
        } else {
            v.type_name()
        };
        format!("interface conversion: interface {{}} is {got}, not {want}")
    };
    let mut current = last.clone();
    for key in path {
        let Value::Map(map) = &current else {
            fail!("{}", wrong(&current, "map[string]interface {}"))
        };
        if map.class() != &crate::gotemplate::ANY_MAP {
            fail!("{}", wrong(&current, "map[string]interface {}"));
        }
        let Value::Str(key) = key else {
            fail!("{}", wrong(key, "string"))
        };
        let Some(next) = map.get(key) else {
            return Ok(default.clone());
        };
        current = next;
    }
    Ok(current)
}
