//! Checks values against the rules of a schema, with the paths and words of Kubernetes' OpenAPI validator.

use serde_json::{Map, Value};

use super::canonical::{self, Walk};
use super::{
    ListType, Object, Rules, Schema, Type, formats, meta, regexp, rules, validate_builtin,
};
use crate::resource::Resource;
use crate::status::Cause;

/// Causes that are told; a client that gets these has enough to do.
const MAX_CAUSES: usize = 128;

/// Nesting that is looked at; deeper values are left alone (decoding refuses them).
const MAX_DEPTH: usize = super::parse::MAX_DEPTH + 8;

/// What is wrong with a prepared object, on create (`old` absent) or update; empty when it may be stored.
#[must_use]
pub fn validate(resource: &Resource, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    validate_subresource(resource, "", value, old)
}

/// As [`validate`], for an object that was written through `subresource` (empty: through the object itself): `status` leaves
/// the rules of the spec alone, and those of a pod may change what the pod's own endpoint may not.
#[must_use]
pub fn validate_subresource(
    resource: &Resource,
    subresource: &str,
    value: &Value,
    old: Option<&Value>,
) -> Vec<Cause> {
    let mut causes = meta::validate(resource, value, old);
    if let Some(custom) = &resource.custom {
        causes.extend(validate_node(value, &resource.schema, old));
        if let Some(node) = &custom.rules {
            if rules::are_blocked_by(&causes) {
                causes.push(rules::blocked());
            } else {
                causes.extend(rules::validate(node, value, old));
            }
        }
        return causes;
    }
    // Only a patch can bring a wrong type past decoding.
    if !canonical::fits(value, &resource.schema)
        && let Err(error) =
            canonical::canonicalize(&mut value.clone(), &resource.schema, &mut Walk::default())
    {
        causes.push(Cause::invalid("patch", &"".into(), &error));
        return causes;
    }
    causes.extend(validate_builtin::validate(
        resource,
        subresource,
        value,
        old,
    ));
    causes
}

/// What is wrong with `value`. With the state before in `old`, unchanged parts that broke a rule already may go on doing so
/// (Kubernetes' ratcheting); lists of sets and maps are checked unless some had duplicates before.
pub(crate) fn validate_node(value: &Value, schema: &Schema, old: Option<&Value>) -> Vec<Cause> {
    let mut check = Check::default();
    check.node(value, schema, old, Mode::Whole);
    check.path.clear();
    let was_wrong = old.is_some_and(|old| {
        let mut before = Check::default();
        before.lists(old, schema, 0);
        !before.causes.is_empty()
    });
    if !was_wrong {
        check.lists(value, schema, 0);
    }
    check.causes
}

/// Whether a missing `type` means that other types pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The structural part: the type is the schema's.
    Whole,
    /// Inside `allOf`, `anyOf`, `oneOf` and `not`: keywords look only at values of their own type.
    Branch,
}

#[derive(Default)]
struct Check {
    causes: Vec<Cause>,
    path: String,
    depth: usize,
}

impl Check {
    fn add(&mut self, cause: Cause) {
        if self.causes.len() < MAX_CAUSES {
            self.causes.push(cause);
        }
    }

    /// A broken rule, in the validator's words: `spec.x in body should …`.
    fn broken(&mut self, value: &Value, rule: &str) {
        let detail = format!("{} in body {rule}", self.path);
        self.add(Cause::invalid(self.path.clone(), value, &detail));
    }

    fn wrong_type(&mut self, value: &Value, expected: &str) {
        let found = type_name(value);
        let detail = format!(
            "{} in body must be of type {expected}: {found:?}",
            self.path
        );
        self.add(Cause::type_invalid(
            self.path.clone(),
            &found.into(),
            &detail,
        ));
    }

    fn inside(&mut self, step: &str, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        then(self);
        self.path.truncate(length);
    }

    fn node(&mut self, value: &Value, schema: &Schema, old: Option<&Value>, mode: Mode) {
        // `metadata` has rules of its own.
        if self.depth > MAX_DEPTH || old == Some(value) || matches!(schema.ty, Type::Ref(_)) {
            return;
        }
        if value.is_null() && schema.nullable {
            return;
        }
        self.depth += 1;
        let fits = self.typed(value, schema, old, mode);
        if let (true, Some(rules)) = (fits, &schema.rules) {
            self.rules(value, rules);
            self.branches(value, rules);
        }
        if schema.embedded && fits {
            for name in ["apiVersion", "kind"] {
                if value[name].as_str().unwrap_or_default().is_empty() {
                    self.inside(name, |check| {
                        check.add(Cause::required(check.path.clone(), "must not be empty"));
                    });
                }
            }
        }
        self.depth -= 1;
    }

    /// Checks the type and what is below; false when the type is wrong.
    fn typed(&mut self, value: &Value, schema: &Schema, old: Option<&Value>, mode: Mode) -> bool {
        let expected = match (&schema.ty, value) {
            (Type::Object(object), Value::Object(members)) => {
                self.members(members, object, old, mode);
                return true;
            }
            (Type::Array(item), Value::Array(items)) => {
                for (index, member) in items.iter().enumerate() {
                    let before = correlated(member, index, &schema.list_type, old);
                    self.inside(&format!("[{index}]"), |check| {
                        check.node(member, item, before, mode);
                    });
                }
                return true;
            }
            (Type::Any | Type::Ref(_), _)
            | (Type::String, Value::String(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::Number, Value::Number(_))
            | (Type::IntOrString, Value::String(_)) => return true,
            (Type::Integer | Type::IntOrString, Value::Number(number)) if is_whole(number) => {
                return true;
            }
            (Type::Object(_) | Type::Array(_), _) if mode == Mode::Branch => return true,
            (Type::Object(_), _) => "object",
            (Type::Array(_), _) => "array",
            (Type::String, _) => "string",
            (Type::Boolean, _) => "boolean",
            (Type::Number, _) => "number",
            (Type::Integer, _) => "integer",
            (Type::IntOrString, _) => "integer,string",
        };
        self.wrong_type(value, expected);
        false
    }

    fn members(
        &mut self,
        members: &Map<String, Value>,
        object: &Object,
        old: Option<&Value>,
        mode: Mode,
    ) {
        for (name, field) in &object.fields {
            match members.get(&**name) {
                Some(member) => {
                    let before = old.and_then(|old| old.get(&**name));
                    self.inside(name, |check| {
                        check.node(member, &field.schema, before, mode);
                    });
                }
                None if field.required => self.missing(name),
                None => {}
            }
        }
        if let Some(schema) = &object.additional {
            for (name, member) in members {
                if !object.fields.contains_key(&**name) {
                    let before = old.and_then(|old| old.get(name));
                    self.inside(name, |check| check.node(member, schema, before, mode));
                }
            }
        }
    }

    fn missing(&mut self, name: &str) {
        self.inside(name, |check| {
            check.add(Cause::required(check.path.clone(), ""));
        });
    }

    fn rules(&mut self, value: &Value, rules: &Rules) {
        if !rules.enumeration.is_empty()
            && !rules.enumeration.iter().any(|allowed| same(allowed, value))
        {
            let allowed: Vec<String> = rules
                .enumeration
                .iter()
                .map(|value| {
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned)
                })
                .collect();
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            self.add(Cause::not_supported(self.path.clone(), value, &allowed));
        }
        match value {
            Value::String(text) => self.text(value, text, rules),
            Value::Number(_) => self.number(value, rules),
            Value::Array(items) => self.count(
                value,
                items.len(),
                rules.min_items,
                rules.max_items,
                "items",
            ),
            Value::Object(members) => {
                for name in &rules.required_only {
                    if !members.contains_key(&**name) {
                        self.missing(name);
                    }
                }
                self.count(
                    value,
                    members.len(),
                    rules.min_properties,
                    rules.max_properties,
                    "properties",
                );
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn count(
        &mut self,
        value: &Value,
        count: usize,
        min: Option<u64>,
        max: Option<u64>,
        what: &str,
    ) {
        let count = count as u64;
        if let Some(max) = max.filter(|max| count > *max) {
            let (count, max) = (usize::try_from(count), usize::try_from(max));
            self.add(Cause::too_many(
                self.path.clone(),
                count.unwrap_or(usize::MAX),
                max.unwrap_or(usize::MAX),
            ));
        }
        if let Some(min) = min.filter(|min| count < *min) {
            self.broken(value, &format!("should have at least {min} {what}"));
        }
    }

    fn text(&mut self, value: &Value, text: &str, rules: &Rules) {
        self.length_or_pattern(value, text, rules);
        if let Some(format) = &rules.format
            && !formats::is_valid(format, text)
        {
            let detail = format!("{} in body must be of type {format}: {value}", self.path);
            self.add(Cause::type_invalid(self.path.clone(), value, &detail));
        }
    }

    /// Tells the first rule that is broken: what is too long is not also told to match something.
    fn length_or_pattern(&mut self, value: &Value, text: &str, rules: &Rules) {
        let length = text.chars().count() as u64;
        if let Some(max) = rules.max_length.filter(|max| length > *max) {
            self.add(Cause::too_long(
                self.path.clone(),
                usize::try_from(max).unwrap_or(usize::MAX),
            ));
        } else if let Some(min) = rules.min_length.filter(|min| length < *min) {
            self.broken(value, &format!("should be at least {min} chars long"));
        } else if let Some(pattern) = &rules.pattern {
            let regex = rules.regex.get_or_init(|| regexp::compile(pattern).ok());
            // A pattern that cannot be compiled is refused with its definition; a stored one lets everything pass.
            if regex.as_ref().is_some_and(|regex| !regex.is_match(text)) {
                self.broken(value, &format!("should match '{pattern}'"));
            }
        }
    }

    fn number(&mut self, value: &Value, rules: &Rules) {
        let number = value.as_f64().unwrap_or_default();
        if let Some(max) = rules.maximum {
            if rules.exclusive_maximum && number >= max {
                self.broken(value, &format!("should be less than {max}"));
            } else if number > max {
                self.broken(value, &format!("should be less than or equal to {max}"));
            }
        }
        if let Some(min) = rules.minimum {
            if rules.exclusive_minimum && number <= min {
                self.broken(value, &format!("should be greater than {min}"));
            } else if number < min {
                self.broken(value, &format!("should be greater than or equal to {min}"));
            }
        }
        if let Some(factor) = rules.multiple_of
            && factor > 0.0
        {
            let times = number / factor;
            if (times - times.round()).abs() > 1e-9 {
                self.broken(value, &format!("should be a multiple of {factor}"));
            }
        }
        if rules.format.as_deref() == Some("int32")
            && value
                .as_i64()
                .is_none_or(|number| i32::try_from(number).is_err())
        {
            let detail = format!("{} in body must be of type int32: {value}", self.path);
            self.add(Cause::type_invalid(self.path.clone(), value, &detail));
        }
    }

    fn branches(&mut self, value: &Value, rules: &Rules) {
        for schema in &rules.all_of {
            let causes = self.branch(value, schema);
            if !causes.is_empty() {
                self.composite("must validate all the schemas (allOf)");
                causes.into_iter().for_each(|cause| self.add(cause));
            }
        }
        if !rules.any_of.is_empty() {
            let failures: Vec<Vec<Cause>> =
                rules.any_of.iter().map(|s| self.branch(value, s)).collect();
            if failures.iter().all(|causes| !causes.is_empty()) {
                self.composite("must validate at least one schema (anyOf)");
                self.nearest(failures);
            }
        }
        if !rules.one_of.is_empty() {
            let failures: Vec<Vec<Cause>> =
                rules.one_of.iter().map(|s| self.branch(value, s)).collect();
            match failures.iter().filter(|causes| causes.is_empty()).count() {
                0 => {
                    self.composite("must validate one and only one schema (oneOf). Found none valid");
                    self.nearest(failures);
                }
                1 => {}
                several => self.composite(&format!(
                    "must validate one and only one schema (oneOf). Found {several} valid alternatives"
                )),
            }
        }
        if let Some(not) = &rules.not
            && self.branch(value, not).is_empty()
        {
            self.composite("must not validate the schema (not)");
        }
    }

    fn composite(&mut self, rule: &str) {
        let detail = format!("{:?} {rule}", self.path);
        self.add(Cause::invalid(self.path.clone(), &"".into(), &detail));
    }

    /// Tells what is wrong with the alternative that is nearest to fitting.
    fn nearest(&mut self, failures: Vec<Vec<Cause>>) {
        if let Some(causes) = failures.into_iter().min_by_key(Vec::len) {
            causes.into_iter().for_each(|cause| self.add(cause));
        }
    }

    fn branch(&mut self, value: &Value, schema: &Schema) -> Vec<Cause> {
        let outer = std::mem::take(&mut self.causes);
        self.node(value, schema, None, Mode::Branch);
        std::mem::replace(&mut self.causes, outer)
    }

    /// Duplicates in lists that are sets or maps.
    fn lists(&mut self, value: &Value, schema: &Schema, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match (&schema.ty, value) {
            (Type::Object(object), Value::Object(members)) => {
                for (name, member) in members {
                    let inner = match object.fields.get(&**name) {
                        Some(field) => Some(&field.schema),
                        None => object.additional.as_ref(),
                    };
                    if let (Some(inner), true) = (inner, member.is_object() || member.is_array()) {
                        self.inside(name, |check| check.lists(member, inner, depth + 1));
                    }
                }
            }
            (Type::Array(item), Value::Array(items)) => {
                self.duplicates(items, &schema.list_type);
                for (index, member) in items.iter().enumerate() {
                    if member.is_object() || member.is_array() {
                        self.inside(&format!("[{index}]"), |check| {
                            check.lists(member, item, depth + 1);
                        });
                    }
                }
            }
            _ => {}
        }
    }

    fn duplicates(&mut self, items: &[Value], list_type: &ListType) {
        if *list_type == ListType::Atomic {
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let identity = identity(item, list_type);
            if !seen.insert(identity.to_string()) {
                self.inside(&format!("[{index}]"), |check| {
                    check.add(Cause::duplicate(check.path.clone(), &identity));
                });
            }
        }
    }
}

/// What makes an item of a list unique: itself in sets, its keys in maps.
fn identity(item: &Value, list_type: &ListType) -> Value {
    match list_type {
        ListType::Atomic | ListType::Set => item.clone(),
        ListType::Map(keys) => {
            let keys = keys.iter().filter_map(|(key, default)| {
                let value = item.get(&**key).or(default.as_ref())?;
                Some((key.to_string(), value.clone()))
            });
            Value::Object(keys.collect())
        }
    }
}

/// The item of the old list that `item` continues.
pub(super) fn correlated<'a>(
    item: &Value,
    index: usize,
    list_type: &ListType,
    old: Option<&'a Value>,
) -> Option<&'a Value> {
    let old = old?.as_array()?;
    match list_type {
        ListType::Map(_) => {
            let wanted = identity(item, list_type);
            let is_it = |candidate: &&Value| identity(candidate, list_type) == wanted;
            // Most lists keep their order.
            old.get(index)
                .filter(is_it)
                .or_else(|| old.iter().find(is_it))
        }
        ListType::Set | ListType::Atomic => None,
    }
}

/// Equality as in JSON: 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
