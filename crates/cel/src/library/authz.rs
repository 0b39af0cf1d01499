//! `authorizer`.

use std::sync::Arc;

use super::{Function, Outcome, no_such_overload};
use crate::authorizer::{Check, CheckOf, PathCheck, ResourceCheck, Subject};
use crate::budget::Meter;
use crate::error::EvalError;
use crate::value::{Text, Value};

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "path" => |_, args| match args {
            [Value::Authorizer(subject), Value::String(path)] => {
                if path.trim().is_empty() {
                    return Err(EvalError::other("path must not be empty"));
                }
                Ok(Value::PathCheck(Arc::new(PathCheck {
                    subject: subject.clone(),
                    path: path.clone(),
                })))
            }
            _ => no_such_overload(),
        },
        "group" => |_, args| match args {
            [Value::Authorizer(subject), Value::String(group)] => {
                Ok(Value::GroupCheck(subject.clone(), group.clone()))
            }
            _ => no_such_overload(),
        },
        "serviceAccount" => service_account,
        "resource" => resource,
        "subresource" => |_, args| change(args, |check, text| check.subresource = text),
        "namespace" => |_, args| change(args, |check, text| check.namespace = text),
        "name" => |_, args| change(args, |check, text| check.name = text),
        "fieldSelector" => |_, args| change(args, |check, text| check.field_selector = text),
        "labelSelector" => |_, args| change(args, |check, text| check.label_selector = text),
        "check" => check,
        "errored" => |_, args| match args {
            [Value::Decision(decision)] => Ok(Value::Bool(decision.error.is_some())),
            _ => no_such_overload(),
        },
        "error" => |_, args| match args {
            [Value::Decision(decision)] => {
                Ok(Value::text(decision.error.clone().unwrap_or_default()))
            }
            _ => no_such_overload(),
        },
        "allowed" => |_, args| match args {
            [Value::Decision(decision)] => Ok(Value::Bool(decision.is_allowed)),
            _ => no_such_overload(),
        },
        "reason" => |_, args| match args {
            [Value::Decision(decision)] => Ok(Value::text(decision.reason.clone())),
            _ => no_such_overload(),
        },
        _ => return None,
    })
}

fn service_account<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [
        Value::Authorizer(subject),
        Value::String(namespace),
        Value::String(name),
    ] = args
    else {
        return no_such_overload();
    };
    let is_label = |text: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !text.is_empty()
            && text.starts_with(edge)
            && text.ends_with(edge)
            && text.chars().all(|c| edge(c) || c == '-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(EvalError::other("Invalid service account name"));
    }
    if namespace.len() > 63 || !is_label(namespace) {
        return Err(EvalError::other("Invalid service account namespace"));
    }
    Ok(Value::Authorizer(Subject {
        authorizer: subject.authorizer,
        service_account: Some((namespace.clone(), name.clone())),
    }))
}

fn resource<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::GroupCheck(subject, group), Value::String(resource)] = args else {
        return no_such_overload();
    };
    if resource.trim().is_empty() {
        return Err(EvalError::other("resource must not be empty"));
    }
    let mut check = ResourceCheck::new(subject.clone(), "", "");
    check.group = group.clone();
    check.resource = resource.clone();
    Ok(Value::ResourceCheck(Arc::new(check)))
}

fn change<'a>(args: &[Value<'a>], set: fn(&mut ResourceCheck<'a>, Text<'a>)) -> Outcome<'a> {
    match args {
        [Value::ResourceCheck(check), Value::String(text)] => {
            let mut check = (**check).clone();
            set(&mut check, text.clone());
            Ok(Value::ResourceCheck(Arc::new(check)))
        }
        _ => no_such_overload(),
    }
}

fn check<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (subject, verb, of) = match args {
        [Value::PathCheck(check), Value::String(verb)] => {
            (&check.subject, verb, CheckOf::Path(&check.path))
        }
        [Value::ResourceCheck(check), Value::String(verb)] => (
            &check.subject,
            verb,
            CheckOf::Resource {
                group: &check.group,
                resource: &check.resource,
                subresource: &check.subresource,
                namespace: &check.namespace,
                name: &check.name,
                field_selector: &check.field_selector,
                label_selector: &check.label_selector,
            },
        ),
        _ => return no_such_overload(),
    };
    let account = subject.service_account.as_ref();
    let decision = subject.authorizer.check(&Check {
        service_account: account.map(|(namespace, name)| (&**namespace, &**name)),
        verb,
        of,
    });
    Ok(Value::Decision(Arc::new(decision)))
}
